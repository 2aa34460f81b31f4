//! The table, as its users see it.

use crate::atomic::AtomicU64;
use crate::{Action, Config, Connection, New, Owner, Refused, Segment, State, Swept, Tick, Tuple};

/// The connections of a node.
#[derive(Debug)]
pub struct Table {
    config: Config,
}

/// Memory that a table was laid over.
#[derive(Debug)]
pub struct Adopted {
    /// The table.
    pub table: Table,
    /// What was found in the memory.
    pub outcome: Outcome,
}

/// What was found in memory that a table was laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing that this layout and configuration could use: it has been formatted anew, without connections.
    Formatted,
    /// A table of the same layout and sizes.
    Kept {
        /// Connections that go on, all of generation [`Connection::UNDECIDED`].
        connections: u32,
        /// Records that were being written when the process ended, or make no sense.
        discarded: u32,
    },
}

/// The memory is too small for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the connection table needs {needed} words of memory and was given {given}: give it more or lower its capacity"
)]
pub struct TooSmall {
    /// Words that the configuration needs, by [`Table::words`].
    pub needed: usize,
    /// Words there are.
    pub given: usize,
}

/// A connection as listed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The connection, seen from the original direction.
    pub connection: Connection,
    /// When its last packet came.
    pub last_used: Tick,
}

impl Table {
    /// A table on the heap.
    #[must_use]
    pub fn new(config: Config) -> Table {
        Table { config }
    }
    /// Words of memory that [`Table::over`] needs.
    #[must_use]
    pub fn words(_config: &Config) -> usize {
        0
    }
    /// A table in memory that outlives the process.
    ///
    /// # Errors
    /// The memory is smaller than [`Table::words`].
    pub fn over(_memory: &'static [AtomicU64], config: Config) -> Result<Adopted, TooSmall> {
        Ok(Adopted { table: Table { config }, outcome: Outcome::Formatted })
    }
    /// The hash of a tuple, under this table's seed.
    #[must_use]
    pub fn hash(&self, _tuple: &Tuple) -> u64 {
        0
    }
    /// Loads the bucket.
    pub fn touch(&self, _hash: u64) -> u64 {
        0
    }
    /// Loads the record's line.
    pub fn peek(&self, _hash: u64) -> u64 {
        0
    }
    /// Finds the connection of a tuple of either direction.
    #[must_use]
    pub fn find(&self, _hash: u64, _tuple: &Tuple) -> Option<Connection> {
        None
    }
    /// Last use and state.
    pub fn observe(&self, connection: &Connection, segment: Segment, _now: Tick) -> State {
        connection.state.after(connection.direction, segment)
    }
    /// Puts a connection in.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn insert(&self, _new: &New, _now: Tick) -> Result<Connection, Refused> {
        Err(Refused::Full)
    }
    /// Replaces what was decided; false when the connection has gone meanwhile.
    pub fn redecide(&self, _connection: &Connection, _actions: [Action; 2], _flags: u16, _generation: u32) -> bool {
        false
    }
    /// Notes the maximum segment size.
    pub fn set_mss(&self, _connection: &Connection, _mss: u16) {}
    /// Removes; false when it has gone meanwhile.
    pub fn remove(&self, _connection: &Connection) -> bool {
        false
    }
    /// Looks at the next `records` records and removes what was idle for too long.
    pub fn sweep(&self, _now: Tick, _records: usize) -> Swept {
        Swept::default()
    }
    /// Connections in the table.
    #[must_use]
    pub fn len(&self) -> u32 {
        0
    }
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Most connections at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.config.capacity
    }
    /// Connections that count against the owner's share.
    #[must_use]
    pub fn owned_by(&self, _owner: Owner) -> u32 {
        0
    }
    /// Every connection, for people.
    pub fn list(&self) -> impl Iterator<Item = Listed> + '_ {
        core::iter::empty()
    }
}
