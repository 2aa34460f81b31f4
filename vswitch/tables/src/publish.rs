//! Publication: one pointer is swapped, readers look once a burst, and only the publishing side frees.
//!
//! ```text
//! control:  publish(new) --swap--> [ current ]        retired: [gen 6, gen 7]  freed once no reader holds them
//! worker:                 reader.current() -- one load; a changed pointer costs one reference count
//! ```
//!
//! A worker that moves to a new generation gives up its reference to the old one. That must not be the last, or the
//! worker would free a whole generation between two packets. It never is: the publisher puts what it replaced into a
//! list, and while it is on its way there the swap itself holds it.

use std::sync::PoisonError;

mod swapped;

use crate::Tables;
use swapped::{Arc, ArcSwap, Cache, Mutex};

/// The publishing side. Shared by the control side's tasks; workers hold a [`Reader`] only. `T` is [`Tables`] but in tests.
#[derive(Debug)]
pub struct Publisher<T = Tables> {
    current: Arc<ArcSwap<T>>,
    /// Replaced generations that a reader may still hold. Locked by the publishing side alone.
    retired: Mutex<Vec<Arc<T>>>,
}

impl<T> Publisher<T> {
    /// Starts with `first` as the current generation.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(first)), retired: Mutex::new(Vec::new()) }
    }

    /// Makes `tables` the current generation, and frees those replaced earlier that no reader holds any more.
    pub fn publish(&self, tables: T) {
        let replaced = self.current.swap(Arc::new(tables));
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(replaced);
        drop_unread(&mut retired);
    }

    /// Frees replaced generations that no reader holds any more; returns how many are still held. Call it from time
    /// to time: without it the last replaced generation stays until the next is published.
    pub fn collect(&self) -> usize {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        drop_unread(&mut retired);
        retired.len()
    }

    /// The current generation, for the control side. The reference keeps it alive, so do not store it.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// A reading side for one worker.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        Reader { cache: Cache::new(Arc::clone(&self.current)) }
    }
}

/// A retired generation is out of reach of new readers, so a count of one (the list's own) cannot rise again.
/// `ArcSwap::swap` has turned every borrow in flight into a counted one before it returned.
fn drop_unread<T>(retired: &mut Vec<Arc<T>>) {
    retired.retain(|tables| Arc::strong_count(tables) > 1);
}

/// One worker's view of the current generation.
#[derive(Clone, Debug)]
pub struct Reader<T = Tables> {
    cache: Cache<Arc<ArcSwap<T>>, Arc<T>>,
}

impl<T> Reader<T> {
    /// The generation published last. Call once a burst and use the result for all of it; the worker's previous
    /// generation is released by this call, which is why a worker that has gone to sleep should call it on waking.
    #[inline]
    pub fn current(&mut self) -> &T {
        self.cache.load()
    }
}
