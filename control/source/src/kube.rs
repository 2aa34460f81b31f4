//! The Kubernetes API as a source of objects, and the way back to it.
//!
//! ```text
//! Access --connect--> Connection --bytes--> decode --> Known --Events--> Watch::recv
//!                          |
//!                          +<-- Reporter <-- what this node uses, what is wrong with objects
//! ```
//!
//! Each kind is listed and watched by a task of its own ([`watch`]). What was told is known by name and resource version
//! alone, so that a new list, after the server has forgotten where the watch was, tells what changed and what went
//! meanwhile. **Fail static.** Nothing is taken away because a watch broke: only a `DELETED` event, or a complete list
//! in which the object is missing, takes it away; and no such list is believed of a server that no longer has the Node of
//! this node, as it may have lost its store. An object that makes no sense is a fault of that object, and its last good
//! form stays.

mod access;
mod answer;
mod backoff;
mod connection;
mod decode;
mod follower;
mod known;
mod own_node;
mod reporter;
mod resource;
mod setback;
mod status;
mod teller;
mod version;
mod watch;

pub use access::{Access, AccessError, Credentials};
pub use reporter::{NodeCondition, NodeFacts, ObjectFault, Reporter, ReporterStatus, ReporterTiming};
pub use status::{KindState, KindStatus, Status};
pub use watch::{Timing, Watch, watch, watch_for};
