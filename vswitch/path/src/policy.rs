//! Sixth stage: do the policies of both ends allow the connection? The source's egress and the destination's ingress are
//! judged, on the addresses that the ends themselves have: what is behind a Service, and the client before it is hidden.
//! Whatever they say, nobody speaks to a node's end of the tunnels.

use std::net::IpAddr;

use sluice_tables::{PortKind, Tables};
use sluice_wire::protocol::UDP;

use crate::DropReason;
use crate::ends::{Client, Target, is_own};
use crate::exit::Refusal;
use crate::origin::Origin;

/// Judges a connection of `protocol`. The node's own traffic and what a pod says to itself always pass.
pub(crate) fn run(tables: &Tables, client: &Client<'_>, target: &Target, protocol: u8) -> Result<(), Refusal> {
    if protocol == UDP && leads_to_tunnels(tables, client, target) {
        return Err(DropReason::TunnelFromPod.into());
    }
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

/// Whether who is not the node would speak to a node's end of the tunnels. A pod, or by way of a Service anybody, would then
/// speak for any pod of the cluster: peers trust the node's address, under which the packets arrive once they are hidden.
fn leads_to_tunnels(tables: &Tables, client: &Client<'_>, target: &Target) -> bool {
    tables.tunnel().is_some_and(|tunnel| tunnel.port == target.port)
        && (client.origin == Origin::Pod || target.service && !client.is_node(tables))
        && is_a_nodes(tables, target.address)
}

/// Whether a node has the address. In a peer's podCIDRs that is any that no pod is known to have: a kernel's tunnel device
/// listens at all of the node's addresses.
fn is_a_nodes(tables: &Tables, address: IpAddr) -> bool {
    is_own(tables, address)
        || tables.peer_at(address).is_some()
        || tables.peer_of(address).is_some() && tables.identity(address).is_none()
}
