//! Reading: is there nothing special about a packet?

use std::net::{IpAddr, Ipv4Addr};

use sluice_connections::View;
use sluice_tables::{Encapsulation, Peer, Port, PortKind, Tables};
use sluice_wire::{checksum, protocol, tcp};

use crate::Packet;

/// Ethernet, IPv4 without options, and as much of the transport header as both protocols have.
const READ: usize = 14 + 20 + 8;
/// The same with a whole TCP header.
const READ_TCP: usize = 14 + 20 + 20;
/// From the outer Ethernet header to the inner one: Ethernet, IPv4, UDP, VXLAN or Geneve without options.
pub(super) const OUTER: usize = 14 + 20 + 8 + 8;

/// Ethertype of IPv4, version and header length of a header without options.
const IPV4_PLAIN: [u8; 3] = [8, 0, 0x45];
/// All of the fragment field but "don't fragment".
const FRAGMENT: u16 = 0xbfff;

/// What was read of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    /// As the connection table has it, over the three that follow.
    pub(crate) hash: u64,
    /// Source above destination.
    pub(crate) addresses: u64,
    /// Source above destination.
    pub(crate) ports: u32,
    pub(crate) protocol: u8,
    /// Of TCP.
    pub(crate) flags: u8,
    /// Length of the IP packet.
    pub(crate) ip_len: u16,
    /// Where its Ethernet header is: behind the tunnel's headers, if it came in one.
    pub(crate) inner: u8,
}

/// What reading needs to know besides the packet, and what of it was last found.
#[derive(Clone, Copy)]
pub(crate) struct Readers<'t> {
    tables: &'t Tables,
    /// Destination address, UDP port and the eight bytes of the header behind it, if there are tunnels over IPv4.
    tunnel: Option<(Ipv4Addr, u16, u64)>,
    /// UDP port of the tunnels, that no pod may speak to; 0 for none.
    tunnel_port: u16,
    /// The peer that the last tunnel packet was from.
    peer: Option<(Ipv4Addr, &'t Peer)>,
}

impl<'t> Readers<'t> {
    pub(crate) fn new(tables: &'t Tables) -> Self {
        let tunnel = tables.tunnel();
        let expected = tunnel.and_then(|tunnel| match (tunnel.local, tunnel.encapsulation) {
            (IpAddr::V4(local), Encapsulation::Vxlan) => {
                Some((local, tunnel.port, 0x0800_0000 << 32 | u64::from(tunnel.vni) << 8))
            }
            (IpAddr::V4(local), Encapsulation::Geneve) => {
                Some((local, tunnel.port, 0x6558 << 32 | u64::from(tunnel.vni) << 8))
            }
            _ => None,
        });
        Self { tables, tunnel: expected, tunnel_port: tunnel.map_or(0, |tunnel| tunnel.port), peer: None }
    }

    /// The packet, if there is nothing special about it.
    #[inline(always)]
    pub(crate) fn read(&mut self, view: &View<'_>, packet: &Packet<'_>) -> Option<Plain> {
        let port = self.tables.port(packet.port())?;
        match port.kind {
            PortKind::Pod => self.read_from_pod(view, packet, port),
            PortKind::Uplink => self.read_from_tunnel(view, packet, port),
            PortKind::Host => None,
        }
    }

    #[inline(always)]
    fn read_from_pod(&self, view: &View<'_>, packet: &Packet<'_>, port: &Port) -> Option<Plain> {
        let head = packet.head();
        let macs = head.first_chunk::<12>()?;
        let gateway = self.tables.gateway().mac.0;
        let own = port.mac.0;
        if macs[..6] != gateway || macs[6..] != own {
            return None;
        }
        let plain = read(view, head, packet.total_len(), 0)?;
        let source = (plain.addresses >> 32) as u32;
        let is_own = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.to_bits() == source);
        if !port.addresses.iter().any(is_own) {
            return None;
        }
        let to_tunnel =
            plain.protocol == protocol::UDP && self.tunnel_port != 0 && plain.ports as u16 == self.tunnel_port;
        if to_tunnel { None } else { Some(plain) }
    }

    #[inline(always)]
    fn read_from_tunnel(&mut self, view: &View<'_>, packet: &Packet<'_>, port: &Port) -> Option<Plain> {
        let (local, tunnel_port, header) = self.tunnel?;
        let head = packet.head();
        let outer = head.first_chunk::<{ OUTER + 6 }>()?;
        let ip_len = plain_ip(outer[..34].as_array()?, packet.total_len())?;
        // Congestion marks go inwards, where it is not only this one that may have to be looked at.
        let marked = outer[15] & 1 != 0;
        let word = |at: usize| u16::from_be_bytes([outer[at], outer[at + 1]]);
        if outer[..6] != port.mac.0
            || marked
            || outer[23] != protocol::UDP
            || outer[30..34] != local.octets()
            || word(36) != tunnel_port
            || word(38) != ip_len - 20
            || outer[42..50] != header.to_be_bytes()
            || outer[50..56] != self.tables.tunnel()?.mac.0
        {
            return None;
        }
        let from = Ipv4Addr::from(*outer[26..30].as_array::<4>()?);
        let peer = self.peer(from)?;
        let plain = read(view, &head[OUTER..], packet.total_len() - OUTER, OUTER as u8)?;
        let source = Ipv4Addr::from_bits((plain.addresses >> 32) as u32);
        peer.has_pod(source.into()).then_some(plain)
    }

    #[inline(always)]
    fn peer(&mut self, address: Ipv4Addr) -> Option<&'t Peer> {
        match self.peer {
            Some((last, peer)) if last == address => Some(peer),
            _ => {
                let (_, peer) = self.tables.peer_at(address.into())?;
                self.peer = Some((address, peer));
                Some(peer)
            }
        }
    }
}

/// Reads the frame that `head` begins with, of `total_len` bytes with what is not in the head.
#[inline(always)]
fn read(view: &View<'_>, head: &[u8], total_len: usize, inner: u8) -> Option<Plain> {
    let frame = head.first_chunk::<READ>()?;
    let ip_len = plain_ip(frame[..34].as_array()?, total_len)?;
    let protocol = frame[23];
    let transport = usize::from(ip_len) - 20;
    let mut flags = 0;
    if protocol == protocol::TCP {
        let frame = head.first_chunk::<READ_TCP>()?;
        let header_len = usize::from(frame[46] >> 4) * 4;
        flags = frame[47];
        // SYN, FIN and RST move a connection on, URG is rare; without ACK the rest is nonsense.
        let asked = flags & (tcp::flag::SYN | tcp::flag::FIN | tcp::flag::RST | tcp::flag::URG | tcp::flag::ACK);
        if asked != tcp::flag::ACK || header_len < 20 || header_len > head.len() - 34 {
            return None;
        }
    } else if protocol == protocol::UDP {
        let length = usize::from(u16::from_be_bytes([frame[38], frame[39]]));
        if length < 8 || length > transport {
            return None;
        }
    } else {
        return None;
    }
    let addresses = u64::from_be_bytes(*frame[26..34].as_array()?);
    let ports = u32::from_be_bytes(*frame[34..38].as_array()?);
    let hash = view.hash(addresses, ports, protocol);
    Some(Plain { hash, addresses, ports, protocol, flags, ip_len, inner })
}

/// The length of the IPv4 packet that makes up the rest of the frame, if it is whole, has no options and a hop left.
#[inline(always)]
fn plain_ip(frame: &[u8; 34], total_len: usize) -> Option<u16> {
    let ip_len = u16::from_be_bytes([frame[16], frame[17]]);
    let fragment = u16::from_be_bytes([frame[20], frame[21]]) & FRAGMENT;
    let is_plain = frame[12..15] == IPV4_PLAIN && usize::from(ip_len) + 14 == total_len && ip_len >= 28;
    if !is_plain || fragment != 0 || frame[22] <= 1 {
        return None;
    }
    let header: &[u8; 20] = frame[14..].as_array()?;
    if checksum::of(header) != 0 { None } else { Some(ip_len) }
}
