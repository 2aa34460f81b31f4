//! The way of a packet.

use sluice_tables::Tables;

use crate::budget::{Budget, ErrorRate};
use crate::{Counts, DropReason, Packet, Time, Verdict};

/// What of the path can be configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathConfig {
    /// How many ICMP errors this worker may send.
    pub icmp_errors: ErrorRate,
}

/// The path of one worker: what it remembers from burst to burst.
#[derive(Clone, Debug)]
pub struct Path {
    errors: Budget,
}

impl Path {
    /// A path that has seen no packet.
    #[must_use]
    pub fn new(config: PathConfig) -> Self {
        Self { errors: Budget::new(config.icmp_errors) }
    }

    /// Decides on every packet of `burst`. `now` and `tables` hold for all of it.
    pub fn run(&mut self, now: Time, tables: &Tables, counts: &mut Counts, burst: &mut [Packet<'_>]) {
        let _ = (now, tables, &mut self.errors);
        for packet in burst {
            counts.received += 1;
            counts.count_drop(DropReason::Undecided);
            packet.decide(Verdict::Drop(DropReason::Undecided));
        }
    }
}
