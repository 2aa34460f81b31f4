//! A switch in memory, fixtures, an oracle that answers from the objects, and virtual time.
//!
//! ```text
//! Cluster (the objects, made up by proptest) --manifests, model--> tables --> ClusterSwitch (the real path) --> Seen
//!   |                                                                                                           |  compared
//!   +--expect::answer(cluster, flow)----------------------------------> the answers permitted ------------------+  in tests
//! ```
//!
//! The oracle ([`expect`]) goes through the lists of objects; it never looks at tables, compiled rules, headers or bytes, so that
//! a mistake in the code under test is not made twice. [`conversation`] follows a flow through its packets and answers,
//! [`aftermath`] what becomes of it when the objects change. [`small`] is a cluster for examples.
//!
//! [`Node`], [`Switch`] and [`oracle`] are the same on a smaller scale: one node's pods and host, every fault of a single packet.
//!
//! `make test` sends over 100,000 packets into generated clusters. For more, give the number of clusters:
//!
//! ```text
//! PROPTEST_CASES=20000 cargo test --release -p sluice-world --test cluster
//! ```
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
pub mod script;
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
