//! One bucket of the index, a line: ten slots, each a tag of 16 bits and an entry of 32.
//!
//! ```text
//! word 0  tags 0..3          word 2  bits 0..31 tags 8, 9; 32..47 overflow; 48..55 reach; 63 lock
//! word 1  tags 4..7          words 3..7  entries 0..9, two to a word
//! ```
//!
//! A tag of 0 is an empty slot. An entry never moves while its connection lives, so a reader needs no version of the
//! bucket: a tag and an entry that do not belong together lead to a record that does not match, and an entry whose
//! connection was there before the look-up began is seen by it.
//!
//! An entry for which its own bucket has no room goes into one of the next [`REACH`] buckets. `overflow` counts those
//! entries in the bucket they belong to, `reach` says how far they are; both are changed under the lock of that bucket.

use crate::atomic::{Ordering, wait_a_little};
use crate::lanes;
use crate::layout::{Line, SLOTS};

/// Furthest bucket that an entry may be put into. Where ten slots are filled to seven on average, runs of that many
/// full buckets do not happen.
pub(crate) const REACH: u32 = 64;

const FLAGS: usize = 2;
const ENTRIES: usize = 3;
const LOCK: u64 = 1 << 63;
const OVERFLOW: u32 = 32;
const REACHED: u32 = 48;

/// The tag of a hash: never 0.
#[inline]
pub(crate) fn tag_of(hash: u64) -> u16 {
    (hash as u16).max(1)
}

/// One line of the index.
#[derive(Clone, Copy)]
pub(crate) struct Bucket<'t>(pub(crate) &'t Line);

impl<'t> Bucket<'t> {
    /// The bucket's state word: for [`Bucket::reach`], and to load the line.
    #[inline]
    pub(crate) fn flags(self) -> u64 {
        self.0[FLAGS].load(Ordering::Acquire)
    }

    /// How far entries that belong here may be; 0 when all are here.
    #[inline]
    pub(crate) fn reach(flags: u64) -> u32 {
        (flags >> REACHED) as u32 & 0xff
    }

    /// The words with the tags. Acquire, with the release in [`Bucket::fill`]: who sees the tag sees the entry.
    #[inline(always)]
    fn tags(self) -> lanes::Words {
        let [one, two, three, ..] = self.0;
        [one.load(Ordering::Acquire), two.load(Ordering::Acquire), three.load(Ordering::Acquire)]
    }

    /// Calls `found` for the entries whose tag is `tag` until it gives something.
    #[inline]
    pub(crate) fn search<T>(self, tag: u16, found: &mut impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mut slots = lanes::equal(self.tags(), tag);
        while slots != 0 {
            let result = found(self.entry(slots.trailing_zeros() as usize));
            if result.is_some() {
                return result;
            }
            slots &= slots - 1;
        }
        None
    }

    /// The entry of the first slot whose tag is `tag`; one that leads nowhere if there is none.
    #[inline(always)]
    pub(crate) fn first(self, tag: u16) -> u32 {
        let slots = lanes::equal(self.tags(), tag);
        if slots == 0 { u32::MAX } else { self.entry(slots.trailing_zeros() as usize) }
    }

    /// Whether a slot has that tag.
    #[inline]
    pub(crate) fn has(self, tag: u16) -> bool {
        lanes::equal(self.tags(), tag) != 0
    }

    #[inline]
    fn entry(self, slot: usize) -> u32 {
        // The mask changes nothing, there being ten slots, and spares a check.
        (self.0[(ENTRIES + slot / 2) & 7].load(Ordering::Acquire) >> (slot % 2 * 32)) as u32
    }

    /// An empty slot for an entry with `tag`, if no entry with that tag belongs here. Under the lock.
    #[inline(always)]
    pub(crate) fn vacancy(self, tag: u16) -> Option<usize> {
        let tags = self.tags();
        let (same, empty) = (lanes::equal(tags, tag), lanes::equal(tags, 0));
        let in_the_way = same | Bucket::reach(tags[FLAGS]);
        (in_the_way == 0 && empty != 0).then_some(empty.trailing_zeros() as usize)
    }

    /// The first empty slot other than `taken`.
    #[inline]
    pub(crate) fn empty_slot(self, taken: Option<usize>) -> Option<usize> {
        let empty = lanes::equal(self.tags(), 0) & taken.map_or(u32::MAX, |taken| !(1 << taken));
        (empty != 0).then(|| empty.trailing_zeros() as usize)
    }

    fn tag(self, slot: usize) -> u16 {
        (self.0[slot / 4].load(Ordering::Acquire) >> (slot % 4 * 16)) as u16
    }

    /// The slot that holds `entry` under `tag`.
    pub(crate) fn slot_of(self, tag: u16, entry: u32) -> Option<usize> {
        (0..SLOTS).find(|&slot| self.tag(slot) == tag && self.entry(slot) == entry)
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub(crate) fn try_lock(self) -> bool {
        let flags = self.0[FLAGS].load(Ordering::Relaxed);
        flags & LOCK == 0
            && self.0[FLAGS].compare_exchange(flags, flags | LOCK, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock, waiting for it.
    #[inline]
    pub(crate) fn lock(self) {
        while !self.try_lock() {
            wait_a_little();
        }
    }

    /// Gives the lock back; only who holds it may. As with everything below, nobody else writes the line meanwhile, so
    /// a load and a store do.
    #[inline]
    pub(crate) fn unlock(self) {
        let flags = self.0[FLAGS].load(Ordering::Relaxed);
        self.0[FLAGS].store(flags & !LOCK, Ordering::Release);
    }

    /// Puts an entry into an empty slot: the entry first, so that the tag leads to it. Under the lock.
    #[inline(always)]
    pub(crate) fn fill(self, slot: usize, tag: u16, entry: u32) {
        // The masks change nothing, there being ten slots, and spare checks.
        let word = &self.0[(ENTRIES + slot / 2) & 7];
        let shift = slot % 2 * 32;
        let others = word.load(Ordering::Relaxed) & !(0xffff_ffff << shift);
        word.store(others | u64::from(entry) << shift, Ordering::Release);
        let tags = &self.0[(slot / 4) & 7];
        tags.store(tags.load(Ordering::Relaxed) | u64::from(tag) << (slot % 4 * 16), Ordering::Release);
    }

    /// Empties a slot. Under the lock.
    pub(crate) fn clear(self, slot: usize) {
        let tags = &self.0[slot / 4];
        let others = tags.load(Ordering::Relaxed) & !(0xffff << (slot % 4 * 16));
        tags.store(others, Ordering::Release);
    }

    /// Notes an entry of this bucket that went `distance` buckets further. Under the lock.
    pub(crate) fn overflowed(self, distance: u32) {
        let flags = self.0[FLAGS].load(Ordering::Relaxed);
        let reach = Bucket::reach(flags).max(distance);
        let cleared = flags & !(0xff << REACHED);
        self.0[FLAGS].store((cleared | u64::from(reach) << REACHED) + (1 << OVERFLOW), Ordering::Release);
    }

    /// Notes that such an entry is gone; with the last one look-ups end at this bucket again. Under the lock.
    pub(crate) fn returned(self) {
        let flags = self.0[FLAGS].load(Ordering::Relaxed) - (1 << OVERFLOW);
        let last = flags >> OVERFLOW & 0xffff == 0;
        self.0[FLAGS].store(if last { flags & !(0xff << REACHED) } else { flags }, Ordering::Release);
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use crate::atomic::AtomicU64;

    fn matching(bucket: Bucket<'_>, tag: u16) -> Vec<u32> {
        let mut all = Vec::new();
        bucket.search(tag, &mut |entry| {
            all.push(entry);
            None::<()>
        });
        all
    }

    fn line() -> Line {
        [(); 8].map(|()| AtomicU64::new(0))
    }

    #[test]
    fn ten_entries_fit_and_each_is_found_by_its_tag() {
        let line = line();
        let bucket = Bucket(&line);
        for number in 0..10_u16 {
            let slot = bucket.empty_slot(None).expect("room for ten");
            bucket.fill(slot, 0x8000 | number, 1000 + u32::from(number));
        }
        assert_eq!(bucket.empty_slot(None), None);
        for number in 0..10_u16 {
            let found = matching(bucket, 0x8000 | number);
            assert!(found.contains(&(1000 + u32::from(number))), "{number}: {found:?}");
        }
        assert_eq!(matching(bucket, 0x7fff), []);
        let slot = bucket.slot_of(0x8003, 1003).expect("it is there");
        bucket.clear(slot);
        assert!(!matching(bucket, 0x8003).contains(&1003));
        assert_eq!(bucket.empty_slot(None), Some(slot));
    }

    #[test]
    fn the_first_empty_slot_is_found_whatever_is_in_the_others() {
        for filled in 0..1 << SLOTS {
            let line = line();
            let bucket = Bucket(&line);
            bucket.lock();
            bucket.overflowed(7);
            let is_filled = |slot: usize| filled >> slot & 1 == 1;
            for slot in (0..SLOTS).filter(|&slot| is_filled(slot)) {
                bucket.fill(slot, [1, 0x8000, 0xffff][slot % 3], 7);
            }
            for taken in [None, Some(0), Some(3), Some(4), Some(9)] {
                let expected = (0..SLOTS).find(|&slot| !is_filled(slot) && Some(slot) != taken);
                assert_eq!(bucket.empty_slot(taken), expected, "{filled:#b} {taken:?}");
            }
        }
    }

    #[test]
    fn flags_are_no_tags() {
        let line = line();
        let bucket = Bucket(&line);
        bucket.lock();
        bucket.overflowed(7);
        bucket.overflowed(3);
        assert_eq!(Bucket::reach(bucket.flags()), 7);
        assert_eq!(matching(bucket, 2), []);
        bucket.returned();
        assert_eq!(Bucket::reach(bucket.flags()), 7);
        bucket.returned();
        assert_eq!(Bucket::reach(bucket.flags()), 0);
        assert!(!bucket.try_lock());
        bucket.unlock();
        assert_eq!(bucket.flags(), 0);
    }
}
