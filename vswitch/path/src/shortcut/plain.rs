//! Reading: is there nothing special about a packet?

use std::net::Ipv4Addr;

use sluice_connections::View;
use sluice_tables::{Face, Peer, PortId, PortKind, Tables};
use sluice_wire::{protocol, tcp};

use super::outer::{OUTER, Outer};
use crate::Packet;

/// Ethernet, IPv4 without options, and as much of the transport header as both protocols have.
const READ: usize = 14 + 20 + 8;
/// The same with a whole TCP header.
const READ_TCP: usize = 14 + 20 + 20;

/// Version and header length of a header without options.
const NO_OPTIONS: u8 = 0x45;
/// All of the fragment field but "don't fragment".
const FRAGMENT: u16 = 0xbfff;

/// What was read of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    /// As the connection table has it, over the three that follow. Anything where there is something special.
    pub(crate) hash: u64,
    /// Where the connection probably is ([`View::probe`]).
    pub(crate) entry: u32,
    /// Source above destination.
    pub(crate) addresses: u64,
    /// Source above destination.
    pub(crate) ports: u32,
    /// TCP or UDP; 0 where there is something special about the packet.
    pub(crate) protocol: u8,
    /// Of TCP.
    pub(crate) flags: u8,
    /// Length of the IP packet.
    pub(crate) ip_len: u16,
    /// Where its Ethernet header is: behind the tunnel's headers, if it came in one.
    pub(crate) inner: u8,
}

impl Plain {
    /// A packet with something special about it.
    pub(crate) const SPECIAL: Plain =
        Plain { hash: 0, entry: 0, addresses: 0, ports: 0, protocol: 0, flags: 0, ip_len: 0, inner: 0 };

    /// Where its transport header is, from its Ethernet header.
    pub(crate) const L4: usize = 34;

    /// Whether its bucket holds no connection that it could be of. Once probed.
    #[inline(always)]
    pub(crate) fn is_unknown(&self) -> bool {
        self.entry == View::NOWHERE
    }

    /// Whether it is none of a known connection, or may be about to begin one anew. Once probed.
    #[inline(always)]
    pub(crate) fn may_open(&self) -> bool {
        self.is_unknown() || self.flags & tcp::flag::SYN != 0
    }

    #[inline(always)]
    pub(crate) fn is_special(&self) -> bool {
        self.protocol == 0
    }
}

/// What reading needs to know besides the packet, and what of it was last found.
pub(crate) struct Readers<'t> {
    tables: &'t Tables,
    /// Tunnels over IPv4, if there are any.
    tunnel: Option<Outer>,
    /// The port that the last packet came from.
    face: Option<(PortId, &'t Face)>,
    /// The peer that the last tunnel packet was from.
    peer: Option<(Ipv4Addr, &'t Peer)>,
}

impl<'t> Readers<'t> {
    pub(crate) fn new(tables: &'t Tables) -> Self {
        Self { tables, tunnel: Outer::of(tables), face: None, peer: None }
    }

    /// The packet, [`Plain::SPECIAL`] if there is anything special about it.
    #[inline(always)]
    pub(crate) fn read(&mut self, view: &View<'_>, packet: &Packet<'_>) -> Plain {
        self.face(packet.port()).and_then(|face| self.read_from(view, packet, face)).unwrap_or(Plain::SPECIAL)
    }

    /// The same, not in the midst of what calls it.
    #[inline(never)]
    pub(crate) fn read_apart(&mut self, view: &View<'_>, packet: &Packet<'_>) -> Plain {
        self.read(view, packet)
    }

    #[inline(always)]
    fn face(&mut self, port: PortId) -> Option<&'t Face> {
        match self.face {
            Some((last, face)) if last == port => Some(face),
            _ => {
                let face = self.tables.face(port)?;
                self.face = Some((port, face));
                Some(face)
            }
        }
    }

    #[inline(always)]
    fn read_from(&mut self, view: &View<'_>, packet: &Packet<'_>, face: &Face) -> Option<Plain> {
        let head = packet.head();
        let ethernet = head.first_chunk::<14>()?;
        let words = [u64::from_ne_bytes(*ethernet.first_chunk()?), u64::from_ne_bytes(*ethernet.last_chunk()?)];
        if words != face.from {
            return if face.kind == PortKind::Uplink { self.read_from_tunnel(view, packet) } else { None };
        }
        let plain = read(view, head, packet.total_len(), 0)?;
        let is_own = (plain.addresses >> 32) as u32 == face.address;
        is_own.then_some(plain)
    }

    #[inline(never)]
    fn read_from_tunnel(&mut self, view: &View<'_>, packet: &Packet<'_>) -> Option<Plain> {
        let head = packet.head();
        let outer = head.first_chunk::<{ OUTER + 14 }>()?;
        let tunnel = self.tunnel.as_ref()?;
        let from = tunnel.source(outer.first_chunk()?, packet.total_len())?;
        if outer[50..56] != tunnel.inner || outer[62..64] != [8, 0] {
            return None;
        }
        let from = Ipv4Addr::from(from.to_le_bytes());
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

/// Reads the IPv4 frame that `head` begins with, of `total_len` bytes with what is not in the head.
#[inline(always)]
fn read(view: &View<'_>, head: &[u8], total_len: usize, inner: u8) -> Option<Plain> {
    let frame = head.first_chunk::<READ>()?;
    let ip_len = plain_ip(frame.first_chunk()?, total_len)?;
    let protocol = frame[23];
    let mut flags = 0;
    if protocol == protocol::TCP {
        let frame = head.first_chunk::<READ_TCP>()?;
        let header_len = usize::from(frame[46] >> 4) * 4;
        flags = frame[47];
        // FIN and RST move a connection on, URG is rare; without ACK the rest is nonsense. A SYN alone opens one.
        let asked = flags & (tcp::flag::SYN | tcp::flag::FIN | tcp::flag::RST | tcp::flag::URG | tcp::flag::ACK);
        if (asked != tcp::flag::ACK && asked != tcp::flag::SYN) || header_len < 20 || header_len > head.len() - 34 {
            return None;
        }
    } else if protocol == protocol::UDP {
        let length = u16::from_be_bytes([frame[38], frame[39]]);
        if length < 8 || length > ip_len - 20 {
            return None;
        }
    } else {
        return None;
    }
    let addresses = u64::from_be_bytes(*frame[26..].first_chunk()?);
    let ports = u32::from_be_bytes(*frame[34..].first_chunk()?);
    let hash = view.hash(addresses, ports, protocol);
    Some(Plain { hash, entry: 0, addresses, ports, protocol, flags, ip_len, inner })
}

/// The length of the IPv4 packet that makes up the rest of the frame, if it is whole, has no options and a hop left.
#[inline(always)]
fn plain_ip(frame: &[u8; 34], total_len: usize) -> Option<u16> {
    let ip_len = u16::from_be_bytes([frame[16], frame[17]]);
    let fragment = u16::from_be_bytes([frame[20], frame[21]]) & FRAGMENT;
    let has_header = frame[14] == NO_OPTIONS && usize::from(ip_len) + 14 == total_len && ip_len >= 28;
    if !has_header || fragment != 0 || frame[22] <= 1 {
        return None;
    }
    let (words, _) = frame[14..].as_chunks::<4>();
    let mut sum = 0;
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    // At most 0x4_ffff_fffb: after the first fold 0x5_fffe, after the second 0x1_0004.
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    // All ones in either byte order; it is never 0, the version being none.
    if sum == 0xffff { Some(ip_len) } else { None }
}
