//! The free records of one family: those never used, and a stack of those given back.
//!
//! Word 0 of the pool's line is the stack's head, a count in the upper half that each exchange raises (so that a head
//! that has been taken and given back meanwhile is not taken for the same) and one more than a record's number in the
//! lower, 0 when empty. A free record's word 1 is the number, plus one, of the record below. Word 1 of the line is how many
//! records were ever used: pages beyond have not been touched.
//!
//! Giving back releases and taking acquires, so that who takes a record has seen all that was done to it. Every
//! change of the head is a read-modify-write, so a release is not broken off by others in between.

use crate::atomic::Ordering;
use crate::layout::Line;
use crate::record::Record;

const HEAD: usize = 0;
const USED: usize = 1;

/// One family's pool.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'t> {
    pub(crate) line: &'t Line,
    pub(crate) capacity: u32,
}

impl Pool<'_> {
    /// The number of a free record, which then belongs to the caller.
    #[inline]
    pub(crate) fn take<'t>(&self, record: impl Fn(u32) -> Option<Record<'t>>) -> Option<u32> {
        let word = &self.line[HEAD];
        let mut head = word.load(Ordering::Acquire);
        while head as u32 != 0 {
            let number = head as u32 - 1;
            // Read before it is ours: if another thread takes the record first, the exchange fails.
            let below = record(number)?.next_free() & 0xffff_ffff;
            match word.compare_exchange_weak(head, step(head) | below, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(current) => head = current,
            }
        }
        let capacity = u64::from(self.capacity);
        let more = |used: u64| (used < capacity).then_some(used + 1);
        let fresh = self.line[USED].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        fresh.ok().map(|used| used as u32)
    }

    /// Gives a record back.
    pub(crate) fn give(&self, number: u32, record: &Record<'_>) {
        let word = &self.line[HEAD];
        let mut head = word.load(Ordering::Relaxed);
        loop {
            record.set_next_free(head & 0xffff_ffff);
            let next = step(head) | (u64::from(number) + 1);
            match word.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    /// Records that were ever used: all connections are among them.
    pub(crate) fn used(&self) -> u32 {
        self.line[USED].load(Ordering::Relaxed).min(u64::from(self.capacity)) as u32
    }

    /// Empties the stack, with no other thread about.
    pub(crate) fn forget_stack(&self) {
        self.line[HEAD].store(0, Ordering::Relaxed);
        self.line[USED].store(u64::from(self.used()), Ordering::Relaxed);
    }
}

/// The count one higher, over an empty lower half.
const fn step(head: u64) -> u64 {
    ((head >> 32).wrapping_add(1)) << 32
}
