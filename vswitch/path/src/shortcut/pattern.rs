//! One pattern: what the packets of one direction of a known connection begin with, and what is written instead.
//!
//! It is made from a packet that took the shortcut, after everything has been asked about it, and holds the bytes on which
//! that depended. Another packet with those bytes needs only be asked about the rest: lengths, hop, header checksum. Whether the
//! connection is still what it was, the bookmark tells.

use sluice_connections::{Bookmark, Known, Tick, View};
use sluice_tables::{PeerId, Tables, Wrapping};
use sluice_wire::{protocol, tcp, udp};

use super::lane::{self, Lane};
use super::{Plain, write};
use crate::connection::is_translated;
use crate::translate::add;
use crate::{Checksum, Packet, Verdict, encapsulate};

/// Ethernet, IPv4 and TCP, both without options. Of UDP that is more than the headers; what is behind them is not looked at.
pub(super) const READ: usize = 14 + 20 + 20;

/// Of bytes 20 to 23, those that have to be the same: the fragment field but for "don't fragment", and the protocol.
pub(super) const IP_MASK: u32 = u32::from_le_bytes([0xbf, 0xff, 0, 0xff]);
/// The TCP flags of which packets that leave a pattern have ACK alone: all but PSH, ECE and CWR.
pub(super) const NOT_PLAIN: u8 = 0x37;
/// Of bytes 44 to 47, the TCP header's length and those flags.
pub(super) const TCP_MASK: u32 = u32::from_le_bytes([0, 0, 0xf0, NOT_PLAIN]);

/// Where the checksums of TCP and UDP are.
const TCP: usize = 14 + 20 + tcp::CHECKSUM_OFFSET;
const UDP: usize = 14 + 20 + udp::CHECKSUM_OFFSET;

/// The words of a packet's first bytes that say whose it is, as little-endian numbers.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// Source and destination address.
    pub(super) addresses: u64,
    /// Source and destination port.
    pub(super) ports: u32,
    /// Bytes 0 to 7: the destination MAC and what follows.
    ethernet: u64,
    /// Bytes 8 to 14 above a byte of zeros: the rest of the source MAC, the type, version and header length.
    rest: u64,
    /// Bytes 20 to 23, as far as they have to be the same.
    ip: u32,
    /// Bytes 44 to 47.
    tcp: u32,
}

impl Words {
    #[inline(always)]
    pub(super) fn of(frame: &[u8; READ]) -> Self {
        Self {
            addresses: u64::from_le_bytes(bytes(frame, 26)),
            ports: u32::from_le_bytes(bytes(frame, 34)),
            ethernet: u64::from_le_bytes(bytes(frame, 0)),
            rest: u64::from_le_bytes(bytes(frame, 8)) << 8,
            ip: u32::from_le_bytes(bytes(frame, 20)) & IP_MASK,
            tcp: u32::from_le_bytes(bytes(frame, 44)),
        }
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

/// Two lines: what is compared, and what is written. Sums and their differences as little-endian numbers too, which gives the
/// same sums with their bytes exchanged (RFC 1071 section 2).
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Pattern {
    /// Under which tables it was made, and by which port its packets come.
    whence: u64,
    addresses: u64,
    ethernet: u64,
    rest: u64,
    ports: u32,
    ip: u32,
    tcp: u32,
    /// Of `tcp`, what has to be the same; 0 for UDP.
    tcp_mask: u32,
    mark: Bookmark,

    /// The first bytes of the frame that leaves, in two words that overlap; unused if it leaves in a tunnel.
    to: [u64; 2],
    to_addresses: u64,
    to_ports: u32,
    /// Bytes of headers.
    least: u16,
    /// The longest IP packet that its way takes.
    longest: u16,
    /// Sum of the addresses' halves.
    address_sum: u16,
    /// Sum of the pseudo-header without the length, and with what the length is more there than in the IP header.
    pseudo: u16,
    /// What is added to the complement of the header checksum.
    header: u16,
    /// What is added to a partial transport checksum, and to the complement of a complete one.
    l3: u16,
    l4: u16,
    /// By whether the transport checksum is partial.
    verdicts: [Verdict; 2],
    /// Whether they are translated, and whether they go into a tunnel.
    translated: bool,
    tunnelled: bool,
    /// The peer, and the outer source port of the tunnel.
    peer: u16,
    source_port: u16,
}

const _: () = assert!(size_of::<Pattern>() == 128, "two lines");

/// What packets that met their patterns add up to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    pub(super) translated: u64,
    pub(super) encapsulated: u64,
    pub(super) decapsulated: u64,
}

/// Under which tables, and when.
pub(crate) struct With<'t> {
    pub(crate) view: View<'t>,
    pub(crate) tables: &'t Tables,
    pub(crate) now: Tick,
}

impl Pattern {
    /// That no packet fits.
    pub(super) const NONE: Pattern = Pattern {
        whence: 0,
        addresses: 0,
        ethernet: 0,
        rest: 0,
        ports: 0,
        ip: 0,
        tcp: 0,
        tcp_mask: 0,
        least: 0,
        longest: 0,
        mark: Bookmark::NONE,
        to: [0; 2],
        to_addresses: 0,
        to_ports: 0,
        address_sum: 0,
        pseudo: 0,
        header: 0,
        l3: 0,
        l4: 0,
        verdicts: [Verdict::Drop(crate::DropReason::Undecided); 2],
        translated: false,
        tunnelled: false,
        peer: 0,
        source_port: 0,
    };

    /// The pattern of a packet that was read as `plain`, is one of `known` and is about to leave by `lane`; `frame` is as it came.
    pub(super) fn of(
        whence: u64,
        frame: &[u8; READ],
        plain: &Plain,
        known: &Known<'_>,
        mark: Bookmark,
        lane: &Lane<'_>,
    ) -> Pattern {
        let words = Words::of(frame);
        let tcp = plain.protocol == protocol::TCP;
        let tcp_mask = if tcp { TCP_MASK } else { 0 };
        let least = if tcp { 34 + u16::from(frame[46] >> 4) * 4 } else { 34 + 8 };
        let offset = if tcp { tcp::CHECKSUM_OFFSET } else { udp::CHECKSUM_OFFSET } as u16;
        let partial = Checksum::Partial { start: 34, offset };
        let translated = is_translated(known.flags);
        let (to, peer) = match lane {
            Lane::Port(_, face) => (face.to, PeerId(0)),
            Lane::Tunnel { peer, .. } => ([0; 2], *peer),
        };
        // All ones are no difference to a complete checksum, and adding them would turn one form of zero into the other.
        let l4 = if known.l4_delta == 0xffff { 0 } else { known.l4_delta };
        let l3 = if translated { known.l3_delta } else { 0 };
        Pattern {
            whence,
            addresses: words.addresses,
            ethernet: words.ethernet,
            rest: words.rest,
            ports: words.ports,
            ip: words.ip,
            tcp: words.tcp & tcp_mask,
            tcp_mask,
            least,
            longest: lane.longest(known.mss, 40),
            mark,
            to,
            to_addresses: u64::from_le_bytes(known.addresses.to_be_bytes()),
            to_ports: u32::from_le_bytes(known.ports.to_be_bytes()),
            address_sum: folded(words.addresses),
            pseudo: write::pseudo_but_length(plain).swap_bytes(),
            header: add(l3, write::A_HOP_LESS).swap_bytes(),
            l3: l3.swap_bytes(),
            l4: l4.swap_bytes(),
            verdicts: [lane.verdict(Checksum::Complete), lane.verdict(partial)],
            translated,
            tunnelled: lane.is_tunnel(),
            peer: peer.0,
            source_port: encapsulate::source_port(plain.hash).to_be(),
        }
    }

    /// Whether it is one of this connection, whichever tables it was made under.
    #[inline(always)]
    pub(super) fn is_of(&self, words: &Words) -> bool {
        self.addresses == words.addresses && self.ports == words.ports
    }

    /// Whether it was made for the same kind of packet.
    pub(super) fn is_alike(&self, words: &Words) -> bool {
        self.ip == words.ip
    }

    /// Whether it was made under the tables that are `since`.
    #[inline(always)]
    pub(super) fn is_since(&self, since: u64) -> bool {
        self.whence >= since
    }

    /// Whether a packet of this connection that came from `whence` has all the bytes that have to be the same.
    #[inline(always)]
    pub(super) fn fits(&self, words: &Words, whence: u64) -> bool {
        let differs = self.ethernet ^ words.ethernet
            | self.rest ^ words.rest
            | self.whence ^ whence
            | u64::from(self.ip ^ words.ip)
            | u64::from(words.tcp & self.tcp_mask ^ self.tcp);
        differs == 0
    }

    /// Sends a packet that fits on its way, whose Ethernet header is `AT` bytes in. False, with nothing changed, if there is something
    /// special about it after all, or its connection is not what it was.
    #[inline(always)]
    pub(super) fn send<const AT: usize>(&self, with: &With<'_>, packet: &mut Packet<'_>, tally: &mut Tally) -> bool {
        match (self.tcp_mask != 0, !self.tunnelled) {
            (true, true) => self.send_as::<AT, TCP, false>(with, packet, tally),
            (false, true) => self.send_as::<AT, UDP, false>(with, packet, tally),
            // Nothing goes from one tunnel into another.
            (_, false) if AT != 0 => false,
            (true, false) => self.send_as::<AT, TCP, true>(with, packet, tally),
            (false, false) => self.send_as::<AT, UDP, true>(with, packet, tally),
        }
    }

    /// The same for a protocol, told by where its checksum is, and into a tunnel or not.
    #[inline(always)]
    fn send_as<const AT: usize, const CHECKSUM: usize, const TUNNEL: bool>(
        &self,
        with: &With<'_>,
        packet: &mut Packet<'_>,
        tally: &mut Tally,
    ) -> bool {
        let (start, head_len, total_len) = (packet.start(), packet.head_len(), packet.total_len());
        let Some(frame) = packet.room_from::<READ>(AT) else { return false };
        let length = u16::from_le_bytes(bytes(frame, 16));
        let ip_len = length.swap_bytes();
        let fits = usize::from(ip_len) + 14 + AT == total_len
            && head_len >= usize::from(self.least) + AT
            && ip_len <= self.longest
            && frame[22] > 1;
        if !fits || !self.has_right_checksum(frame) {
            return false;
        }
        if CHECKSUM == UDP {
            let udp_len = u16::from_be_bytes(bytes(frame, 38));
            if udp_len < 8 || udp_len > ip_len - 20 {
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
                lane::wrap::<false>(packet, ip_len, self.source_port, wrapping);
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

    #[inline(always)]
    fn has_right_checksum(&self, frame: &[u8; READ]) -> bool {
        let (first, then) = (u64::from_le_bytes(bytes(frame, 14)), u32::from_le_bytes(bytes(frame, 22)));
        // No carry is lost: the first word's highest byte is the fragment's offset, of which there is none. In ones' complement all ones
        // are zero, and so is every multiple of them. The sum is not 0 itself, the version being none.
        let sum = first.wrapping_add(u64::from(then) + u64::from(self.address_sum));
        sum.is_multiple_of(0xffff)
    }

    /// Writes addresses, ports and checksums where the connection is translated, and takes a hop. Returns whether that is partial.
    #[inline(always)]
    fn write<const CHECKSUM: usize>(&self, frame: &mut [u8; READ], length: u16, tally: &mut Tally) -> bool {
        let field = u16::from_le_bytes(bytes(frame, CHECKSUM));
        let partial = field == add(self.pseudo, length);
        // There are two left.
        frame[22] = frame[22].wrapping_sub(1);
        let checksum = u16::from_le_bytes(bytes(frame, 24));
        put(frame, 24, (!add(!checksum, self.header)).to_le_bytes());
        if self.translated {
            tally.translated += 1;
            put(frame, 26, self.to_addresses.to_le_bytes());
            put(frame, 34, self.to_ports.to_le_bytes());
            let mut sum = if partial { add(field, self.l3) } else { !add(!field, self.l4) };
            if CHECKSUM == UDP {
                sum = write::udp_sum(field, sum);
            }
            put(frame, CHECKSUM, sum.to_le_bytes());
        }
        partial
    }
}

/// The sum of the quarters.
fn folded(addresses: u64) -> u16 {
    let halves = (addresses & 0xffff_ffff) + (addresses >> 32);
    // At most 0x1_ffff_fffe: after the first fold 0x2_fffe, after the second 0x1_0001.
    let sum = (halves & 0xffff) + (halves >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn a_sum_of_addresses_is_folded_without_loss() {
        let ends = [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff];
        for number in 0..6_usize.pow(4) {
            let word = |place: u32| ends[number / 6_usize.pow(place) % 6];
            let words: [u64; 4] = [word(0), word(1), word(2), word(3)];
            let addresses = words[0] | words[1] << 16 | words[2] << 32 | words[3] << 48;
            let sum: u64 = words.iter().sum();
            assert_eq!(u64::from(folded(addresses)) % 0xffff, sum % 0xffff, "{words:x?}");
            assert_eq!(folded(addresses) == 0, sum == 0, "{words:x?}");
        }
    }
}
