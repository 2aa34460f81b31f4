//! Into a tunnel: the packet becomes the payload of a UDP datagram to another node (VXLAN, RFC 7348; Geneve, RFC 8926).

use std::net::IpAddr;

use sluice_tables::{Encapsulation, Peer, Port, Tunnel};
use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::{MacAddr, geneve, ipv4, ipv6, protocol, udp, vxlan};

use crate::translate::get;
use crate::{Checksum, DropReason, Packet};

/// TTL and hop limit of a tunnel packet: those of a packet that the node sends itself (RFC 2003 section 3.1).
const HOPS: u8 = 64;
/// Bytes of the header of either tunnel; no options are sent.
const TUNNEL_HEADER_LEN: usize = 8;
/// Bytes from the outer UDP header to the inner Ethernet header.
const BEHIND_IP: usize = udp::HEADER_LEN + TUNNEL_HEADER_LEN;

/// Puts Ethernet, IP, UDP and tunnel header in front of `packet`, and the tunnel's MACs into the Ethernet header it has. DSCP
/// and ECN are copied from the inner header (RFC 2983 section 3.1; RFC 6040 section 4.1, normal mode). IPv4 forbids fragmenting.
/// `inner_hash` spreads flows over source ports (RFC 7348 section 4.2), so it is to be the same for all packets of a flow.
///
/// `checksum` is the state of the packet's own transport checksum; the result is the state to be told in the verdict:
///
/// - Over IPv4 the outer UDP checksum is zero (RFC 7348 section 4.2), and the result is `checksum`, moved behind the new headers.
/// - Over IPv6, with a partial checksum inside, the outer one is complete already: once the inner one is completed, the sum from
///   where it starts is known without a look at the payload. The result is again `checksum`, moved.
/// - Over IPv6, with a complete one inside, the outer is left partial, and the result says where it is. So there is never more
///   than one checksum to complete.
///
/// A packet that is marked to be cut ([`Packet::cut_to`]: mark it before) may be longer than UDP can say: its outer lengths are
/// written as 0, and [`crate::Cut`] writes every segment's own.
///
/// # Errors
/// [`DropReason::NoRoom`] without headroom, [`DropReason::TooBig`] for a packet longer than UDP can say, and
/// [`DropReason::NoRoute`] when there is no encapsulation or the addresses of tunnel and peer are of two families;
/// [`DropReason::Malformed`] for what is no IP packet. Then nothing is written.
pub(crate) fn run(
    packet: &mut Packet<'_>,
    tunnel: &Tunnel,
    peer: &Peer,
    uplink: &Port,
    next_hop: MacAddr,
    inner_hash: u64,
    checksum: Checksum,
) -> Result<Checksum, DropReason> {
    let inner_len = packet.total_len();
    let ip_len = match (tunnel.encapsulation, tunnel.local, peer.tunnel) {
        (Encapsulation::None, _, _) => return Err(DropReason::NoRoute),
        (_, IpAddr::V4(_), IpAddr::V4(_)) => ipv4::HEADER_LEN,
        (_, IpAddr::V6(_), IpAddr::V6(_)) => ipv6::HEADER_LEN,
        _ => return Err(DropReason::NoRoute),
    };
    let cut = packet.cut_to().is_some();
    if !cut && ip_len + BEHIND_IP + inner_len > ipv4::MAX_LEN {
        return Err(DropReason::TooBig);
    }
    let Some(class) = traffic_class(packet.head(), 0) else { return Err(DropReason::Malformed) };
    let inner = ethernet::HEADER_LEN + ip_len + BEHIND_IP;
    if !packet.prepend(inner) {
        return Err(DropReason::NoRoom);
    }
    let head = packet.head_mut();
    if let Ok(mut frame) = ethernet::Frame::new_checked(&mut head[inner..]) {
        frame.set_destination(peer.mac);
        frame.set_source(tunnel.mac);
    }
    write_ip(head, tunnel.local, peer.tunnel, class, inner_hash, (uplink.mac, next_hop));
    write_tunnel(&mut head[ethernet::HEADER_LEN + ip_len..], tunnel, inner_hash);
    let moved = match checksum {
        Checksum::Complete => Checksum::Complete,
        Checksum::Partial { start, offset } => Checksum::Partial { start: start + inner as u16, offset },
    };
    // Lengths that a segment will have are not known yet.
    Ok(if cut { moved } else { seal(head, inner, inner_len, moved).unwrap_or(moved) })
}

/// DSCP and ECN of the packet whose Ethernet header is at `at`.
#[inline]
fn traffic_class(head: &[u8], at: usize) -> Option<u8> {
    let l3 = head.get(at + ethernet::HEADER_LEN..)?;
    match get(head, at + 12)? {
        ethertype::IPV4 => l3.get(1).copied(),
        ethertype::IPV6 => get(l3, 0).map(|word| (word >> 4) as u8),
        _ => None,
    }
}

#[inline]
fn write_ip(head: &mut [u8], from: IpAddr, to: IpAddr, class: u8, hash: u64, (mac, next_hop): (MacAddr, MacAddr)) {
    let Ok(mut frame) = ethernet::Frame::init(&mut *head) else { return };
    frame.set_destination(next_hop);
    frame.set_source(mac);
    frame.set_ethertype(if from.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 });
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = &mut head[ethernet::HEADER_LEN..][..ipv4::HEADER_LEN];
            let Ok(mut ip) = ipv4::Packet::init(header, ipv4::HEADER_LEN) else { return };
            ip.set_traffic_class(class);
            // Never fragmented, so it needs no identification (RFC 6864 section 4.1).
            ip.set_fragment(true, false, 0);
            ip.set_ttl(HOPS);
            ip.set_protocol(protocol::UDP);
            ip.set_source(from);
            ip.set_destination(to);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = &mut head[ethernet::HEADER_LEN..][..ipv6::HEADER_LEN];
            let Ok(mut ip) = ipv6::Packet::init(header) else { return };
            ip.set_traffic_class(class);
            // For routers that spread by the label and look no further (RFC 6438 section 3).
            ip.set_flow_label((hash >> 32) as u32 & 0xf_ffff);
            ip.set_hop_limit(HOPS);
            ip.set_next_header(protocol::UDP);
            ip.set_source(from);
            ip.set_destination(to);
        }
        _ => {}
    }
}

#[inline]
fn write_tunnel(behind_ip: &mut [u8], tunnel: &Tunnel, hash: u64) {
    let Some((datagram, rest)) = behind_ip.split_at_mut_checked(udp::HEADER_LEN) else { return };
    if let Ok(mut header) = udp::Packet::init(datagram) {
        header.set_source_port(source_port(hash));
        header.set_destination_port(tunnel.port);
    }
    match tunnel.encapsulation {
        Encapsulation::Geneve => {
            if let Ok(mut header) = geneve::Packet::init(rest) {
                header.set_vni(tunnel.vni);
            }
        }
        Encapsulation::Vxlan | Encapsulation::None => {
            if let Ok(mut header) = vxlan::Packet::init(rest) {
                header.set_vni(tunnel.vni);
            }
        }
    }
}

/// A dynamic port, 49152 to 65535 (RFC 7348 section 4.2, RFC 8926 section 3.3).
#[inline]
pub(crate) const fn source_port(hash: u64) -> u16 {
    0xc000 | (hash ^ hash >> 16) as u16
}

/// Writes what of the outer headers in `head` depends on how long the packet is: `inner_len` bytes from the inner Ethernet header
/// on, which is at `inner`. `checksum` is the state of the inner transport checksum, its place counted from the start of `head`;
/// the result is the state of the whole, as [`run`] has it. `None` where the headers are not those that `run` writes.
#[inline]
pub(crate) fn seal(head: &mut [u8], inner: usize, inner_len: usize, checksum: Checksum) -> Option<Checksum> {
    let at = inner.checked_sub(BEHIND_IP)?;
    let length = u16::try_from(BEHIND_IP + inner_len).ok()?;
    let headers = head.get_mut(..at + udp::HEADER_LEN)?;
    let (before, datagram) = headers.split_at_mut_checked(at)?;
    let mut datagram = udp::Packet::new_header(datagram).ok()?;
    datagram.set_len(length);
    datagram.set_checksum(0);
    let l3 = before.get_mut(ethernet::HEADER_LEN..)?;
    if l3.len() == ipv4::HEADER_LEN {
        let mut ip = ipv4::Packet::new_header(l3).ok()?;
        ip.set_total_len(length.checked_add(ipv4::HEADER_LEN as u16)?);
        ip.fill_checksum();
        return Some(checksum);
    }
    let mut ip = ipv6::Packet::new_header(l3).ok()?;
    ip.set_payload_len(length);
    let pseudo = ip.pseudo_header(protocol::UDP, u32::from(length));
    match checksum {
        Checksum::Complete => {
            datagram.set_checksum(pseudo.folded());
            Some(Checksum::Partial { start: at as u16, offset: udp::CHECKSUM_OFFSET as u16 })
        }
        Checksum::Partial { start, offset } => {
            // What a completed checksum covers sums up to the complement of its pseudo-header, which the field holds now
            // (Linux calls it local checksum offload, include/linux/skbuff.h, `lco_csum`).
            let partial = get(head, usize::from(start) + usize::from(offset))?;
            let sum = pseudo.add_bytes(head.get(at..usize::from(start))?).add_u16(!partial);
            let mut datagram = udp::Packet::new_header(head.get_mut(at..)?).ok()?;
            datagram.set_checksum(sum.finish_udp());
            Some(checksum)
        }
    }
}

#[cfg(test)]
mod tests;
