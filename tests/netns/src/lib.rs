//! Tests against the real kernel, in namespaces of their own.
//!
//! This library is what the tests share; the tests are one file a subject under `tests/`. They need root, and make
//! every device in a namespace of their own, so that nothing of the machine's own network is touched.

#![forbid(unsafe_code)]

mod namespaces;
pub mod switched;
mod wait;

pub use namespaces::{Namespace, require_root};
pub use wait::{WaitTimeout, wait_for};
