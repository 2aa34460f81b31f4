//! Cutting a super-frame into segments for a port whose receiver goes on to a wire, or a datagram into fragments: new frames, the
//! payload copied once.
use arrayvec::ArrayVec;
use sluice_path::{Checksum, Cut, CutTo};
use sluice_xsk::{CHUNK_SIZE, HEADROOM, MAX_SEGMENTS, Pool, Segment, Umem};

use crate::transmit::Chain;

/// Bytes of a packet in one frame: a chunk less the room that later headers and TX metadata need in front.
const IN_A_FRAME: usize = CHUNK_SIZE - HEADROOM;

/// One TCP segment or fragment on its own, and the state of its checksum.
pub(crate) struct Piece {
    pub(crate) chain: Chain,
    pub(crate) checksum: Checksum,
}

/// What is to be cut, and the plan for it.
pub(crate) struct Cutter<'a> {
    umem: &'a Umem,
    packet: &'a [Segment],
    plan: Cut,
}

impl<'a> Cutter<'a> {
    /// `None` for a packet that cannot be cut.
    pub(crate) fn new(umem: &'a Umem, packet: &'a [Segment], to: CutTo) -> Option<Cutter<'a>> {
        let total = packet.iter().map(|segment| usize::from(segment.len)).sum();
        let plan = Cut::plan(umem.bytes(packet.first()?), total, to)?;
        Some(Cutter { umem, packet, plan })
    }

    /// Whether the pieces are fragments, so that a partial checksum has to be completed before.
    pub(crate) fn is_datagram(&self) -> bool {
        self.plan.is_datagram()
    }

    /// How many pieces there are.
    pub(crate) fn pieces(&self) -> usize {
        self.plan.segments()
    }

    /// Piece `index`, in frames from `pool`; `None`, with every frame given back, when it has too few.
    pub(crate) fn piece(&self, index: usize, pool: &mut Pool) -> Option<Piece> {
        let payload = self.plan.payload(index);
        let header_len = self.plan.header_len();
        let mut chain: Chain = ArrayVec::new();
        let mut checksum = None;
        let (mut at, mut done) = (payload.start, false);
        while !done {
            let front = if chain.is_empty() { header_len } else { 0 };
            let bytes = (payload.end - at).min(IN_A_FRAME.saturating_sub(front));
            let frame = if chain.len() < MAX_SEGMENTS { pool.take() } else { None };
            let segment = frame.and_then(|frame| self.allot(frame, front + bytes, pool));
            let Some(mut segment) = segment else {
                chain.drain(..).for_each(|segment| pool.give_segment(segment));
                return None;
            };
            let room = &mut self.umem.chunk_mut(&mut segment.frame)[HEADROOM..HEADROOM + front + bytes];
            if front > 0 {
                let head = self.umem.bytes(&self.packet[0]);
                checksum = self.plan.write_header(index, head, room);
            }
            self.copy(at, &mut room[front..]);
            chain.push(segment);
            at += bytes;
            done = at >= payload.end;
        }
        let Some(checksum) = checksum else {
            chain.drain(..).for_each(|segment| pool.give_segment(segment));
            return None;
        };
        Some(Piece { chain, checksum })
    }

    fn allot(&self, frame: sluice_xsk::Frame, len: usize, pool: &mut Pool) -> Option<Segment> {
        Segment::new(frame, HEADROOM, len).map_err(|frame| pool.give(frame)).ok()
    }

    /// Copies the packet's bytes from `at` on, as many as `into` takes.
    fn copy(&self, at: usize, mut into: &mut [u8]) {
        let mut before = 0;
        for segment in self.packet {
            let bytes = self.umem.bytes(segment);
            let skipped = at.saturating_sub(before).min(bytes.len());
            let taken = (bytes.len() - skipped).min(into.len());
            let (now, rest) = into.split_at_mut(taken);
            now.copy_from_slice(&bytes[skipped..skipped + taken]);
            into = rest;
            before += bytes.len();
        }
    }
}
