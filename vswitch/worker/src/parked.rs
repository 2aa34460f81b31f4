//! Packets that wait for others: their frames stay here until the path says what becomes of them.
use std::sync::Arc;

use sluice_path::PARKED;
use sluice_tables::PortId;
use sluice_xsk::{Pool, Umem};

use crate::transmit::Chain;

/// A packet as it came.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) chain: Chain,
    /// The port it came from.
    pub(crate) port: PortId,
}

/// The parked packets of one worker, by the path's slot.
#[derive(Debug)]
pub(crate) struct Parked {
    umem: Arc<Umem>,
    slots: Box<[Option<Waiting>]>,
    count: usize,
}

impl Parked {
    pub(crate) fn new(umem: Arc<Umem>) -> Parked {
        Parked { umem, slots: (0..PARKED).map(|_| None).collect(), count: 0 }
    }

    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Keeps a packet; gives it back for a slot that is taken or does not exist.
    #[must_use]
    pub(crate) fn put(&mut self, slot: u16, waiting: Waiting) -> Option<Waiting> {
        let Some(place @ None) = self.slots.get_mut(usize::from(slot)) else { return Some(waiting) };
        *place = Some(waiting);
        self.count += 1;
        None
    }

    /// Gives a packet up.
    pub(crate) fn take(&mut self, slot: u16) -> Option<Waiting> {
        let waiting = self.slots.get_mut(usize::from(slot))?.take()?;
        self.count -= 1;
        Some(waiting)
    }

    /// Drops a packet: its frames are free again.
    pub(crate) fn discard(&mut self, slot: u16, pool: &mut Pool) {
        if let Some(waiting) = self.take(slot) {
            waiting.chain.into_iter().for_each(|segment| pool.give_segment(segment));
        }
    }
}

impl Drop for Parked {
    /// A worker that ends takes no frame with it.
    fn drop(&mut self) {
        let waiting = self.slots.iter_mut().filter_map(Option::take);
        waiting.flat_map(|waiting| waiting.chain).for_each(|segment| self.umem.give(segment.frame));
    }
}
