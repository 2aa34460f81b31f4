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
mod gateway;
mod generation;
mod hash;
mod ids;
mod port;
mod publish;

pub use builder::{MIN_PATH_MTU, TablesBuilder, TablesError};
pub use gateway::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC, Gateway};
pub use generation::Tables;
pub use ids::{PortId, WorkerId};
pub use port::{Port, PortKind};
pub use publish::{Publisher, Reader};
