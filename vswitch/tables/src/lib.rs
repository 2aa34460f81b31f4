//! One immutable generation of what the switch knows, and its builder.
//!
//! ```text
//! model --> TablesBuilder --(checks)--> Tables --> Publisher ==(one pointer)==> Reader, one a worker
//! ```
//!
//! [`Tables`] never change once built. A change of the node is a new generation, published whole; one that cannot be
//! built is refused with a [`TablesError`] and the generation before it goes on serving. A worker asks its [`Reader`]
//! once a burst, and memory is only ever freed on the publishing side.
#![forbid(unsafe_code)]

mod builder;
mod checks;
mod claims;
mod destination;
mod detours;
mod districts;
mod error;
mod face;
mod family;
mod gateway;
mod generation;
mod hash;
mod ids;
mod node;
mod peer;
mod policy;
mod port;
mod prefixes;
mod publish;
mod services;
mod tunnel;
mod underlay;
mod unicast;
mod words;
mod wrapping;

pub use builder::{MIN_PATH_MTU, TablesBuilder};
pub use claims::{ClaimedPort, Claims, MasqueradeClaim, TunnelClaim};
pub use destination::Destination;
pub use detours::Detours;
pub use districts::District;
pub use error::TablesError;
pub use face::Face;
pub use family::Family;
pub use gateway::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC, Gateway};
pub use generation::Tables;
pub use ids::{PortId, WorkerId};
pub use node::{DEFAULT_MASQUERADE_PORTS, Masquerade, NodeEntry};
pub use peer::{Peer, PeerId};
pub use policy::{BadPortRange, Identities, Identity, PodPolicy, PortRange, Ports, Rules, RulesBuilder};
pub use port::{Port, PortKind};
pub use publish::{Publisher, Reader};
pub use services::{
    Backend, Backends, Beginning, Choice, Front, FrontendKey, FrontendKind, FrontendLookup, KnownBackend,
    MAX_AFFINITY_SECONDS, Service, ServiceEntry, ServiceId, Services, ServicesBuilder, ServicesError,
};
pub use tunnel::{Encapsulation, Tunnel, tunnel_mac};
pub use underlay::{Hop, NextHop, Underlay, UnderlayBuilder};
pub(crate) use unicast::is_unicast;
pub use wrapping::Wrapping;
