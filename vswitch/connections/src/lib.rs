//! The connections that all workers share.
//!
//! ```text
//! Tuple --hash--> bucket (tags, entries) --> record <-- bucket <--hash-- Tuple of the other direction
//! ```
#![forbid(unsafe_code)]

mod affinity;
mod atomic;
mod bucket;
mod config;
mod connection;
mod counts;
mod hash;
mod index;
mod layout;
mod memory;
mod place;
mod pool;
mod record;
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
