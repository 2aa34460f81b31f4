//! The table, as its users see it.

mod adopt;
mod bookmark;
mod find;
mod insert;
mod list;
mod open;
mod remove;
mod sweep;
mod view;

use core::fmt;

pub use adopt::{Adopted, Outcome, TooSmall};
pub use bookmark::Bookmark;
pub use list::Listed;
pub use open::{Intake, Opening, Reserved, TOGETHER};
pub use view::{Known, View};

use crate::atomic::Ordering;
use crate::counts::Counts;
use crate::hash::Secrets;
use crate::index::Index;
use crate::layout::{Layout, Line, USED_V4, USED_V6, header};
use crate::memory::Memory;
use crate::place::{Family, Place};
use crate::pool::Pool;
use crate::record::Record;
use crate::tuple::Key;
use crate::{Action, Config, Connection, Owner, Segment, State, Tick, Tuple};

/// The connections of a node. Any number of threads may use one table at once, each method from any thread; look-ups
/// and observations never wait for a lock, inserting and removing hold the locks of the buckets concerned.
pub struct Table {
    memory: Memory,
    layout: Layout,
    secrets: Secrets,
    pod_share: u32,
    /// Ticks for which a connection may be idle, by state, above [`sweep::AHEAD`].
    timeouts: [u32; 16],
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("capacity", &self.capacity()).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Table {
    /// An empty table on the heap. Memory that no connection has used yet is reserved but not touched.
    ///
    /// # Panics
    /// If the allocator has no memory for [`Table::words`]: as with any allocation there is nothing else to do.
    #[must_use]
    pub fn new(config: Config) -> Table {
        let config = config.in_range();
        let memory = Memory::zeroed(Layout::of(&config).lines);
        let table = Table::laid_over(memory, &config, config.seed);
        table.write_header(&config);
        table
    }

    /// Words of memory that [`Table::over`] needs.
    #[must_use]
    pub fn words(config: &Config) -> usize {
        Layout::of(&config.in_range()).lines * crate::layout::WORDS
    }

    fn laid_over(memory: Memory, config: &Config, seed: u64) -> Table {
        let mut timeouts = [0; 16];
        for (number, ticks) in (0..).zip(&mut timeouts) {
            *ticks = config.timeouts.ticks(State::decode(number)).saturating_add_signed(-sweep::AHEAD);
        }
        let (layout, secrets) = (Layout::of(config), Secrets::of(seed));
        Table { memory, layout, secrets, pod_share: config.pod_share, timeouts }
    }

    #[inline]
    fn lines(&self) -> &[Line] {
        self.memory.lines()
    }

    #[inline]
    fn index(&self) -> Index<'_> {
        self.layout.index_of(self.lines())
    }

    #[inline]
    fn record(&self, place: Place) -> Option<Record<'_>> {
        self.record_in(self.lines(), place)
    }

    /// The same where the lines are at hand.
    #[inline]
    fn record_in<'t>(&self, lines: &'t [Line], place: Place) -> Option<Record<'t>> {
        let at = self.layout.record(place)?;
        Some(match place.family() {
            Family::V4 => Record { place, first: lines.get(at)?, second: None },
            Family::V6 => {
                let [first, second] = lines.get(at..)?.first_chunk()?;
                Record { place, first, second: Some(second) }
            }
        })
    }

    #[inline]
    fn pool(&self, family: Family) -> Pool<'_> {
        self.pool_in(self.lines(), family)
    }

    #[inline]
    fn pool_in<'t>(&self, lines: &'t [Line], family: Family) -> Pool<'t> {
        let line = match family {
            Family::V4 => USED_V4,
            Family::V6 => USED_V6,
        };
        Pool { used: &lines[line][0], capacity: self.layout.capacity, bits: self.layout.free_of(lines, family) }
    }

    fn counts(&self) -> Counts<'_> {
        self.counts_in(self.lines())
    }

    #[inline]
    fn counts_in<'t>(&'t self, lines: &'t [Line]) -> Counts<'t> {
        Counts { lines, layout: &self.layout, pod_share: self.pod_share }
    }

    fn hash_of(&self, key: &Key) -> u64 {
        self.secrets.hash(key)
    }

    /// The hash of a tuple under this table's seed, for the methods that ask for one.
    #[must_use]
    #[inline]
    pub fn hash(&self, tuple: &Tuple) -> u64 {
        Key::of(tuple).map_or(0, |key| self.secrets.hash(&key))
    }

    /// Loads the bucket of a hash, so that the cache misses of a burst overlap: call it for all packets before the first
    /// [`Table::find`]. What it returns means nothing; add it up and hide the sum from the compiler
    /// ([`core::hint::black_box`]) where the load must stay.
    #[inline]
    pub fn touch(&self, hash: u64) -> u64 {
        let index = self.index();
        index.bucket(index.home(hash)).flags()
    }

    /// Loads the record that the hash probably leads to, once [`Table::touch`] has had time to bring the bucket.
    /// Returns as [`Table::touch`] does.
    #[inline]
    pub fn peek(&self, hash: u64) -> u64 {
        let index = self.index();
        let touched = index.search_home(hash, |entry| {
            let (place, _) = Place::of_entry(entry);
            Some(self.record(place)?.touch())
        });
        touched.unwrap_or(0)
    }

    /// Tells the table of a packet of `connection`, in the direction that it was found by: moves state and last use on,
    /// and writes only if one of them changed.
    ///
    /// Returns the state after the packet. [`State::TcpReopen`] is a SYN for a connection that is over: nothing has been
    /// written; [`Table::remove`] it and treat the packet as the first of a new one. If the connection has gone
    /// meanwhile, the state is what it would have become.
    #[inline]
    pub fn observe(&self, connection: &Connection, segment: Segment, now: Tick) -> State {
        let after = |state: State| state.after(connection.direction, segment);
        let observed =
            self.record(connection.id.place).and_then(|it| it.observe(connection.id.incarnation, now, after));
        observed.unwrap_or_else(|| after(connection.state))
    }

    /// Replaces what was decided about a connection; whoever finds it sees all of the old or all of the new. False when
    /// it has gone meanwhile.
    pub fn redecide(&self, connection: &Connection, actions: [Action; 2], flags: u16, generation: u32) -> bool {
        let record = self.record(connection.id.place);
        record.is_some_and(|record| record.redecide(connection.id.incarnation, actions, flags, generation))
    }

    /// Notes the maximum segment size of a connection, in bytes, if it is still there.
    pub fn set_mss(&self, connection: &Connection, mss: u16) {
        if let Some(record) = self.record(connection.id.place) {
            record.set_mss(connection.id.incarnation, mss);
        }
    }

    /// Connections in the table.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.counts().all().load(Ordering::Relaxed) as u32
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most connections at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.layout.capacity
    }

    /// Most connections that one owner may have.
    #[must_use]
    pub fn pod_share(&self) -> u32 {
        self.pod_share
    }

    /// Connections that count against the owner's share. Owners beyond [`Config::owners`] answer for each other.
    #[must_use]
    pub fn owned_by(&self, owner: Owner) -> u32 {
        self.counts().of(owner).load(Ordering::Relaxed) as u32
    }

    fn header(&self, word: usize) -> u64 {
        self.lines()[crate::layout::HEADER][word].load(Ordering::Relaxed)
    }

    fn set_header(&self, word: usize, value: u64) {
        self.lines()[crate::layout::HEADER][word].store(value, Ordering::Release);
    }

    /// Says what the memory is; the magic number last, so that half a header is none.
    fn write_header(&self, config: &Config) {
        self.set_header(header::VERSION, crate::layout::VERSION);
        self.set_header(header::CAPACITY, u64::from(config.capacity));
        self.set_header(header::OWNERS, u64::from(config.owners));
        self.set_header(header::SEED, config.seed);
        self.set_header(header::MAGIC, adopt::MAGIC);
    }
}
