//! What the daemon does to the node's own network, and leaves alone: its end of the host port, the ports and queues of the uplink,
//! health checks, what goes with a pod.
//!
//! | file | subject |
//! |---|---|
//! | `host_port` | the node's end of the host port: filter, addresses, MTU, routes |
//! | `uplink` | queues that are not in use, ports that the node's own connections do not get |
//! | `attachments` | an ADD before the objects are read, the connections of a deleted pod |
//! | `detours` | the node's own packets that go by the switch, and those that do not |
//! | `health` | health checks over HTTP |
//!
//! Nodes alone are driven as in `agent`, two nodes on a wire as in `cluster`. A sentence "Taken out" above a test
//! says what was missing when it was seen to fail.

#![forbid(unsafe_code)]

#[allow(dead_code, reason = "written for `cluster`, which uses all of it")]
#[path = "../cluster/call.rs"]
mod call;
#[allow(dead_code, reason = "written for `cluster`, which uses all of it")]
#[path = "../cluster/driver.rs"]
mod driver;
#[allow(dead_code, reason = "written for `agent`, which uses all of it")]
#[path = "../agent/node.rs"]
mod node;
#[allow(dead_code, reason = "written for `cluster`, which uses all of it")]
#[path = "../cluster/objects.rs"]
mod objects;
#[allow(dead_code, reason = "written for `cluster`, which uses all of it")]
#[path = "../cluster/place.rs"]
mod place;
#[path = "../cluster/server.rs"]
mod server;

mod attachments;
mod detours;
mod health;
mod host_port;
mod uplink;
