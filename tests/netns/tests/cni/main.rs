//! The CNI specification's verbs as runtimes and Multus call them: the real programs on the real kernel.
//!
//! | file | subject |
//! |---|---|
//! | `runtime` | calls of the plugin, with configurations and environments of all kinds |
//! | `check` | CHECK after all that can happen to a pod |
//! | `garbage` | GC: strays, other networks, failures |
//! | `status` | STATUS while the agent lacks something |
//! | `capabilities` | addresses, MACs, routes, second interfaces, ports of the node |
//! | `bandwidth` | what pods may receive and send |
//! | `releases` | a shim or an agent of another release, foreign sockets, journals |
//! | `installed` | plugin and network list on the node |

mod bandwidth;
mod capabilities;
mod check;
mod garbage;
mod installed;
#[allow(dead_code, reason = "the tests of the agent use all of it")]
#[path = "../agent/node.rs"]
mod node;
mod releases;
mod runtime;
mod status;
