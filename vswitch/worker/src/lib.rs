//! The poll loop: pinned threads that own ports.
//!
//! ```text
//! control thread                 worker (one a core, run to completion)
//! Switch::add_port  --queue-->   turn: commands -> for each port: receive -> Path::run -> send
//! Switch::remove_port                  -> packets handed over by other workers -> kick -> reclaim -> refill -> count
//! Publisher::publish --swap-->   idle: spin, then sleep until a port, a command or another worker wakes it
//! ```
//!
//! A port belongs to exactly one worker. A packet for a port of another worker goes there over a single-producer ring.
//! A packet costs no lock, no allocation, no log, no clock read and no system call of its own.
#![forbid(unsafe_code)]

#[cfg_attr(feature = "loom", allow(dead_code, reason = "`modelled` stands in for it"))]
mod bell;
mod between;
mod checksum;
mod command;
mod counters;
mod cut;
mod handoff;
mod idle;
#[cfg(all(test, feature = "loom"))]
mod interleavings;
mod join;
mod limits;
#[cfg(feature = "loom")]
mod modelled;
mod parked;
mod pauses;
mod ports;
#[cfg_attr(feature = "loom", allow(dead_code, reason = "`modelled` stands in for it"))]
mod sleep;
mod switch;
mod transmit;
mod wanted;
mod worker;

pub use counters::{PortSnapshot, WorkerSnapshot};
pub use idle::IdlePolicy;
pub use limits::Limits;
pub use switch::{Switch, SwitchConfig, SwitchError, now};
pub use wanted::Wanted;
pub use worker::{Turn, Worker};

pub use handoff::mesh;
