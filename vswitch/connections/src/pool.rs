//! The free records of one family: those never used, and those given back, a bit each.
//!
//! ```text
//! free      a bit for each record: it was given back                64 records to a word
//! marks     a bit for each word of `free`: it may have a bit        4,096 records to a word
//! regions   a bit for each word of `marks`: it may have a bit       262,144 records to a word
//! ```
//!
//! Records with low numbers go out first, so that those in use lie close together, and where records are taken next is known
//! beforehand: a burst takes all that it needs at once ([`Pool::take_many`]) and has the processor load them together.
//!
//! A bit of `free` is cleared by who takes the record, with acquire, and set by who gives it back, with release: who takes a
//! record has seen all that was done to it. Every change is a read-modify-write, so a release is not broken off by others in
//! between. The upper two are hints: who sets the first bit of a word marks it; who clears the last takes the mark away, looks
//! again, and puts it back where a bit has come meanwhile. In between a free record may be overlooked, so before none is said to
//! be there, all words of `free` are looked at.

use crate::atomic::{AtomicU64, Ordering};
use crate::layout::{Line, WORDS};
use crate::memory::clear;

/// Bits in a word.
const BITS: usize = 64;

/// One family's pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool<'t> {
    /// How many records were ever used: pages of those beyond have not been touched.
    pub(crate) used: &'t AtomicU64,
    pub(crate) capacity: u32,
    pub(crate) bits: Bits<'t>,
}

/// The three levels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits<'t> {
    pub(crate) free: &'t [Line],
    pub(crate) marks: &'t [Line],
    pub(crate) regions: &'t [Line],
}

/// Lines of each level for so many records.
pub(crate) fn lines_of_levels(capacity: usize) -> [usize; 3] {
    let free = capacity.div_ceil(BITS);
    let marks = free.div_ceil(BITS);
    [free, marks, marks.div_ceil(BITS)].map(|words| words.div_ceil(WORDS))
}

fn word(lines: &[Line], number: usize) -> Option<&AtomicU64> {
    Some(&lines.get(number / WORDS)?[number % WORDS])
}

impl Pool<'_> {
    /// The number of a free record, which then belongs to the caller.
    #[inline]
    pub(crate) fn take(&self) -> Option<u32> {
        let mut number = [0];
        (self.take_many(&mut number) == 1).then_some(number[0])
    }

    /// Fills `numbers` with free records, which then belong to the caller, from its beginning; how many there were.
    #[inline]
    pub(crate) fn take_many(&self, numbers: &mut [u32]) -> usize {
        let mut taken = self.bits.take(numbers);
        taken += self.take_fresh(numbers.get_mut(taken..).unwrap_or_default());
        if taken < numbers.len() {
            taken += self.bits.take_anywhere(numbers.get_mut(taken..).unwrap_or_default());
        }
        taken
    }

    /// Records that were never used.
    #[inline]
    fn take_fresh(&self, numbers: &mut [u32]) -> usize {
        if numbers.is_empty() {
            return 0;
        }
        let capacity = u64::from(self.capacity);
        let more = |used: u64| (used < capacity).then(|| (used + numbers.len() as u64).min(capacity));
        let Ok(first) = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) else { return 0 };
        let mut taken = 0;
        for (number, fresh) in numbers.iter_mut().zip(first..capacity) {
            *number = fresh as u32;
            taken += 1;
        }
        taken
    }

    /// Gives a record back.
    #[inline]
    pub(crate) fn give(&self, number: u32) {
        self.bits.give(number as usize);
    }

    /// Records that were ever used: all connections are among them.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed).min(u64::from(self.capacity)) as u32
    }

    /// Forgets which records were given back, with no other thread about.
    pub(crate) fn forget_free(&self) {
        for level in [self.bits.free, self.bits.marks, self.bits.regions] {
            clear(level);
        }
        self.used.store(u64::from(self.used()), Ordering::Relaxed);
    }
}

impl Bits<'_> {
    /// Takes what the marks lead to.
    #[inline]
    fn take(&self, numbers: &mut [u32]) -> usize {
        let mut taken = 0;
        while let Some(left) = numbers.get_mut(taken..).filter(|left| !left.is_empty()) {
            let Some(at) = self.marked() else { break };
            taken += self.take_from(at, left);
        }
        taken
    }

    /// A word of `free` that may have a bit.
    #[inline]
    fn marked(&self) -> Option<usize> {
        loop {
            let regions = self.regions.iter().flatten().map(|region| region.load(Ordering::Relaxed));
            let (number, region) = regions.enumerate().find(|(_, region)| *region != 0)?;
            let number = number * BITS + region.trailing_zeros() as usize;
            let marks = word(self.marks, number)?.load(Ordering::Relaxed);
            if marks != 0 {
                return Some(number * BITS + marks.trailing_zeros() as usize);
            }
            self.unmark_region(number);
        }
    }

    /// Takes records out of one word of `free`, the lowest first.
    #[inline]
    fn take_from(&self, at: usize, numbers: &mut [u32]) -> usize {
        let Some(free) = word(self.free, at) else { return 0 };
        let mut wanted = 0;
        let mut left = free.load(Ordering::Relaxed);
        for _ in 0..numbers.len() {
            wanted |= left & left.wrapping_neg();
            left &= left.wrapping_sub(1);
        }
        let before = if wanted == 0 { 0 } else { free.fetch_and(!wanted, Ordering::Acquire) };
        // Those of them that nobody else took meanwhile.
        let mut got = before & wanted;
        let mut taken = 0;
        for number in numbers {
            if got == 0 {
                break;
            }
            *number = (at * BITS) as u32 + got.trailing_zeros();
            got &= got - 1;
            taken += 1;
        }
        if before & !wanted == 0 {
            self.unmark(at);
        }
        taken
    }

    /// Takes the mark of a word away that has no bit, unless it has one again.
    fn unmark(&self, at: usize) {
        let (Some(marks), Some(free)) = (word(self.marks, at / BITS), word(self.free, at)) else { return };
        let mark = 1 << (at % BITS);
        // Who sets a bit and then the mark, before this takes it away, has done so for this thread, too: acquire.
        let before = marks.fetch_and(!mark, Ordering::AcqRel);
        if free.load(Ordering::Relaxed) != 0 {
            self.mark(at);
        } else if before & !mark == 0 {
            self.unmark_region(at / BITS);
        }
    }

    fn unmark_region(&self, number: usize) {
        let (Some(regions), Some(marks)) = (word(self.regions, number / BITS), word(self.marks, number)) else {
            return;
        };
        let bit = 1 << (number % BITS);
        regions.fetch_and(!bit, Ordering::AcqRel);
        if marks.load(Ordering::Relaxed) != 0 {
            regions.fetch_or(bit, Ordering::AcqRel);
        }
    }

    fn mark(&self, at: usize) {
        if let (Some(marks), Some(regions)) = (word(self.marks, at / BITS), word(self.regions, at / BITS / BITS)) {
            marks.fetch_or(1 << (at % BITS), Ordering::AcqRel);
            regions.fetch_or(1 << (at / BITS % BITS), Ordering::AcqRel);
        }
    }

    #[inline]
    fn give(&self, number: usize) {
        let at = number / BITS;
        let Some(free) = word(self.free, at) else { return };
        if free.fetch_or(1 << (number % BITS), Ordering::Release) == 0 {
            self.mark(at);
        }
    }

    /// Takes whatever there is, marked or not.
    #[cold]
    #[inline(never)]
    fn take_anywhere(&self, numbers: &mut [u32]) -> usize {
        let mut taken = 0;
        for (at, free) in self.free.iter().flatten().enumerate() {
            let Some(left) = numbers.get_mut(taken..).filter(|left| !left.is_empty()) else { break };
            if free.load(Ordering::Relaxed) != 0 {
                taken += self.take_from(at, left);
            }
        }
        taken
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Lines of zeros.
    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|_| Line::default()).collect()
    }

    fn with_pool(capacity: u32, then: impl FnOnce(Pool<'_>)) {
        let [free, marks, regions] = lines_of_levels(capacity as usize).map(lines);
        let bits = Bits { free: &free, marks: &marks, regions: &regions };
        then(Pool { used: &AtomicU64::new(0), capacity, bits });
    }

    #[test]
    fn low_numbers_go_out_first_and_each_once() {
        with_pool(300_000, |pool| {
            let mut all = vec![0; 300_001];
            assert_eq!(pool.take_many(&mut all), 300_000);
            assert!(all.iter().take(300_000).copied().eq(0..300_000));
            assert_eq!(pool.take(), None);
            for number in [299_999, 7, 64, 5000] {
                pool.give(number);
            }
            let mut some = [0; 3];
            assert_eq!(pool.take_many(&mut some), 3);
            assert_eq!(some, [7, 64, 5000]);
            assert_eq!((pool.take(), pool.take()), (Some(299_999), None));
        });
    }

    #[test]
    fn what_no_mark_leads_to_is_found_before_none_is_said_to_be_there() {
        with_pool(1000, |pool| {
            assert_eq!(pool.take_many(&mut [0; 1000]), 1000);
            // As while another thread is between both steps of giving back.
            word(pool.bits.free, 3).expect("of 16 words").store(1 << 5, Ordering::Relaxed);
            assert_eq!((pool.take(), pool.take()), (Some(3 * 64 + 5), None));
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_record_is_out_or_free(capacity in 1_u32..10_000, steps in prop::collection::vec((0_usize..70, any::<u64>()), 1..60)) {
            with_pool(capacity, |pool| {
                let mut out = BTreeSet::new();
                for (wanted, seed) in steps {
                    let mut numbers = vec![0; wanted];
                    let taken = pool.take_many(&mut numbers);
                    assert_eq!(taken, wanted.min(capacity as usize - out.len()));
                    for number in &numbers[..taken] {
                        assert!(*number < capacity && out.insert(*number), "{number}");
                    }
                    for number in out.clone().into_iter().filter(|number| (seed >> (number % 64)) & 1 == 1) {
                        pool.give(number);
                        out.remove(&number);
                    }
                }
            });
        }
    }
}
