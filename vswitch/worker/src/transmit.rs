//! From verdicts to tx rings.
use arrayvec::ArrayVec;
use sluice_path::{Checksum, Counts, CutTo, DropReason, Packet, Time, Verdict, wire_len};
use sluice_tables::{PortId, PortKind, Tables, WorkerId};
use sluice_xsk::{Burst, Partial, Pool, Refused, Segment, Umem};

use crate::checksum;
use crate::counters::LoopSnapshot;
use crate::cut::{Cutter, Piece};
use crate::handoff::{self, Handoff, Label};
use crate::join::{Joiner, is_tcp};
use crate::parked::{Parked, Waiting};
use crate::ports::Ports;

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

/// The segments of one packet.
pub(crate) type Chain = ArrayVec<Segment, { sluice_xsk::MAX_SEGMENTS }>;

/// A packet on its way out.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) port: PortId,
    pub(crate) chain: Chain,
    pub(crate) checksum: Checksum,
    /// How many packets it came as: more than one if they were joined.
    pub(crate) packets: u16,
}

/// What a port that is not open says to a packet.
enum Admission {
    /// It leaves by the port at this position.
    By(usize),
    /// The port's pod would receive more than it may.
    Refused,
    /// The port is none of this worker's.
    Elsewhere,
}

/// Everything a packet can meet on its way out.
pub(crate) struct Out<'a> {
    pub(crate) own: WorkerId,
    pub(crate) umem: &'a Umem,
    pub(crate) pool: &'a mut Pool,
    pub(crate) ports: &'a mut Ports,
    pub(crate) handoff: &'a mut Handoff,
    pub(crate) parked: &'a mut Parked,
    pub(crate) counts: &'a mut Counts,
    pub(crate) looped: &'a mut LoopSnapshot,
    /// Whether TCP segments of a burst are joined.
    pub(crate) join: bool,
    pub(crate) now: Time,
    /// Workers that were given packets in this turn, as bits.
    pub(crate) to_wake: &'a mut u64,
}

impl Out<'_> {
    /// Empties the burst: every segment goes to a ring, to the pool, or is parked. `came_from` tells a packet's port.
    pub(crate) fn send(
        &mut self,
        burst: &mut Burst,
        outcomes: &Outcomes,
        tables: &Tables,
        came_from: impl Fn(usize) -> PortId,
    ) {
        let Burst { segments, packets } = burst;
        let joins = self.join && packets.len() > 1;
        let mut joiner = Joiner::default();
        let mut segments = segments.drain(..);
        for (at, (packet, outcome)) in packets.drain(..).zip(outcomes).enumerate() {
            let came = usize::from(packet.segments);
            let (port, checksum) = match outcome.verdict {
                Verdict::Forward { port, checksum } => (port, checksum),
                Verdict::Drop(_) => {
                    segments.by_ref().take(came).for_each(|s| self.pool.give_segment(s));
                    continue;
                }
                Verdict::Park { slot } => {
                    self.park(slot, segments.by_ref().take(came).collect(), came_from(at));
                    continue;
                }
            };
            let Some(mut head) = segments.next() else { return };
            head.offset = outcome.start;
            head.len = outcome.head_len;
            let chain: Chain = if outcome.head_only {
                segments.by_ref().take(came - 1).for_each(|s| self.pool.give_segment(s));
                ArrayVec::from_iter([head])
            } else {
                std::iter::once(head).chain(segments.by_ref().take(came - 1)).collect()
            };
            let leaving = Leaving { port, chain, checksum, packets: 1 };
            match outcome.cut_to {
                None if joins => self.join_or_send(&mut joiner, leaving, tables),
                None => self.send_packet(leaving, tables),
                Some(to) => self.send_cut(leaving, to, tables),
            }
        }
        if !joiner.is_empty() {
            joiner.finish(self.umem).for_each(|leaving| self.send_joined(leaving, tables));
        }
    }

    #[cold]
    fn park(&mut self, slot: u16, chain: Chain, port: PortId) {
        if let Some(waiting) = self.parked.put(slot, Waiting { chain, port }) {
            self.give_back(waiting.chain.into_iter(), 1, DropReason::ParkedFull);
        }
    }

    /// A TCP segment for a pod that takes super-frames waits for those that may continue it.
    #[inline]
    fn join_or_send(&mut self, joiner: &mut Joiner, leaving: Leaving, tables: &Tables) {
        // A long packet is no segment from a wire, and overtakes none.
        let considered = leaving.chain.len() == 1 || !joiner.is_empty();
        let head_is_tcp = |chain: &Chain| chain.first().is_some_and(|head| is_tcp(self.umem.bytes(head)));
        if !considered || !head_is_tcp(&leaving.chain) {
            return self.send_packet(leaving, tables);
        }
        // Not to the host: it may route the packet on, and then needs it as it was on the wire.
        let port = tables.port(leaving.port).filter(|port| port.kind == PortKind::Pod);
        match port.filter(|port| port.max_l3_len > u32::from(port.path_mtu)) {
            None => self.send_packet(leaving, tables),
            Some(port) => {
                let ready = joiner.offer(self.umem, port.max_l3_len, leaving);
                ready.into_iter().for_each(|leaving| self.send_joined(leaving, tables));
            }
        }
    }

    fn send_joined(&mut self, leaving: Leaving, tables: &Tables) {
        if leaving.packets > 1 {
            self.looped.segments_joined += u64::from(leaving.packets);
            self.looped.super_frames_joined += 1;
        }
        self.send_packet(leaving, tables);
    }

    /// Sends a super-frame as segments, or a datagram as fragments. Without frames for one of them the rest is dropped: TCP mends that,
    /// and of a datagram nobody puts the parts together.
    #[cold]
    fn send_cut(&mut self, leaving: Leaving, to: CutTo, tables: &Tables) {
        let umem = self.umem;
        let Leaving { port, mut chain, checksum, packets } = leaving;
        let is_datagram = Cutter::new(umem, &chain, to).is_some_and(|cutter| cutter.is_datagram());
        if let (true, Checksum::Partial { start, offset }) = (is_datagram, checksum) {
            checksum::complete(umem, &mut chain, Partial { start, offset });
            self.looped.checksums_completed += 1;
        }
        let Some(cutter) = Cutter::new(umem, &chain, to) else {
            self.give_back(chain.into_iter(), packets, DropReason::ChainRefused);
            return;
        };
        for index in 0..cutter.pieces() {
            let Some(piece) = cutter.piece(index, self.pool) else {
                self.give_back(chain.into_iter(), packets, DropReason::NoFrame);
                return;
            };
            let Piece { chain, checksum } = piece;
            self.send_packet(Leaving { port, chain, checksum, packets: 1 }, tables);
        }
        if is_datagram {
            self.looped.datagrams_cut += 1;
        } else {
            self.looped.super_frames_cut += 1;
        }
        chain.into_iter().for_each(|segment| self.pool.give_segment(segment));
    }

    #[inline]
    fn send_packet(&mut self, leaving: Leaving, tables: &Tables) {
        let Leaving { port: id, chain: mut packet, checksum, packets } = leaving;
        let mut partial = match checksum {
            Checksum::Complete => None,
            Checksum::Partial { start, offset } => Some(Partial { start, offset }),
        };
        let at = match self.ports.open(id) {
            Some(at) => at,
            None => match self.limited(id, &packet, packets, tables) {
                Admission::By(at) => at,
                Admission::Refused => {
                    self.give_back(packet.into_iter(), packets, DropReason::BandwidthIngress);
                    return;
                }
                Admission::Elsewhere => {
                    self.hand_over(packet, id, partial, packets, tables);
                    return;
                }
            },
        };
        let port = &mut self.ports.owned[at];
        if !port.port.accepts(&packet) {
            self.give_back(packet.into_iter(), packets, DropReason::ChainRefused);
            return;
        }
        if let Some(wanted) = partial
            && (goes_on_a_wire(tables, id) || !port.port.offloads(&packet[0], wanted))
        {
            checksum::complete(self.umem, &mut packet, wanted);
            self.looped.checksums_completed += 1;
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
            self.give_back(packet, packets, reason);
        }
    }

    /// Whether a packet may leave by a port that is not open.
    #[cold]
    fn limited(&mut self, id: PortId, packet: &Chain, packets: u16, tables: &Tables) -> Admission {
        let Some(at) = self.ports.limited(id) else { return Admission::Elsewhere };
        let Some(port) = self.ports.owned.get_mut(at) else { return Admission::Elsewhere };
        let len = packet.iter().map(|segment| usize::from(segment.len)).sum();
        let mtu = tables.port(id).map_or(u16::MAX, |port| port.path_mtu);
        let len = packet.first().map_or(len, |head| wire_len(self.umem.bytes(head), len, mtu));
        let bucket = port.buckets.as_mut().and_then(|buckets| buckets.ingress.as_mut());
        if bucket.is_none_or(|bucket| bucket.admits(self.now, len)) {
            return Admission::By(at);
        }
        port.snapshot.bandwidth_ingress += u64::from(packets);
        port.touched = true;
        Admission::Refused
    }

    fn hand_over(&mut self, packet: Chain, id: PortId, partial: Option<Partial>, packets: u16, tables: &Tables) {
        let owner = tables.port(id).map(|port| port.worker).filter(|worker| *worker != self.own);
        let ring = owner.and_then(|worker| self.handoff.to.get_mut(usize::from(worker.0)));
        let (Some(worker), Some(Some(ring))) = (owner, ring) else {
            self.give_back(packet.into_iter(), packets, DropReason::PortNotAttached);
            return;
        };
        let count = packet.len();
        let mut packet = packet.into_iter();
        if handoff::send(ring, packet.by_ref(), count, Label { port: id, partial, packets }) {
            self.looped.handed_over += 1;
            *self.to_wake |= 1 << (worker.0 & 63);
        } else {
            self.give_back(packet, packets, DropReason::HandoffFull);
        }
    }

    /// Sends what other workers handed over; returns how many packets.
    pub(crate) fn take_over(&mut self, tables: &Tables) -> u64 {
        let mut taken = 0;
        for from in 0..self.handoff.from.len() {
            for _ in 0..Burst::PACKETS {
                let Ok(first) = self.handoff.from[from].pop() else { break };
                let (Label { port, partial, packets }, following) = (first.label, first.following);
                let rest = (0..following).map_while(|_| self.handoff.from[from].pop().ok()).map(|item| item.segment);
                let chain: Chain = std::iter::once(first.segment).chain(rest).collect();
                taken += 1;
                if self.ports.has(port) {
                    let checksum = match partial {
                        None => Checksum::Complete,
                        Some(Partial { start, offset }) => Checksum::Partial { start, offset },
                    };
                    self.send_packet(Leaving { port, chain, checksum, packets }, tables);
                } else {
                    self.give_back(chain.into_iter(), packets, DropReason::PortNotAttached);
                }
            }
        }
        taken
    }

    fn give_back(&mut self, packet: impl Iterator<Item = Segment>, packets: u16, reason: DropReason) {
        packet.for_each(|s| self.pool.give_segment(s));
        self.counts.drops[reason.index()] += u64::from(packets);
    }
}

/// Whether a packet leaves for a wire. The kernel would have the device complete a checksum, and not every device finds one that
/// lies inside a tunnel.
fn goes_on_a_wire(tables: &Tables, id: PortId) -> bool {
    tables.port(id).is_some_and(|port| port.kind == PortKind::Uplink)
}
