//! The look-up: what every packet of a known connection runs.
//!
//! Each family has its own copy of the code, with its kind of record known to the compiler; each copy loads everything
//! into registers, checks that it is consistent, and only then spreads it over the result, in the caller's place.

use super::Table;
use crate::Direction;
use crate::bucket::Bucket;
use crate::index::Index;
use crate::layout::Line;
use crate::place::{Family, Place};
use crate::record::{Lead, Use, Words};
use crate::tuple::Key;
use crate::{Connection, Tuple};

impl Table {
    /// The connection that one of whose tuples is `tuple`; `hash` is its [`Table::hash`].
    ///
    /// A connection that has been idle for too long is found until [`Table::sweep`] has come to it.
    #[must_use]
    #[inline]
    pub fn find(&self, hash: u64, tuple: &Tuple) -> Option<Connection> {
        self.find_key(hash, &Key::of(tuple)?)
    }

    #[inline]
    pub(super) fn find_key(&self, hash: u64, key: &Key) -> Option<Connection> {
        let lines = self.lines();
        let index = self.layout.index_of(lines);
        match *key {
            Key::V4 { addresses, ports, protocol } => {
                find_in(index, self.layout.v4_of(lines), Family::V4, hash, (addresses, ports, protocol))
            }
            Key::V6 { addresses, ports, protocol } => {
                find_in(index, self.layout.v6_of(lines), Family::V6, hash, (addresses, ports, protocol))
            }
        }
    }
}

/// The lines of one record: one for IPv4, two for IPv6.
trait Lines {
    /// Both addresses as words.
    type Addresses: Copy;

    fn first(&self) -> &Line;
    /// 0 if these are the addresses in `direction`.
    fn differ(&self, direction: Direction, addresses: Self::Addresses) -> u64;
    fn key(&self, direction: Direction, ports: u32, protocol: u8) -> Key;
}

impl Lines for Line {
    type Addresses = u64;

    #[inline(always)]
    fn first(&self) -> &Line {
        self
    }

    #[inline(always)]
    fn differ(&self, direction: Direction, addresses: u64) -> u64 {
        Words::v4_addresses(self, direction) ^ addresses
    }

    #[inline(always)]
    fn key(&self, direction: Direction, ports: u32, protocol: u8) -> Key {
        Key::V4 { addresses: Words::v4_addresses(self, direction), ports, protocol }
    }
}

impl Lines for [Line; 2] {
    type Addresses = [u64; 4];

    #[inline(always)]
    fn first(&self) -> &Line {
        &self[0]
    }

    #[inline(always)]
    fn differ(&self, direction: Direction, addresses: [u64; 4]) -> u64 {
        let own = Words::v6_addresses(&self[0], &self[1], direction);
        (own[0] ^ addresses[0]) | (own[1] ^ addresses[1]) | (own[2] ^ addresses[2]) | (own[3] ^ addresses[3])
    }

    #[inline(always)]
    fn key(&self, direction: Direction, ports: u32, protocol: u8) -> Key {
        Key::V6 { addresses: Words::v6_addresses(&self[0], &self[1], direction), ports, protocol }
    }
}

/// A record that matches, under the lead and use that it had then.
struct Hit<'t, L> {
    lines: &'t L,
    entry: u32,
    lead: Lead,
    used: Use,
}

#[inline(never)]
fn find_in<L: Lines>(
    index: Index<'_>,
    records: &[L],
    family: Family,
    hash: u64,
    key: (L::Addresses, u32, u8),
) -> Option<Connection> {
    loop {
        let mut found = index.search_home(hash, |entry| matching(records, family, entry, key));
        if found.is_none() {
            let reach = Bucket::reach(index.bucket(index.home(hash)).flags());
            if reach == 0 {
                return None;
            }
            found = find_beyond(index, records, family, hash, reach, key);
        }
        let Hit { lines, entry, lead, used } = found?;
        let (place, direction) = Place::of_entry(entry);
        let (ports, protocol) = (Words::ports(lines.first()), used.protocol());
        let original = lines.key(Direction::Original, (ports >> 32) as u32, protocol);
        let reply = lines.key(Direction::Reply, ports as u32, protocol);
        // Else it has been decided again, or replaced, since it was found to match: look again.
        if let Some(words) = Words::rest(lines.first(), lead, used) {
            return Some(words.connection(place, direction, original.tuple(), reply.tuple()));
        }
    }
}

#[cold]
#[inline(never)]
fn find_beyond<'t, L: Lines>(
    index: Index<'t>,
    records: &'t [L],
    family: Family,
    hash: u64,
    reach: u32,
    key: (L::Addresses, u32, u8),
) -> Option<Hit<'t, L>> {
    index.search_beyond(hash, reach, &mut |entry| matching(records, family, entry, key))
}

/// The record of an entry, if it holds a connection with that key in the entry's direction.
///
/// Where the key does not match, nothing more is checked: a connection that is here all the while matches.
#[inline(always)]
fn matching<'t, L: Lines>(
    records: &'t [L],
    family: Family,
    entry: u32,
    (addresses, ports, protocol): (L::Addresses, u32, u8),
) -> Option<Hit<'t, L>> {
    let (place, direction) = Place::of_entry(entry);
    // Beyond any pool for a place of the other family.
    let lines = records.get(place.index_in(family))?;
    let first = lines.first();
    let lead = Lead::settled(first)?;
    let used = Use::of(first);
    let own_ports = (Words::ports(first) >> (32 - 32 * direction as u32)) as u32;
    // One comparison for everything: a branch for each field would cost more than it saves.
    let same =
        used.differs(lead.incarnation(), protocol) | u64::from(own_ports ^ ports) | lines.differ(direction, addresses);
    if same == 0 { Some(Hit { lines, entry, lead, used }) } else { None }
}
