//! Addresses and ports changed in place, checksums carried along by difference (RFC 1624): a packet's payload may lie in
//! frames that are not looked at, and a checksum that was wrong stays wrong for the receiver to find.

use std::net::IpAddr;

use sluice_connections::Tuple;
use sluice_wire::parse::{Fragment, Headers, L3};
use sluice_wire::{checksum, icmpv4, icmpv6, ipv4, ipv6, protocol, sctp, tcp, udp};

use crate::Checksum;

/// What a translation does to the sums over a packet: ones' complement differences, the same for every packet of a
/// direction, so that a connection's record can hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deltas {
    /// Of the addresses: goes into the IPv4 header checksum and into partial checksums, whose fields hold the sum over the
    /// pseudo-header alone.
    pub(crate) l3: u16,
    /// Of everything that the transport's checksum covers. Of no meaning for SCTP, whose checksum is no such sum.
    pub(crate) l4: u16,
}

impl Deltas {
    /// The differences between `from` and `to`, which are of one protocol and one family.
    #[inline]
    pub(crate) fn between(from: &Tuple, to: &Tuple) -> Self {
        let l3 = addresses_between((from.source, from.destination), (to.source, to.destination));
        let ports = add(word(from.source_port, to.source_port), word(from.destination_port, to.destination_port));
        // ICMPv4 has no pseudo-header.
        let covered = if from.protocol == protocol::ICMPV4 { 0 } else { l3 };
        Self { l3, l4: add(covered, ports) }
    }
}

/// The sum of two ones' complement numbers. Adding to 0 gives the other back.
#[inline]
pub(crate) const fn add(one: u16, other: u16) -> u16 {
    let (sum, carry) = one.overflowing_add(other);
    sum + carry as u16
}

/// The difference that a word makes which goes from `old` to `new`; 0 for none.
#[inline]
pub(crate) const fn word(old: u16, new: u16) -> u16 {
    if old == new { 0 } else { add(!old, new) }
}

/// The difference that a pair of addresses makes.
#[inline]
pub(crate) fn addresses_between(old: (IpAddr, IpAddr), new: (IpAddr, IpAddr)) -> u16 {
    add(address(old.0, new.0), address(old.1, new.1))
}

#[inline]
fn address(old: IpAddr, new: IpAddr) -> u16 {
    match (old, new) {
        _ if old == new => 0,
        (IpAddr::V4(old), IpAddr::V4(new)) => difference(old.to_bits(), new.to_bits()),
        (IpAddr::V6(old), IpAddr::V6(new)) => difference_v6(&old.octets(), &new.octets()),
        // No tuple leads from one family to the other.
        _ => 0,
    }
}

/// The difference that an IPv4 address makes; 0 for none.
#[inline]
pub(crate) const fn difference(old: u32, new: u32) -> u16 {
    if old == new { 0 } else { add(!add((old >> 16) as u16, old as u16), add((new >> 16) as u16, new as u16)) }
}

#[inline]
fn difference_v6(old: &[u8], new: &[u8]) -> u16 {
    let (old, new) = (checksum::Sum::new().add_bytes(old), checksum::Sum::new().add_bytes(new));
    add(!old.folded(), new.folded())
}

/// A checksum field after what it covers changed by `delta`.
#[inline]
pub(crate) const fn updated(field: u16, delta: u16) -> u16 {
    // A difference of all ones is none at all; adding it would turn 0xffff into 0.
    if delta == 0 || delta == 0xffff { field } else { !add(!field, delta) }
}

/// Makes the packet in `head`, parsed as `headers`, one of `to`; `deltas` are those between what it is of now and `to`. The
/// addresses, the ports or the identifier of an echo message, the IPv4 header checksum and the transport's checksum are written;
/// `checksum` says in which state the last is. A later fragment has addresses only.
///
/// An SCTP checksum of 0 was left to the device (Linux does so on veth): it is computed where the whole packet is in `head`, and
/// else left 0, which no receiver but one that trusts its device takes.
#[inline]
pub(crate) fn replay(head: &mut [u8], headers: &Headers, to: &Tuple, deltas: Deltas, checksum: Checksum) {
    let l3 = usize::from(headers.l3_offset);
    let Some(header) = head.get_mut(l3..) else { return };
    if !write_addresses(header, headers.l3, to.source, to.destination, deltas.l3) {
        return;
    }
    if headers.fragment == Fragment::Later {
        return;
    }
    let l4 = usize::from(headers.l4_offset);
    let length = headers.l4_len() as usize;
    let Some(transport) = head.get_mut(l4..) else { return };
    match headers.protocol {
        protocol::TCP => {
            write_ports(transport, to);
            add_to_field(transport, tcp::CHECKSUM_OFFSET, deltas, checksum);
        }
        protocol::UDP => {
            write_ports(transport, to);
            add_to_udp(transport, deltas, checksum);
        }
        protocol::SCTP => translate_sctp(transport, length, headers.fragment, to),
        protocol::ICMPV4 if headers.l3 == L3::Ipv4 => {
            write_identifier(transport, icmpv4::kind::ECHO_REQUEST, icmpv4::kind::ECHO_REPLY, to);
            add_to_field(transport, icmpv4::CHECKSUM_OFFSET, deltas, Checksum::Complete);
        }
        protocol::ICMPV6 if headers.l3 == L3::Ipv6 => {
            write_identifier(transport, icmpv6::kind::ECHO_REQUEST, icmpv6::kind::ECHO_REPLY, to);
            add_to_field(transport, icmpv6::CHECKSUM_OFFSET, deltas, checksum);
        }
        _ => {}
    }
}

/// Writes both addresses into the IP header at the front of `header` and adds `delta` to an IPv4 header's checksum. False, with
/// nothing written, when the addresses are not of the header's family.
#[inline]
pub(crate) fn write_addresses(header: &mut [u8], l3: L3, source: IpAddr, destination: IpAddr, delta: u16) -> bool {
    match (l3, source, destination) {
        (L3::Ipv4, IpAddr::V4(source), IpAddr::V4(destination)) => {
            let Ok(mut ip) = ipv4::Packet::new_header(header) else { return false };
            ip.set_source(source);
            ip.set_destination(destination);
            ip.set_checksum(updated(ip.checksum(), delta));
        }
        (L3::Ipv6, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let Ok(mut ip) = ipv6::Packet::new_header(header) else { return false };
            ip.set_source(source);
            ip.set_destination(destination);
        }
        _ => return false,
    }
    true
}

#[inline]
fn write_ports(transport: &mut [u8], to: &Tuple) {
    put(transport, 0, to.source_port);
    put(transport, 2, to.destination_port);
}

/// Writes the identifier of an echo message, which a tuple has for its source port in a request and for its destination port in
/// a reply.
#[inline]
fn write_identifier(message: &mut [u8], request: u8, reply: u8, to: &Tuple) {
    match message.first() {
        Some(kind) if *kind == request => put(message, 4, to.source_port),
        Some(kind) if *kind == reply => put(message, 4, to.destination_port),
        _ => {}
    }
}

#[inline]
fn add_to_field(transport: &mut [u8], at: usize, deltas: Deltas, state: Checksum) {
    if let Some(field) = get(transport, at) {
        let field = match state {
            Checksum::Complete => updated(field, deltas.l4),
            // The sum itself, not its complement.
            Checksum::Partial { .. } => add(field, deltas.l3),
        };
        put(transport, at, field);
    }
}

/// UDP's checksum: 0 is none and stays, and a computed 0 is sent as its other form (RFC 768).
#[inline]
fn add_to_udp(transport: &mut [u8], deltas: Deltas, state: Checksum) {
    if get(transport, udp::CHECKSUM_OFFSET) == Some(0) {
        return;
    }
    add_to_field(transport, udp::CHECKSUM_OFFSET, deltas, state);
    if get(transport, udp::CHECKSUM_OFFSET) == Some(0) {
        put(transport, udp::CHECKSUM_OFFSET, 0xffff);
    }
}

/// Translates an SCTP packet of `length` bytes, whichever part of it is in `transport`. Its checksum covers no address. A first
/// fragment does not tell how much follows it, so its checksum cannot be carried along and the receiver will drop the packet:
/// SCTP finds the path MTU itself and does not fragment below (RFC 9260 section 7.3).
#[cold]
fn translate_sctp(transport: &mut [u8], length: usize, fragment: Fragment, to: &Tuple) {
    let Some(&old) = transport.first_chunk::<4>() else { return };
    write_ports(transport, to);
    if fragment != Fragment::None {
        return;
    }
    let Some(&new) = transport.first_chunk::<4>() else { return };
    let whole = transport.len() >= length;
    let visible = length.min(transport.len());
    let Ok(mut packet) = sctp::Packet::new_checked(&mut transport[..visible]) else { return };
    match packet.checksum() {
        0 if whole => packet.fill_checksum(),
        0 => {}
        known => packet.set_checksum(sctp::update(known, old, new, length - new.len())),
    }
}

/// The word at `at`, where there is one.
#[inline]
pub(crate) fn get(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]))
}

/// Writes a word where there is room for it.
#[inline]
pub(crate) fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(word) = bytes.get_mut(at..at + 2) {
        word.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
