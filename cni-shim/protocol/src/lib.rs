//! The messages between sluice-cni and sluiced, and the CNI types both speak.
//!
//! ```text
//! runtime --env, stdin--> sluice-cni --Envelope{Request}--> sluiced
//!         <----stdout----            <------Response-------
//! ```
//!
//! One request and one answer a connection, each a frame of a little-endian `u32` length and that many bytes of JSON
//! ([`frame`]). Names that come from outside are checked once and then travel as [`ContainerId`] and
//! [`InterfaceName`]. A DEL that finds no agent goes to the [`journal`] instead.

#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod error;
pub mod frame;
pub mod garbage;
pub mod identity;
pub mod installation;
pub mod journal;
pub mod message;
pub mod result;
pub mod runtime_config;
pub mod version;

pub use client::{Client, ClientError};
pub use config::{AddSettings, NetworkConfig};
pub use error::{CniError, code};
pub use garbage::Garbage;
pub use identity::{AttachmentId, ContainerId, InterfaceName, NameError};
pub use installation::{Installation, InstallationError, NetworkList};
pub use journal::{Journal, JournalEntry, JournalError};
pub use message::{CniRequest, Command, Envelope, GcRequest, PROTOCOL_VERSION, Request, Response};
pub use result::AddResult;
pub use runtime_config::{Bandwidth, PortMapping, Rate, RuntimeConfig, TransportProtocol};
pub use version::CniVersion;

/// Directory of the agent's socket and lock when the network configuration names none.
pub const DEFAULT_RUN_DIR: &str = "/run/sluice";
/// Directory of the agent's state and of the DEL journal when the network configuration names none.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/sluice";
/// Name of the agent's socket inside the run directory.
pub const SOCKET_NAME: &str = "sluiced.sock";
