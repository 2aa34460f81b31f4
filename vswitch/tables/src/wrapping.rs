//! What is written around packets to each peer, made ready when the tables are built.

use std::net::IpAddr;

use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::{MacAddr, geneve, ipv4, protocol, udp, vxlan};

use crate::{Encapsulation, NextHop, Peer, Port, Tunnel, Underlay};

/// Outer headers of an IPv4 tunnel to one peer, up to the type of the inner frame, which is IPv4 too.
///
/// Zero are what differs from packet to packet: traffic class, length and checksum of the IP header, source port, length and
/// checksum of the UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapping {
    /// The bytes.
    pub headers: [u8; Wrapping::LEN],
    /// Ones' complement sum of the IP header's words as they are in `headers`, in the machine's order (RFC 1071 section 2).
    pub sum: u16,
    /// The peer's end of the tunnel.
    pub remote: u32,
}

impl Wrapping {
    /// Outer Ethernet (14), IPv4 (20), UDP (8), VXLAN or Geneve without options (8), inner Ethernet (14).
    pub const LEN: usize = 64;
    /// Where the outer UDP header starts.
    pub const UDP: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    /// Where the inner frame starts.
    pub const INNER: usize = Wrapping::LEN - ethernet::HEADER_LEN;

    /// TTL of a tunnel packet: that of a packet that the node sends itself (RFC 2003 section 3.1).
    const HOPS: u8 = 64;

    fn of(tunnel: &Tunnel, peer: &Peer, uplink: &Port, next_hop: MacAddr) -> Option<Wrapping> {
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (tunnel.local, peer.tunnel) else { return None };
        let mut headers = [0; Wrapping::LEN];
        let (outer, inner) = headers.split_at_mut(Wrapping::INNER);
        for (frame, to, from) in [(&mut *outer, next_hop, uplink.mac), (inner, peer.mac, tunnel.mac)] {
            let mut frame = ethernet::Frame::init(frame).ok()?;
            frame.set_destination(to);
            frame.set_source(from);
            frame.set_ethertype(ethertype::IPV4);
        }
        let (before, datagram) = outer.split_at_mut(Wrapping::UDP);
        let mut ip = ipv4::Packet::init(&mut before[ethernet::HEADER_LEN..], ipv4::HEADER_LEN).ok()?;
        ip.set_traffic_class(0);
        ip.set_total_len(0);
        // Never fragmented, so it needs no identification (RFC 6864 section 4.1).
        ip.set_fragment(true, false, 0);
        ip.set_ttl(Wrapping::HOPS);
        ip.set_protocol(protocol::UDP);
        ip.set_source(local);
        ip.set_destination(remote);
        let (udp, tunnel_header) = datagram.split_at_mut(udp::HEADER_LEN);
        let mut udp = udp::Packet::init(udp).ok()?;
        udp.set_destination_port(tunnel.port);
        udp.set_len(0);
        match tunnel.encapsulation {
            Encapsulation::Vxlan => vxlan::Packet::init(tunnel_header).ok()?.set_vni(tunnel.vni),
            Encapsulation::Geneve => geneve::Packet::init(tunnel_header).ok()?.set_vni(tunnel.vni),
            Encapsulation::None => return None,
        }
        let (words, _) = headers[ethernet::HEADER_LEN..Wrapping::UDP].as_chunks::<2>();
        let sum: u32 = words.iter().map(|word| u32::from(u16::from_ne_bytes(*word))).sum();
        // Ten words: at most 0x9_fff6, after the first fold 0x1_0008.
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
        Some(Wrapping { headers, sum, remote: remote.to_bits() })
    }
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) next_hop: NextHop,
    pub(crate) wrapping: Option<Wrapping>,
}

impl Reach {
    pub(crate) fn of(underlay: &Underlay, tunnel: Option<&Tunnel>, uplink: Option<&Port>, peer: &Peer) -> Reach {
        let next_hop = underlay.next_hop(peer.tunnel);
        let wrapping = match (next_hop, tunnel, uplink) {
            (NextHop::Known(mac), Some(tunnel), Some(uplink)) => Wrapping::of(tunnel, peer, uplink, mac),
            _ => None,
        };
        Reach { next_hop, wrapping }
    }
}
