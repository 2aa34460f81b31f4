//! Expiry, in steps of bounded work.

use super::Table;
use crate::atomic::Ordering;
use crate::layout::{CURSOR, Line};
use crate::place::{Family, Place};
use crate::record::{Lead, Use};
use crate::{Connection, Swept, TICKS_PER_SECOND, Tick};

/// Records looked at together, so that the cache misses of removing what has expired among them overlap.
const STEP: usize = 64;

/// A last use further ahead than a minute comes from another clock; else the connection would stay for years.
pub(super) const AHEAD: i32 = -60 * TICKS_PER_SECOND as i32;

impl Table {
    /// Looks at the next `records` records and removes the connections among them that have been idle for too long.
    ///
    /// Where it goes on is shared: several threads that sweep divide the table among themselves. A whole round takes
    /// as many records as were ever in use at once, so a call for n records every t seconds comes round within
    /// `capacity / n * t` seconds (twice that where both families fill the table in turn).
    pub fn sweep(&self, now: Tick, records: usize) -> Swept {
        let mut swept = Swept::default();
        let mut left = records;
        while left > 0 {
            let (start, end, wrapped) = self.next_step(left.min(STEP));
            swept.seen += (end - start) as u32;
            swept.expired += self.sweep_step(start, end, now);
            swept.wrapped |= wrapped;
            // After the last record the round is done; a small table is not gone through twice.
            if wrapped {
                break;
            }
            left -= end - start;
        }
        swept
    }

    /// Takes the next records off the shared cursor: first and end of them, and whether the end is that of all.
    fn next_step(&self, records: usize) -> (usize, usize, bool) {
        let all = self.used();
        let cursor = &self.lines()[CURSOR][0];
        let mut at = cursor.load(Ordering::Relaxed);
        loop {
            let start = if at < all as u64 { at as usize } else { 0 };
            let end = (start + records).min(all);
            let next = if end == all { 0 } else { end as u64 };
            match cursor.compare_exchange_weak(at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (start, end, end == all),
                Err(current) => at = current,
            }
        }
    }

    /// Records of both pools that were ever used.
    pub(super) fn used(&self) -> usize {
        self.pool(Family::V4).used() as usize + self.pool(Family::V6).used() as usize
    }

    fn sweep_step(&self, start: usize, end: usize, now: Tick) -> u32 {
        let first = self.pool(Family::V4).used() as usize;
        // Nearly always nothing is due: that is seen from one word a record, whether it holds a connection or not.
        let seems_due = |line: &Line| self.has_expired(Use::of(line), now);
        let is_due = |line: &Line| self.is_due(line, now);
        let lines = self.lines();
        let nothing_due = if end <= first {
            let records = self.layout.v4_of(lines).get(start..end).unwrap_or_default();
            !any(records, seems_due) || !records.iter().any(is_due)
        } else if start >= first {
            let records = self.layout.v6_of(lines).get(start - first..end - first).unwrap_or_default();
            !any(records, |[line, _]| seems_due(line)) || !records.iter().any(|[line, _]| is_due(line))
        } else {
            false
        };
        if nothing_due {
            return 0;
        }
        self.remove_due(start, end, first, now)
    }

    #[inline]
    fn is_due(&self, line: &Line, now: Tick) -> bool {
        Lead::of(line).is_live() && self.has_expired(Use::of(line), now)
    }

    #[cold]
    fn remove_due(&self, start: usize, end: usize, first: usize, now: Tick) -> u32 {
        let mut due: [Option<(Connection, Use)>; STEP] = [None; STEP];
        let mut loaded = 0;
        for (number, due) in (start..end).zip(&mut due) {
            let Some(record) = self.record(nth(number, first)) else { continue };
            if !self.is_due(record.first, now) {
                continue;
            }
            let Some((connection, used)) = record.read() else { continue };
            if self.has_expired(used, now) {
                loaded ^= self.touch(self.hash(&connection.original)) ^ self.touch(self.hash(&connection.reply));
                *due = Some((connection, used));
            }
        }
        core::hint::black_box(loaded);
        let removed = |(connection, used): &(Connection, Use)| self.remove_if(connection, Some(*used));
        due.iter().flatten().filter(|due| removed(due)).count() as u32
    }

    #[inline]
    fn has_expired(&self, used: Use, now: Tick) -> bool {
        // One comparison for both: what lies further ahead than it may becomes a large number.
        let idle = now.since(used.last()).wrapping_sub(AHEAD) as u32;
        idle > self.timeouts[used.state_number() & 15]
    }
}

/// Whether it is so of any of `all`. All are asked: where it nearly never is, that costs less than to look after each.
#[inline(always)]
fn any<T>(all: &[T], mut is: impl FnMut(&T) -> bool) -> bool {
    all.iter().fold(false, |so_far, one| so_far | is(one))
}

/// Where the `number`th record is, with `first` records in the first pool.
pub(super) fn nth(number: usize, first: usize) -> Place {
    match number.checked_sub(first) {
        None => Place::new(Family::V4, number as u32),
        Some(number) => Place::new(Family::V6, number as u32),
    }
}
