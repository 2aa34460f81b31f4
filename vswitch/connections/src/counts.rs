//! How many connections there are, in all and by owner.

use crate::atomic::{AtomicU64, Ordering};
use crate::layout::{COUNT, Layout, Line, OWNERS, WORDS};
use crate::memory::clear;
use crate::{Owner, Refused};

/// The counts and their limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts<'t> {
    pub(crate) lines: &'t [Line],
    pub(crate) layout: &'t Layout,
    pub(crate) pod_share: u32,
}

impl<'t> Counts<'t> {
    #[inline]
    pub(crate) fn all(self) -> &'t AtomicU64 {
        &self.lines[COUNT][0]
    }

    #[inline]
    pub(crate) fn of(self, owner: Owner) -> &'t AtomicU64 {
        let owners = self.layout.owners;
        let number = if owner == Owner::NODE { owners } else { usize::from(owner.0).min(owners - 1) };
        &self.lines[OWNERS + number / WORDS][number % WORDS]
    }

    /// Counts one more connection of `owner`, if both limits allow it. Exact under any interleaving: each count is
    /// raised only from below its limit.
    #[inline]
    pub(crate) fn add(self, owner: Owner) -> Result<(), Refused> {
        if !self.add_owned(owner) {
            return Err(if self.share(owner) < self.layout.capacity { Refused::Share } else { Refused::Full });
        }
        if !raise(self.all(), self.layout.capacity) {
            lower(self.of(owner));
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Counts up to `wanted` connections more in all, whose owners are still to be counted; how many the limit allows.
    #[inline]
    pub(crate) fn admit(self, wanted: u64) -> u64 {
        let capacity = u64::from(self.layout.capacity);
        let more = |count: u64| (count < capacity).then(|| (count + wanted).min(capacity));
        let before = self.all().fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        before.map_or(0, |before| wanted.min(capacity - before))
    }

    /// Counts as many less in all.
    #[inline]
    pub(crate) fn dismiss(self, count: u64) {
        self.all().fetch_sub(count, Ordering::Relaxed);
    }

    /// Counts one of those that were admitted as `owner`'s, if its share allows it.
    #[inline]
    pub(crate) fn add_owned(self, owner: Owner) -> bool {
        raise(self.of(owner), self.share(owner))
    }

    /// Most connections that `owner` may have.
    #[inline]
    fn share(self, owner: Owner) -> u32 {
        if owner == Owner::NODE { node_share(self.layout.capacity) } else { self.pod_share }
    }

    /// Counts one connection of `owner` less.
    pub(crate) fn subtract(self, owner: Owner) {
        lower(self.all());
        lower(self.of(owner));
    }

    /// Sets every count to 0, with no other thread about.
    pub(crate) fn reset(self) {
        self.all().store(0, Ordering::Relaxed);
        clear(self.layout.counts_of(self.lines));
    }

    /// Counts without a limit, with no other thread about.
    pub(crate) fn recount(self, owner: Owner) {
        self.all().fetch_add(1, Ordering::Relaxed);
        self.of(owner).fetch_add(1, Ordering::Relaxed);
    }
}

/// Most connections of [`Owner::NODE`] in a table of `capacity`: a quarter is for the pods alone, whose connections a flood
/// from outside at a `NodePort` would else keep out.
pub(crate) const fn node_share(capacity: u32) -> u32 {
    capacity - capacity / 4
}

#[inline]
fn raise(count: &AtomicU64, limit: u32) -> bool {
    let more = |count: u64| (count < u64::from(limit)).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

fn lower(count: &AtomicU64) {
    count.fetch_sub(1, Ordering::Relaxed);
}
