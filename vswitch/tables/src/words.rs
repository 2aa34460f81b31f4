//! A map of 32 bit words, each with its value in one slot of eight bytes, found where its hash says or right behind: one cache
//! line a look-up, and few instructions.

use crate::hash::spread;

/// Slots that hold nothing: what a value of all ones would be.
const EMPTY: u64 = u64::MAX;

/// The map. A value is any number but `u32::MAX`.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Key above value. A power of two of them, at most three in four used; or none.
    slots: Box<[u64]>,
    len: usize,
    seed: u64,
    /// How many bits of a hash do not say where to begin: 64 less those of a slot's number.
    shift: u32,
}

/// Into one of its size no memory is asked for.
impl Clone for Words {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), len: self.len, seed: self.seed, shift: self.shift }
    }

    fn clone_from(&mut self, other: &Self) {
        self.slots.clone_from(&other.slots);
        self.len = other.len;
        self.seed = other.seed;
        self.shift = other.shift;
    }
}

impl Words {
    /// An empty map that hashes under `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { slots: Box::default(), len: 0, seed, shift: 63 }
    }

    /// An empty map of so many slots: a power of two, 2 at least.
    fn with_slots(slots: usize, seed: u64) -> Self {
        Self { slots: vec![EMPTY; slots].into(), len: 0, seed, shift: 64 - slots.trailing_zeros() }
    }

    /// A map with room for `len` entries.
    pub(crate) fn with_room(len: usize, seed: u64) -> Self {
        if len == 0 {
            return Self::new(seed);
        }
        Self::with_slots((len + len.div_ceil(3)).next_power_of_two(), seed)
    }

    /// The slot to begin at.
    #[inline(always)]
    fn home(&self, key: u32) -> usize {
        spread(u64::from(key) ^ self.seed, self.shift)
    }

    /// Loads the slot at which a look-up of `key` begins; what is returned means nothing.
    #[inline(always)]
    pub(crate) fn touch(&self, key: u32) -> u64 {
        self.slots.get(self.home(key)).copied().unwrap_or(0)
    }

    /// The value of `key`.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
    pub(crate) fn get(&self, key: u32) -> Option<u32> {
        let mut at = self.home(key);
        loop {
            // A map without slots ends here.
            let word = *self.slots.get(at)?;
            if (word >> 32) as u32 == key {
                let value = word as u32;
                return (value != u32::MAX).then_some(value);
            }
            if word == EMPTY {
                return None;
            }
            at = (at + 1) & self.slots.len().wrapping_sub(1);
        }
    }

    /// Gives `key` a value; returns the one it had. `u32::MAX` is no value: nothing changes.
    #[allow(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
    pub(crate) fn insert(&mut self, key: u32, value: u32) -> Option<u32> {
        if value == u32::MAX {
            return self.get(key);
        }
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let mut at = self.home(key);
        loop {
            let slot = &mut self.slots[at];
            let before = *slot;
            if before == EMPTY || (before >> 32) as u32 == key {
                *slot = u64::from(key) << 32 | u64::from(value);
                self.len += usize::from(before == EMPTY);
                return (before != EMPTY).then_some(before as u32);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn grow(&mut self) {
        let mut larger = Self::with_slots((self.slots.len() * 2).max(4), self.seed);
        for (key, value) in self.iter() {
            larger.insert(key, value);
        }
        *self = larger;
    }

    /// Forgets `key`; returns its value.
    #[allow(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
    pub(crate) fn remove(&mut self, key: u32) -> Option<u32> {
        let value = self.get(key)?;
        let mask = self.slots.len() - 1;
        let mut hole = self.home(key);
        while (self.slots[hole] >> 32) as u32 != key {
            hole = (hole + 1) & mask;
        }
        // Whatever stands behind and could not stand at its home because of this one moves up.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let word = self.slots[at];
            if word == EMPTY {
                break;
            }
            let home = self.home((word >> 32) as u32);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = word;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
        Some(value)
    }

    /// Every key with its value, in no order.
    #[allow(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.slots.iter().filter(|word| **word != EMPTY).map(|word| ((word >> 32) as u32, *word as u32))
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for Words {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Words;

    /// Few keys, so that they meet again, among them those at both ends.
    fn key() -> impl Strategy<Value = u32> {
        prop_oneof![8 => 0_u32..40, 1 => Just(u32::MAX), 4 => (0_u32..40).prop_map(|low| 0x0a00_0100 | low)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn it_holds_what_an_ordered_map_holds(
            seed in any::<u64>(),
            room in 0_usize..50,
            steps in proptest::collection::vec((key(), proptest::option::of(0_u32..9)), 0..200),
        ) {
            let (mut words, mut model) = (Words::with_room(room, seed), BTreeMap::new());
            for (key, value) in steps {
                match value {
                    Some(value) => prop_assert_eq!(words.insert(key, value), model.insert(key, value)),
                    None => prop_assert_eq!(words.remove(key), model.remove(&key)),
                }
                prop_assert_eq!(words.len(), model.len());
                prop_assert_eq!(words.get(key), model.get(&key).copied());
            }
            for key in (0..40).chain([u32::MAX]).chain(0x0a00_0100..0x0a00_0130) {
                prop_assert_eq!(words.get(key), model.get(&key).copied());
            }
            let mut other = Words::new(seed ^ 1);
            for (key, value) in &model {
                other.insert(*key, *value);
            }
            prop_assert_eq!(&words, &other);
            other.insert(41, 1);
            prop_assert_ne!(&words, &other);
        }
    }

    #[test]
    fn all_ones_are_no_value() {
        let mut words = Words::new(0);
        assert_eq!(words.insert(u32::MAX, u32::MAX), None);
        assert!(words.is_empty());
        assert_eq!(words.get(u32::MAX), None);
        assert_eq!(words.get(7), None);
    }
}
