//! What the paths of all workers remember together.

use core::fmt;

use sluice_connections::{Affinity, Config, Table};

use crate::path_mtus::PathMtus;

/// How large the parts are that all workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedConfig {
    /// The connection table.
    pub connections: Config,
    /// Clients whose backend is remembered for session affinity.
    pub affinity: u32,
}

impl Default for SharedConfig {
    /// 65,536 connections and as many clients: what a test or a small node needs.
    fn default() -> Self {
        Self { connections: Config { capacity: 65_536, ..Config::default() }, affinity: 65_536 }
    }
}

/// What all workers share: connections, which client was given which backend, and which paths are narrow. A connection's two directions may be on
/// two workers, as translated tuples hash differently.
pub struct Shared {
    /// The connections.
    pub connections: Table,
    /// Session affinity.
    pub affinity: Affinity,
    /// Narrow paths.
    pub(crate) path_mtus: PathMtus,
}

impl Shared {
    /// Both parts on the heap, empty.
    #[must_use]
    pub fn new(config: SharedConfig) -> Self {
        Self::over(Table::new(config.connections), config)
    }

    /// With a connection table that lies in memory of its own ([`Table::over`]).
    #[must_use]
    pub fn over(connections: Table, config: SharedConfig) -> Self {
        let seed = config.connections.seed;
        Self { connections, affinity: Affinity::new(config.affinity, seed), path_mtus: PathMtus::new(seed) }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(SharedConfig::default())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}
