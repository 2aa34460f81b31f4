//! Out of a tunnel: what another node sent is checked down to the IP header inside (RFC 7348, RFC 8926).

use sluice_tables::{Encapsulation, Tunnel};
use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::parse::{Fragment, Headers, L3};
use sluice_wire::{checksum, geneve, ipv4, ipv6, protocol, udp, vxlan};

use crate::DropReason;
use crate::translate::{get, put};

/// The ECN field of a traffic class, and its values (RFC 3168 section 5).
const ECN: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// What is in a tunnel packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    /// Where the inner Ethernet frame starts, from the start of the outer one: as many bytes are to be stripped.
    pub(crate) offset: usize,
}

/// Checks a packet of `total_len` bytes, parsed as `headers`, that is addressed to the tunnel's address and port, and carries
/// what the outer header says of congestion into the inner one (RFC 6040 section 4.2). After stripping [`Inner::offset`] bytes
/// the packet is to be parsed like any other.
///
/// The outer UDP checksum is not verified, as RFC 7348 section 4.3 and RFC 6935 leave open: what is inside has checksums of its
/// own, which its receiver verifies, and to sum every byte here would cost more than all else.
///
/// # Errors
/// [`DropReason::TunnelMalformed`] for a fragment, lengths that do not fit into each other, flags and options that forbid to read
/// on, anything but IP inside, and congestion marked on a packet whose sender knows nothing of it; [`DropReason::TunnelVni`]
/// for another network, [`DropReason::TunnelMac`] for an inner frame that is not for this node. Then nothing is written.
pub(crate) fn run(head: &mut [u8], headers: &Headers, tunnel: &Tunnel, total_len: usize) -> Result<Inner, DropReason> {
    const MALFORMED: DropReason = DropReason::TunnelMalformed;
    if headers.protocol != protocol::UDP || headers.fragment != Fragment::None {
        return Err(MALFORMED);
    }
    let l4 = usize::from(headers.l4_offset);
    let end = l4 + headers.l4_len() as usize;
    let visible = head.len().min(end);
    let datagram = udp::Packet::new_header(head.get(l4..visible).ok_or(MALFORMED)?).map_err(|_| MALFORMED)?;
    // What IP carries behind the datagram is nobody's.
    if end > total_len || l4 + datagram.len() != end {
        return Err(MALFORMED);
    }
    let (vni, header_len) = read_tunnel(datagram.payload(), tunnel).ok_or(MALFORMED)?;
    if vni != tunnel.vni {
        return Err(DropReason::TunnelVni);
    }
    let offset = l4 + udp::HEADER_LEN + header_len;
    let frame = ethernet::Frame::new_checked(&head[offset..visible]).map_err(|_| MALFORMED)?;
    if frame.destination() != tunnel.mac {
        return Err(DropReason::TunnelMac);
    }
    let kind = frame.ethertype();
    let l3 = offset + ethernet::HEADER_LEN;
    let room = end - l3;
    let outer = outer_ecn(head, headers).ok_or(MALFORMED)?;
    let inner = head.get_mut(l3..visible).ok_or(MALFORMED)?;
    match kind {
        ethertype::IPV4 => carry_v4(inner, room, outer),
        ethertype::IPV6 => carry_v6(inner, room, outer),
        _ => None,
    }
    .ok_or(MALFORMED)?;
    Ok(Inner { offset })
}

/// Network and header length.
#[inline]
fn read_tunnel(payload: &[u8], tunnel: &Tunnel) -> Option<(u32, usize)> {
    match tunnel.encapsulation {
        Encapsulation::None => None,
        Encapsulation::Vxlan => Some((vxlan::Packet::new_checked(payload).ok()?.vni(), vxlan::HEADER_LEN)),
        Encapsulation::Geneve => {
            let header = geneve::Packet::new_checked(payload).ok()?;
            (header.protocol() == geneve::ETHERNET).then(|| (header.vni(), header.header_len()))
        }
    }
}

#[inline]
fn outer_ecn(head: &[u8], headers: &Headers) -> Option<u8> {
    let word = get(head, usize::from(headers.l3_offset))?;
    match headers.l3 {
        L3::Ipv4 => Some(word as u8 & ECN),
        L3::Ipv6 => Some((word >> 4) as u8 & ECN),
        L3::Arp | L3::Other(_) => None,
    }
}

/// The inner ECN field after the tunnel (RFC 6040 section 4.2, figure 4). `None`: the packet is to be dropped.
#[inline]
const fn after_tunnel(inner: u8, outer: u8) -> Option<u8> {
    match (inner, outer) {
        (NOT_ECT, CE) => None,
        (NOT_ECT | CE, _) => Some(inner),
        (_, CE | ECT_1) => Some(outer),
        _ => Some(inner),
    }
}

/// Checks the IPv4 packet that starts in `inner` and has `room` bytes, and marks it.
#[inline]
fn carry_v4(inner: &mut [u8], room: usize, outer: u8) -> Option<()> {
    let mut ip = ipv4::Packet::new_header(inner).ok()?;
    if ip.total_len() > room {
        return None;
    }
    let class = ip.traffic_class();
    let ecn = after_tunnel(class & ECN, outer)?;
    let marked = class & !ECN | ecn;
    if marked != class {
        let word = |class| u16::from_be_bytes([0, class]);
        ip.set_checksum(checksum::update(ip.checksum(), word(class), word(marked)));
        ip.set_traffic_class(marked);
    }
    Some(())
}

/// As [`carry_v4`], for IPv6.
#[inline]
fn carry_v6(inner: &mut [u8], room: usize, outer: u8) -> Option<()> {
    let ip = ipv6::Packet::new_header(&*inner).ok()?;
    if ip.total_len() > room {
        return None;
    }
    let class = ip.traffic_class();
    let ecn = after_tunnel(class & ECN, outer)?;
    let word = get(inner, 0)?;
    put(inner, 0, word & !(u16::from(ECN) << 4) | u16::from(ecn) << 4);
    Some(())
}

#[cfg(test)]
mod tests;
