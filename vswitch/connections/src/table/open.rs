//! Putting in what most new connections are: IPv4, and with room where both its tuples belong. In the words that records have, and
//! with the hashes that who looked for them has worked out already.

use super::Table;
use crate::bucket::{Bucket, tag_of};
use crate::counts::Counts;
use crate::index::Index;
use crate::layout::Line;
use crate::place::{Family, Place};
use crate::pool::Pool;
use crate::record::{Brief, Record};
use crate::{Direction, Owner, Segment, State, Tick};

/// A connection to be put in by [`Intake::open`]. Where there are two of a thing they are by [`Direction`]; the source stands above
/// the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Addresses of its packets, as they arrive.
    pub addresses: [u64; 2],
    /// Ports of its packets, as they arrive.
    pub ports: [u32; 2],
    /// As [`crate::View::hash`] gives them for addresses, ports and protocol.
    pub hashes: [u64; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// As [`crate::New::actions`]: egress above both deltas, that of layer 3 first.
    pub actions: [u64; 2],
    /// As [`crate::New::generation`].
    pub generation: u32,
    /// As [`crate::New::owner`].
    pub owner: Owner,
    /// As [`crate::New::flags`].
    pub flags: u16,
    /// As [`crate::New::mss`].
    pub mss: u16,
    /// As [`crate::New::segment`].
    pub segment: Segment,
}

/// The table as a burst puts IPv4 connections in: slices worked out once.
#[derive(Clone, Copy)]
pub struct Intake<'t> {
    index: Index<'t>,
    records: &'t [Line],
    pool: Pool<'t>,
    counts: Counts<'t>,
}

impl Table {
    /// Where new IPv4 connections are put in.
    #[must_use]
    pub fn intake(&self) -> Intake<'_> {
        let lines = self.lines();
        Intake {
            index: self.layout.index_of(lines),
            records: self.layout.v4_of(lines),
            pool: self.pool_in(lines, Family::V4),
            counts: self.counts_in(lines),
        }
    }
}

/// Most connections that are put in together.
pub const TOGETHER: usize = 32;

/// Records for connections that a burst is about to put in, counted already; those that are left are given back on drop.
///
/// While they are held, another thread that fills the table to its last place may be refused: for less than a burst.
#[derive(Debug)]
pub struct Reserved<'t> {
    pool: Pool<'t>,
    counts: Counts<'t>,
    numbers: [u32; TOGETHER],
    /// The next to be used, and the end of them.
    next: usize,
    end: usize,
}

impl Reserved<'_> {
    /// Gives one back now, for a connection that is put in by [`Table::insert`] after all.
    #[cold]
    pub fn give_one_back(&mut self) {
        if let Some(number) = self.numbers.get(self.next..self.end).and_then(<[u32]>::last) {
            self.pool.give(*number);
            self.counts.dismiss(1);
            self.end -= 1;
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let left = self.numbers.get(self.next..self.end).unwrap_or_default();
        for number in left {
            self.pool.give(*number);
        }
        if !left.is_empty() {
            self.counts.dismiss(left.len() as u64);
        }
    }
}

/// A bucket that this thread has locked; let go of on drop.
struct Held<'t>(Bucket<'t>);

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.unlock();
    }
}

impl<'t> Intake<'t> {
    /// Takes records for `wanted` connections, at most [`TOGETHER`], as far as there is room, and loads them; what is returned beside
    /// them means as much as with [`Table::touch`].
    #[inline]
    #[must_use]
    pub fn reserve(&self, wanted: usize) -> (Reserved<'t>, u64) {
        let mut numbers = [0; TOGETHER];
        let admitted = self.counts.admit(wanted.min(TOGETHER) as u64) as usize;
        let end = self.pool.take_many(numbers.get_mut(..admitted).unwrap_or_default());
        if end < admitted {
            self.counts.dismiss((admitted - end) as u64);
        }
        let loaded = numbers
            .iter()
            .take(end)
            .fold(0, |loaded, number| loaded ^ self.records.get(*number as usize).map_or(0, Brief::touch));
        (Reserved { pool: self.pool, counts: self.counts, numbers, next: 0, end }, loaded)
    }

    /// Puts a connection in, as [`Table::insert`] does. False, with nothing changed, where there is anything in the way: a connection
    /// with one of its tuples, a bucket that is full or was, both tuples in one bucket, a share or a table that is used up.
    /// [`Table::insert`] then says what it is.
    #[must_use]
    #[inline]
    pub fn open(&self, reserved: &mut Reserved<'_>, opening: &Opening, now: Tick) -> bool {
        let hashes = opening.hashes;
        let (one, other) = (self.index.home(hashes[0]), self.index.home(hashes[1]));
        if one == other {
            return false;
        }
        let (original, reply) = (self.index.bucket(one), self.index.bucket(other));
        // In the order in which everybody locks.
        let (low, high) = if one < other { (original, reply) } else { (reply, original) };
        low.lock();
        let _low = Held(low);
        high.lock();
        let _high = Held(high);
        let tags = [tag_of(hashes[0]), tag_of(hashes[1])];
        let (Some(one), Some(other)) = (original.vacancy(tags[0]), reply.vacancy(tags[1])) else { return false };
        self.fill([(original, one), (reply, other)], tags, reserved, opening, now)
    }

    #[inline(always)]
    fn fill(
        &self,
        slots: [(Bucket<'_>, usize); 2],
        tags: [u16; 2],
        reserved: &mut Reserved<'_>,
        opening: &Opening,
        now: Tick,
    ) -> bool {
        let number = reserved.numbers.get(reserved.next..reserved.end).and_then(<[u32]>::first).copied();
        let Some((number, first)) = number.and_then(|number| Some((number, self.records.get(number as usize)?))) else {
            return false;
        };
        if !self.counts.add_owned(opening.owner) {
            return false;
        }
        reserved.next += 1;
        let record = Record { place: Place::new(Family::V4, number), first, second: None };
        let [(original, one), (reply, other)] = slots;
        original.fill(one, tags[0], record.place.entry(Direction::Original));
        reply.fill(other, tags[1], record.place.entry(Direction::Reply));
        record.open(opening, State::first(opening.protocol, opening.segment), now);
        true
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::tuple::Key;
    use crate::{Action, Config, New, Refused, Tuple};

    fn tuple(client: u8, port: u16) -> Tuple {
        Tuple {
            source: Ipv4Addr::new(10, 0, 0, client).into(),
            destination: Ipv4Addr::new(10, 96, 0, 1).into(),
            source_port: port,
            destination_port: 80,
            protocol: 6,
        }
    }

    fn new(client: u8, port: u16, backend: u8) -> New {
        let original = tuple(client, port);
        let behind = Tuple { destination: Ipv4Addr::new(10, 1, 2, backend).into(), destination_port: 8080, ..original };
        let action = |side: u16| Action { egress: 7 << 16 | u32::from(port), l3_delta: side, l4_delta: side + 10 };
        New {
            original,
            reply: behind.reversed(),
            actions: [action(1), action(2)],
            generation: 99,
            owner: Owner(u16::from(client)),
            flags: 5,
            mss: 1400,
            segment: Segment::Tcp { flags: 2 },
        }
    }

    fn opening(table: &Table, new: &New) -> Opening {
        let words = |tuple: &Tuple| match Key::of(tuple) {
            Some(Key::V4 { addresses, ports, .. }) => (addresses, ports),
            _ => panic!("IPv4"),
        };
        let [original, reply] = [&new.original, &new.reply].map(words);
        let action = |it: &Action| u64::from(it.egress) << 32 | u64::from(it.l3_delta) << 16 | u64::from(it.l4_delta);
        Opening {
            addresses: [original.0, reply.0],
            ports: [original.1, reply.1],
            hashes: [table.hash(&new.original), table.hash(&new.reply)],
            protocol: new.original.protocol,
            actions: [action(&new.actions[0]), action(&new.actions[1])],
            generation: new.generation,
            owner: new.owner,
            flags: new.flags,
            mss: new.mss,
            segment: new.segment,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Few buckets, so that they get full, and small shares.
        #[test]
        fn what_is_opened_is_what_would_have_been_inserted(
            seed in any::<u64>(),
            capacity in 1_u32..200,
            all in prop::collection::vec((0_u8..4, 0_u16..40, 0_u8..2), 1..200),
        ) {
            let config = Config { capacity, pod_share: 50, seed, ..Config::default() };
            let (opened, inserted) = (Table::new(config), Table::new(config));
            let (mut easy, mut taken) = (0, 0);
            for (now, (client, port, backend)) in (1..).zip(all) {
                let new = new(client, port, backend);
                let expected = inserted.insert(&new, Tick(now));
                if opened.intake().open(&mut opened.intake().reserve(1).0, &opening(&opened, &new), Tick(now)) {
                    easy += 1;
                    prop_assert!(expected.is_ok());
                } else {
                    let got = opened.insert(&new, Tick(now));
                    prop_assert_eq!(got.is_ok(), expected.is_ok());
                    taken += u32::from(matches!(got, Err(Refused::OriginalTaken(_))));
                }
                prop_assert_eq!(opened.len(), inserted.len());
                prop_assert_eq!(opened.owned_by(new.owner), inserted.owned_by(new.owner));
                for tuple in [new.original, new.reply] {
                    let found = |table: &Table| {
                        let found = table.find(table.hash(&tuple), &tuple)?;
                        Some((found.direction, found.original, found.reply, found.actions, found.generation, found.mss, found.flags, found.state))
                    };
                    prop_assert_eq!(found(&opened), found(&inserted));
                }
                // Gone again, so that records are used anew.
                if now % 3 == 0 {
                    for table in [&opened, &inserted] {
                        if let Some(found) = table.find(table.hash(&new.original), &new.original) {
                            prop_assert!(table.remove(&found));
                        }
                    }
                }
            }
            prop_assert!(capacity < 20 || easy > 0);
            prop_assert!(easy + taken <= 200);
        }
    }
}
