//! What publisher and readers share, by one name: a model's stand-ins in the model-checked test, arc-swap and the standard
//! library's everywhere else.

#[cfg(not(feature = "loom"))]
pub(crate) use {
    arc_swap::{ArcSwap, cache::Cache},
    std::sync::{Arc, Mutex},
};

#[cfg(feature = "loom")]
pub(crate) use {
    loom::sync::{Arc, Mutex},
    modelled::{ArcSwap, Cache},
};

/// As arc-swap promises: a swap hands out what was current, and whoever was about to count it has done so. A cache looks by a
/// relaxed load whether there is another.
#[cfg(feature = "loom")]
mod modelled {
    use std::fmt;
    use std::sync::PoisonError;

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::sync::{Arc, Mutex, MutexGuard};

    pub(crate) struct ArcSwap<T> {
        held: Mutex<Arc<T>>,
        swaps: AtomicUsize,
    }

    impl<T> fmt::Debug for ArcSwap<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("ArcSwap").finish_non_exhaustive()
        }
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(first: T) -> Self {
            Self { held: Mutex::new(Arc::new(first)), swaps: AtomicUsize::new(0) }
        }

        pub(crate) fn swap(&self, next: Arc<T>) -> Arc<T> {
            let mut held = self.lock();
            let swaps = self.swaps.load(Ordering::Relaxed);
            self.swaps.store(swaps + 1, Ordering::Relaxed);
            std::mem::replace(&mut held, next)
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.lock())
        }

        fn lock(&self) -> MutexGuard<'_, Arc<T>> {
            self.held.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Clone, Debug)]
    pub(crate) struct Cache<A, C> {
        shared: A,
        cached: C,
        seen: usize,
    }

    impl<T> Cache<Arc<ArcSwap<T>>, Arc<T>> {
        pub(crate) fn new(shared: Arc<ArcSwap<T>>) -> Self {
            let (seen, cached) = Self::look(&shared);
            Self { shared, cached, seen }
        }

        pub(crate) fn load(&mut self) -> &Arc<T> {
            if self.shared.swaps.load(Ordering::Relaxed) != self.seen {
                (self.seen, self.cached) = Self::look(&self.shared);
            }
            &self.cached
        }

        fn look(shared: &ArcSwap<T>) -> (usize, Arc<T>) {
            let held = shared.lock();
            (shared.swaps.load(Ordering::Relaxed), Arc::clone(&held))
        }
    }
}
