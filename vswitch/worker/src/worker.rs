//! One worker: the ports it owns, and one turn of its loop.
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use sluice_path::{Counts, DropReason, PARKED, Packet, Path, PathConfig, Release, Shared, Time};
use sluice_tables::{PortId, Publisher, Reader, Tables, WorkerId};
use sluice_xsk::{Burst, Pool, Port, Umem};

use crate::between::sleep;
use crate::command::{Command, Door};
use crate::counters::{LoopSnapshot, PortCounters, WorkerCounters};
use crate::handoff::Handoff;
use crate::limits::{Limits, thin_out};
use crate::parked::Parked;
use crate::pauses::Pauses;
use crate::ports::{Owned, Ports};
use crate::transmit::{Out, Outcome, Outcomes};
use crate::wanted::Wanted;

/// Free frames a worker keeps to itself at most: no more than this, and all workers together no more than one in eight of
/// all, so that workers that only send do not hoard what one that only receives needs.
const POOL: usize = 1024;

/// Nanoseconds that the path may go without being told the time: parked packets and connections may be overdue.
const QUIET: u64 = 10_000_000;

/// How often in a row packets are released that were released before and parked anew.
const ROUNDS: usize = 4;

/// What one turn found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    /// Packets were moved or commands carried out.
    pub worked: bool,
    /// Packets wait in tx rings for receivers that have no room.
    pub waiting: bool,
    /// A stop command was carried out: there are no ports any more.
    pub stopped: bool,
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) id: WorkerId,
    pub(crate) umem: Arc<Umem>,
    pub(crate) path: Path,
    pub(crate) handoff: Handoff,
    pub(crate) doors: Arc<[Door]>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) join: bool,
}

/// One worker. [`Worker::turn`] is all it does; the thread around it only decides when.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    umem: Arc<Umem>,
    pool: Pool,
    burst: Burst,
    path: Path,
    /// When the path was last told the time.
    ran: Time,
    reader: Reader,
    ports: Ports,
    /// Position of the port that is polled first in the next turn: each in turn, so that none is always the one that takes
    /// the last room in a ring that all want.
    first: usize,
    handoff: Handoff,
    parked: Parked,
    join: bool,
    doors: Arc<[Door]>,
    counts: Counts,
    looped: LoopSnapshot,
    pauses: Pauses,
    counters: Arc<WorkerCounters>,
    wanted: Arc<Wanted>,
}

impl Worker {
    pub(crate) fn new(parts: Parts, publisher: &Publisher) -> Worker {
        let Parts { id, umem, path, handoff, doors, counters, wanted, join } = parts;
        Worker {
            id,
            pool: Pool::new(umem.clone(), POOL.min(umem.frames() as usize / 8 / handoff.to.len().max(1))),
            parked: Parked::new(umem.clone()),
            umem,
            burst: Burst::new(),
            path,
            ran: Time(0),
            reader: publisher.reader(),
            ports: Ports::default(),
            first: 0,
            handoff,
            join,
            doors,
            counts: Counts::new(),
            looped: LoopSnapshot::default(),
            pauses: Pauses::new(),
            counters,
            wanted,
        }
    }

    /// A worker without a thread or commands: turned by its owner, for the path in memory.
    pub fn detached(
        id: WorkerId,
        umem: Arc<Umem>,
        publisher: &Publisher,
        path: PathConfig,
        shared: Arc<Shared>,
        handoff: Handoff,
    ) -> Worker {
        let path = Path::new(PathConfig { worker: id, ..path }, shared);
        let (doors, counters) = (Arc::new([]), Arc::new(WorkerCounters::new()));
        let wanted = Arc::new(Wanted::silent());
        Worker::new(Parts { id, umem, path, handoff, doors, counters, wanted, join: true }, publisher)
    }

    /// Whether TCP segments of one burst are joined, as they are if nothing else is said: see [`crate::SwitchConfig::join`].
    pub fn set_join(&mut self, join: bool) {
        self.join = join;
    }

    /// Neighbours that the path wants resolved.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Packets whose frames are kept until others come.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    /// What the loop counted so far, by name.
    pub fn looped(&self) -> Vec<(&'static str, u64)> {
        self.looped.list()
    }

    /// Sleeps until a port receives or the bell of the worker's door rings, but at most for `limit`.
    pub(crate) fn sleep(&self, limit: Duration) {
        let limit = if self.parked.len() > 0 { limit.min(Duration::from_nanos(QUIET)) } else { limit };
        if let Some(door) = self.doors.get(usize::from(self.id.0)) {
            sleep(door.bell(), self.ports.owned.iter().filter_map(|owned| owned.port.socket()), limit);
        }
    }

    /// The next turn begins now.
    #[inline]
    pub(crate) fn looks(&mut self, now: Time) {
        self.pauses.look(now, &mut self.looped);
    }

    /// The next turn begins when there is something to do, or others have had the core.
    #[inline]
    pub(crate) fn rests(&mut self) {
        self.pauses.rest();
    }

    /// Before it sleeps a worker has the time to ask what the kernel counted on all ports, also on quiet ones.
    pub(crate) fn before_sleep(&mut self, now: Time) {
        self.looped.sleeps += 1;
        for owned in &mut self.ports.owned {
            if now >= owned.statistics_due {
                owned.look_at_kernel(now);
                owned.touched = true;
            }
        }
        self.publish_ports(now);
        self.publish();
    }

    /// Ends the worker; what other workers handed to it is left to the caller.
    pub(crate) fn into_handoff(self) -> Handoff {
        self.handoff
    }

    /// What the path counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Owns a port from now on.
    pub fn add(&mut self, id: PortId, port: Port) {
        self.add_limited(id, port, Limits::default());
    }

    /// Owns a port from now on whose pod may receive or send only so much.
    pub fn add_limited(&mut self, id: PortId, port: Port, limits: Limits) {
        self.add_counted(id, port, limits, Arc::new(PortCounters::default()));
    }

    fn add_counted(&mut self, id: PortId, mut port: Port, limits: Limits, counters: Arc<PortCounters>) {
        port.refill(&mut self.pool);
        self.ports.add(Owned::new(id, port, counters, limits));
    }

    /// Gives a port up, with its frames still on its rings: [`Port::close`] gives those back.
    #[must_use = "dropping a port closes it, which blocks"]
    pub fn remove(&mut self, id: PortId) -> Option<Port> {
        self.ports.remove(id).map(|owned| owned.port)
    }

    /// Subscribes to the tables, polls each port once, sends, reclaims, refills and counts. `now` holds for all of it.
    pub fn turn(&mut self, now: Time) -> Turn {
        let mut turn = self.carry_out_commands();
        self.looped.turns += 1;
        // Also with nothing to do: a worker that kept an old generation would keep it from being freed.
        self.reader.current();
        let mut to_wake = 0;
        let ports = self.ports.owned.len();
        self.first = if self.first + 1 < ports { self.first + 1 } else { 0 };
        for at in (self.first..ports).chain(0..self.first) {
            turn.worked |= self.receive(at, now, &mut to_wake);
        }
        if !self.handoff.from.is_empty() {
            turn.worked |= self.take_over(now, &mut to_wake);
        }
        if now.since(self.ran) >= QUIET {
            turn.worked |= self.tell_time(now, &mut to_wake);
        }
        for owned in self.ports.owned.iter_mut().filter(|owned| owned.unsent) {
            owned.unsent = owned.port.kick();
            turn.waiting |= owned.unsent;
        }
        if to_wake != 0 {
            self.wake(to_wake);
        }
        // What does not have to be done before packets leave is done after.
        for owned in &mut self.ports.owned {
            owned.stalled = false;
            if owned.port.is_sending() && owned.port.reclaim(&mut self.pool) > 0 {
                turn.worked = true;
                owned.touched = true;
            }
            // Also one that received nothing: its ring may have run empty while no frame was free.
            if owned.port.is_short() {
                owned.port.refill(&mut self.pool);
                owned.touched = true;
            }
        }
        if turn.worked {
            self.looped.busy_turns += 1;
            self.publish_ports(now);
            self.publish();
        }
        turn
    }

    /// One burst from one port.
    #[inline]
    fn receive(&mut self, at: usize, now: Time, to_wake: &mut u64) -> bool {
        let owned = &mut self.ports.owned[at];
        let (long_before, bad_before) = owned.port.receive_errors();
        let received = owned.port.receive(&mut self.burst, &mut self.pool);
        let (long, bad) = owned.port.receive_errors();
        self.counts.drops[DropReason::ChainTooLong.index()] += long - long_before;
        self.counts.drops[DropReason::BadChain.index()] += bad - bad_before;
        let refused = (long, bad) != (long_before, bad_before);
        owned.touched |= received > 0 || refused;
        if received == 0 {
            return refused;
        }
        let id = owned.id;
        if owned.buckets.is_some() {
            self.limit_egress(at, now);
        }
        self.run(now, to_wake, |_| id);
        self.run_released(now, to_wake);
        true
    }

    /// Drops what the port's pod has sent beyond its limit. The path may be left without a packet.
    #[cold]
    fn limit_egress(&mut self, at: usize, now: Time) {
        let Some(owned) = self.ports.owned.get_mut(at) else { return };
        let Some(bucket) = owned.buckets.as_mut().and_then(|buckets| buckets.egress.as_mut()) else { return };
        let port = self.reader.current().port(owned.id);
        let mtu = port.map_or(u16::MAX, |port| port.path_mtu);
        let dropped = thin_out(&mut self.burst, bucket, &self.umem, &mut self.pool, mtu, now);
        self.counts.drops[DropReason::BandwidthEgress.index()] += dropped;
        owned.snapshot.bandwidth_egress += dropped;
    }

    /// The path over the burst, and what comes of it. `came_from` tells a packet's port.
    #[inline]
    fn run(&mut self, now: Time, to_wake: &mut u64, came_from: impl Fn(usize) -> PortId) {
        self.ran = now;
        let tables = self.reader.current();
        let outcomes = decide(&self.umem, &mut self.path, &mut self.counts, &mut self.burst, tables, &came_from, now);
        self.tell_wanted();
        let (mut out, burst, tables) = self.way_out(now, to_wake);
        out.send(burst, &outcomes, tables, came_from);
    }

    #[inline]
    fn tell_wanted(&mut self) {
        let mut wanted = self.path.wanted();
        if let Some(first) = wanted.next() {
            self.wanted.put(first, wanted);
        }
    }

    /// Tells the path the time when there is no packet to do it. Returns whether parked packets went on or back.
    #[cold]
    fn tell_time(&mut self, now: Time, to_wake: &mut u64) -> bool {
        self.ran = now;
        self.path.idle(now, &mut self.counts);
        let before = self.parked.len();
        self.run_released(now, to_wake);
        before != self.parked.len()
    }

    /// Parked packets whose time has come go on, or their frames go back.
    #[inline]
    fn run_released(&mut self, now: Time, to_wake: &mut u64) {
        if let Some(first) = self.path.released(&mut self.counts) {
            self.release(first, now, to_wake);
        }
    }

    #[cold]
    fn release(&mut self, first: (u16, Release), now: Time, to_wake: &mut u64) {
        let mut next = Some(first);
        for _ in 0..ROUNDS {
            let mut released: ArrayVec<(u16, Release), PARKED> = ArrayVec::new();
            while !released.is_full()
                && let Some(one) = next.take().or_else(|| self.path.released(&mut self.counts))
            {
                released.push(one);
            }
            if released.is_empty() {
                return;
            }
            let mut ports: ArrayVec<PortId, { Burst::PACKETS }> = ArrayVec::new();
            for (slot, release) in released {
                let waiting = match release {
                    Release::Run => self.parked.take(slot),
                    Release::Drop(_) => {
                        self.parked.discard(slot, &mut self.pool);
                        None
                    }
                };
                let Some(waiting) = waiting else { continue };
                if !self.burst.has_room() || ports.is_full() {
                    self.run(now, to_wake, |at| ports[at]);
                    ports.clear();
                }
                let len = waiting.chain.iter().map(|segment| u32::from(segment.len)).sum();
                self.burst.packets.push(sluice_xsk::Packet { segments: waiting.chain.len() as u16, len });
                self.burst.segments.extend(waiting.chain);
                ports.push(waiting.port);
            }
            if !ports.is_empty() {
                self.run(now, to_wake, |at| ports[at]);
            }
        }
    }

    fn take_over(&mut self, now: Time, to_wake: &mut u64) -> bool {
        let (mut out, _, tables) = self.way_out(now, to_wake);
        let taken = out.take_over(tables);
        self.looped.taken_over += taken;
        taken > 0
    }

    /// What a packet can meet on its way out, the burst, and the tables.
    #[inline]
    fn way_out<'a>(&'a mut self, now: Time, to_wake: &'a mut u64) -> (Out<'a>, &'a mut Burst, &'a Tables) {
        let out = Out {
            own: self.id,
            umem: &self.umem,
            pool: &mut self.pool,
            ports: &mut self.ports,
            handoff: &mut self.handoff,
            parked: &mut self.parked,
            counts: &mut self.counts,
            looped: &mut self.looped,
            join: self.join,
            now,
            to_wake,
        };
        (out, &mut self.burst, self.reader.current())
    }

    fn wake(&self, workers: u64) {
        for (at, door) in self.doors.iter().enumerate() {
            if workers & (1 << (at & 63)) != 0 {
                door.wake();
            }
        }
    }

    fn carry_out_commands(&mut self) -> Turn {
        let mut turn = Turn::default();
        // Popping from an empty queue costs a memory fence, asking whether it is empty does not.
        if self.doors.get(usize::from(self.id.0)).is_none_or(|door| door.commands.is_empty()) {
            return turn;
        }
        while let Some(command) = self.doors.get(usize::from(self.id.0)).and_then(|door| door.commands.pop()) {
            turn.worked = true;
            // Who asked may have given up waiting: then its end of the answer is gone, and a port given up is closed here,
            // which blocks. Only a worker that was stuck for seconds comes to this.
            match command {
                Command::Add { id, port, limits, counters, done } => {
                    self.add_counted(id, *port, limits, counters);
                    if done.try_send(()).is_err() {
                        drop(self.remove(id));
                    }
                }
                Command::Remove { id, done } => drop(done.try_send(self.remove(id).map(Box::new))),
                Command::Stop { done } => {
                    let ids: Vec<PortId> = self.ports.owned.iter().map(|owned| owned.id).collect();
                    let ports = ids.into_iter().filter_map(|id| Some((id, Box::new(self.remove(id)?)))).collect();
                    drop(done.try_send(ports));
                    turn.stopped = true;
                }
            }
        }
        turn
    }

    fn publish(&mut self) {
        self.looped.pool_frames = self.pool.len() as u64;
        self.counters.looped.store(&self.looped);
        let generation = self.reader.current().generation();
        self.counters.store(&self.counts, generation);
    }

    /// Publishes the counters of the ports on which something happened. The kernel is asked about one of them at most: each
    /// question is a system call, and packets may be waiting.
    fn publish_ports(&mut self, now: Time) {
        let mut asked = false;
        for owned in self.ports.owned.iter_mut().filter(|owned| owned.touched) {
            if !asked && now >= owned.statistics_due {
                asked = true;
                owned.look_at_kernel(now);
            }
            owned.snapshot.refresh(&owned.port);
            owned.counters.store(&owned.snapshot);
            owned.touched = false;
        }
    }
}

/// Runs the path over a burst; the packets' bytes are borrowed only meanwhile.
#[inline]
fn decide(
    umem: &Umem,
    path: &mut Path,
    counts: &mut Counts,
    burst: &mut Burst,
    tables: &Tables,
    came_from: impl Fn(usize) -> PortId,
    now: Time,
) -> Outcomes {
    let mut packets: ArrayVec<Packet<'_>, { Burst::PACKETS }> = ArrayVec::new();
    let mut rest = burst.segments.as_mut_slice();
    for (at, packet) in burst.packets.iter().enumerate() {
        let Some((chain, tail)) = rest.split_at_mut_checked(usize::from(packet.segments)) else { break };
        rest = tail;
        let Some(head) = chain.first_mut() else { break };
        let (start, len) = (usize::from(head.offset), usize::from(head.len));
        packets.push(Packet::new(umem.chunk_mut(&mut head.frame), start, len, packet.len as usize, came_from(at)));
    }
    path.run(now, tables, counts, &mut packets);
    packets.iter().map(Outcome::of).collect()
}

#[cfg(test)]
mod tests;
