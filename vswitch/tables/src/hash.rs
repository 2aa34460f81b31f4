//! The hasher of the tables' maps: rapidhash under a seed that is an argument, so that a run can be repeated.

use rapidhash::fast::SeedableState;

/// Odd constants of high entropy (the fractional parts of the square roots of 2, 3, 5, 7, 11, 13 and 17, made odd).
/// They need not be secret: only the control side inserts, so nobody outside chooses the keys of a map.
static SECRETS: [u64; 7] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
];

/// Hasher state for the maps of a generation.
pub(crate) type Seeded = SeedableState<'static>;

/// State for `seed`. Two equal seeds hash alike, in this process and the next.
pub(crate) fn seeded(seed: u64) -> Seeded {
    // The hasher wants a seed without structure; callers give 0, 1, 2. This is the finalizer of splitmix64.
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    SeedableState::custom((mixed ^ (mixed >> 31)) | 1, &SECRETS)
}

/// The highest bits of a product, all but `shift` of 64: neighbouring keys come to lie far apart (Knuth, volume 3, 6.4).
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the result is below the number of slots")]
pub(crate) fn spread(key: u64, shift: u32) -> usize {
    // Odd and of high entropy: the golden ratio's fraction.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (shift & 63)) as usize
}

#[cfg(test)]
mod tests {
    use core::hash::BuildHasher;

    use super::seeded;

    #[test]
    fn equal_seeds_hash_alike_and_others_differ() {
        assert_eq!(seeded(7).hash_one(42_u32), seeded(7).hash_one(42_u32));
        assert_ne!(seeded(7).hash_one(42_u32), seeded(8).hash_one(42_u32));
    }
}
