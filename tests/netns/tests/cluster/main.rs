//! Two nodes on one wire with the outside behind it: what a cluster's packets meet, on the real kernel.
//!
//! ```text
//! node-a: client guest web-a --- sluiced --- uplink0 --+
//! node-b: other  vault web-b --- sluiced --- uplink0 --+-- bridge --- outside, the nodes' router
//! ```
//!
//! Each test has a lab of its own, made by the library behind `sluice lab`, which goes down with it. Clients and servers are
//! sockets of this process, opened inside the namespaces.

#![forbid(unsafe_code)]

mod call;
mod changes;
mod driver;
mod encapsulations;
mod external;
mod fragments;
mod node_itself;
mod node_ports_from_the_node;
mod objects;
mod outage;
mod overlay;
mod path_mtu;
mod place;
mod policies;
mod server;
mod services;
mod verdicts;
