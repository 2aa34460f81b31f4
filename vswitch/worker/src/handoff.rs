//! Rings between workers: a packet for a port of another worker goes there whole.
use sluice_tables::PortId;
use sluice_xsk::{Partial, Segment, Umem};

use crate::between::{Consumer, Producer, RingBuffer};

/// Segments that wait between two workers at most; few in a model, where full and empty are what matters.
const SEGMENTS: usize = if cfg!(feature = "loom") { 2 } else { 2048 };

/// One segment on its way to another worker.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) segment: Segment,
    /// Segments of the same packet that follow.
    pub(crate) following: u16,
    /// Of the packet; the first segment's counts.
    pub(crate) label: Label,
}

/// What the other worker is told of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    /// Where it is to go.
    pub(crate) port: PortId,
    /// The checksum that is to be completed.
    pub(crate) partial: Option<Partial>,
    /// How many packets it came as.
    pub(crate) packets: u16,
}

/// One worker's ends of the rings.
#[derive(Debug)]
pub struct Handoff {
    /// To each worker; `None` to itself.
    pub(crate) to: Vec<Option<Producer<Item>>>,
    /// From each other worker.
    pub(crate) from: Vec<Consumer<Item>>,
}

impl Handoff {
    /// Gives the frames of packets that were handed over and never taken back to the depot: at the end of all workers.
    pub(crate) fn drain(self, umem: &Umem) {
        for mut ring in self.from {
            while let Ok(item) = ring.pop() {
                umem.give(item.segment.frame);
            }
        }
    }
}

/// Rings from every worker to every other.
pub fn mesh(workers: usize) -> Vec<Handoff> {
    let mut ends: Vec<Handoff> = (0..workers).map(|_| Handoff { to: Vec::new(), from: Vec::new() }).collect();
    for from in 0..workers {
        for to in 0..workers {
            if from == to {
                ends[from].to.push(None);
                continue;
            }
            let (producer, consumer) = RingBuffer::new(SEGMENTS);
            ends[from].to.push(Some(producer));
            ends[to].from.push(consumer);
        }
    }
    ends
}

/// Sends a whole packet of `count` segments or nothing.
pub(crate) fn send(
    ring: &mut Producer<Item>,
    packet: impl Iterator<Item = Segment>,
    count: usize,
    label: Label,
) -> bool {
    let Ok(chunk) = ring.write_chunk_uninit(count) else { return false };
    let items = packet.enumerate().map(|(i, segment)| Item { segment, following: (count - 1 - i) as u16, label });
    chunk.fill_from_iter(items);
    true
}
