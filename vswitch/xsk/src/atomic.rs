//! The atomics, by one name: loom's in the model-checked tests, the standard library's everywhere else.

#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::atomic::{AtomicU16, Ordering};

#[cfg(feature = "loom")]
pub(crate) use loom::sync::atomic::{AtomicU16, Ordering};
