//! The path with everything around it that a worker has, in plain memory.

use std::sync::Arc;

use sluice_path::{Checksum, Counts, DropReason, Packet, Path, PathConfig, Release, Time, Verdict};
use sluice_tables::{PortId, Publisher, Reader};

use crate::{Clock, Node};

/// Free bytes in front of a packet, as the rx ring of the worker leaves them.
pub(crate) const HEADROOM: usize = 256;
/// Length of a frame of a chain.
pub(crate) const CHUNK: usize = 4096;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It, or what was made of it, leaves by `port`.
    Sent {
        /// Where it leaves.
        port: PortId,
        /// State of its transport checksum.
        checksum: Checksum,
        /// The whole frame, the chain joined.
        frame: Vec<u8>,
    },
    /// Nothing leaves.
    Dropped(DropReason),
    /// It waits for the first fragment of its datagram.
    Parked,
}

/// A packet that waits.
struct Parked {
    slot: u16,
    port: PortId,
    frame: Vec<u8>,
    first: usize,
}

/// A switch with one worker, whose rings are vectors.
pub struct Switch {
    path: Path,
    publisher: Publisher,
    reader: Reader,
    counts: Counts,
    generation: u64,
    parked: Vec<Parked>,
    /// What became of packets that had waited, in the order in which they were released.
    pub late: Vec<Outcome>,
    /// Time as the switch knows it.
    pub clock: Clock,
}

impl Switch {
    /// A switch for `node` with the default configuration.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        Self::with_config(node, PathConfig::default())
    }

    /// A switch for `node`.
    #[must_use]
    pub fn with_config(node: &Node, config: PathConfig) -> Self {
        let publisher = Publisher::new(node.tables(0));
        let reader = publisher.reader();
        let path = Path::new(config, Arc::default());
        let (parked, late) = (Vec::new(), Vec::new());
        Self { path, publisher, reader, counts: Counts::new(), generation: 0, parked, late, clock: Clock::default() }
    }

    /// Publishes what follows from the changed `node`.
    pub fn publish(&mut self, node: &Node) {
        self.generation += 1;
        self.publisher.publish(node.tables(self.generation));
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One frame from `port`, as a chain when it is longer than a frame holds.
    pub fn send(&mut self, port: PortId, frame: &[u8]) -> Outcome {
        let first = frame.len().min(CHUNK - HEADROOM);
        self.send_cut(port, frame, first)
    }

    /// One frame from `port`, cut behind its first `first` bytes.
    ///
    /// # Panics
    /// When `first` is longer than the frame or than what one frame of a chain holds.
    pub fn send_cut(&mut self, port: PortId, frame: &[u8], first: usize) -> Outcome {
        let outcome = self.one(port, frame, first);
        self.take_released();
        outcome
    }

    /// What becomes of packets when none come: those that waited too long are dropped.
    pub fn idle(&mut self) {
        self.path.idle(self.clock.now(), &mut self.counts);
        self.take_released();
    }

    fn take_released(&mut self) {
        while let Some((slot, release)) = self.path.released(&mut self.counts) {
            // What a burst of the caller's left waiting is not kept here.
            let Some(at) = self.parked.iter().position(|it| it.slot == slot) else { continue };
            let Parked { port, frame, first, .. } = self.parked.swap_remove(at);
            let outcome = match release {
                Release::Drop(reason) => Outcome::Dropped(reason),
                Release::Run => self.one(port, &frame, first),
            };
            self.late.push(outcome);
        }
    }

    fn one(&mut self, port: PortId, frame: &[u8], first: usize) -> Outcome {
        let mut room = vec![0xee; CHUNK];
        room[HEADROOM..HEADROOM + first].copy_from_slice(&frame[..first]);
        let mut packet = Packet::new(&mut room, HEADROOM, first, frame.len(), port);
        let now: Time = self.clock.now();
        self.path.run(now, self.reader.current(), &mut self.counts, std::slice::from_mut(&mut packet));
        let (head_len, total_len) = (packet.head_len(), packet.total_len());
        match packet.verdict() {
            Verdict::Drop(reason) => Outcome::Dropped(reason),
            Verdict::Park { slot } => {
                self.parked.push(Parked { slot, port, frame: frame.to_vec(), first });
                Outcome::Parked
            }
            Verdict::Forward { port, checksum } => {
                let mut sent = packet.head().to_vec();
                if total_len > head_len {
                    sent.extend_from_slice(&frame[first..]);
                }
                Outcome::Sent { port, checksum, frame: sent }
            }
        }
    }

    /// A burst that the caller has made. What is parked of it is given up: see [`Switch::forsake`].
    pub fn run(&mut self, burst: &mut [Packet<'_>]) {
        let now: Time = self.clock.now();
        self.path.run(now, self.reader.current(), &mut self.counts, burst);
    }

    /// Releases what [`Switch::run`] parked, as far as it need not wait; how many packets that were.
    pub fn forsake(&mut self) -> usize {
        std::iter::from_fn(|| self.path.released(&mut self.counts)).count()
    }
}
