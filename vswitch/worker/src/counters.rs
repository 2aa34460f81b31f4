//! Counters that anyone may read while the worker runs.
//!
//! Each block has one writer, its worker, which copies its private integers into it after a turn that did something: plain
//! stores, no read-modify-write. Readers see each value whole, though not all of one instant.
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use sluice_path::{Counts, DropReason};
use sluice_xsk::Statistics;

macro_rules! block {
    ($(#[$meta:meta])* $block:ident, $snapshot:ident { $($(#[$doc:meta])* $field:ident,)+ }) => {
        #[derive(Debug, Default)]
        pub(crate) struct $block {
            $(pub(crate) $field: AtomicU64,)+
        }

        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $snapshot {
            $($(#[$doc])* pub $field: u64,)+
        }

        impl $block {
            pub(crate) fn read(&self) -> $snapshot {
                $snapshot { $($field: self.$field.load(Ordering::Relaxed),)+ }
            }

            pub(crate) fn store(&self, snapshot: &$snapshot) {
                $(self.$field.store(snapshot.$field, Ordering::Relaxed);)+
            }
        }

        impl $snapshot {
            /// Each counter's name and value.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)+]
            }
        }
    };
}

block! {
    /// What a worker's loop has done.
    LoopCounters, LoopSnapshot {
        /// Turns of the loop.
        turns,
        /// Turns that moved a packet or carried out a command.
        busy_turns,
        /// Times it slept.
        sleeps,
        /// Packets handed to other workers.
        handed_over,
        /// Packets taken from other workers.
        taken_over,
        /// Partial checksums completed in software.
        checksums_completed,
        /// Super-frames cut into segments.
        super_frames_cut,
        /// Datagrams cut into fragments.
        datagrams_cut,
        /// TCP segments that arrived on their own and left in super-frames.
        segments_joined,
        /// Super-frames made of them.
        super_frames_joined,
        /// Free frames in the worker's own pool.
        pool_frames,
        /// Microseconds of the longest time that it did not look at its ports while awake, of the last ten to twenty seconds.
        longest_pause_us,
        /// Such times of a millisecond and more.
        long_pauses,
    }
}

block! {
    /// What a port has done, and what the kernel says of its socket.
    PortCounters, PortSnapshot {
        /// Packets received.
        rx_packets,
        /// Bytes received.
        rx_bytes,
        /// Packets put on the tx ring.
        tx_packets,
        /// Bytes put on the tx ring.
        tx_bytes,
        /// Received packets of too many frames.
        rx_too_long,
        /// Received packets with a descriptor out of bounds.
        rx_bad_descriptor,
        /// Completions of frames that the port did not send.
        bad_completion,
        /// System calls that had the tx ring looked at.
        kicks,
        /// Of those, the ones that failed.
        kick_errors,
        /// Refills that found no free frame.
        no_frame,
        /// Frames on the port's rings.
        frames_held,
        /// Packets dropped because its pod receives more than it may.
        bandwidth_ingress,
        /// Packets dropped because its pod sends more than it may.
        bandwidth_egress,
        /// Kernel: packets dropped before the rx ring for other reasons than a full ring.
        kernel_rx_dropped,
        /// Kernel: packets dropped because the rx ring was full.
        kernel_rx_ring_full,
        /// Kernel: times the fill ring had no frame.
        kernel_fill_ring_empty,
        /// Kernel: tx descriptors refused.
        kernel_tx_invalid,
    }
}

/// Counters of one worker, read in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSnapshot {
    /// Core it is pinned to.
    pub core: usize,
    /// Its loop.
    pub looped: LoopSnapshot,
    /// Its path.
    pub counts: Counts,
    /// Generation of the tables it used last.
    pub generation: u64,
}

/// What one worker publishes.
#[derive(Debug)]
pub(crate) struct WorkerCounters {
    pub(crate) looped: CachePadded<LoopCounters>,
    generation: AtomicU64,
    path: [AtomicU64; PATH],
    drops: [AtomicU64; DropReason::COUNT],
}

const PATH: usize = Counts::NAMES.len();

impl WorkerCounters {
    pub(crate) fn new() -> WorkerCounters {
        WorkerCounters {
            looped: CachePadded::default(),
            generation: AtomicU64::new(0),
            path: [const { AtomicU64::new(0) }; PATH],
            drops: [const { AtomicU64::new(0) }; DropReason::COUNT],
        }
    }

    pub(crate) fn store(&self, counts: &Counts, generation: u64) {
        for (cell, value) in self.path.iter().zip(counts.values()) {
            cell.store(value, Ordering::Relaxed);
        }
        for (cell, value) in self.drops.iter().zip(&counts.drops) {
            cell.store(*value, Ordering::Relaxed);
        }
        self.generation.store(generation, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, core: usize) -> WorkerSnapshot {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let values = std::array::from_fn(|i| load(&self.path[i]));
        let counts = Counts::from_values(values, std::array::from_fn(|i| load(&self.drops[i])));
        let generation = self.generation.load(Ordering::Relaxed);
        WorkerSnapshot { core, looped: self.looped.read(), counts, generation }
    }
}

impl PortSnapshot {
    /// What a port counted itself; the kernel's part as it was.
    pub(crate) fn refresh(&mut self, port: &sluice_xsk::Port) {
        let Statistics {
            rx_packets,
            rx_bytes,
            tx_packets,
            tx_bytes,
            rx_too_long,
            rx_bad_descriptor,
            bad_completion,
            kicks,
            kick_errors,
            no_frame,
        } = port.statistics();
        *self = PortSnapshot {
            rx_packets,
            rx_bytes,
            tx_packets,
            tx_bytes,
            rx_too_long,
            rx_bad_descriptor,
            bad_completion,
            kicks,
            kick_errors,
            no_frame,
            frames_held: u64::from(port.frames_held()),
            ..*self
        };
    }

    /// What the kernel counted on the port's socket: one system call.
    pub(crate) fn refresh_kernel(&mut self, port: &sluice_xsk::Port) {
        let Some(kernel) = port.kernel_statistics() else { return };
        self.kernel_rx_dropped = kernel.rx_dropped;
        self.kernel_rx_ring_full = kernel.rx_ring_full.unwrap_or(0);
        self.kernel_fill_ring_empty = kernel.rx_fill_ring_empty_descs.unwrap_or(0);
        self.kernel_tx_invalid = kernel.tx_invalid_descs;
    }
}
