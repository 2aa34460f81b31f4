//! Numbers that look random and follow from a seed, so that a run can be repeated.

/// xorshift64* (Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators, scrambled").
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`, whatever it is.
    pub(crate) fn new(seed: u64) -> Self {
        // Never zero, from which the shifts would not lead away; seeds that differ little start far apart.
        Self(spread(seed) | 1)
    }

    /// The next number, over all 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Spreads a number over all 64 bits (the finalizer of splitmix64).
pub(crate) const fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn equal_seeds_give_equal_numbers_and_others_differ() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            core::array::from_fn::<u64, 8, _>(|_| random.next())
        };
        assert_eq!(numbers(0), numbers(0));
        assert_ne!(numbers(0), numbers(1));
        assert!(numbers(7).iter().all(|number| *number != 0));
    }

    #[test]
    fn no_half_of_the_range_is_preferred() {
        let mut random = Random::new(1);
        let high = (0..10_000).filter(|_| random.next() >> 63 == 1).count();
        assert!((4_700..5_300).contains(&high), "{high}");
    }
}
