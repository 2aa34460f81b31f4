//! Joining TCP segments that follow one another into a super-frame for a receiver on this node: what a device would do for the
//! kernel (`tcp_gro_receive` in `net/ipv4/tcp_offload.c`), but stricter, since the receiver cannot be told what was joined.

use core::ops::Range;

use sluice_wire::ethernet;
use sluice_wire::parse::{Fragment, Headers, L3, parse};
use sluice_wire::tcp::{self, flag};
use sluice_wire::{ipv4, ipv6, protocol};

use crate::Checksum;

/// Flags of which the last segment's count for the whole.
const LAST: u8 = flag::PSH | flag::FIN;
/// Flags without which alone a segment is taken: the others open, reset or interrupt. CWR marks one segment, and to whoever cuts
/// the whole again it would be the first (RFC 3168 section 6.1.2).
const NEVER: u8 = flag::SYN | flag::RST | flag::URG | flag::CWR;

/// A run of segments that goes on. The worker holds their frames.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    headers: Headers,
    /// Bytes before the payload, Ethernet header included.
    header_len: usize,
    /// Payload of the first segment. A shorter one ends the run: to whoever cuts the whole again only its last may be.
    step: usize,
    /// Payload so far.
    payload_len: usize,
    segments: usize,
    /// Sequence number that comes next.
    next: u32,
    /// Flags that the last segment adds.
    last: u8,
    /// Nothing may follow.
    closed: bool,
    /// The longest IP packet that may come of it.
    limit: usize,
    /// State of the first segment's checksum, and whether it is known to be right.
    checksum: Checksum,
    trusted: bool,
}

/// One segment, looked at on its own.
struct Segment {
    headers: Headers,
    header_len: usize,
    payload_len: usize,
    sequence: u32,
    flags: u8,
}

impl Join {
    /// A run that starts with the packet `head`, wholly in one frame, as the path left it; `checksum` is what its verdict says.
    /// `limit` is the longest IP packet that the receiver's device takes. `None` for anything that nothing may be joined to.
    #[must_use]
    #[inline]
    pub fn start(head: &[u8], checksum: Checksum, limit: u32) -> Option<Join> {
        let first = segment(head).filter(|first| first.flags & LAST == 0)?;
        Some(Join {
            headers: first.headers,
            header_len: first.header_len,
            step: first.payload_len,
            payload_len: first.payload_len,
            segments: 1,
            next: first.sequence.wrapping_add(first.payload_len as u32),
            last: 0,
            closed: false,
            limit: ipv4::MAX_LEN.min(limit as usize),
            checksum,
            trusted: matches!(checksum, Checksum::Partial { .. }),
        })
    }

    /// Whether the packet `next`, wholly in one frame and followed by nothing, continues the run whose first packet is `first`. If
    /// so it is part of it from now on, and the result is where its payload lies: those bytes are to be chained behind the frames
    /// of the run. `checksum` is what the verdict says of `next`.
    ///
    /// It does when it carries the very bytes that come next, and the same headers but for what must differ: IP length and
    /// identification, header checksum, sequence number, TCP checksum, PSH and FIN. Options are the same bytes: other timestamps
    /// end a run. Since the joined packet's checksum is left to be computed, each segment's own is verified first, unless it is
    /// partial too and so has not been on a wire.
    #[must_use]
    #[inline]
    pub fn push(&mut self, first: &[u8], next: &[u8], checksum: Checksum) -> Option<Range<usize>> {
        if self.closed {
            return None;
        }
        let segment = segment(next)?;
        let payload_len = self.payload_len + segment.payload_len;
        let fits = self.header_len - ethernet::HEADER_LEN + payload_len <= self.limit;
        let follows = segment.sequence == self.next && segment.payload_len <= self.step;
        if !fits || !follows || !self.is_alike(first, next, &segment) {
            return None;
        }
        self.trusted = self.trusted || is_right(first, &self.headers);
        let sound = matches!(checksum, Checksum::Partial { .. }) || is_right(next, &segment.headers);
        if !self.trusted || !sound {
            self.closed = true;
            return None;
        }
        self.payload_len = payload_len;
        self.segments += 1;
        self.next = self.next.wrapping_add(segment.payload_len as u32);
        self.last = segment.flags & LAST;
        self.closed = self.last != 0 || segment.payload_len < self.step;
        Some(self.header_len..self.header_len + segment.payload_len)
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Bytes of the joined packet.
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.header_len + self.payload_len
    }

    /// Makes the headers in `head`, the first segment's, those of the whole. The result is the state of its checksum: partial,
    /// or of a run of one what it was.
    #[must_use]
    pub fn finish(&self, head: &mut [u8]) -> Checksum {
        if self.segments == 1 {
            return self.checksum;
        }
        self.write(head).unwrap_or(self.checksum)
    }

    fn write(&self, head: &mut [u8]) -> Option<Checksum> {
        let (l3, l4) = (usize::from(self.headers.l3_offset), usize::from(self.headers.l4_offset));
        let ip_len = self.total_len() - l3;
        let length = u16::try_from(ip_len).ok()?;
        let header = head.get_mut(l3..)?;
        if self.headers.l3 == L3::Ipv4 {
            let mut ip = ipv4::Packet::new_header(header).ok()?;
            ip.set_total_len(length);
            ip.fill_checksum();
        } else {
            ipv6::Packet::new_header(header).ok()?.set_payload_len(length.checked_sub(ipv6::HEADER_LEN as u16)?);
        }
        let whole = Headers { ip_len: u32::from(length), ..self.headers };
        let pseudo = whole.pseudo_header(head)?;
        let mut tcp = tcp::Packet::new_checked(head.get_mut(l4..)?).ok()?;
        tcp.set_flags(tcp.flags() | self.last);
        tcp.set_checksum(pseudo.folded());
        Some(Checksum::Partial { start: self.headers.l4_offset, offset: tcp::CHECKSUM_OFFSET as u16 })
    }

    /// Whether all that must be the same is.
    #[inline]
    fn is_alike(&self, first: &[u8], next: &[u8], segment: &Segment) -> bool {
        let (l3, l4) = (usize::from(self.headers.l3_offset), usize::from(self.headers.l4_offset));
        if segment.header_len != self.header_len || segment.headers.l4_offset != self.headers.l4_offset {
            return false;
        }
        let same =
            |range: Range<usize>| matches!((first.get(range.clone()), next.get(range)), (Some(a), Some(b)) if a == b);
        let ip = match self.headers.l3 {
            // Not: length, identification, checksum.
            L3::Ipv4 => same(0..l3 + 2) && same(l3 + 6..l3 + 10) && same(l3 + 12..l4),
            // Not: length.
            L3::Ipv6 => same(0..l3 + 4) && same(l3 + 6..l4),
            L3::Arp | L3::Other(_) => false,
        };
        // Not: sequence number, flags, checksum.
        let tcp = same(l4..l4 + 4) && same(l4 + 8..l4 + 13) && same(l4 + 14..l4 + 16) && same(l4 + 18..self.header_len);
        let flags = first.get(l4 + 13).is_some_and(|flags| (flags ^ segment.flags) & !LAST == 0);
        ip && tcp && flags
    }
}

/// The packet in `bytes` as a segment that may be joined: whole, with payload, nothing behind it.
#[inline]
fn segment(bytes: &[u8]) -> Option<Segment> {
    let headers = parse(bytes, bytes.len()).ok()?;
    let end = usize::from(headers.l3_offset) + headers.ip_len as usize;
    if headers.protocol != protocol::TCP || headers.fragment != Fragment::None || end != bytes.len() {
        return None;
    }
    let l4 = usize::from(headers.l4_offset);
    let tcp = tcp::Packet::new_checked(bytes.get(l4..)?).ok()?;
    let (header_len, flags) = (l4 + tcp.header_len(), tcp.flags());
    let payload_len = end - header_len;
    let wanted = flags & flag::ACK != 0 && flags & NEVER == 0 && payload_len > 0;
    wanted.then(|| Segment { headers, header_len, payload_len, sequence: tcp.sequence(), flags })
}

/// Whether a whole segment's checksum is right.
fn is_right(bytes: &[u8], headers: &Headers) -> bool {
    let segment = bytes.get(usize::from(headers.l4_offset)..);
    matches!((segment, headers.pseudo_header(bytes)), (Some(segment), Some(pseudo)) if pseudo.add_bytes(segment).finish() == 0)
}

#[cfg(test)]
mod tests;
