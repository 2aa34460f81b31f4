//! Seventh stage, of new connections: where do packets of either direction leave?

use std::net::IpAddr;

use sluice_tables::{Destination, Port, PortKind, Tables};

use crate::DropReason;
use crate::egress::Egress;
use crate::ends::{Client, Target};
use crate::exit::{Failure, Refusal};
use crate::origin::Origin;

/// Where a connection's packets leave, by direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routes {
    /// From the client to the target.
    pub(crate) there: Egress,
    /// From the target back to the client.
    pub(crate) back: Egress,
}

const NO_NETWORK: Refusal = Refusal::Tell(DropReason::NoRoute, Failure::NoNetwork);

/// Finds both ways.
pub(crate) fn run(tables: &Tables, client: &Client<'_>, target: &Target) -> Result<Routes, Refusal> {
    // RFC 4291 section 2.5.6. A pod's has been stopped at its origin; this is the host's.
    if matches!(client.address, IpAddr::V6(source) if source.is_unicast_link_local()) {
        let outside = client.origin == Origin::Uplink;
        return Err(if outside { Refusal::NotOurs } else { DropReason::LinkLocalSource.into() });
    }
    let there = there(tables, client, target)?;
    Ok(Routes { there, back: back(tables, client)? })
}

fn there(tables: &Tables, client: &Client<'_>, target: &Target) -> Result<Egress, Refusal> {
    match tables.destination(target.address) {
        Destination::Port(port) if port.kind == PortKind::Host => to_host(Some(port), client, target),
        Destination::Port(port) => to_pod(port, client, target),
        Destination::Node => to_host(tables.host_port(), client, target),
        Destination::NoPod => Err(Refusal::Tell(DropReason::NoSuchPod, Failure::NoHost)),
        Destination::PeerPod(id, _) => {
            let egress = if tables.tunnel().is_some() { Egress::Tunnel(id) } else { Egress::Direct(id) };
            to_peer(tables, client, target, egress)
        }
        Destination::Gateway => Err(DropReason::Martian.into()),
        Destination::Peer(..) | Destination::Outside => beyond(tables, client, target),
    }
}

/// To a pod of this node. To itself a pod gets only through a Service, and then under another source.
fn to_pod(port: &Port, client: &Client<'_>, target: &Target) -> Result<Egress, Refusal> {
    if client.pod.is_some_and(|pod| pod.id == port.id) && !target.masquerade {
        return Err(DropReason::SamePort.into());
    }
    Ok(Egress::Port(port.id))
}

/// To the node's own stack. What the host or the uplink sends there of itself has no business here.
fn to_host(port: Option<&Port>, client: &Client<'_>, target: &Target) -> Result<Egress, Refusal> {
    match client.origin {
        Origin::Host if !target.service => return Err(NO_NETWORK),
        Origin::Uplink if !target.service => return Err(Refusal::NotOurs),
        _ => {}
    }
    port.map(|port| Egress::Port(port.id)).ok_or(NO_NETWORK)
}

/// To a pod of another node. What came from one does not go on to a third.
fn to_peer(tables: &Tables, client: &Client<'_>, target: &Target, egress: Egress) -> Result<Egress, Refusal> {
    match client.origin {
        Origin::Tunnel(_) => Err(NO_NETWORK),
        Origin::Uplink if !target.service => Err(Refusal::NotOurs),
        _ if tables.uplink().is_none() => Err(DropReason::NoUplink.into()),
        _ => Ok(egress),
    }
}

/// To an address that is neither a pod's nor this node's. What the host sent is not for the host, so it has no way there
/// unless a Service made it one, or has the address at another port: the node's own stack is led here for all of it. Not whom
/// it forwards for, or packets from outside would go round in circles.
fn beyond(tables: &Tables, client: &Client<'_>, target: &Target) -> Result<Egress, Refusal> {
    match client.origin {
        Origin::Uplink if !target.service => Err(Refusal::NotOurs),
        _ if is_martian(target.address) => Err(DropReason::Martian.into()),
        Origin::Tunnel(_) => Err(NO_NETWORK),
        Origin::Host if !(target.service || is_shared(tables, target) && client.is_node(tables)) => Err(NO_NETWORK),
        // By another of the node's devices, or refused: the kernel does it. Not under an address of the node's, as answers would
        // not come back to the switch.
        Origin::Pod if tables.underlay().leads_elsewhere(target.address) && !target.masquerade => to_host_port(tables),
        _ if tables.uplink().is_some() => Ok(Egress::Uplink),
        Origin::Pod => to_host_port(tables),
        _ => Err(NO_NETWORK),
    }
}

fn to_host_port(tables: &Tables) -> Result<Egress, Refusal> {
    tables.host_port().map(|port| Egress::Port(port.id)).ok_or(NO_NETWORK)
}

/// Whether a Service has the address but somebody else may be behind this port of it. A ClusterIP is nobody else's.
fn is_shared(tables: &Tables, target: &Target) -> bool {
    tables.services().is_external(target.address) && !tables.services().is_internal(target.address)
}

/// The way of replies: to where the first packet came from.
fn back(tables: &Tables, client: &Client<'_>) -> Result<Egress, Refusal> {
    match (client.origin, client.pod) {
        (Origin::Pod, Some(pod)) => Ok(Egress::Port(pod.id)),
        (Origin::Pod | Origin::Host, _) => to_host_port(tables),
        (Origin::Tunnel(peer), _) if tables.tunnel().is_some() => Ok(Egress::Tunnel(peer)),
        (Origin::Tunnel(peer), _) => Ok(Egress::Direct(peer)),
        (Origin::Uplink, _) => match tables.peer_of(client.address) {
            // Pods of a peer that routes directly.
            Some((peer, _)) => Ok(Egress::Direct(peer)),
            None => Ok(Egress::Uplink),
        },
    }
}

/// Destinations that are never forwarded to (RFC 1812 section 5.3.7, RFC 4291 section 2.5). No port has such an address:
/// the tables' builder sees to that. IPv4 link-local addresses are not among them, against RFC 3927 section 2.7: nodes
/// serve pods there (node-local DNS at 169.254.20.10, a cloud's metadata at 169.254.169.254).
fn is_martian(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(v4) => matches!(v4.octets(), [0 | 127 | 224..=255, ..]),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
