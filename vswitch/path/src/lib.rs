//! What happens to a packet, stage by stage.
//!
//! ```text
//! Packet -> parse -> origin -> fragment -> connection --known-------------------------------+-> size -> rewrite -> Verdict
//!                                              +--new--> service, policy, route, masquerade -+
//!
//! other ways out: dropped for a reason, answered (reply, icmp), parked, punted to the host
//! ```
//!
//! [`Path::run`] takes a burst and leaves a [`Verdict`] on every packet of it. The modules of the stages are declared
//! below in packet order and only `walk` calls them; `docs/path.md` tells what each reads and decides. Nothing here
//! allocates once a path is made, logs or reads a clock: time, tables and seeds are arguments. What a path shares with those
//! of other workers is [`Shared`]; looking a connection up takes no lock.
#![forbid(unsafe_code)]

mod walk;

// The stages, in packet order. The blank lines keep rustfmt from sorting them.
mod parse;

mod origin;

mod fragment;

mod connection;

mod service;

mod policy;

mod route;

mod masquerade;

mod size;

mod rewrite;

// All of them in one pass, for packets with nothing special about them.
mod opening;
mod shortcut;

// The other ways out.
mod exit;
mod icmp;
mod reply;

// What the stages hand on: the ends of a connection, and where its packets leave.
mod egress;
mod ends;

// What the stages are made of: bytes read and written, fragments remembered.
mod decapsulate;
mod encapsulate;
mod fragments;
mod related;
mod translate;

// What the worker does with super-frames: cutting one that must not leave whole, making one of segments.
mod join;
mod segment;

mod budget;
mod counts;
mod drop_reason;
mod memory;
mod packet;
mod path_mtus;
mod random;
mod time;
mod token_bucket;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod sound;

pub use budget::ErrorRate;
pub use counts::Counts;
pub use drop_reason::DropReason;
pub use fragments::{PARKED, Release};
pub use join::Join;
pub use memory::{Shared, SharedConfig};
pub use packet::{Checksum, Packet, Verdict};
pub use segment::{Cut, CutTo, wire_len};
pub use time::Time;
pub use token_bucket::{Rate, TokenBucket};
pub use walk::{Path, PathConfig, STAGES};
