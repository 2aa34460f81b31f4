//! Two nodes fed by a real API server, and all that can happen to it.
//!
//! ```text
//! node-a: client guest web-a --- sluiced --- uplink0 --+
//! node-b: other  vault web-b --- sluiced --- uplink0 --+-- bridge --- outside
//! API server and etcd --------------------- uplink0 --+
//! ```
//!
//! Each test has a lab and an API server of its own, which go with it. Clients and servers are those of the tests in
//! tests/netns/tests/cluster: sockets of this process, opened inside the namespaces.

#![forbid(unsafe_code)]

#[path = "../../../netns/tests/cluster/call.rs"]
#[allow(dead_code, reason = "not every call is needed here")]
mod call;
#[path = "../../../netns/tests/cluster/objects.rs"]
#[allow(dead_code, reason = "not every object is needed here")]
mod objects;
#[path = "../../../netns/tests/cluster/place.rs"]
#[allow(dead_code, reason = "not every place is needed here")]
mod place;
#[path = "../../../netns/tests/cluster/server.rs"]
mod server;

mod addresses;
mod away;
mod base;
mod chart;
mod driver;
mod fixture;
mod in_force;
mod loaded;
mod nonsense;
mod pods;
mod reboot;
mod reports;
mod rights;
mod start;
mod traffic;
