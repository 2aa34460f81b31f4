//! Plays scripts on the paths of one or two workers in plain memory, and keeps the books: what is parked, what is counted,
//! which connections there are.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_connections::Owner;
use sluice_path::{
    Checksum, Counts, DropReason, PARKED, Packet, Path, PathConfig, Release, Shared, SharedConfig, Verdict,
};
use sluice_tables::{PortId, Tables, WorkerId};
use sluice_wire::MacAddr;

use super::mutate::INNER;
use super::sound::{Arrived, Sent, check, transport_is_right};
use super::{Focus, Given, Ground, Left, Script, Step};
use crate::Clock;
use crate::datagram::completed;
use crate::switch::{CHUNK, HEADROOM};
use crate::wiring::{tunnel_port, uplink_of, worker_of};

/// Packets of a burst at most.
const BURST: usize = 8;
/// Connections that the table holds.
const CONNECTIONS: u32 = 256;
/// Longer than any connection is kept.
const LONGEST: Duration = Duration::from_secs(500_000);

/// A packet in memory: its first frame and the bytes of the others.
struct Chain {
    arrived: Arrived,
    room: Vec<u8>,
    start: usize,
    head_len: usize,
    tail: Vec<u8>,
}

struct Worker {
    path: Path,
    counts: Counts,
    parked: BTreeMap<u16, Chain>,
    burst: Vec<Chain>,
}

struct Rig {
    ground: &'static Ground,
    stage: usize,
    workers: Vec<Worker>,
    shared: Arc<Shared>,
    clock: Clock,
    left: Vec<Left>,
    /// Turns of each worker when time has gone on.
    turns: usize,
}

/// As many as it takes to look at every connection of both families, wherever the last look ended. Which of those whose time is up
/// go first depends on where they lie, which the shortcut may choose otherwise; so none is to be left when packets come.
const WHOLE: usize = 4;

/// Plays the script in `data`. In the end everything that waited has been released once, and no connection is left.
///
/// # Panics
/// When something that must hold for any packets does not.
pub fn exercise(focus: Focus, data: &[u8]) {
    let mut script = Script::new(focus, data);
    let mut rig = Rig::new(script.ground(), script.workers);
    while let Some(step) = script.step() {
        rig.play(step);
        rig.left.drain(..).for_each(|left| script.remember(left));
    }
    rig.end();
}

/// Plays the script in `data` twice in step, once with the shortcut for known connections and once without: the same leaves, and
/// the same is counted.
///
/// # Panics
/// When the two differ, or something does not hold that must hold for any packets.
pub fn compare(focus: Focus, data: &[u8]) {
    let mut script = Script::new(focus, data);
    let mut both = [Rig::new(script.ground(), script.workers), Rig::new(script.ground(), script.workers).by_stages()];
    both.iter_mut().for_each(|rig| rig.turns = WHOLE);
    while let Some(step) = script.step() {
        for rig in &mut both {
            rig.play(step.clone());
        }
        let [with, without] = both.each_mut().map(|rig| std::mem::take(&mut rig.left));
        assert_eq!(with, without, "what leaves");
        let [with_counts, without_counts] = both.each_ref().map(Rig::counts);
        assert_eq!(with_counts, without_counts, "what is counted");
        with.into_iter().for_each(|left| script.remember(left));
    }
    both.into_iter().for_each(Rig::end);
}

impl Rig {
    /// The same without the shortcut.
    fn by_stages(mut self) -> Self {
        let taken = std::mem::take(&mut self.workers);
        self.workers = taken.into_iter().map(|it| Worker { path: it.path.without_shortcut(), ..it }).collect();
        self
    }

    fn counts(&self) -> Vec<Counts> {
        self.workers.iter().map(|it| it.counts.clone()).collect()
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Frame(given) => self.give(given),
            Step::Wait(time) => {
                self.run_all();
                self.clock.advance(time);
                (0..self.turns).for_each(|_| self.idle());
            }
            Step::Publish => {
                self.run_all();
                self.stage = (self.stage + 1).min(super::ground::STAGES - 1);
            }
        }
    }

    fn new(ground: &'static Ground, workers: usize) -> Self {
        let mut config = SharedConfig { affinity: 32, ..SharedConfig::default() };
        (config.connections.capacity, config.connections.owners) = (CONNECTIONS, 32);
        let shared = Arc::new(Shared::new(config));
        let worker = |id: usize| {
            let config = PathConfig { seed: id as u64, worker: WorkerId(id as u8), ..PathConfig::default() };
            let path = Path::new(config, Arc::clone(&shared));
            Worker { path, counts: Counts::new(), parked: BTreeMap::new(), burst: Vec::new() }
        };
        let workers = (0..workers).map(worker).collect();
        Self { ground, stage: 0, workers, shared, clock: Clock::default(), left: Vec::new(), turns: 1 }
    }

    fn give(&mut self, given: Given) {
        let count = self.workers.len();
        let uplinks = uplink_of(0).0..uplink_of(count).0;
        let at = match given.port.0 {
            port if uplinks.contains(&port) => usize::from(port - uplinks.start),
            _ => usize::from(worker_of(given.port, count).0),
        };
        let chain = self.chain(&given);
        self.workers[at].burst.push(chain);
        if !given.together || self.workers[at].burst.len() == BURST {
            self.run(at);
        }
    }

    fn chain(&self, given: &Given) -> Chain {
        let start = if given.headroom { HEADROOM } else { 0 };
        let (head, tail) = given.frame.split_at(given.frame.len().min(given.first).min(CHUNK - HEADROOM));
        let mut room = vec![0xee; CHUNK];
        room[start..start + head.len()].copy_from_slice(head);
        let port = tunnel_port(self.ground.cluster.setup.encapsulation);
        let is_tunnel = given.frame.get(36..38) == Some(&port.to_be_bytes());
        let inner = if is_tunnel { given.frame.get(INNER - 14..) } else { None };
        // In a tunnel with options nothing is found here, and nothing is asked.
        let right = transport_is_right(inner.unwrap_or(&given.frame), true) == Some(true);
        let source = given.frame.get(6..12).and_then(|mac| mac.try_into().ok()).map(MacAddr);
        let arrived = Arrived { port: given.port, source, right };
        Chain { arrived, room, start, head_len: head.len(), tail: tail.to_vec() }
    }

    fn tables(&self) -> &'static Tables {
        &self.ground.tables[self.stage]
    }

    fn run_all(&mut self) {
        (0..self.workers.len()).for_each(|at| self.run(at));
    }

    /// One worker's burst; then whatever it releases.
    fn run(&mut self, at: usize) {
        let burst = std::mem::take(&mut self.workers[at].burst);
        if !burst.is_empty() {
            self.decide(at, burst);
        }
        self.take_released(at);
    }

    fn take_released(&mut self, at: usize) {
        for _ in 0..PARKED {
            let worker = &mut self.workers[at];
            let mut burst = Vec::new();
            while let Some((slot, release)) = worker.path.released(&mut worker.counts) {
                let chain = worker.parked.remove(&slot).expect("what is released has waited, and is released once");
                if release == Release::Run {
                    burst.push(chain);
                }
            }
            self.check_books();
            if burst.is_empty() {
                return;
            }
            self.decide(at, burst);
        }
        panic!("packets are released and parked again without end");
    }

    fn decide(&mut self, at: usize, mut burst: Vec<Chain>) {
        let (now, tables) = (self.clock.now(), self.tables());
        let worker = &mut self.workers[at];
        let mut packets: Vec<Packet<'_>> = burst
            .iter_mut()
            .map(|it| Packet::new(&mut it.room, it.start, it.head_len, it.head_len + it.tail.len(), it.arrived.port))
            .collect();
        worker.path.run(now, tables, &mut worker.counts, &mut packets);
        let outcomes: Vec<_> =
            packets.iter().map(|it| (it.verdict(), it.head().to_vec(), it.total_len(), it.cut_to())).collect();
        for (chain, (verdict, mut frame, total_len, cut)) in burst.into_iter().zip(outcomes) {
            match verdict {
                Verdict::Drop(reason) => assert_ne!(reason, DropReason::Undecided),
                Verdict::Park { slot } => {
                    assert!(usize::from(slot) < PARKED);
                    assert!(self.workers[at].parked.insert(slot, chain).is_none(), "slot {slot} is taken");
                }
                Verdict::Forward { port, checksum } => {
                    if total_len > frame.len() {
                        frame.extend_from_slice(&chain.tail);
                    }
                    assert_eq!(frame.len(), total_len, "the chain is kept whole or given back whole");
                    self.leave(&chain.arrived, port, checksum, frame, cut.is_some());
                }
            }
        }
        let wanted = self.workers[at].path.wanted().count();
        assert!(wanted <= 16);
        self.check_books();
    }

    fn leave(&mut self, arrived: &Arrived, port: PortId, checksum: Checksum, frame: Vec<u8>, cut: bool) {
        let frame = completed(frame, checksum).expect("a partial checksum inside the frame");
        let sent = Sent { port, frame, cut };
        self.left.push(check(self.ground, self.tables(), Some(arrived), &sent));
    }

    fn idle(&mut self) {
        for at in 0..self.workers.len() {
            let now = self.clock.now();
            let worker = &mut self.workers[at];
            worker.path.idle(now, &mut worker.counts);
            self.take_released(at);
        }
    }

    fn check_books(&self) {
        for worker in &self.workers {
            assert!(worker.counts.is_balanced(), "{:?}", worker.counts);
        }
        let sum = |count: fn(&Counts) -> u64| self.workers.iter().map(|it| count(&it.counts)).sum::<u64>();
        let (new, gone) = (sum(|it| it.connections_new), sum(|it| it.connections_gone));
        assert_eq!(new - gone, u64::from(self.shared.connections.len()), "connections made and gone");
    }

    /// Lets the time of everything run out, and looks that nothing is left of it.
    fn end(mut self) {
        self.run_all();
        // Longer than the first fragment of a packet is waited for, then longer than anything is remembered.
        for time in [Duration::from_secs(2), Duration::from_secs(32), LONGEST] {
            self.clock.advance(time);
            // As many turns as it takes to look at every fragmented packet and connection.
            (0..40).for_each(|_| self.idle());
            for worker in &self.workers {
                assert!(worker.parked.is_empty(), "{} packets wait for ever", worker.parked.len());
                assert_eq!(worker.counts.parked, 0);
            }
        }
        assert_eq!(self.shared.connections.len(), 0, "connections that stay for ever");
        let owners = (0..32).chain([Owner::NODE.0]).map(Owner);
        let owned: u32 = owners.map(|owner| self.shared.connections.owned_by(owner)).sum();
        assert_eq!(owned, 0, "shares that are not given back");
    }
}
