//! ICMP errors: a packet that cannot be delivered becomes the news of it, in its own frame, back to its sender.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_tables::Gateway;
use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::parse::{Fragment, L3};
use sluice_wire::{MacAddr, checksum, icmpv4, icmpv6, ipv4, ipv6, protocol};

use crate::Packet;
use crate::exit::Failure;
use crate::parse::Ip;
use crate::reply::{HOPS, address};

/// Longest datagram that carries an error: what every IPv4 host takes (RFC 1812 section 4.3.2.3).
const MAX_V4: usize = 576;
/// The same for IPv6: the least MTU of a link (RFC 4443 section 2.4 (c)).
const MAX_V6: usize = ipv6::MIN_MTU;
/// Precedence "internetwork control" (RFC 1812 section 4.3.2.5).
const INTERNETWORK_CONTROL: u8 = 0xc0;
/// Parameter problem, code 1: unrecognized next header (RFC 4443 section 3.4).
const UNRECOGNIZED_NEXT_HEADER: u8 = 1;
/// Where the fixed IPv6 header has its next header field.
const NEXT_HEADER: usize = 6;

/// Whether an error may be sent about this packet (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e)): not about an
/// ICMP error, not about a fragment other than the first, not to an address that is nobody's alone. Frames to a
/// multicast or broadcast MAC end before a stage could refuse them.
pub(crate) fn is_due(head: &[u8], ip: &Ip) -> bool {
    if ip.headers.fragment == Fragment::Later {
        return false;
    }
    let nobody = ip.source.is_unspecified() || ip.source.is_multicast() || ip.source.is_loopback();
    let broadcast = matches!(ip.source, IpAddr::V4(v4) if v4.is_broadcast());
    let message = &head[ip.l4()..];
    let about_error = match (ip.source, ip.headers.protocol) {
        (IpAddr::V4(_), protocol::ICMPV4) => icmpv4::Packet::new_checked(message).map_or(true, |it| it.is_error()),
        (IpAddr::V6(_), protocol::ICMPV6) => icmpv6::Packet::new_checked(message).map_or(true, |it| it.is_error()),
        _ => false,
    };
    !nobody && !broadcast && !about_error
}

/// Makes `packet`, whose headers are `ip`, the error about itself: from `gateway`, or who speaks in its place, to the MAC `to`.
/// Returns whether there was room; without, the packet is unchanged.
pub(crate) fn error(packet: &mut Packet<'_>, gateway: &Gateway, to: MacAddr, ip: &Ip, failure: Failure) -> bool {
    let (max, header_len) = match ip.headers.l3 {
        L3::Ipv4 => (MAX_V4, ipv4::HEADER_LEN),
        _ => (MAX_V6, ipv6::HEADER_LEN),
    };
    let added = header_len + icmpv4::HEADER_LEN;
    let unspoken = next_header_field(&packet.head()[ip.l3()..], ip.l4() - ip.l3());
    let quoted = (packet.head_len() - ip.l3()).min(max - added);
    if !packet.reshape(added, ethernet::HEADER_LEN + added + quoted) {
        return false;
    }
    let head = packet.head_mut();
    match ip.source {
        IpAddr::V4(sender) => {
            address(head, to, gateway, ethertype::IPV4);
            write_v4(&mut head[ethernet::HEADER_LEN..], gateway.v4, sender, failure);
        }
        IpAddr::V6(sender) => {
            address(head, to, gateway, ethertype::IPV6);
            write_v6(&mut head[ethernet::HEADER_LEN..], gateway.v6, sender, failure, unspoken);
        }
    }
    true
}

fn write_v4(l3: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, failure: Failure) {
    if let Ok(mut header) = ipv4::Packet::init(&mut *l3, ipv4::HEADER_LEN) {
        header.set_traffic_class(INTERNETWORK_CONTROL);
        // Never fragmented, so it needs no identification (RFC 6864 section 4.1).
        header.set_fragment(true, false, 0);
        header.set_ttl(HOPS);
        header.set_protocol(protocol::ICMPV4);
        header.set_source(source);
        header.set_destination(destination);
        header.fill_checksum();
    }
    if let Ok(mut message) = icmpv4::Packet::init(&mut l3[ipv4::HEADER_LEN..]) {
        use icmpv4::{kind, unreachable};
        let (kind, code) = match failure {
            Failure::NoHost => (kind::UNREACHABLE, unreachable::HOST),
            Failure::NoNetwork => (kind::UNREACHABLE, unreachable::NETWORK),
            Failure::NoPort => (kind::UNREACHABLE, unreachable::PORT),
            Failure::NoProtocol => (kind::UNREACHABLE, unreachable::PROTOCOL),
            Failure::TimeExceeded => (kind::TIME_EXCEEDED, 0),
            Failure::TooBig { mtu } => {
                message.set_mtu(mtu);
                (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED)
            }
        };
        message.set_kind(kind, code);
        message.fill_checksum();
    }
}

fn write_v6(l3: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr, failure: Failure, unspoken: u32) {
    let length = (l3.len() - ipv6::HEADER_LEN) as u32;
    if let Ok(mut header) = ipv6::Packet::init(&mut *l3) {
        header.set_next_header(protocol::ICMPV6);
        header.set_hop_limit(HOPS);
        header.set_source(source);
        header.set_destination(destination);
    }
    if let Ok(mut message) = icmpv6::Packet::init(&mut l3[ipv6::HEADER_LEN..]) {
        use icmpv6::{kind, unreachable};
        let (kind, code) = match failure {
            Failure::NoHost => (kind::UNREACHABLE, unreachable::ADDRESS),
            Failure::NoNetwork => (kind::UNREACHABLE, unreachable::NO_ROUTE),
            Failure::NoPort => (kind::UNREACHABLE, unreachable::PORT),
            Failure::NoProtocol => {
                message.set_rest(unspoken);
                (kind::PARAMETER_PROBLEM, UNRECOGNIZED_NEXT_HEADER)
            }
            Failure::TimeExceeded => (kind::TIME_EXCEEDED, 0),
            Failure::TooBig { mtu } => {
                message.set_mtu(u32::from(mtu));
                (kind::PACKET_TOO_BIG, 0)
            }
        };
        message.set_kind(kind, code);
        message.fill_checksum(checksum::pseudo_v6(source, destination, protocol::ICMPV6, length));
    }
}

/// Where in an IPv6 packet the field is that names the protocol at `transport`: in the fixed header, or in the last
/// extension header. The walk was bounded and checked by `parse`; whatever the bytes are, it goes forward and ends.
fn next_header_field(l3: &[u8], transport: usize) -> u32 {
    let (mut field, mut next) = (NEXT_HEADER, ipv6::HEADER_LEN);
    while next < transport {
        let [kind, units] = [field, next + 1].map(|at| l3.get(at).copied().map_or(0, usize::from));
        let length = match u8::try_from(kind) {
            Ok(protocol::FRAGMENT) => 8,
            Ok(protocol::AUTHENTICATION) => units * 4 + 8,
            _ => units * 8 + 8,
        };
        (field, next) = (next, next + length);
    }
    field as u32
}

#[cfg(test)]
mod tests;
