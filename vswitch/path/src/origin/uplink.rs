//! What comes over the uplink: packets of our tunnels, packets of the outside for what the tables claim, and what is the
//! host's after all.

use std::net::IpAddr;

use sluice_tables::{Peer, Port, Tables, Tunnel};
use sluice_wire::parse::Fragment;
use sluice_wire::protocol;

use super::{Arrival, Origin, neighbour};
use crate::ends::is_own;
use crate::exit::Exit;
use crate::parse::{self, Ip, Parsed};
use crate::{DropReason, Packet, decapsulate};

/// Takes a tunnel packet apart, checks who it is from, and leaves to the host what is spoken between neighbours.
#[inline]
pub(super) fn run<'t>(
    tables: &'t Tables,
    packet: &mut Packet<'_>,
    port: &'t Port,
    parsed: Parsed,
) -> Result<Arrival<'t>, Exit<'t>> {
    let Parsed::Ip(ip) = parsed else { return Err(Exit::Punt) };
    let mac = ip.headers.destination_mac;
    if mac.is_broadcast() || mac.is_multicast() || neighbour::is_discovery(packet.head(), &ip) {
        return Err(Exit::Punt);
    }
    if mac != port.mac {
        return Err(DropReason::NotForGateway.into());
    }
    match tables.tunnel().filter(|tunnel| is_tunnelled(tunnel, &ip)) {
        Some(tunnel) => from_tunnel(tables, packet, port, tunnel, &ip),
        None => {
            check_outside_source(tables, ip.source)?;
            Ok(Arrival { port, origin: Origin::Uplink, ip })
        }
    }
}

/// Of a tunnel packet that was cut into fragments only the first can be told; none of it can be taken apart.
#[inline]
fn is_tunnelled(tunnel: &Tunnel, ip: &Ip) -> bool {
    ip.headers.protocol == protocol::UDP
        && ip.headers.destination_port == tunnel.port
        && ip.destination == tunnel.local
        && ip.headers.fragment != Fragment::Later
}

#[inline]
fn from_tunnel<'t>(
    tables: &'t Tables,
    packet: &mut Packet<'_>,
    port: &'t Port,
    tunnel: &Tunnel,
    outer: &Ip,
) -> Result<Arrival<'t>, Exit<'t>> {
    let Some((id, peer)) = tables.peer_at(outer.source) else { return Err(DropReason::TunnelPeer.into()) };
    if outer.headers.fragment != Fragment::None {
        return Err(DropReason::TunnelMalformed.into());
    }
    let total_len = packet.total_len();
    let inner = decapsulate::run(packet.head_mut(), &outer.headers, tunnel, total_len)?;
    packet.strip(inner.offset);
    let Ok(Parsed::Ip(ip)) = parse::run(packet) else { return Err(DropReason::TunnelMalformed.into()) };
    if neighbour::is_discovery(packet.head(), &ip) {
        return Err(DropReason::TunnelMalformed.into());
    }
    check_inner_source(peer, ip.source)?;
    Ok(Arrival { port, origin: Origin::Tunnel(id), ip })
}

/// A peer speaks for its pods and for itself: also what it masquerades has one of its own addresses.
#[inline]
fn check_inner_source(peer: &Peer, source: IpAddr) -> Result<(), DropReason> {
    if peer.has_pod(source) || peer.addresses.contains(&source) || peer.tunnel == source {
        return Ok(());
    }
    Err(DropReason::TunnelSpoofed)
}

/// The outside may have any address but those of this node, of its pods, and of pods that are behind a tunnel.
#[inline]
fn check_outside_source(tables: &Tables, source: IpAddr) -> Result<(), DropReason> {
    super::check_host_source(tables, source)?;
    let tunnelled = tables.tunnel().is_some() && tables.peer_of(source).is_some();
    if is_own(tables, source) || tables.in_pod_cidr(source) || tunnelled {
        return Err(DropReason::SpoofedAddress);
    }
    Ok(())
}
