//! The atomics, by one name: loom's in the model-checked test, the standard library's everywhere else.

#[cfg(not(feature = "loom"))]
pub use core::sync::atomic::AtomicU64;
#[cfg(not(feature = "loom"))]
pub(crate) use core::sync::atomic::{Ordering, fence};
#[cfg(feature = "loom")]
pub use loom::sync::atomic::AtomicU64;
#[cfg(feature = "loom")]
pub(crate) use loom::sync::atomic::{Ordering, fence};

/// Lets another thread get on with what this one waits for.
#[inline]
pub(crate) fn wait_a_little() {
    #[cfg(not(feature = "loom"))]
    core::hint::spin_loop();
    #[cfg(feature = "loom")]
    loom::thread::yield_now();
}
