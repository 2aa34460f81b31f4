//! Network namespaces, veth, addresses, routes, neighbours and offload settings.
//!
//! Everything here is synchronous and talks to the kernel directly: rtnetlink and ethtool's generic netlink
//! ([`Netlink`]), `setns` ([`Netns`]) and `/proc/sys` ([`sysctl`]). No packet passes through this crate.
//!
//! ```text
//! Netns (an open namespace) --open_in--> Netlink (a socket that stays in it)
//!    |                                      |-- links, veth, bridge, addresses, routes, neighbours, qdiscs
//!    |-- run(closure)                       `-- offload::{get, set}
//!    |-- spawn(Command)
//!    `-- Monitor (a subscription to its changes)
//! ```
//!
//! The netlink message types stay inside the `netlink` module: callers see only the plain types re-exported here.
//! Every failure is one [`Error`] that names the operation, the object and the namespace, with an [`ErrorKind`] to
//! match on.

#![forbid(unsafe_code)]

mod error;
mod netlink;
mod netns;
pub mod offload;
pub mod reserved_ports;
pub mod sysctl;

pub use error::{Error, ErrorKind};
pub use netlink::address::{Address, AddressSpec};
pub use netlink::link::{Link, LinkChange, LinkIndex, LinkKind};
pub use netlink::monitor::{Changes, Monitor};
pub use netlink::neighbour::{Neighbour, NeighbourState};
pub use netlink::qdisc::Qdisc;
pub use netlink::route::{MAIN_TABLE, Route, RouteKind, Scope};
pub use netlink::underlay::{UnderlayFacts, UnderlayHop, UnderlayRoute};
pub use netlink::veth::{VethEnd, VethPair};
pub use netlink::{Netlink, check_link_name};
pub use netns::{NAMED_NAMESPACES, Netns, NetnsId};
