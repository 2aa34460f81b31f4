//! IPv4 frontends with what most new connections need of them: the frontend's slot leads straight to the backends, and those of all
//! frontends lie side by side. Nothing in it is found by a pointer, so that it is copied as it lies, generation by generation, and takes
//! few pages, whose places a processor can remember.

use crate::hash::spread;

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

/// One frontend. Four to a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
struct Slot {
    /// Never 0, as no frontend has port 0.
    key: u64,
    /// Where its backends begin.
    first: u32,
    /// How many there are; none where it is [`Front::Special`].
    count: u32,
}

/// Where the look-up of a frontend begins: [`super::Services::begin_front`].
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    at: usize,
    key: u64,
}

/// The frontends: each where the hash of its key says or right behind.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    /// A power of two of them, at most one in two used; or none.
    slots: Box<[Slot]>,
    /// Each frontend's, one after the other.
    backends: Vec<u64>,
    /// Those that no frontend leads to any more.
    unused: usize,
    seed: u64,
    /// How many bits of a hash do not say where to begin: 64 less those of a slot's number.
    shift: u32,
}

/// Into one of its size no memory is asked for.
impl Clone for Fronts {
    fn clone(&self) -> Self {
        let Self { slots, backends, unused, seed, shift } = self;
        Self { slots: slots.clone(), backends: backends.clone(), unused: *unused, seed: *seed, shift: *shift }
    }

    fn clone_from(&mut self, other: &Self) {
        self.slots.clone_from(&other.slots);
        self.backends.clone_from(&other.backends);
        self.unused = other.unused;
        self.seed = other.seed;
        self.shift = other.shift;
    }
}

impl Fronts {
    /// Takes keys that are all different, and none of them 0, with their backends: none at all where there is more to be said.
    pub(super) fn of<B: IntoIterator<Item = u64>>(all: impl ExactSizeIterator<Item = (u64, B)>, seed: u64) -> Self {
        let slots = if all.len() == 0 { 0 } else { (all.len() * 2).next_power_of_two() };
        let shift = 64 - slots.max(2).trailing_zeros();
        let slots_of = vec![Slot::default(); slots].into();
        let mut fronts = Self { slots: slots_of, backends: Vec::new(), unused: 0, seed, shift };
        for (key, backends) in all {
            let mut at = fronts.home(key);
            while fronts.slots[at].key != 0 {
                at = (at + 1) & (slots - 1);
            }
            fronts.slots[at] = Slot { key, ..fronts.append(backends) };
        }
        fronts
    }

    /// Gives the frontend of a key other backends; one that is not there stays away.
    pub(super) fn change(&mut self, key: u64, backends: impl IntoIterator<Item = u64>) {
        let Some(at) = self.position(self.begin(key).0) else { return };
        self.unused += self.slots[at].count as usize;
        self.slots[at] = Slot { key, ..self.append(backends) };
        if self.unused > self.backends.len() / 2 {
            self.close_up();
        }
    }

    /// Puts backends behind all others; where they are.
    fn append(&mut self, backends: impl IntoIterator<Item = u64>) -> Slot {
        let start = self.backends.len();
        self.backends.extend(backends);
        // With 2^32 of them, which is 32 GiB, a frontend that cannot be led to is left to the rest of the Services.
        match (u32::try_from(start), u32::try_from(self.backends.len() - start)) {
            (Ok(first), Ok(count)) => Slot { key: 0, first, count },
            _ => Slot::default(),
        }
    }

    /// Leaves out what is unused.
    fn close_up(&mut self) {
        let before = std::mem::take(&mut self.backends);
        self.backends.reserve(before.len() - self.unused);
        for slot in &mut self.slots {
            let (first, count) = (slot.first as usize, slot.count as usize);
            slot.first = u32::try_from(self.backends.len()).unwrap_or(0);
            self.backends.extend_from_slice(before.get(first..first + count).unwrap_or_default());
        }
        self.unused = 0;
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        spread(key ^ self.seed, self.shift)
    }

    #[inline]
    fn position(&self, Beginning { mut at, key }: Beginning) -> Option<usize> {
        loop {
            let slot = self.slots.get(at)?;
            if slot.key == key {
                return Some(at);
            }
            if slot.key == 0 {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Where a look-up of `key` begins. Loads what is there; the second word means nothing but that.
    #[inline]
    pub(super) fn begin(&self, key: u64) -> (Beginning, u64) {
        let at = self.home(key);
        (Beginning { at, key }, self.slots.get(at).map_or(0, |slot| slot.key))
    }

    #[inline]
    pub(super) fn get(&self, beginning: Beginning) -> Front<'_> {
        let Some(slot) = self.position(beginning).and_then(|at| self.slots.get(at)) else { return Front::None };
        let first = slot.first as usize;
        match self.backends.get(first..first + slot.count as usize) {
            Some(backends) if !backends.is_empty() => Front::Plain(backends),
            _ => Front::Special,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_frontend_leads_to_what_it_was_last_given(
            all in prop::collection::btree_map(1_u64..100, 0_u64..6, 0..60),
            changes in prop::collection::vec((1_u64..100, 0_u64..6), 0..300),
        ) {
            let words = |key: u64, count: u64, round: u64| (0..count).map(move |number| key << 32 | round << 8 | number);
            let mut expected: BTreeMap<u64, Vec<u64>> =
                all.iter().map(|(key, count)| (*key, words(*key, *count, 0).collect())).collect();
            let mut fronts = Fronts::of(all.iter().map(|(key, count)| (*key, words(*key, *count, 0))), 5);
            for (round, (key, count)) in (1..).zip(changes) {
                fronts.change(key, words(key, count, round));
                expected.entry(key).and_modify(|it| *it = words(key, count, round).collect());
                prop_assert!(fronts.unused * 2 <= fronts.backends.len());
            }
            let mut copy = Fronts::of([(7, [1])].into_iter(), 0);
            copy.clone_from(&fronts);
            for key in 1..100 {
                let wanted = match expected.get(&key).map(Vec::as_slice) {
                    None => Front::None,
                    Some([]) => Front::Special,
                    Some(backends) => Front::Plain(backends),
                };
                prop_assert_eq!(fronts.get(fronts.begin(key).0), wanted);
                prop_assert_eq!(copy.get(copy.begin(key).0), wanted);
            }
        }
    }
}
