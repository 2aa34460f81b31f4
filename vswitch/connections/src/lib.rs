//! The connections that all workers share.
//!
//! ```text
//! Tuple --hash--> bucket (tags, entries) --> record <-- bucket <--hash-- Tuple of the other direction
//! ```
#![forbid(unsafe_code)]

mod affinity;
mod atomic;
mod config;
mod connection;
mod place;
mod state;
mod table;
mod tick;
mod tuple;

pub use affinity::Affinity;
#[doc(hidden)]
pub use atomic::AtomicU64;
pub use config::{Config, Timeouts};
pub use connection::{Action, Connection, Direction, New, Owner, RecordId, Refused, Swept};
pub use state::{Segment, State};
pub use table::{Adopted, Listed, Outcome, Table, TooSmall};
pub use tick::{TICKS_PER_SECOND, Tick};
pub use tuple::Tuple;
