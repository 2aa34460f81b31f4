//! The buckets of the index: locks in order, and places for entries.

use crate::atomic::wait_a_little;
use crate::bucket::{Bucket, REACH, tag_of};
use crate::layout::Line;

/// All buckets.
#[derive(Clone, Copy)]
pub(crate) struct Index<'t>(pub(crate) &'t [Line]);

/// Another thread holds a bucket that is needed out of order: let go of everything and begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// A slot of the index, and the bucket that its entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    home: u32,
    bucket: u32,
    slot: usize,
    tag: u16,
}

impl<'t> Index<'t> {
    /// The bucket of a hash: its upper half scaled to the number of buckets, which needs no division and no power of 2.
    #[inline]
    pub(crate) fn home(self, hash: u64) -> u32 {
        (((hash >> 32) * self.0.len() as u64) >> 32) as u32
    }

    #[inline]
    pub(crate) fn bucket(self, number: u32) -> Bucket<'t> {
        Bucket(&self.0[number as usize])
    }

    /// The bucket `distance` after `home`, round the end; `distance` is less than the number of buckets.
    #[inline]
    fn after(self, home: u32, distance: u32) -> u32 {
        let number = home as usize + distance as usize;
        (if number >= self.0.len() { number - self.0.len() } else { number }) as u32
    }

    /// Calls `found` for each entry of the hash's own bucket that may be of the hash, until it gives something.
    #[inline]
    pub(crate) fn search_home<T>(self, hash: u64, mut found: impl FnMut(u32) -> Option<T>) -> Option<T> {
        self.bucket(self.home(hash)).search(tag_of(hash), &mut found)
    }

    /// The same for the buckets after it, as far as `reach`.
    pub(crate) fn search_beyond<T>(self, hash: u64, reach: u32, found: &mut impl FnMut(u32) -> Option<T>) -> Option<T> {
        let (home, tag) = (self.home(hash), tag_of(hash));
        (1..=reach.min(self.furthest())).find_map(|distance| self.bucket(self.after(home, distance)).search(tag, found))
    }

    /// Whether an entry of the hash may be there; with the lock of its bucket held, none is where this says so.
    #[inline]
    pub(crate) fn may_hold(self, hash: u64) -> bool {
        let bucket = self.bucket(self.home(hash));
        bucket.has(tag_of(hash)) || Bucket::reach(bucket.flags()) != 0
    }

    #[inline]
    fn furthest(self) -> u32 {
        REACH.min(self.0.len() as u32 - 1)
    }

    /// Locks the buckets of two hashes, in order, so that no two threads wait for each other.
    #[inline]
    pub(crate) fn lock(self, hashes: [u64; 2]) -> Locks<'t> {
        let [one, other] = hashes.map(|hash| self.home(hash));
        let (low, high) = (one.min(other), one.max(other));
        let mut locks = Locks { index: self, held: [0; 4], count: 0 };
        self.bucket(low).lock();
        locks.push(low);
        if high != low {
            self.bucket(high).lock();
            locks.push(high);
        }
        locks
    }
}

/// Locked buckets: the two that the entries belong to, and up to two more that entries went to. Given back on drop.
pub(crate) struct Locks<'t> {
    index: Index<'t>,
    held: [u32; 4],
    count: usize,
}

impl Locks<'_> {
    fn push(&mut self, bucket: u32) {
        self.held[self.count] = bucket;
        self.count += 1;
    }

    fn holds(&self, bucket: u32) -> bool {
        self.held[..self.count].contains(&bucket)
    }

    /// Locks one more bucket, out of order; hence without waiting.
    fn extend(&mut self, bucket: u32) -> Result<(), Busy> {
        if self.holds(bucket) {
            return Ok(());
        }
        if !self.index.bucket(bucket).try_lock() {
            return Err(Busy);
        }
        self.push(bucket);
        Ok(())
    }

    /// An empty slot for an entry of `hash`, whose bucket is locked; not `taken`. `None` when there is none in reach.
    #[inline]
    pub(crate) fn reserve(&mut self, hash: u64, taken: Option<Slot>) -> Result<Option<Slot>, Busy> {
        let home = self.index.home(hash);
        match self.index.bucket(home).empty_slot(slot_in(taken, home)) {
            Some(slot) => Ok(Some(Slot { home, bucket: home, slot, tag: tag_of(hash) })),
            None => self.reserve_beyond(hash, taken),
        }
    }

    /// The same in the buckets after its own.
    #[cold]
    fn reserve_beyond(&mut self, hash: u64, taken: Option<Slot>) -> Result<Option<Slot>, Busy> {
        let home = self.index.home(hash);
        for distance in 1..=self.index.furthest() {
            let number = self.index.after(home, distance);
            let bucket = self.index.bucket(number);
            let taken = slot_in(taken, number);
            if bucket.empty_slot(taken).is_none() {
                continue;
            }
            self.extend(number)?;
            // Asked again under the lock. A slot filled meanwhile sends the search on with one lock too many, which
            // the next attempt does not have.
            let slot = bucket.empty_slot(taken).ok_or(Busy)?;
            return Ok(Some(Slot { home, bucket: number, slot, tag: tag_of(hash) }));
        }
        Ok(None)
    }

    /// The slot of an entry that is in the index, its own bucket being locked.
    pub(crate) fn locate(&mut self, hash: u64, entry: u32) -> Result<Option<Slot>, Busy> {
        let (home, tag) = (self.index.home(hash), tag_of(hash));
        let reach = Bucket::reach(self.index.bucket(home).flags()).min(self.index.furthest());
        for distance in 0..=reach {
            let number = self.index.after(home, distance);
            if let Some(slot) = self.index.bucket(number).slot_of(tag, entry) {
                self.extend(number)?;
                return Ok(Some(Slot { home, bucket: number, slot, tag }));
            }
        }
        Ok(None)
    }

    /// Fills a slot that was reserved.
    #[inline]
    pub(crate) fn fill(&self, slot: Slot, entry: u32) {
        if slot.bucket != slot.home {
            self.index.bucket(slot.home).overflowed(self.distance(slot));
        }
        self.index.bucket(slot.bucket).fill(slot.slot, slot.tag, entry);
    }

    /// Empties a slot that was located.
    pub(crate) fn clear(&self, slot: Slot) {
        self.index.bucket(slot.bucket).clear(slot.slot);
        if slot.bucket != slot.home {
            self.index.bucket(slot.home).returned();
        }
    }

    fn distance(&self, slot: Slot) -> u32 {
        let buckets = self.index.0.len() as u32;
        if slot.bucket > slot.home { slot.bucket - slot.home } else { slot.bucket + buckets - slot.home }
    }

    /// Lets go of everything, and lets others get on.
    pub(crate) fn give_way(self) {
        drop(self);
        wait_a_little();
    }
}

/// Which slot of that bucket `slot` is.
#[inline]
fn slot_in(slot: Option<Slot>, bucket: u32) -> Option<usize> {
    slot.filter(|slot| slot.bucket == bucket).map(|slot| slot.slot)
}

impl Drop for Locks<'_> {
    #[inline]
    fn drop(&mut self) {
        for &bucket in &self.held[..self.count] {
            self.index.bucket(bucket).unlock();
        }
    }
}
