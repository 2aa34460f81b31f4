//! A set of small numbers, one bit each: the identities or namespaces that a selector means.

/// A set of the numbers below its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Members {
    words: Vec<u64>,
}

impl Members {
    /// The set of none of `size` numbers.
    pub(super) fn none(size: usize) -> Members {
        Members { words: vec![0; size.div_ceil(64)] }
    }

    /// Takes one number; it must be below the size.
    pub(super) fn insert(&mut self, member: u32) {
        self.words[member as usize / 64] |= 1 << (member % 64);
    }

    /// Gives one number up.
    pub(super) fn remove(&mut self, member: u32) {
        self.words[member as usize / 64] &= !(1 << (member % 64));
    }

    /// Whether the number is in the set.
    pub(super) fn contains(&self, member: u32) -> bool {
        self.words.get(member as usize / 64).is_some_and(|word| word & (1 << (member % 64)) != 0)
    }

    /// Keeps what is also in a set of the same size.
    pub(super) fn intersect(&mut self, other: &Members) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Takes everything in a set of the same size.
    pub(super) fn unite(&mut self, other: &Members) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// The numbers, rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(position, word)| {
            let base = position as u32 * 64;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| base + bit)
        })
    }
}
