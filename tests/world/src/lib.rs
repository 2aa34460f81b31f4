//! A switch in memory, fixtures, an oracle that answers from the objects, and virtual time.
//!
//! ```text
//! Node (pods, host: the objects) --tables()--> Switch (the real path) --send(frame)--> Outcome
//!   |                                                                                     |  compared in tests
//!   +--oracle::answer(node, what was sent)--------------------------------> Expected -----+
//! ```
//!
//! The oracle searches the list of pods; it never looks at tables, headers or bytes, so that a mistake in the code under
//! test is not made twice.
#![forbid(unsafe_code)]

pub mod aftermath;
pub mod any_bytes;
mod clock;
pub mod cluster;
pub mod cluster_switch;
pub mod conversation;
pub mod datagram;
pub mod expect;
mod node;
pub mod oracle;
pub mod samples;
mod sent;
pub mod small;
mod switch;
pub mod traffic;
pub mod wiring;

pub use clock::Clock;
pub use node::{Host, Node, Pod};
pub use oracle::Expected;
pub use sent::{Content, Sent};
pub use switch::{Outcome, Switch};
