//! Neighbour discovery and multicast listener discovery (RFC 4861, RFC 3810): the gateway is answered for, nothing else
//! is.

use std::net::{IpAddr, Ipv6Addr};

use sluice_tables::{Port, PortKind, Tables};
use sluice_wire::parse::{Fragment, L3};
use sluice_wire::{icmpv6::kind, ndp, protocol};

use crate::DropReason;
use crate::exit::Exit;
use crate::parse::Ip;

/// Multicast listener query, report and done (RFC 2710).
const MLD1: core::ops::RangeInclusive<u8> = 130..=132;

/// Whether the packet is spoken between neighbours. Fragments are not: RFC 6980 section 5 tells to ignore such.
#[inline]
pub(super) fn is_discovery(head: &[u8], ip: &Ip) -> bool {
    ip.headers.protocol == protocol::ICMPV6
        && ip.headers.l3 == L3::Ipv6
        && ip.headers.fragment == Fragment::None
        && matches!(head[ip.l4()], kind::ROUTER_SOLICIT..=kind::REDIRECT | 130..=132 | kind::MLD2_REPORT)
}

/// What becomes of it. It is never sent on: each port has the switch as its only neighbour.
pub(super) fn judge<'t>(tables: &Tables, port: &'t Port, head: &[u8], ip: &Ip) -> Exit<'t> {
    let reason = match head[ip.l4()] {
        kind::NEIGHBOUR_SOLICIT => match check(tables, port, head, ip) {
            Ok(solicitor) => return Exit::ReplyNeighbour { solicitor, port },
            Err(reason) => reason,
        },
        kind::ROUTER_SOLICIT => DropReason::RouterSolicitation,
        kind::MLD2_REPORT => DropReason::MulticastListener,
        other if MLD1.contains(&other) => DropReason::MulticastListener,
        _ => DropReason::NeighbourOther,
    };
    Exit::Drop(reason)
}

/// Checks a solicitation; returns who asks.
fn check(tables: &Tables, port: &Port, head: &[u8], ip: &Ip) -> Result<Ipv6Addr, DropReason> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else {
        return Err(DropReason::NeighbourInvalid);
    };
    // RFC 4861 section 7.1.1. The view checks lengths; `parse` has cut the head to the packet.
    let message = ndp::Packet::new_checked(&head[ip.l4()..]).map_err(|_| DropReason::NeighbourInvalid)?;
    let whole = head.len() - ip.l4() == ip.headers.l4_len() as usize;
    let pseudo = ip.headers.pseudo_header(head).ok_or(DropReason::NeighbourInvalid)?;
    let valid = ip.headers.ttl == ndp::HOP_LIMIT && message.code() == 0 && !message.target().is_multicast();
    if !whole || !valid || !message.checksum_ok(pseudo) {
        return Err(DropReason::NeighbourInvalid);
    }
    if source.is_unspecified() {
        let proper = is_solicited_node(destination) && message.source_link().is_none();
        return Err(if proper { DropReason::Dad } else { DropReason::NeighbourInvalid });
    }
    if !ip.headers.destination_mac.is_multicast() {
        super::check_destination_mac(tables, ip.headers.destination_mac)?;
    }
    check_sender(tables, port, source, &message)?;
    let gateway = tables.gateway().v6;
    if message.target() != gateway || !(destination == gateway || destination == solicited_node(gateway)) {
        return Err(DropReason::NeighbourNotGateway);
    }
    Ok(source)
}

fn check_sender<T: AsRef<[u8]>>(
    tables: &Tables,
    port: &Port,
    source: Ipv6Addr,
    message: &ndp::Packet<T>,
) -> Result<(), DropReason> {
    if port.kind == PortKind::Host {
        return super::check_host_source(tables, source.into());
    }
    if !port.has_address(source.into()) && source != super::link_local(port.mac) {
        return Err(DropReason::SpoofedAddress);
    }
    match message.source_link() {
        Some(mac) if mac != port.mac => Err(DropReason::SpoofedMac),
        _ => Ok(()),
    }
}

/// The group in which the owner of `address` listens for solicitations (RFC 4291 section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., b, c, d] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, b, c, d])
}

/// Whether `address` is any such group.
fn is_solicited_node(address: Ipv6Addr) -> bool {
    solicited_node(address) == address
}
