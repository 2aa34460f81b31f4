//! The same for IPv6: one pattern, as [`super::pattern`] has it for IPv4.
//!
//! It is made from a packet that has come through the stages, since nothing else reads IPv6.

use sluice_connections::{Bookmark, Connection, Tuple};
use sluice_tables::{PeerId, Wrapping};
use sluice_wire::{protocol, tcp, udp};

use super::lane::{self, Lane};
use super::pattern::{TCP_MASK, Tally, With};
use super::write;
use crate::connection::{self, Look, is_translated};
use crate::translate::add;
use crate::{Checksum, DropReason, Packet, Verdict, encapsulate};

/// Ethernet, IPv6 without extension headers, TCP without options.
pub(super) const READ: usize = 14 + 40 + 20;
const L4: usize = 14 + 40;

/// Where the checksums of TCP and UDP are.
const TCP: usize = L4 + tcp::CHECKSUM_OFFSET;
const UDP: usize = L4 + udp::CHECKSUM_OFFSET;

/// Of bytes 8 to 15: the rest of the source MAC, the type and the version.
const REST_MASK: u64 = u64::from_le_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0, 0]);

/// The words of a packet's first bytes that say whose it is, as little-endian numbers.
#[derive(Clone, Copy)]
pub(super) struct Words {
    addresses: [u64; 4],
    ports: u32,
    ethernet: u64,
    rest: u64,
    protocol: u8,
    tcp: u32,
}

impl Words {
    #[inline(always)]
    pub(super) fn of(frame: &[u8; READ]) -> Self {
        let address = |at: usize| u64::from_le_bytes(bytes(frame, at));
        Self {
            addresses: [address(22), address(30), address(38), address(46)],
            ports: u32::from_le_bytes(bytes(frame, 54)),
            ethernet: u64::from_le_bytes(bytes(frame, 0)),
            rest: u64::from_le_bytes(bytes(frame, 8)) & REST_MASK,
            protocol: frame[20],
            tcp: u32::from_le_bytes(bytes(frame, 64)),
        }
    }

    /// What sets of patterns are chosen by.
    #[inline(always)]
    pub(super) fn mixed(&self, factor: u64) -> u64 {
        // Interface identifiers and ports differ most; prefixes only between nodes.
        let [a, b, c, d] = self.addresses;
        (b ^ d.rotate_left(17) ^ u64::from(self.ports)).wrapping_mul(factor)
            ^ (a ^ c.rotate_left(29)).wrapping_mul(factor)
    }
}

#[inline(always)]
fn bytes<const N: usize>(frame: &[u8; READ], at: usize) -> [u8; N] {
    frame[at..].first_chunk().copied().unwrap_or([0; N])
}

#[inline(always)]
fn put<const N: usize>(frame: &mut [u8; READ], at: usize, bytes: [u8; N]) {
    if let Some(place) = frame[at..].first_chunk_mut() {
        *place = bytes;
    }
}

/// Three lines. Sums as little-endian numbers too.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct PatternV6 {
    whence: u64,
    words: Words,
    /// Of `words.tcp`, what has to be the same; 0 for UDP.
    tcp_mask: u32,
    mark: Bookmark,
    to: [u64; 2],
    to_addresses: [u64; 4],
    to_ports: u32,
    /// Bytes of headers.
    least: u16,
    /// The longest IP packet that its way takes.
    longest: u16,
    /// Sum of the pseudo-header without the length.
    pseudo: u16,
    l3: u16,
    l4: u16,
    verdicts: [Verdict; 2],
    translated: bool,
    tunnelled: bool,
    peer: u16,
    source_port: u16,
}

const _: () = assert!(size_of::<PatternV6>() == 192, "three lines");

impl PatternV6 {
    /// That no packet fits.
    pub(super) const NONE: PatternV6 = PatternV6 {
        whence: 0,
        words: Words { addresses: [0; 4], ports: 0, ethernet: 0, rest: 0, protocol: 0, tcp: 0 },
        tcp_mask: 0,
        mark: Bookmark::NONE,
        to: [0; 2],
        to_addresses: [0; 4],
        to_ports: 0,
        least: 0,
        longest: 0,
        pseudo: 0,
        l3: 0,
        l4: 0,
        verdicts: [Verdict::Drop(DropReason::Undecided); 2],
        translated: false,
        tunnelled: false,
        peer: 0,
        source_port: 0,
    };

    /// The pattern of a packet of `connection` that is about to leave by `lane`. `None` where there is something special about it.
    /// `frame` is as it came.
    pub(super) fn of(
        whence: u64,
        frame: &[u8; READ],
        look: &Look<'_>,
        connection: &Connection,
        mark: Bookmark,
        lane: &Lane<'_>,
    ) -> Option<PatternV6> {
        let words = Words::of(frame);
        let headers = &look.arrival.ip.headers;
        let tcp = headers.protocol == protocol::TCP;
        let tcp_mask = if tcp { TCP_MASK } else { 0 };
        let is_plain = tcp || headers.protocol == protocol::UDP;
        if !is_plain || usize::from(headers.l4_offset) != L4 || frame[20] != headers.protocol {
            return None;
        }
        let least = L4 as u16 + if tcp { u16::from(frame[66] >> 4) * 4 } else { 8 };
        let offset = if tcp { tcp::CHECKSUM_OFFSET } else { udp::CHECKSUM_OFFSET } as u16;
        let partial = Checksum::Partial { start: L4 as u16, offset };
        let (to, peer) = match lane {
            Lane::Port(_, face) => (lane::of_v6(face.to), PeerId(0)),
            Lane::Tunnel { peer, .. } => ([0; 2], *peer),
        };
        let translated = is_translated(connection.flags);
        let action = connection.action();
        let (to_addresses, to_ports) = halves(&connection::becomes(connection))?;
        Some(PatternV6 {
            whence,
            words: Words { tcp: words.tcp & tcp_mask, ..words },
            tcp_mask,
            mark,
            to,
            to_addresses,
            to_ports,
            least,
            longest: lane.longest(connection.mss, 60),
            pseudo: pseudo_but_length(frame),
            l3: action.l3_delta.swap_bytes(),
            // As for IPv4.
            l4: if action.l4_delta == 0xffff { 0 } else { action.l4_delta.swap_bytes() },
            verdicts: [lane.verdict(Checksum::Complete), lane.verdict(partial)],
            translated,
            tunnelled: lane.is_tunnel(),
            peer: peer.0,
            source_port: encapsulate::source_port(look.hash).to_be(),
        })
    }

    /// Whether it is one of this connection and protocol, whichever tables it was made under.
    #[inline(always)]
    pub(super) fn is_of(&self, words: &Words) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.words.addresses, words.addresses);
        let differs = a ^ e | b ^ f | c ^ g | d ^ h | u64::from(self.words.ports ^ words.ports);
        differs | u64::from(self.words.protocol ^ words.protocol) == 0
    }

    /// Whether it was made under the tables that are `since`.
    pub(super) fn is_since(&self, since: u64) -> bool {
        self.whence >= since
    }

    /// Whether a packet of this connection that came from `whence` has all the bytes that have to be the same.
    #[inline(always)]
    pub(super) fn fits(&self, words: &Words, whence: u64) -> bool {
        let differs = self.words.ethernet ^ words.ethernet
            | self.words.rest ^ words.rest
            | self.whence ^ whence
            | u64::from(words.tcp & self.tcp_mask ^ self.words.tcp);
        differs == 0
    }

    /// Sends a packet that fits on its way, whose Ethernet header is `AT` bytes in. False, with nothing changed, if there is something
    /// special about it after all, or its connection is not what it was.
    #[inline(always)]
    pub(super) fn send<const AT: usize>(&self, with: &With<'_>, packet: &mut Packet<'_>, tally: &mut Tally) -> bool {
        match (self.tcp_mask != 0, !self.tunnelled) {
            (true, true) => self.send_as::<AT, TCP, false>(with, packet, tally),
            (false, true) => self.send_as::<AT, UDP, false>(with, packet, tally),
            (_, false) if AT != 0 => false,
            (true, false) => self.send_as::<AT, TCP, true>(with, packet, tally),
            (false, false) => self.send_as::<AT, UDP, true>(with, packet, tally),
        }
    }

    #[inline(always)]
    fn send_as<const AT: usize, const CHECKSUM: usize, const TUNNEL: bool>(
        &self,
        with: &With<'_>,
        packet: &mut Packet<'_>,
        tally: &mut Tally,
    ) -> bool {
        let (start, head_len, total_len) = (packet.start(), packet.head_len(), packet.total_len());
        let Some(frame) = packet.room_from::<READ>(AT) else { return false };
        let length = u16::from_le_bytes(bytes(frame, 18));
        let payload = length.swap_bytes();
        let ip_len = usize::from(payload) + 40;
        let fits = ip_len + 14 + AT == total_len
            && head_len >= usize::from(self.least) + AT
            && ip_len <= usize::from(self.longest)
            && frame[21] > 1;
        if !fits {
            return false;
        }
        if CHECKSUM == UDP {
            let udp_len = u16::from_be_bytes(bytes(frame, 58));
            if udp_len < 8 || udp_len > payload {
                return false;
            }
        }
        let wrapping = if TUNNEL { with.tables.wrapping(PeerId(self.peer)) } else { None };
        if TUNNEL && (wrapping.is_none() || start < Wrapping::INNER) || !with.view.observe_at(&self.mark, with.now) {
            return false;
        }
        let partial = self.write::<CHECKSUM>(frame, length, tally);
        tally.bytes += (total_len - AT) as u64;
        if TUNNEL {
            tally.bytes += Wrapping::INNER as u64;
            tally.encapsulated += 1;
            if let Some(wrapping) = wrapping {
                lane::wrap::<true>(packet, ip_len as u16, self.source_port, wrapping);
            }
        } else {
            put(frame, 0, self.to[0].to_ne_bytes());
            put(frame, 6, self.to[1].to_ne_bytes());
        }
        if AT != 0 {
            tally.decapsulated += 1;
            packet.strip(AT);
        }
        packet.cut(None);
        packet.decide(self.verdicts[usize::from(partial)]);
        true
    }

    /// Writes addresses, ports and checksum where the connection is translated, and takes a hop. Returns whether the checksum is partial.
    #[inline(always)]
    fn write<const CHECKSUM: usize>(&self, frame: &mut [u8; READ], length: u16, tally: &mut Tally) -> bool {
        let field = u16::from_le_bytes(bytes(frame, CHECKSUM));
        let partial = field == add(self.pseudo, length);
        frame[21] = frame[21].wrapping_sub(1);
        if self.translated {
            tally.translated += 1;
            let [a, b, c, d] = self.to_addresses;
            put(frame, 22, a.to_le_bytes());
            put(frame, 30, b.to_le_bytes());
            put(frame, 38, c.to_le_bytes());
            put(frame, 46, d.to_le_bytes());
            put(frame, L4, self.to_ports.to_le_bytes());
            let mut sum = if partial { add(field, self.l3) } else { !add(!field, self.l4) };
            if CHECKSUM == UDP {
                sum = write::udp_sum(field, sum);
            }
            put(frame, CHECKSUM, sum.to_le_bytes());
        }
        partial
    }
}

/// The sum of the pseudo-header without the length, which is that of the IP header's field here.
fn pseudo_but_length(frame: &[u8; READ]) -> u16 {
    let words = frame[22..L4].chunks_exact(2).map(|word| u32::from(u16::from_le_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>() + u32::from(u16::from_le_bytes([0, frame[20]]));
    // Seventeen words: at most 0x10_ffef, after the first fold 0x1_000f.
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Addresses and ports as they lie in a frame.
fn halves(tuple: &Tuple) -> Option<([u64; 4], u32)> {
    let (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) = (tuple.source, tuple.destination) else {
        return None;
    };
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&source.octets());
    bytes[16..].copy_from_slice(&destination.octets());
    let (words, _) = bytes.as_chunks::<8>();
    let mut addresses = [0; 4];
    for (address, word) in addresses.iter_mut().zip(words) {
        *address = u64::from_le_bytes(*word);
    }
    let ([a, b], [c, d]) = (tuple.source_port.to_be_bytes(), tuple.destination_port.to_be_bytes());
    Some((addresses, u32::from_le_bytes([a, b, c, d])))
}
