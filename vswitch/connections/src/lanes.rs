//! Ten tags of 16 bits, compared with one at once: those of a bucket, in three words of which the last has two.

use bytemuck::cast;
use wide::i16x8;

use crate::layout::SLOTS;

/// The words as they lie in a bucket. What stands above the last two tags is of no matter.
pub(crate) type Words = [u64; 3];

/// A bit for each slot.
const EVERY_SLOT: u32 = (1 << SLOTS) - 1;

/// A bit for each slot whose tag is `tag`.
#[inline(always)]
pub(crate) fn equal(words: Words, tag: u16) -> u32 {
    let tags = i16x8::splat(tag.cast_signed());
    let bits = |two: [u64; 2]| cast::<_, i16x8>(two).simd_eq(tags).to_bitmask();
    (bits([words[0], words[1]]) | bits([words[2], 0]) << 8) & EVERY_SLOT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_loop(words: Words, tag: u16) -> u32 {
        (0..SLOTS)
            .filter(|slot| (words[slot / 4] >> (slot % 4 * 16)) as u16 == tag)
            .fold(0, |found, slot| found | 1 << slot)
    }

    proptest! {
        #[test]
        fn each_slot_is_told_whatever_is_in_the_others(
            tags in prop::array::uniform12(prop_oneof![Just(0), Just(1), Just(0x7fff), Just(0x8000), Just(0xffff), any::<u16>()]),
            tag in prop_oneof![Just(0), Just(1), Just(0x8000), Just(0xffff), any::<u16>()],
        ) {
            let word = |first: usize| (0..4).fold(0, |word, lane| word | u64::from(tags[first + lane]) << (lane * 16));
            let words = [word(0), word(4), word(8)];
            for tag in tags.into_iter().chain([tag]) {
                prop_assert_eq!(equal(words, tag), by_loop(words, tag));
            }
        }
    }
}
