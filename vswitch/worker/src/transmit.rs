//! From verdicts to tx rings.
use arrayvec::ArrayVec;
use sluice_path::{Checksum, Counts, CutTo, DropReason, Packet, Verdict};
use sluice_tables::{PortId, Tables, WorkerId};
use sluice_xsk::{Burst, Partial, Pool, Refused, Segment, Umem};

use crate::checksum;
use crate::cut::Cutter;
use crate::handoff::{self, Handoff};
use crate::worker::Ports;

/// What the path made of a packet, without its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    verdict: Verdict,
    start: u16,
    head_len: u16,
    /// The packet lies in its first frame alone, whatever it came in.
    head_only: bool,
    cut_to: Option<CutTo>,
}

pub(crate) type Outcomes = ArrayVec<Outcome, { Burst::PACKETS }>;

impl Outcome {
    pub(crate) fn of(packet: &Packet<'_>) -> Outcome {
        Outcome {
            verdict: packet.verdict(),
            start: packet.start() as u16,
            head_len: packet.head_len() as u16,
            head_only: packet.head_len() == packet.total_len(),
            cut_to: packet.cut_to(),
        }
    }
}

/// Everything a packet can meet on its way out.
pub(crate) struct Out<'a> {
    pub(crate) own: WorkerId,
    pub(crate) umem: &'a Umem,
    pub(crate) pool: &'a mut Pool,
    pub(crate) ports: &'a mut Ports,
    pub(crate) handoff: &'a mut Handoff,
    pub(crate) counts: &'a mut Counts,
    pub(crate) handed_over: &'a mut u64,
    pub(crate) checksums_completed: &'a mut u64,
    pub(crate) super_frames_cut: &'a mut u64,
    /// Workers that were given packets in this turn, as bits.
    pub(crate) to_wake: &'a mut u64,
}

impl Out<'_> {
    /// Empties the burst: every segment goes to a ring or to the pool.
    pub(crate) fn send(&mut self, burst: &mut Burst, outcomes: &Outcomes, tables: &Tables) {
        let Burst { segments, packets } = burst;
        let mut segments = segments.drain(..);
        for (packet, outcome) in packets.drain(..).zip(outcomes) {
            let came = usize::from(packet.segments);
            let Verdict::Forward { port, checksum } = outcome.verdict else {
                segments.by_ref().take(came).for_each(|s| self.pool.give_segment(s));
                continue;
            };
            let Some(mut head) = segments.next() else { return };
            head.offset = outcome.start;
            head.len = outcome.head_len;
            let partial = match checksum {
                Checksum::Complete => None,
                Checksum::Partial { start, offset } => Some(Partial { start, offset }),
            };
            let chain: Chain = if outcome.head_only {
                segments.by_ref().take(came - 1).for_each(|s| self.pool.give_segment(s));
                ArrayVec::from_iter([head])
            } else {
                std::iter::once(head).chain(segments.by_ref().take(came - 1)).collect()
            };
            match outcome.cut_to {
                None => self.send_packet(chain, port, partial, tables),
                Some(to) => self.send_cut(chain, port, to, tables),
            }
        }
    }

    /// Sends a super-frame as segments. Without frames for one of them the rest is dropped, which TCP mends.
    #[cold]
    fn send_cut(&mut self, packet: Chain, id: PortId, to: CutTo, tables: &Tables) {
        let umem = self.umem;
        let Some(cutter) = Cutter::new(umem, &packet, to) else {
            self.give_back(packet.into_iter(), DropReason::ChainRefused);
            return;
        };
        for index in 0..cutter.pieces() {
            let Some(piece) = cutter.piece(index, self.pool) else {
                self.give_back(packet.into_iter(), DropReason::NoFrame);
                return;
            };
            self.send_packet(piece.chain, id, Some(piece.partial), tables);
        }
        *self.super_frames_cut += 1;
        packet.into_iter().for_each(|segment| self.pool.give_segment(segment));
    }

    #[inline]
    fn send_packet(&mut self, mut packet: Chain, id: PortId, mut partial: Option<Partial>, tables: &Tables) {
        let Some(port) = self.ports.get_mut(id) else {
            self.hand_over(packet, id, partial, tables);
            return;
        };
        if !port.port.accepts(&packet) {
            self.give_back(packet.into_iter(), DropReason::ChainRefused);
            return;
        }
        if let Some(wanted) = partial
            && !port.port.offloads(&packet[0], wanted)
        {
            checksum::complete(self.umem, &mut packet, wanted);
            *self.checksums_completed += 1;
            partial = None;
        }
        let mut packet = packet.into_iter();
        let mut sent = port.port.send(packet.by_ref(), partial);
        if sent == Err(Refused::RingFull) && !port.stalled {
            port.port.kick();
            port.port.reclaim(self.pool);
            sent = port.port.send(packet.by_ref(), partial);
            port.stalled = sent == Err(Refused::RingFull);
        }
        port.unsent = true;
        port.touched = true;
        if let Err(refused) = sent {
            let reason = match refused {
                Refused::RingFull => DropReason::TxRingFull,
                Refused::Shape | Refused::Checksum => DropReason::ChainRefused,
            };
            self.give_back(packet, reason);
        }
    }

    fn hand_over(&mut self, packet: Chain, id: PortId, partial: Option<Partial>, tables: &Tables) {
        let owner = tables.port(id).map(|port| port.worker).filter(|worker| *worker != self.own);
        let ring = owner.and_then(|worker| self.handoff.to.get_mut(usize::from(worker.0)));
        let (Some(worker), Some(Some(ring))) = (owner, ring) else {
            self.give_back(packet.into_iter(), DropReason::PortNotAttached);
            return;
        };
        let count = packet.len();
        let mut packet = packet.into_iter();
        if handoff::send(ring, packet.by_ref(), count, id, partial) {
            *self.handed_over += 1;
            *self.to_wake |= 1 << (worker.0 & 63);
        } else {
            self.give_back(packet, DropReason::HandoffFull);
        }
    }

    /// Sends what other workers handed over; returns how many packets.
    pub(crate) fn take_over(&mut self, tables: &Tables) -> u64 {
        let mut taken = 0;
        for from in 0..self.handoff.from.len() {
            for _ in 0..Burst::PACKETS {
                let Ok(first) = self.handoff.from[from].pop() else { break };
                let (port, partial, following) = (first.port, first.partial, first.following);
                let rest = (0..following).map_while(|_| self.handoff.from[from].pop().ok()).map(|item| item.segment);
                let packet: Chain = std::iter::once(first.segment).chain(rest).collect();
                taken += 1;
                if self.ports.get_mut(port).is_some() {
                    self.send_packet(packet, port, partial, tables);
                } else {
                    self.give_back(packet.into_iter(), DropReason::PortNotAttached);
                }
            }
        }
        taken
    }

    fn give_back(&mut self, packet: impl Iterator<Item = Segment>, reason: DropReason) {
        packet.for_each(|s| self.pool.give_segment(s));
        self.counts.count_drop(reason);
    }
}

/// The segments of one packet.
pub(crate) type Chain = ArrayVec<Segment, { sluice_xsk::MAX_SEGMENTS }>;
