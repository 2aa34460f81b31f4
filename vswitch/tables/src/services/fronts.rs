//! IPv4 frontends with what most new connections need of them: the frontend's slot, a cache line at most, leads straight to the
//! backends.

use std::sync::Arc;

/// What a pod's connection to a frontend is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'t> {
    /// There is no frontend of that key.
    None,
    /// One of these by chance, each address (upper half) and port (lower half), and the client is not hidden. There is at least one.
    Plain(&'t [u64]),
    /// What [`super::Services::frontend`] says.
    Special,
}

/// An odd constant of high entropy (the golden ratio's fraction).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// One frontend. Half a cache line.
#[derive(Clone, Debug, Default)]
#[repr(align(32))]
struct Slot {
    /// Never 0, as no frontend has port 0.
    key: u64,
    plain: Option<Arc<[u64]>>,
}

/// The frontends: each where the hash of its key says or right behind.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    /// A power of two of them, at most one in two used; or none.
    slots: Box<[Slot]>,
    seed: u64,
}

/// Into one of its size no memory is asked for.
impl Clone for Fronts {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), seed: self.seed }
    }

    fn clone_from(&mut self, other: &Self) {
        self.slots.clone_from(&other.slots);
        self.seed = other.seed;
    }
}

impl Fronts {
    /// Takes keys that are all different, and none of them 0.
    pub(super) fn of(all: impl ExactSizeIterator<Item = (u64, Option<Arc<[u64]>>)>, seed: u64) -> Self {
        let slots = if all.len() == 0 { 0 } else { (all.len() * 2).next_power_of_two() };
        let mut fronts = Self { slots: vec![Slot::default(); slots].into(), seed };
        for (key, plain) in all {
            let mut at = fronts.home(key);
            while fronts.slots[at].key != 0 {
                at = (at + 1) & (slots - 1);
            }
            fronts.slots[at] = Slot { key, plain };
        }
        fronts
    }

    /// Gives the frontend of a key something else; one that is not there stays away.
    pub(super) fn change(&mut self, key: u64, plain: Option<Arc<[u64]>>) {
        let mut at = self.home(key);
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.key == key {
                slot.plain = plain;
                return;
            }
            if slot.key == 0 {
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the result is below the number of slots")]
    fn home(&self, key: u64) -> usize {
        let wide = u128::from(key ^ self.seed) * u128::from(SPREAD);
        let hash = (wide >> 64) as u64 ^ wide as u64;
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    pub(super) fn get(&self, key: u64) -> Front<'_> {
        let mut at = self.home(key);
        loop {
            let Some(slot) = self.slots.get(at) else { return Front::None };
            if slot.key == key {
                return slot.plain.as_deref().map_or(Front::Special, Front::Plain);
            }
            if slot.key == 0 {
                return Front::None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}
