//! The connections that all workers share: one fixed-size table, in which both directions of a connection reach one
//! record.
//!
//! ```text
//! Tuple --hash--> bucket (tags, entries) --> record <-- bucket <--hash-- Tuple of the other direction
//! ```
//!
//! A worker asks with [`Table::hash`], [`Table::touch`] and [`Table::peek`] for a whole burst, so that cache misses
//! overlap, then [`Table::find`]s each packet's [`Connection`] and [`Table::observe`]s the packet. For the first packet
//! of a connection, [`Table::insert`]; after a change of the tables, [`Table::redecide`]; once a burst, [`Table::sweep`]
//! a few records. [`Table::over`] lays a table over memory that outlives the process and keeps what it finds there.
//!
//! A connection takes 64 bytes of record and 18.3 bytes of index over IPv4, 128 and 18.3 over IPv6; that is for both
//! directions, with a full index at 0.7 of its slots. Each family has records for the whole capacity, whose pages take
//! no memory before they are used.
//!
//! All memory is words of `AtomicU64`, so the table needs no `unsafe`. Who writes which word, and in which order, is
//! said where the words are described: the record in `record.rs`, the bucket in `bucket.rs`, the free records in
//! `pool.rs`; why it is so in `docs/decisions/0012-connection-table.md`. `tests/interleavings.rs` has a model checker try
//! all interleavings.
#![forbid(unsafe_code)]

mod affinity;
mod atomic;
mod bucket;
mod config;
mod connection;
mod counts;
mod hash;
mod index;
mod lanes;
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
pub use table::{
    Adopted, Bookmark, Intake, Known, Listed, Opening, Outcome, Reserved, TOGETHER, Table, TooSmall, View,
};
pub use tick::{TICKS_PER_SECOND, Tick};
pub use tuple::Tuple;
