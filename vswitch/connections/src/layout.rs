//! Where things lie in the table's memory, in lines of eight words (64 bytes, a cache line).
//!
//! ```text
//! header | count | used v4 | used v6 | cursor | owners' counts ... | free v4 ... | free v6 ... | buckets ... | v4 records ... | v6 records ...
//!  1 line   1       1         1         1       8 to a line          512 records to a line       1 line each   1 line each      2 lines each
//! ```

use crate::Config;
use crate::atomic::AtomicU64;
use crate::index::Index;
use crate::place::{Family, Place};
use crate::pool::{Bits, lines_of_levels};

/// What the processor moves at once.
pub(crate) type Line = [AtomicU64; WORDS];

/// Words in a line.
pub(crate) const WORDS: usize = 8;

/// Raise it with every change of what a word means: memory of another version is formatted anew.
pub(crate) const VERSION: u64 = 2;

/// First line: what the memory is. Written while formatting and adopting only, by one thread.
pub(crate) const HEADER: usize = 0;
/// Words of the first line.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const CAPACITY: usize = 2;
    pub(crate) const OWNERS: usize = 3;
    pub(crate) const SEED: usize = 4;
}
/// How many connections there are, in word 0. Any worker, by compare and exchange, relaxed.
pub(crate) const COUNT: usize = 1;
/// How many records of each pool were ever used, in word 0. Any worker, by compare and exchange, relaxed.
pub(crate) const USED_V4: usize = 2;
pub(crate) const USED_V6: usize = 3;
/// Where the sweep goes on, in word 0. Any worker, by compare and exchange, relaxed.
pub(crate) const CURSOR: usize = 4;
/// The first line of the owners' counts, one word each. Any worker, by compare and exchange, relaxed.
pub(crate) const OWNERS: usize = 5;

/// Entries that a bucket holds; see [`crate::bucket`].
pub(crate) const SLOTS: usize = 10;
/// Of ten slots, how many a full table uses on average: 0.7. At that load 97 of 100 entries are in their own bucket.
const USED_SLOTS: u64 = 7;

/// Lines of each part, worked out once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) capacity: u32,
    /// Owners with a count of their own; the count after them is the node's.
    pub(crate) owners: usize,
    pub(crate) buckets: u32,
    /// First line of the free records' bits, those of IPv4 first; see [`crate::pool`].
    free: usize,
    /// Lines of each of their levels.
    levels: [usize; 3],
    /// First line of the buckets.
    pub(crate) index: usize,
    v4: usize,
    v6: usize,
    /// Lines in all.
    pub(crate) lines: usize,
}

impl Layout {
    /// For a configuration whose values are in range.
    pub(crate) fn of(config: &Config) -> Layout {
        let capacity = config.capacity as usize;
        let owners = usize::from(config.owners);
        let buckets = (u64::from(config.capacity) * 2).div_ceil(USED_SLOTS) as u32;
        let free = OWNERS + (owners + 1).div_ceil(WORDS);
        let levels = lines_of_levels(capacity);
        let index = free + 2 * levels.iter().sum::<usize>();
        let v4 = index + buckets as usize;
        let v6 = v4 + capacity;
        let lines = v6 + 2 * capacity;
        Layout { capacity: config.capacity, owners, buckets, free, levels, index, v4, v6, lines }
    }

    /// The lines of the owners' counts.
    pub(crate) fn counts_of<'t>(&self, lines: &'t [Line]) -> &'t [Line] {
        lines.get(OWNERS..self.free).unwrap_or_default()
    }

    /// The bits of a family's free records among all lines.
    #[inline]
    pub(crate) fn free_of<'t>(&self, lines: &'t [Line], family: Family) -> Bits<'t> {
        let [free, marks, regions] = self.levels;
        let first = self.free + family as usize * (free + marks + regions);
        let part = |start: usize, count: usize| lines.get(start..start + count).unwrap_or_default();
        Bits { free: part(first, free), marks: part(first + free, marks), regions: part(first + free + marks, regions) }
    }

    /// The buckets among all lines.
    #[inline]
    pub(crate) fn index_of<'t>(&self, lines: &'t [Line]) -> Index<'t> {
        Index(lines.get(self.index..self.v4).unwrap_or_default())
    }

    /// The number of the first IPv4 record's line.
    #[inline]
    pub(crate) fn first_v4(&self) -> u32 {
        // There are fewer than 2^32 lines: at most 2^30 records of one line and as many of two.
        self.v4 as u32
    }

    /// The IPv4 records among all lines.
    #[inline]
    pub(crate) fn v4_of<'t>(&self, lines: &'t [Line]) -> &'t [Line] {
        lines.get(self.v4..self.v6).unwrap_or_default()
    }

    /// The IPv6 records among all lines.
    #[inline]
    pub(crate) fn v6_of<'t>(&self, lines: &'t [Line]) -> &'t [[Line; 2]] {
        lines.get(self.v6..self.lines).unwrap_or_default().as_chunks().0
    }

    /// The first line of a record; `None` for a place that the pools do not have.
    #[inline]
    pub(crate) fn record(&self, place: Place) -> Option<usize> {
        let index = place.index();
        if index >= self.capacity {
            return None;
        }
        Some(match place.family() {
            Family::V4 => self.v4 + index as usize,
            Family::V6 => self.v6 + 2 * index as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_its_record_and_eighteen_bytes_of_index() {
        for capacity in [10_000, 1_000_000, 4_000_000] {
            let layout = Layout::of(&Config { capacity, ..Config::default() });
            let index = (layout.v4 - layout.index) * size_of::<u64>() * WORDS;
            assert!(index as f64 / f64::from(capacity) < 18.4, "{index} bytes for {capacity}");
            assert_eq!((layout.v6 - layout.v4) * size_of::<u64>() * WORDS, capacity as usize * 64);
            assert_eq!((layout.lines - layout.v6) * size_of::<u64>() * WORDS, capacity as usize * 128);
        }
    }

    #[test]
    fn parts_do_not_overlap() {
        let layout = Layout::of(&Config { capacity: 3, owners: 8, ..Config::default() });
        assert_eq!(layout.free, OWNERS + 2);
        assert_eq!(layout.index, layout.free + 6);
        assert_eq!(layout.buckets, 1);
        assert_eq!(layout.record(Place::new(Family::V4, 0)), Some(layout.index + 1));
        assert_eq!(layout.record(Place::new(Family::V4, 2)), Some(layout.index + 3));
        assert_eq!(layout.record(Place::new(Family::V6, 0)), Some(layout.index + 4));
        assert_eq!(layout.record(Place::new(Family::V6, 2)), Some(layout.lines - 2));
        assert_eq!(layout.record(Place::new(Family::V6, 3)), None);
    }
}
