//! Every connection, for people.

use super::Table;
use super::sweep::nth;
use crate::place::Family;
use crate::{Connection, Tick};

/// A connection as listed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The connection, seen from the original direction.
    pub connection: Connection,
    /// When its last packet came.
    pub last_used: Tick,
}

impl Table {
    /// Every connection, in no order. Each is consistent in itself; those that come or go meanwhile may be missing or
    /// there. For the control side: takes no lock and holds nobody up, but reads all the records.
    pub fn list(&self) -> impl Iterator<Item = Listed> + '_ {
        let first = self.pool(Family::V4).used() as usize;
        (0..self.used()).filter_map(move |number| {
            let (connection, used) = self.record(nth(number, first))?.read()?;
            Some(Listed { connection, last_used: used.last() })
        })
    }
}
