//! A set of small numbers, one bit each: the identities or namespaces that a selector means.

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// No empty word at the end, so that equal sets are equal.
    words: Vec<u64>,
}

impl Members {
    /// The numbers below `end`.
    pub(super) fn below(end: u32) -> Members {
        let mut all = Members::default();
        (0..end).for_each(|member| all.insert(member));
        all
    }

    /// Takes one number.
    pub(super) fn insert(&mut self, member: u32) {
        let word = member as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (member % 64);
    }

    /// Whether the number is in the set.
    pub(super) fn contains(&self, member: u32) -> bool {
        self.words.get(member as usize / 64).is_some_and(|word| word & (1 << (member % 64)) != 0)
    }

    /// Keeps what is also in another set.
    pub(super) fn intersect(&mut self, other: &Members) {
        self.words.truncate(other.words.len());
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self.trim();
    }

    /// Gives up what is in another set.
    pub(super) fn subtract(&mut self, other: &Members) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
        self.trim();
    }

    /// Takes everything in another set.
    pub(super) fn unite(&mut self, other: &Members) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// The numbers, rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(position, word)| {
            let base = position as u32 * 64;
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(base + bit)
            })
        })
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}
