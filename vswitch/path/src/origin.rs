//! Second stage: does the packet come from where it says it does, and is it for the switch to look at? ARP and
//! neighbour discovery end here, and what came through a tunnel is taken out of it.

mod arp;
mod gateway;
mod neighbour;
mod uplink;

use std::net::{IpAddr, Ipv6Addr};

use sluice_tables::{PeerId, Port, PortKind, Tables};
use sluice_wire::parse::Fragment;
use sluice_wire::{MacAddr, icmpv4, icmpv6, protocol};

use crate::exit::Exit;
use crate::parse::{Ip, Parsed};
use crate::{DropReason, Packet};

pub(crate) use gateway::answer;

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a pod of this node.
    Pod,
    /// From the node's own stack.
    Host,
    /// Over the uplink, in a tunnel from this peer.
    Tunnel(PeerId),
    /// Over the uplink, as it is.
    Uplink,
}

/// An IP packet whose sender is who it says it is, addressed to the switch's MAC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'t> {
    /// Where it came from.
    pub(crate) port: &'t Port,
    /// How it came.
    pub(crate) origin: Origin,
    /// Its headers; of a tunnel packet, those inside.
    pub(crate) ip: Ip,
}

/// Checks MACs and source address against the port; answers or drops what is spoken between neighbours.
#[inline]
pub(crate) fn run<'t>(tables: &'t Tables, packet: &mut Packet<'_>, parsed: Parsed) -> Result<Arrival<'t>, Exit<'t>> {
    let Some(port) = tables.port(packet.port()) else { return Err(DropReason::UnknownPort.into()) };
    if port.kind == PortKind::Uplink {
        return uplink::run(tables, packet, port, parsed);
    }
    let ip = match parsed {
        Parsed::Ip(ip) => ip,
        Parsed::Arp(arp) => return Err(arp::judge(tables, port, arp)),
    };
    check_source_mac(port, ip.headers.source_mac)?;
    if neighbour::is_discovery(packet.head(), &ip) {
        return Err(neighbour::judge(tables, port, packet.head(), &ip));
    }
    check_destination_mac(tables, ip.headers.destination_mac)?;
    if port.kind == PortKind::Host {
        check_host_source(tables, ip.source)?;
        return Ok(Arrival { port, origin: Origin::Host, ip });
    }
    check_pod_source(tables, port, packet.head(), &ip)?;
    Ok(Arrival { port, origin: Origin::Pod, ip })
}

/// A pod speaks from its own MAC. The host may bridge into its end of the veth, so its MAC is not looked at; answers
/// go to the port's MAC in any case.
#[inline]
fn check_source_mac(port: &Port, mac: MacAddr) -> Result<(), DropReason> {
    if port.kind == PortKind::Pod && mac != port.mac {
        return Err(DropReason::SpoofedMac);
    }
    Ok(())
}

#[inline]
fn check_destination_mac(tables: &Tables, mac: MacAddr) -> Result<(), DropReason> {
    if mac == tables.gateway().mac {
        return Ok(());
    }
    Err(match mac {
        _ if mac.is_broadcast() => DropReason::Broadcast,
        _ if mac.is_multicast() => DropReason::Multicast,
        _ => DropReason::NotForGateway,
    })
}

/// A pod's packet carries one of its addresses, or its link-local one where that cannot leave the link: in an echo
/// request to the gateway (neighbour discovery has been dealt with before).
#[inline]
fn check_pod_source(tables: &Tables, port: &Port, head: &[u8], ip: &Ip) -> Result<(), DropReason> {
    if port.has_address(ip.source) {
        return Ok(());
    }
    if ip.source != IpAddr::V6(link_local(port.mac)) {
        return Err(DropReason::SpoofedAddress);
    }
    if tables.gateway().has_address(ip.destination) && is_echo_request(head, ip) {
        return Ok(());
    }
    Err(DropReason::LinkLocalSource)
}

/// The host forwards for others, so any address may come from it; but not a pod's, which would have another port, and
/// none that nobody can have.
#[inline]
fn check_host_source(tables: &Tables, source: IpAddr) -> Result<(), DropReason> {
    if is_pod(tables, source) || tables.gateway().has_address(source) {
        return Err(DropReason::SpoofedAddress);
    }
    let broadcast = matches!(source, IpAddr::V4(v4) if v4.is_broadcast());
    if source.is_unspecified() || source.is_loopback() || source.is_multicast() || broadcast {
        return Err(DropReason::MartianSource);
    }
    Ok(())
}

#[inline]
fn is_pod(tables: &Tables, address: IpAddr) -> bool {
    tables.owner(address).is_some_and(|owner| owner.kind == PortKind::Pod)
}

/// Whether the packet is an echo request, unfragmented: only then can it be answered without being put together.
#[inline]
pub(crate) fn is_echo_request(head: &[u8], ip: &Ip) -> bool {
    let message = match (ip.source, ip.headers.protocol) {
        (IpAddr::V4(_), protocol::ICMPV4) => [icmpv4::kind::ECHO_REQUEST, 0],
        (IpAddr::V6(_), protocol::ICMPV6) => [icmpv6::kind::ECHO_REQUEST, 0],
        _ => return false,
    };
    ip.headers.fragment == Fragment::None && head[ip.l4()..].starts_with(&message)
}

/// The link-local address that a device with this MAC gives itself (RFC 4291 appendix A).
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets();
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests;
