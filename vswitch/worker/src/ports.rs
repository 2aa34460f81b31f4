//! The ports of one worker.
use std::sync::Arc;

use sluice_path::Time;
use sluice_tables::PortId;
use sluice_xsk::Port;

use crate::counters::{PortCounters, PortSnapshot};
use crate::limits::{Buckets, Limits};

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
    pub(crate) snapshot: PortSnapshot,
    pub(crate) counters: Arc<PortCounters>,
    pub(crate) statistics_due: Time,
    pub(crate) buckets: Option<Box<Buckets>>,
}

impl Owned {
    pub(crate) fn new(id: PortId, port: Port, counters: Arc<PortCounters>, limits: Limits) -> Owned {
        Owned {
            id,
            port,
            unsent: false,
            stalled: false,
            touched: true,
            snapshot: PortSnapshot::default(),
            counters,
            statistics_due: Time(0),
            buckets: Buckets::of(limits),
        }
    }

    fn limits_ingress(&self) -> bool {
        self.buckets.as_ref().is_some_and(|buckets| buckets.ingress.is_some())
    }

    pub(crate) fn look_at_kernel(&mut self, now: Time) {
        self.snapshot.refresh_kernel(&self.port);
        self.statistics_due = Time(now.0 + KERNEL_STATISTICS);
    }
}

/// The ports of one worker, in polling order, found by id.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) owned: Vec<Owned>,
    /// Position + 1 by port id; 0 for a port of another worker. With [`LIMITED`] for one that takes no packet unasked.
    position: Vec<u32>,
}

/// Beyond any position, so that whoever looks for an open port does not have to ask.
const LIMITED: u32 = 1 << 31;

impl Ports {
    /// Where in `owned` a port is that any packet may leave by.
    #[inline]
    pub(crate) fn open(&self, id: PortId) -> Option<usize> {
        let position = *self.position.get(usize::from(id.0))?;
        (position as usize).checked_sub(1).filter(|at| *at < self.owned.len())
    }

    /// Where in `owned` a port is that limits what its pod receives.
    #[inline]
    pub(crate) fn limited(&self, id: PortId) -> Option<usize> {
        let position = *self.position.get(usize::from(id.0))?;
        (position & LIMITED != 0).then_some(((position & !LIMITED) as usize).wrapping_sub(1))
    }

    /// Whether a port is one of these.
    #[inline]
    pub(crate) fn has(&self, id: PortId) -> bool {
        self.position.get(usize::from(id.0)).is_some_and(|position| *position != 0)
    }

    pub(crate) fn add(&mut self, owned: Owned) {
        self.owned.push(owned);
        self.index();
    }

    pub(crate) fn remove(&mut self, id: PortId) -> Option<Owned> {
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
            let limited = if owned.limits_ingress() { LIMITED } else { 0 };
            self.position[usize::from(owned.id.0)] = (at + 1) as u32 | limited;
        }
    }
}
