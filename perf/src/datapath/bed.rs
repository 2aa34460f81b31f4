//! A case set up to be run: its connections are there, and its packets can be restored after each run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluice_path::{Packet, Verdict};

use super::case::{Case, Packets};
use super::frames::{Flow, Sent};
use super::world::World;

/// Packets that are run together: eight bursts of 32, each packet in its own 4 KiB.
pub(super) const BATCH: usize = 256;
/// Packets of a burst where nothing else is said.
pub(super) const BURST: usize = 32;
/// Bytes that a packet has, as in the switch's packet memory, and where it begins in them.
const ROOM: usize = 4096;
const HEADROOM: usize = 256;
/// Connections that are begun, where packets are the first of theirs, before all of them end: so many that the table's
/// lines are as far from the processor as in a busy table.
const EPOCH: usize = 1024 * BATCH;

/// What a bed of [`Packets::First`] does before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Every line that it will use has been used before, as after a while in use.
    Used,
    /// Nothing: for who counts instructions, to which it makes no difference.
    Fresh,
}

/// The bed.
pub(super) struct Bed {
    pub(super) case: &'static Case,
    world: World,
    rooms: Vec<u8>,
    /// What the next batch is; the same each time where the case has no more connections than a batch.
    batch: Vec<Sent>,
    draws: Draws,
    /// Batches run since connections were forgotten.
    in_epoch: usize,
}

impl Bed {
    /// Opens every connection of the case.
    pub(super) fn new(case: &'static Case, table: Table) -> Result<Self> {
        let world = World::new(&case.setup)?;
        let draws = Draws { state: 0x9e37_79b9_7f4a_7c15 };
        let mut bed = Self { case, world, rooms: vec![0; ROOM * BATCH], batch: Vec::new(), draws, in_epoch: 0 };
        if case.packets == Packets::First {
            if table == Table::Used {
                bed.use_table()?;
            }
        } else {
            for number in 0..case.flows {
                let sent = bed.open(number)?;
                if bed.batch.len() < BATCH {
                    bed.batch.push(sent);
                }
            }
        }
        bed.check()?;
        Ok(bed)
    }

    fn flow(&self, number: u32) -> Flow {
        Flow { route: self.case.route, family: self.case.family, number, clients: self.case.clients }
    }

    /// Sends a connection's first packet and its reply; returns the one that the case is about.
    fn open(&mut self, number: u32) -> Result<Sent> {
        let flow = self.flow(number);
        let request = flow.request();
        let forwarded = self.pass(&request)?;
        let reply =
            flow.reply(&forwarded, self.case.setup.encapsulation).context("a request became no tunnel packet")?;
        self.pass(&reply)?;
        Ok(if self.case.packets == Packets::Replies { reply } else { request })
    }

    /// Sends one packet that has to be forwarded, and returns what it has become.
    fn pass(&mut self, sent: &Sent) -> Result<Vec<u8>> {
        let mut packet = packet(&mut self.rooms[..ROOM], sent);
        self.world.run(std::slice::from_mut(&mut packet), 1);
        let name = self.case.name;
        ensure!(matches!(packet.verdict(), Verdict::Forward { .. }), "{name}: a packet met {:?}", packet.verdict());
        Ok(packet.head().to_vec())
    }

    /// As many connections come and go as do so between two batches.
    fn use_table(&mut self) -> Result<()> {
        for number in 0..(EPOCH as u32).min(self.case.flows) {
            let first = self.flow(number).first();
            self.pass(&first)?;
        }
        self.world.forget_connections();
        Ok(())
    }

    /// Chooses the packets of the next batch.
    fn choose(&mut self) {
        match self.case.packets {
            Packets::First => self.draw_new(),
            _ if self.case.flows as usize > BATCH => self.draw_known(),
            _ => {}
        }
    }

    fn draw_known(&mut self) {
        let flows = u64::from(self.case.flows);
        let numbers: Vec<u32> = (0..BATCH).map(|_| (self.draws.next() % flows) as u32).collect();
        self.batch = numbers.into_iter().map(|number| self.flow(number).request()).collect();
    }

    fn draw_new(&mut self) {
        if self.in_epoch * BATCH >= EPOCH.min(self.case.flows as usize) {
            self.world.forget_connections();
            self.in_epoch = 0;
        }
        let first = (self.in_epoch * BATCH) as u32;
        self.batch = (first..).take(BATCH).map(|number| self.flow(number).first()).collect();
        self.in_epoch += 1;
    }

    /// Makes the next batch, as it was before the path changed its bytes, and gives it to `around` to be run there.
    pub(super) fn run<T>(&mut self, around: impl FnOnce(&mut World, &mut [Packet<'_>]) -> T) -> T {
        self.choose();
        let rooms = self.rooms.chunks_exact_mut(ROOM).zip(&self.batch);
        let mut packets: Vec<Packet<'_>> = rooms.map(|(room, sent)| packet(room, sent)).collect();
        around(&mut self.world, &mut packets)
    }

    /// Nanoseconds a packet of each batch that could be run in `length`, in bursts of `burst`. Only the path is on the clock,
    /// not what makes the batch.
    pub(super) fn trial(&mut self, burst: usize, length: Duration) -> Vec<f64> {
        let end = Instant::now() + length;
        let mut samples = Vec::new();
        while samples.is_empty() || Instant::now() < end {
            let elapsed = self.run(|world, packets| {
                let start = Instant::now();
                world.run(packets, burst);
                start.elapsed()
            });
            samples.push(elapsed.as_nanos() as f64 / BATCH as f64);
        }
        samples
    }

    /// Whether a batch does what the case is about: everything is forwarded, by connections known or new.
    fn check(&mut self) -> Result<()> {
        let before = self.world.counts().clone();
        self.run(|world, packets| world.run(packets, BURST));
        let after = self.world.counts();
        let new = if self.case.packets == Packets::First { BATCH as u64 } else { 0 };
        let name = self.case.name;
        ensure!(after.forwarded - before.forwarded == BATCH as u64, "{name}: not all was forwarded: {after:?}");
        ensure!(after.connections_new - before.connections_new == new, "{name}: wrong connections: {after:?}");
        Ok(())
    }
}

fn packet<'r>(room: &'r mut [u8], sent: &Sent) -> Packet<'r> {
    room[HEADROOM..][..sent.frame.len()].copy_from_slice(&sent.frame);
    Packet::new(room, HEADROOM, sent.frame.len(), sent.frame.len(), sent.port)
}

/// Numbers in no order (xorshift64).
struct Draws {
    state: u64,
}

impl Draws {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 11
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::CASES;
    use super::*;

    #[test]
    fn every_small_case_does_what_it_is_about() {
        for case in CASES.iter().filter(|case| case.flows <= 16_384 && case.setup.scale.services < 10) {
            let mut bed = Bed::new(case, Table::Fresh).expect("the case stands");
            assert_eq!(bed.trial(32, Duration::ZERO).len(), 1, "{}", case.name);
        }
    }
}
