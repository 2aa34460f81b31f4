//! Memory that outlives the process.

use super::Table;
use crate::atomic::AtomicU64;
use crate::layout::{CURSOR, HEADER, Layout, VERSION, header};
use crate::memory::{Memory, clear};
use crate::place::{Family, Place};
use crate::record::Record;
use crate::tuple::Key;
use crate::{Config, Connection, Direction};

/// "sluice" and two more bytes: what the first word says once the rest is there.
pub(super) const MAGIC: u64 = 0x736c_7569_6365_6374;

/// The first word while memory that held something else is being wiped.
const WIPING: u64 = 1;

/// A table over given memory, and what was found there.
#[derive(Debug)]
pub struct Adopted {
    /// The table.
    pub table: Table,
    /// What was found.
    pub outcome: Outcome,
}

/// What was found in memory that a table was laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing that this version and these sizes could use: formatted anew, without connections.
    Formatted,
    /// A table of the same version and sizes.
    Kept {
        /// Connections that go on, all of generation [`Connection::UNDECIDED`].
        connections: u32,
        /// Records in use whose words make no sense, mostly because the process ended while writing them.
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
    /// Words that there are.
    pub given: usize,
}

impl Table {
    /// A table in memory that outlives the process, such as a mapped memfd; it should begin at a page.
    ///
    /// If a table of the same version and sizes is there already, its connections are kept: locks that the last process
    /// held are let go, records it was writing are dropped, and index, free lists and counts are built anew from the
    /// records. Its seed is kept too; share and timeouts are the new ones. Whatever else is there is overwritten. Memory
    /// whose first word is 0 is taken to be all zeros, as fresh memory is, and its pages are not touched.
    ///
    /// No other thread or process may use the memory meanwhile, nor a second table later.
    ///
    /// # Errors
    /// The memory is smaller than [`Table::words`].
    pub fn over(memory: &'static [AtomicU64], config: Config) -> Result<Adopted, TooSmall> {
        let config = config.in_range();
        let needed = Table::words(&config);
        let memory = memory.get(..needed).ok_or(TooSmall { needed, given: memory.len() })?;
        let found = Table::laid_over(Memory::Shared(memory), &config, config.seed);
        if found.is_of(&config) {
            let seed = found.header(header::SEED);
            let table = Table::laid_over(Memory::Shared(memory), &config, seed);
            let outcome = table.recover();
            return Ok(Adopted { table, outcome });
        }
        found.wipe();
        found.write_header(&config);
        Ok(Adopted { table: found, outcome: Outcome::Formatted })
    }

    fn is_of(&self, config: &Config) -> bool {
        self.header(header::MAGIC) == MAGIC
            && self.header(header::VERSION) == VERSION
            && self.header(header::CAPACITY) == u64::from(config.capacity)
            && self.header(header::OWNERS) == u64::from(config.owners)
    }

    fn wipe(&self) {
        if self.header(header::MAGIC) == 0 {
            return;
        }
        self.set_header(header::MAGIC, WIPING);
        clear(&self.lines()[HEADER + 1..]);
    }

    /// Rebuilds everything but the records. Safe to be cut short: it only needs the records and how many were used.
    fn recover(&self) -> Outcome {
        let Layout { index, buckets, .. } = self.layout;
        clear(&self.lines()[index..index + buckets as usize]);
        clear(&self.lines()[CURSOR..=CURSOR]);
        self.counts().reset();
        let (mut connections, mut discarded) = (0, 0);
        for family in [Family::V4, Family::V6] {
            let pool = self.pool(family);
            pool.forget_free();
            for number in 0..pool.used() {
                let Some(record) = self.record(Place::new(family, number)) else { continue };
                if record.recover().is_some_and(|connection| self.readmit(&record, &connection)) {
                    connections += 1;
                    continue;
                }
                discarded += u32::from(record.is_live());
                record.discard();
                pool.give(number);
            }
        }
        Outcome::Kept { connections, discarded }
    }

    /// Puts a recovered record into index and counts; false when a tuple of it is taken or the table is full.
    fn readmit(&self, record: &Record<'_>, connection: &Connection) -> bool {
        let (Some(original), Some(reply)) = (Key::of(&connection.original), Key::of(&connection.reply)) else {
            return false;
        };
        if self.len() >= self.capacity() {
            return false;
        }
        let hashes = [self.hash_of(&original), self.hash_of(&reply)];
        let mut locks = self.index().lock(hashes);
        let single = original == reply;
        if self.find_key(hashes[0], &original).is_some() || self.find_key(hashes[1], &reply).is_some() {
            return false;
        }
        let Ok(Some(first)) = locks.reserve(hashes[0], None) else { return false };
        if !single {
            let Ok(Some(second)) = locks.reserve(hashes[1], Some(first)) else { return false };
            locks.fill(second, record.place.entry(Direction::Reply));
        }
        locks.fill(first, record.place.entry(Direction::Original));
        self.counts().recount(connection.owner);
        true
    }
}
