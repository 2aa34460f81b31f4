//! Replies: a request to the gateway becomes its answer, in its own frame, back to the port it came from.

use std::net::{IpAddr, Ipv6Addr};

use sluice_tables::{Gateway, Port};
use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::parse::{Fragment, L3};
use sluice_wire::tcp::flag;
use sluice_wire::{MacAddr, arp, checksum, icmpv4, icmpv6, ipv4, ipv6, ndp, protocol, tcp};

use crate::Packet;
use crate::origin::Arrival;
use crate::parse::{Arp, Ip};

/// TTL and hop limit of what the switch sends (the default of RFC 1700).
pub(crate) const HOPS: u8 = 64;

/// Makes an ARP request for the gateway the reply to it. Whatever followed the message is cut off.
pub(crate) fn arp(packet: &mut Packet<'_>, gateway: &Gateway, port: &Port, request: &Arp) {
    // Within the length of the request, so there is always room.
    if !packet.reshape(0, ethernet::HEADER_LEN + arp::LEN) {
        return;
    }
    let head = packet.head_mut();
    address(head, port.mac, gateway, ethertype::ARP);
    if let Ok(mut message) = arp::Packet::init(&mut head[ethernet::HEADER_LEN..]) {
        message.set_operation(arp::REPLY);
        message.set_sender(gateway.mac, gateway.v4);
        message.set_target(request.sender_mac, request.sender);
    }
}

/// Makes a neighbour solicitation for the gateway the advertisement that answers it. Returns whether there was room: the
/// solicitation may be 8 bytes shorter.
pub(crate) fn neighbour(packet: &mut Packet<'_>, gateway: &Gateway, port: &Port, solicitor: Ipv6Addr) -> bool {
    const MESSAGE: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
    if !packet.reshape(0, MESSAGE + ndp::LEN_WITH_MAC) {
        return false;
    }
    let head = packet.head_mut();
    address(head, port.mac, gateway, ethertype::IPV6);
    if let Ok(mut header) = ipv6::Packet::init(&mut head[ethernet::HEADER_LEN..]) {
        header.set_next_header(protocol::ICMPV6);
        header.set_hop_limit(ndp::HOP_LIMIT);
        header.set_source(gateway.v6);
        header.set_destination(solicitor);
    }
    let advertisement = icmpv6::kind::NEIGHBOUR_ADVERT;
    if let Ok(mut message) = ndp::Packet::init(&mut head[MESSAGE..], advertisement, gateway.v6) {
        message.set_flags(ndp::flag::ROUTER | ndp::flag::SOLICITED | ndp::flag::OVERRIDE);
        message.set_link(gateway.mac);
        let length = ndp::LEN_WITH_MAC as u32;
        message.fill_checksum(checksum::pseudo_v6(gateway.v6, solicitor, protocol::ICMPV6, length));
    }
    true
}

/// Makes an echo request to the gateway the reply to it. Only headers change and checksums are updated, not computed
/// anew (RFC 1624): the data may go on in frames that are not looked at, and a wrong checksum stays wrong.
pub(crate) fn echo(packet: &mut Packet<'_>, gateway: &Gateway, arrival: &Arrival<'_>) {
    let (l3, l4) = (arrival.ip.l3(), arrival.ip.l4());
    let head = packet.head_mut();
    address(head, arrival.port.mac, gateway, arrival.ip.headers.ethertype());
    // Swapping two addresses changes no sum that both are in.
    match arrival.ip.headers.l3 {
        L3::Ipv4 => {
            if let Ok(mut header) = ipv4::Packet::new_header(&mut head[l3..]) {
                let (source, destination) = (header.source(), header.destination());
                header.set_source(destination);
                header.set_destination(source);
                let word = |ttl| u16::from_be_bytes([ttl, protocol::ICMPV4]);
                header.set_checksum(checksum::update(header.checksum(), word(header.ttl()), word(HOPS)));
                header.set_ttl(HOPS);
            }
            if let Ok(mut message) = icmpv4::Packet::new_checked(&mut head[l4..]) {
                let (request, reply) = (icmpv4::kind::ECHO_REQUEST, icmpv4::kind::ECHO_REPLY);
                message.set_checksum(checksum::update(message.checksum(), first_word(request), first_word(reply)));
                message.set_kind(reply, 0);
            }
        }
        _ => {
            if let Ok(mut header) = ipv6::Packet::new_header(&mut head[l3..]) {
                let (source, destination) = (header.source(), header.destination());
                header.set_source(destination);
                header.set_destination(source);
                header.set_hop_limit(HOPS);
            }
            if let Ok(mut message) = icmpv6::Packet::new_checked(&mut head[l4..]) {
                let (request, reply) = (icmpv6::kind::ECHO_REQUEST, icmpv6::kind::ECHO_REPLY);
                message.set_checksum(checksum::update(message.checksum(), first_word(request), first_word(reply)));
                message.set_kind(reply, 0);
            }
        }
    }
}

/// Whether a reset may answer the packet: a whole TCP segment that is no reset itself.
pub(crate) fn may_be_reset(head: &[u8], ip: &Ip) -> bool {
    ip.headers.protocol == protocol::TCP
        && ip.headers.fragment == Fragment::None
        && head
            .get(ip.l4()..)
            .map(tcp::Packet::new_checked)
            .is_some_and(|segment| segment.is_ok_and(|segment| segment.flags() & flag::RST == 0))
}

/// Makes a TCP segment the reset that answers it (RFC 9293 section 3.10.7.1), from the addresses and ports that its sender
/// used. Returns whether there was room, which the segment itself is unless its headers are cut.
pub(crate) fn reset(packet: &mut Packet<'_>, gateway: &Gateway, arrival: &Arrival<'_>) -> bool {
    let (ip, l4) = (arrival.ip, arrival.ip.l4());
    let Some(Ok(segment)) = packet.head().get(l4..).map(tcp::Packet::new_checked) else { return false };
    let flags = segment.flags();
    // What it takes of the sequence space: payload, SYN and FIN.
    let payload = ip.headers.l4_len().saturating_sub(segment.header_len() as u32);
    let length = payload + u32::from(flags & flag::SYN != 0) + u32::from(flags & flag::FIN != 0);
    let (sequence, acknowledgement, answer) = if flags & flag::ACK != 0 {
        (segment.acknowledgement(), 0, flag::RST)
    } else {
        (0, segment.sequence().wrapping_add(length), flag::RST | flag::ACK)
    };
    let header_len = if ip.headers.l3 == L3::Ipv4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    let at = ethernet::HEADER_LEN + header_len;
    if !packet.reshape(0, at + tcp::HEADER_LEN) {
        return false;
    }
    let head = packet.head_mut();
    address(head, arrival.port.mac, gateway, ip.headers.ethertype());
    let Some(pseudo) = write_ip(&mut head[ethernet::HEADER_LEN..], &ip) else { return false };
    let Ok(mut reset) = tcp::Packet::init(&mut head[at..], tcp::HEADER_LEN) else { return false };
    reset.set_source_port(ip.headers.destination_port);
    reset.set_destination_port(ip.headers.source_port);
    reset.set_sequence(sequence);
    reset.set_acknowledgement(acknowledgement);
    reset.set_flags(answer);
    reset.fill_checksum(pseudo);
    true
}

/// Writes the IP header of a TCP segment without payload that answers `ip`; returns its pseudo-header sum.
fn write_ip(l3: &mut [u8], ip: &Ip) -> Option<checksum::Sum> {
    let length = tcp::HEADER_LEN as u32;
    match (ip.source, ip.destination) {
        (IpAddr::V4(to), IpAddr::V4(from)) => {
            let mut header = ipv4::Packet::init(l3, ipv4::HEADER_LEN).ok()?;
            header.set_fragment(true, false, 0);
            header.set_ttl(HOPS);
            header.set_protocol(protocol::TCP);
            header.set_source(from);
            header.set_destination(to);
            header.fill_checksum();
            Some(checksum::pseudo_v4(from, to, protocol::TCP, length))
        }
        (IpAddr::V6(to), IpAddr::V6(from)) => {
            let mut header = ipv6::Packet::init(l3).ok()?;
            header.set_next_header(protocol::TCP);
            header.set_hop_limit(HOPS);
            header.set_source(from);
            header.set_destination(to);
            Some(checksum::pseudo_v6(from, to, protocol::TCP, length))
        }
        _ => None,
    }
}

/// Type and code of an ICMP message with code 0, as the word that the checksum covers.
fn first_word(kind: u8) -> u16 {
    u16::from_be_bytes([kind, 0])
}

/// Writes the Ethernet header of a frame from the gateway.
pub(crate) fn address(head: &mut [u8], to: MacAddr, gateway: &Gateway, ethertype: u16) {
    if let Ok(mut frame) = ethernet::Frame::init(head) {
        frame.set_destination(to);
        frame.set_source(gateway.mac);
        frame.set_ethertype(ethertype);
    }
}

#[cfg(test)]
mod tests;
