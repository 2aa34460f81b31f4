//! Cutting a TCP super-frame into segments that fit the path, for a receiver behind a device that would do it on its own
//! only if it were told the segment size, which AF_XDP cannot (RFC 9293 section 3.7.1; `tcp_gso_segment` in
//! `net/ipv4/tcp_offload.c` does the same for the kernel). And cutting an IPv4 datagram into fragments, where its sender leaves that to
//! routers (RFC 791 section 3.2; `ip_do_fragment` in `net/ipv4/ip_output.c`).

use core::ops::Range;

use sluice_wire::parse::{Fragment, Headers, L3, parse};
use sluice_wire::tcp::flag;
use sluice_wire::{ethernet, ipv4, ipv6, protocol, tcp};

use crate::{Checksum, encapsulate};

/// Segments are never cut smaller than for this maximum segment size (Linux `TCP_MIN_MSS`), whatever was negotiated: a peer
/// that asks for one byte at a time would have the switch make tens of thousands of packets of one.
const MIN_MSS: u16 = 88;

/// Bytes that the fields of an IPv4 header count fragments in.
const FRAGMENT_UNIT: usize = 8;

/// How a super-frame or a datagram is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutTo {
    /// The longest IP packet that a segment or fragment may be, in bytes; inside a tunnel, the inner one.
    pub mtu: u16,
    /// The maximum segment size that the receiver announced, or less where a router on the way has said so, in bytes: a
    /// segment's payload and TCP options together (RFC 6691). 0 where it is not known.
    pub mss: u16,
    /// Where the inner Ethernet frame starts when the super-frame is in a tunnel, else 0.
    pub inner: u16,
}

impl From<u16> for CutTo {
    /// For a path MTU alone.
    fn from(mtu: u16) -> Self {
        Self { mtu, mss: 0, inner: 0 }
    }
}

/// A plan: how many segments (or fragments), which bytes in each. Nothing is written until [`Cut::write_header`].
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Of the packet that is cut; offsets from its own Ethernet header.
    headers: Headers,
    /// Where that is: 0, or behind the headers of a tunnel.
    inner: usize,
    /// Bytes before the payload, all headers included.
    header_len: usize,
    /// Payload of every segment but the last.
    step: usize,
    payload_len: usize,
    /// The pieces are fragments of a datagram.
    datagram: bool,
}

impl Cut {
    /// A plan for the packet whose first frame is `head` and which has `total_len` bytes in all. `None` for anything but a whole
    /// TCP segment with its headers in `head`, in a tunnel or not as `to` says, or an IPv4 datagram or fragment that may be cut
    /// ([`Cut::may_fragment`]), and for an MTU that leaves no room for payload. Of a tunnel's headers, those that `encapsulate` writes, no
    /// length is believed: they are all written anew.
    #[must_use]
    pub fn plan(head: &[u8], total_len: usize, to: impl Into<CutTo>) -> Option<Cut> {
        let CutTo { mtu, mss, inner } = to.into();
        let inner = usize::from(inner);
        let headers = parse(head.get(inner..)?, total_len.checked_sub(inner)?).ok()?;
        if headers.protocol != protocol::TCP || headers.fragment != Fragment::None {
            return Self::plan_datagram(head, inner, headers, mtu);
        }
        let l4 = inner + usize::from(headers.l4_offset);
        let tcp = tcp::Packet::new_checked(head.get(l4..)?).ok()?;
        let header_len = l4 + tcp.header_len();
        let l3 = inner + usize::from(headers.l3_offset);
        let payload_len = (l3 + headers.ip_len as usize).checked_sub(header_len)?;
        let mut step = usize::from(mtu).checked_sub(header_len - l3).filter(|step| *step > 0)?;
        if mss > 0 {
            step = step.min(usize::from(mss.max(MIN_MSS)) - tcp.options().len());
        }
        Some(Cut { headers, inner, header_len, step, payload_len, datagram: false })
    }

    fn plan_datagram(head: &[u8], inner: usize, headers: Headers, mtu: u16) -> Option<Cut> {
        let l3 = inner + usize::from(headers.l3_offset);
        if headers.l3 != L3::Ipv4 || !Self::may_fragment(head.get(l3..)?) {
            return None;
        }
        let header_len = l3 + ipv4::HEADER_LEN;
        let payload_len = (headers.ip_len as usize).checked_sub(ipv4::HEADER_LEN)?;
        let step = usize::from(mtu).checked_sub(ipv4::HEADER_LEN)? / FRAGMENT_UNIT * FRAGMENT_UNIT;
        (step > 0).then_some(Cut { headers, inner, header_len, step, payload_len, datagram: true })
    }

    /// Whether the IPv4 packet that starts with `header` may be cut into fragments: its sender does not forbid it, and it has no
    /// options, of which some would have to be left out of later fragments.
    #[must_use]
    pub fn may_fragment(header: &[u8]) -> bool {
        ipv4::Packet::new_header(header).is_ok_and(|ip| ip.header_len() == ipv4::HEADER_LEN && !ip.dont_fragment())
    }

    /// Whether the pieces are fragments. Of a partial checksum, which covers all of them, nothing is known in the pieces: it is to
    /// be completed before.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        self.datagram
    }

    /// How many segments come of it; one for a packet that fits.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.payload_len.div_ceil(self.step).max(1)
    }

    /// Bytes of the headers in front of each segment's payload.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Which bytes of the packet, from its start, are the payload of segment `index`. Empty beyond the last.
    #[must_use]
    pub fn payload(&self, index: usize) -> Range<usize> {
        let start = self.payload_len.min(index.saturating_mul(self.step));
        let end = self.payload_len.min(start + self.step);
        self.header_len + start..self.header_len + end
    }

    /// Writes the headers of segment `index` to the front of `into`, made from those in `head`. `None`, with nothing of use
    /// written, where either is too short.
    ///
    /// Lengths, identification, sequence number and the IPv4 checksum are the segment's own; FIN and PSH stay on the last
    /// segment and CWR (RFC 3168 section 6.1.2) on the first. The TCP checksum is left partial, as the result says; that of the
    /// tunnel around it is complete. Of a fragment it is as it was, and then that of a tunnel over IPv6 may be partial.
    #[must_use]
    pub fn write_header(&self, index: usize, head: &[u8], into: &mut [u8]) -> Option<Checksum> {
        let into = into.get_mut(..self.header_len)?;
        into.copy_from_slice(head.get(..self.header_len)?);
        let payload = self.payload(index);
        let own = into.get_mut(self.inner..)?;
        let checksum = if self.datagram {
            self.write_fragment(index, payload.len(), own)?;
            Checksum::Complete
        } else {
            self.write_segment(index, &payload, own)?;
            let start = self.inner as u16 + self.headers.l4_offset;
            Checksum::Partial { start, offset: tcp::CHECKSUM_OFFSET as u16 }
        };
        if self.inner == 0 {
            return Some(checksum);
        }
        encapsulate::seal(into, self.inner, self.header_len - self.inner + payload.len(), checksum)
    }

    /// `into` starts with the fragment's own Ethernet header. A fragment that is cut again keeps its place in the datagram.
    fn write_fragment(&self, index: usize, payload_len: usize, into: &mut [u8]) -> Option<()> {
        let mut ip = ipv4::Packet::new_header(into.get_mut(usize::from(self.headers.l3_offset)..)?).ok()?;
        let offset = u16::try_from(usize::from(ip.fragment_offset()) + index * self.step).ok()?;
        let more = ip.more_fragments() || index + 1 < self.segments();
        ip.set_total_len(u16::try_from(ipv4::HEADER_LEN + payload_len).ok()?);
        ip.set_fragment(false, more, offset);
        ip.fill_checksum();
        Some(())
    }

    /// `into` starts with the segment's own Ethernet header.
    fn write_segment(&self, index: usize, payload: &Range<usize>, into: &mut [u8]) -> Option<()> {
        let (l3, l4) = (usize::from(self.headers.l3_offset), usize::from(self.headers.l4_offset));
        let ip_len = into.len() - l3 + payload.len();
        self.write_ip(index, ip_len, into.get_mut(l3..)?)?;
        let segment = Headers { ip_len: u32::try_from(ip_len).ok()?, ..self.headers };
        let pseudo = segment.pseudo_header(into)?;
        let mut tcp = tcp::Packet::new_checked(into.get_mut(l4..)?).ok()?;
        let mut kept = tcp.flags();
        if index + 1 < self.segments() {
            kept &= !(flag::FIN | flag::PSH);
        }
        if index > 0 {
            kept &= !flag::CWR;
        }
        tcp.set_flags(kept);
        tcp.set_sequence(tcp.sequence().wrapping_add((payload.start - self.header_len) as u32));
        tcp.set_checksum(pseudo.folded());
        Some(())
    }

    fn write_ip(&self, index: usize, ip_len: usize, into: &mut [u8]) -> Option<()> {
        let len = u16::try_from(ip_len).ok()?;
        match self.headers.l3 {
            L3::Ipv4 => {
                let mut ip = ipv4::Packet::new_header(into).ok()?;
                ip.set_total_len(len);
                ip.set_identification(ip.identification().wrapping_add(index as u16));
                ip.fill_checksum();
            }
            L3::Ipv6 => {
                let mut ip = ipv6::Packet::new_header(into).ok()?;
                ip.set_payload_len(len.checked_sub(ipv6::HEADER_LEN as u16)?);
            }
            L3::Arp | L3::Other(_) => return None,
        }
        Some(())
    }
}

/// Bytes of the frames that a packet is on a wire whose path MTU is `mtu`, each with its Ethernet header: those of a super-frame have
/// its headers each. `head` is the packet's first frame, `total_len` its length with the Ethernet header. What cannot be cut counts as
/// it is.
#[must_use]
pub fn wire_len(head: &[u8], total_len: usize, mtu: u16) -> usize {
    if total_len <= ethernet::HEADER_LEN + usize::from(mtu) {
        return total_len;
    }
    Cut::plan(head, total_len, mtu).map_or(total_len, |cut| total_len + (cut.segments() - 1) * cut.header_len())
}

#[cfg(test)]
mod tests;
