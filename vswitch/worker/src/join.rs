//! TCP segments of one burst that continue one another, on their way to a pod: they leave as one super-frame, whose frames are
//! those they came in. Nothing is copied; the payloads are chained behind the first segment's headers.
use arrayvec::ArrayVec;
use sluice_path::{Checksum, Join};
use sluice_tables::PortId;
use sluice_wire::protocol;
use sluice_xsk::{MAX_SEGMENTS, Segment, Umem};

use crate::transmit::{Chain, Leaving};

/// Streams that are followed at once within a burst.
const RUNS: usize = 8;

/// A packet that is held back until the end of the burst, and those that continue it.
#[derive(Debug)]
struct Run {
    port: PortId,
    chain: Chain,
    checksum: Checksum,
    /// Made when a second packet of the same stream comes: most packets have none.
    join: Option<Join>,
}

/// The runs of one burst. Every packet that is given in comes out again: by [`Joiner::offer`], in the order of its stream, or at
/// the end.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    runs: ArrayVec<Run, RUNS>,
}

impl Joiner {
    /// Whether no packet is held back.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes a packet for a port whose device takes IP packets of `limit` bytes. Gives what is now to be sent: packets of the
    /// same stream that it does not continue, and itself where it is not worth holding back, in this order.
    pub(crate) fn offer(&mut self, umem: &Umem, limit: u32, packet: Leaving) -> ArrayVec<Leaving, 2> {
        let mut leaving = ArrayVec::new();
        let Leaving { port, chain, checksum, .. } = packet;
        let bytes = match &chain[..] {
            [] => return leaving,
            [head, ..] => umem.bytes(head),
        };
        let candidate = chain.len() == 1 && is_tcp(bytes);
        let of_stream = |run: &Run| run.port == port && may_be_one_stream(umem.bytes(&run.chain[0]), bytes);
        if let Some(at) = self.runs.iter().position(of_stream) {
            let payload = if candidate { self.runs[at].extend(umem, limit, bytes, checksum) } else { None };
            if let Some(payload) = payload {
                // A chain of one: it was looked at above.
                for mut segment in chain {
                    segment.offset += payload.start as u16;
                    segment.len = (payload.end - payload.start) as u16;
                    self.runs[at].chain.push(segment);
                }
                return leaving;
            }
            leaving.push(self.runs.remove(at).finish(umem));
        }
        if !candidate {
            leaving.push(Leaving { port, chain, checksum, packets: 1 });
            return leaving;
        }
        if self.runs.is_full() {
            // Of another stream, so that the order of the two does not matter; and this one had none to give out.
            leaving.push(self.runs.remove(0).finish(umem));
        }
        self.runs.push(Run { port, chain, checksum, join: None });
        leaving
    }

    /// What is left at the end of the burst.
    pub(crate) fn finish<'a>(&'a mut self, umem: &'a Umem) -> impl Iterator<Item = Leaving> + 'a {
        self.runs.drain(..).map(|run| run.finish(umem))
    }
}

impl Run {
    /// Where the payload of a packet lies that continues this run; it then belongs to it.
    fn extend(&mut self, umem: &Umem, limit: u32, next: &[u8], checksum: Checksum) -> Option<std::ops::Range<usize>> {
        if self.chain.len() == MAX_SEGMENTS {
            return None;
        }
        let first = umem.bytes(&self.chain[0]);
        if self.join.is_none() {
            self.join = Join::start(first, self.checksum, limit);
        }
        self.join.as_mut()?.push(first, next, checksum)
    }

    fn finish(mut self, umem: &Umem) -> Leaving {
        let packets = self.chain.len() as u16;
        if let (Some(join), Some(head)) = (&self.join, self.chain.first_mut()) {
            self.checksum = join.finish(bytes_mut(umem, head));
        }
        Leaving { port: self.port, chain: self.chain, checksum: self.checksum, packets }
    }
}

fn bytes_mut<'a>(umem: &'a Umem, segment: &'a mut Segment) -> &'a mut [u8] {
    let (start, len) = (usize::from(segment.offset), usize::from(segment.len));
    umem.chunk_mut(&mut segment.frame).get_mut(start..start + len).unwrap_or(&mut [])
}

// Offsets in an Ethernet frame without tag, as every packet leaves for a pod.
const ETHERTYPE: usize = 12;
const V4: usize = 14;
const V4_FRAGMENT: usize = V4 + 6;
const V4_PROTOCOL: usize = V4 + 9;
const V4_ADDRESSES: std::ops::Range<usize> = V4 + 12..V4 + 20;
const V4_PORTS: std::ops::Range<usize> = V4 + 20..V4 + 24;
const V6_NEXT: usize = 14 + 6;
const V6_ADDRESSES: std::ops::Range<usize> = 14 + 8..14 + 40;
const V6_PORTS: std::ops::Range<usize> = 14 + 40..14 + 44;

/// A quick look, so that what is no TCP costs next to nothing; [`Join`] looks closely.
#[inline]
pub(crate) fn is_tcp(bytes: &[u8]) -> bool {
    match bytes.get(ETHERTYPE..ETHERTYPE + 2) {
        Some([0x08, 0x00]) => bytes.get(V4_PROTOCOL) == Some(&protocol::TCP),
        Some([0x86, 0xdd]) => bytes.get(V6_NEXT) == Some(&protocol::TCP),
        _ => false,
    }
}

/// Whether the packet `next` may belong to the TCP connection of `first`, a whole TCP segment: then it must not overtake it.
#[inline]
fn may_be_one_stream(first: &[u8], next: &[u8]) -> bool {
    let same = |range: std::ops::Range<usize>| first.get(range.clone()) == next.get(range);
    if !same(ETHERTYPE..V4) {
        return false;
    }
    if first.get(ETHERTYPE) == Some(&0x08) {
        // Without options, and no fragment, so that the ports lie where they usually do.
        let plain = |bytes: &[u8]| {
            bytes.get(V4) == Some(&0x45)
                && matches!(bytes.get(V4_FRAGMENT..V4_FRAGMENT + 2), Some([high, low]) if high & 0x3f == 0 && *low == 0)
        };
        let parted = plain(first) && plain(next) && !same(V4_PORTS);
        same(V4_ADDRESSES) && next.get(V4_PROTOCOL) == Some(&protocol::TCP) && !parted
    } else {
        let plain = |bytes: &[u8]| bytes.get(V6_NEXT) == Some(&protocol::TCP);
        let parted = plain(first) && plain(next) && !same(V6_PORTS);
        same(V6_ADDRESSES) && !parted
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sluice_packets::{Ethernet, Ip, Segment as Tcp, fragment};
    use sluice_wire::MacAddr;

    use super::*;

    fn from(last: u8) -> Ip {
        let ethernet = Ethernet::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        Ip::v4(ethernet, Ipv4Addr::new(10, 0, 0, last), Ipv4Addr::new(10, 0, 1, 1))
    }

    #[test]
    fn streams_are_told_apart_by_addresses_and_ports() {
        let first = from(1).tcp(&Tcp::data(1000, 80), b"one");
        assert!(may_be_one_stream(&first, &from(1).tcp(&Tcp::data(1000, 80), b"two")));
        assert!(!may_be_one_stream(&first, &from(1).tcp(&Tcp::data(1001, 80), b"two")));
        assert!(!may_be_one_stream(&first, &from(2).tcp(&Tcp::data(1000, 80), b"two")));
        assert!(!may_be_one_stream(&first, &from(1).udp(1000, 80, b"two")));
    }

    #[test]
    fn what_shows_no_ports_may_belong_to_any_stream_between_its_hosts() {
        let first = from(1).tcp(&Tcp::data(1000, 80), b"one");
        for piece in fragment::split(&from(1).tcp(&Tcp::data(7, 7), &[0; 3000]), 1000, 1) {
            assert!(may_be_one_stream(&first, &piece));
        }
        let options = from(1).options(&[1, 1, 1, 1]).tcp(&Tcp::data(7, 7), b"two");
        assert!(may_be_one_stream(&first, &options));
    }
}
