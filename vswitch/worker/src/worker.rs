//! One worker: the ports it owns, and one turn of its loop.
use std::sync::Arc;

use arrayvec::ArrayVec;
use sluice_path::{Counts, DropReason, Packet, Path, PathConfig, Shared, Time};
use sluice_tables::{PortId, Publisher, Reader, Tables, WorkerId};
use sluice_xsk::{Burst, Pool, Port, Umem};

use crate::command::{Command, Door};
use crate::counters::{LoopSnapshot, PortCounters, PortSnapshot, WorkerCounters};
use crate::handoff::Handoff;
use crate::sleep::sleep;
use crate::transmit::{Out, Outcome, Outcomes};

/// Free frames a worker keeps to itself at most: no more than this, and all workers together no more than one in eight of
/// all, so that workers that only send do not hoard what one that only receives needs.
const POOL: usize = 1024;

/// Nanoseconds between two looks at the kernel's statistics of a port.
const KERNEL_STATISTICS: u64 = 1_000_000_000;

/// A port as its worker sees it.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) id: PortId,
    pub(crate) port: Port,
    /// Something was put on the tx ring, or waits there.
    pub(crate) unsent: bool,
    /// In this turn the tx ring was full and stayed so: its receiver has no room, and asking again costs as much as sending.
    pub(crate) stalled: bool,
    /// Something happened here in this turn, so its counters are to be published.
    pub(crate) touched: bool,
    snapshot: PortSnapshot,
    counters: Arc<PortCounters>,
    statistics_due: Time,
}

impl Owned {
    fn look_at_kernel(&mut self, now: Time) {
        self.snapshot.refresh_kernel(&self.port);
        self.statistics_due = Time(now.0 + KERNEL_STATISTICS);
    }
}

/// The ports of one worker, in polling order, found by id.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    owned: Vec<Owned>,
    /// Position + 1 by port id; 0 for a port of another worker.
    position: Vec<u32>,
}

impl Ports {
    #[inline]
    pub(crate) fn get_mut(&mut self, id: PortId) -> Option<&mut Owned> {
        let position = *self.position.get(usize::from(id.0))?;
        self.owned.get_mut((position as usize).checked_sub(1)?)
    }

    fn add(&mut self, owned: Owned) {
        self.owned.push(owned);
        self.index();
    }

    fn remove(&mut self, id: PortId) -> Option<Owned> {
        let at = self.owned.iter().position(|owned| owned.id == id)?;
        let owned = self.owned.remove(at);
        self.index();
        Some(owned)
    }

    fn index(&mut self) {
        let longest = self.owned.iter().map(|owned| usize::from(owned.id.0) + 1).max().unwrap_or(0);
        self.position.clear();
        self.position.resize(longest, 0);
        for (at, owned) in self.owned.iter().enumerate() {
            self.position[usize::from(owned.id.0)] = (at + 1) as u32;
        }
    }
}

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

/// One worker. [`Worker::turn`] is all it does; the thread around it only decides when.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    umem: Arc<Umem>,
    pool: Pool,
    burst: Burst,
    path: Path,
    reader: Reader,
    ports: Ports,
    /// Position of the port that is polled first in the next turn: each in turn, so that none is always the one that takes
    /// the last room in a ring that all want.
    first: usize,
    handoff: Handoff,
    doors: Arc<[Door]>,
    counts: Counts,
    looped: LoopSnapshot,
    counters: Arc<WorkerCounters>,
}

impl Worker {
    pub(crate) fn new(
        id: WorkerId,
        umem: Arc<Umem>,
        publisher: &Publisher,
        path: Path,
        handoff: Handoff,
        doors: Arc<[Door]>,
        counters: Arc<WorkerCounters>,
    ) -> Worker {
        Worker {
            id,
            pool: Pool::new(umem.clone(), POOL.min(umem.frames() as usize / 8 / handoff.to.len().max(1))),
            umem,
            burst: Burst::new(),
            path,
            reader: publisher.reader(),
            ports: Ports::default(),
            first: 0,
            handoff,
            doors,
            counts: Counts::new(),
            looped: LoopSnapshot::default(),
            counters,
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
        Worker::new(id, umem, publisher, path, handoff, Arc::new([]), Arc::new(WorkerCounters::new()))
    }

    /// Sleeps until a port receives or the bell of the worker's door rings, but at most for `limit`.
    pub(crate) fn sleep(&self, limit: std::time::Duration) {
        if let Some(door) = self.doors.get(usize::from(self.id.0)) {
            sleep(door.bell(), self.ports.owned.iter().filter_map(|owned| owned.port.socket()), limit);
        }
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
        self.add_counted(id, port, Arc::new(PortCounters::default()));
    }

    fn add_counted(&mut self, id: PortId, mut port: Port, counters: Arc<PortCounters>) {
        port.refill(&mut self.pool);
        self.ports.add(Owned {
            id,
            port,
            unsent: false,
            stalled: false,
            touched: true,
            snapshot: PortSnapshot::default(),
            counters,
            statistics_due: Time(0),
        });
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
            turn.worked |= self.take_over(&mut to_wake);
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
        let tables = self.reader.current();
        let outcomes = decide(&self.umem, &mut self.path, &mut self.counts, &mut self.burst, tables, id, now);
        let (mut out, burst, tables) = self.way_out(to_wake);
        out.send(burst, &outcomes, tables);
        true
    }

    fn take_over(&mut self, to_wake: &mut u64) -> bool {
        let (mut out, _, tables) = self.way_out(to_wake);
        let taken = out.take_over(tables);
        self.looped.taken_over += taken;
        taken > 0
    }

    /// What a packet can meet on its way out, the burst, and the tables.
    #[inline]
    fn way_out<'a>(&'a mut self, to_wake: &'a mut u64) -> (Out<'a>, &'a mut Burst, &'a Tables) {
        let out = Out {
            own: self.id,
            umem: &self.umem,
            pool: &mut self.pool,
            ports: &mut self.ports,
            handoff: &mut self.handoff,
            counts: &mut self.counts,
            handed_over: &mut self.looped.handed_over,
            checksums_completed: &mut self.looped.checksums_completed,
            super_frames_cut: &mut self.looped.super_frames_cut,
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
                Command::Add { id, port, counters, done } => {
                    self.add_counted(id, *port, counters);
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
    port: PortId,
    now: Time,
) -> Outcomes {
    let mut packets: ArrayVec<Packet<'_>, { Burst::PACKETS }> = ArrayVec::new();
    let mut rest = burst.segments.as_mut_slice();
    for packet in &burst.packets {
        let Some((chain, tail)) = rest.split_at_mut_checked(usize::from(packet.segments)) else { break };
        rest = tail;
        let Some(head) = chain.first_mut() else { break };
        let (start, len) = (usize::from(head.offset), usize::from(head.len));
        packets.push(Packet::new(umem.chunk_mut(&mut head.frame), start, len, packet.len as usize, port));
    }
    path.run(now, tables, counts, &mut packets);
    packets.iter().map(Outcome::of).collect()
}

#[cfg(test)]
mod tests;
