//! Sixth stage: do the policies of both ends allow the connection? The source's egress and the destination's ingress are
//! judged, on the addresses that the ends themselves have: what is behind a Service, and the client before it is hidden.

use sluice_tables::{PortKind, Tables};

use crate::DropReason;
use crate::ends::{Client, Target, is_own};
use crate::exit::Refusal;

/// Judges a connection of `protocol`. The node's own traffic and what a pod says to itself always pass.
pub(crate) fn run(tables: &Tables, client: &Client<'_>, target: &Target, protocol: u8) -> Result<(), Refusal> {
    let destination = tables.owner(target.address).filter(|port| port.kind == PortKind::Pod);
    if let (Some(pod), Some(destination)) = (client.pod, destination)
        && pod.id == destination.id
    {
        return Ok(());
    }
    if let Some(pod) = client.pod
        && !is_own(tables, target.address)
        && let Some(rules) = &tables.policy(pod.id).egress
        && !rules.allows(target.address, tables.identity(target.address), protocol, target.port)
    {
        return Err(DropReason::PolicyEgress.into());
    }
    if let Some(destination) = destination
        && !client.is_node(tables)
        && let Some(rules) = &tables.policy(destination.id).ingress
        && !rules.allows(client.address, tables.identity(client.address), protocol, target.port)
    {
        return Err(DropReason::PolicyIngress.into());
    }
    Ok(())
}
