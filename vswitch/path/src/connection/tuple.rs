//! The tuple of a packet.

use std::net::IpAddr;

use sluice_connections::Connection;
use sluice_wire::parse::{Fragment, L3};
use sluice_wire::{icmpv4, icmpv6, protocol};

use crate::parse::Ip;

/// Source and destination port; of an echo request its identifier and 0, of a reply 0 and its identifier; else 0.
#[inline]
pub(crate) fn ports(head: &[u8], ip: &Ip) -> (u16, u16) {
    let headers = &ip.headers;
    if !is_icmp(ip) || headers.fragment == Fragment::Later {
        return (headers.source_port, headers.destination_port);
    }
    // `parse` has seen to it that the eight bytes of the header are there.
    let Some(&[kind, _, _, _, high, low]) = head.get(ip.l4()..ip.l4() + 6) else { return (0, 0) };
    let identifier = u16::from_be_bytes([high, low]);
    let (request, reply) = match headers.l3 {
        L3::Ipv4 => (icmpv4::kind::ECHO_REQUEST, icmpv4::kind::ECHO_REPLY),
        _ => (icmpv6::kind::ECHO_REQUEST, icmpv6::kind::ECHO_REPLY),
    };
    match kind {
        _ if kind == request => (identifier, 0),
        _ if kind == reply => (0, identifier),
        _ => (0, 0),
    }
}

/// Whether the packet is ICMP of its own family.
#[inline]
fn is_icmp(ip: &Ip) -> bool {
    match ip.headers.protocol {
        protocol::ICMPV4 => ip.headers.l3 == L3::Ipv4,
        protocol::ICMPV6 => ip.headers.l3 == L3::Ipv6,
        _ => false,
    }
}

/// Whether the packet is an ICMP error, so that it quotes another.
#[inline]
pub(super) fn is_error(head: &[u8], ip: &Ip) -> bool {
    if !is_icmp(ip) || ip.headers.fragment == Fragment::Later {
        return false;
    }
    let Some(message) = head.get(ip.l4()..) else { return false };
    match ip.headers.l3 {
        L3::Ipv4 => icmpv4::Packet::new_checked(message).is_ok_and(|message| message.is_error()),
        _ => icmpv6::Packet::new_checked(message).is_ok_and(|message| message.is_error()),
    }
}

/// Where packets of the direction that was looked for go once they are translated.
#[inline]
pub(crate) fn destination_of(connection: &Connection) -> IpAddr {
    match connection.direction {
        crate::connection::Direction::Original => connection.reply.source,
        crate::connection::Direction::Reply => connection.original.source,
    }
}
