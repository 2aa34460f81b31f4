//! The table's IPv4 half as a burst uses it: slices worked out once, and look-ups that give what the packets of one
//! direction need and nothing else, in the words that records have it in.
//!
//! It knows fewer cases than [`Table::find`]: what it does not find may still be there.

use super::Table;
use crate::bucket::tag_of;
use crate::hash::Secrets;
use crate::index::Index;
use crate::layout::Line;
use crate::place::{Family, Place};
use crate::record::{Brief, Lead, Use};
use crate::{Direction, Segment, State, Tick};

/// The IPv4 connections.
#[derive(Clone, Copy)]
pub struct View<'t> {
    secrets: &'t Secrets,
    index: Index<'t>,
    records: &'t [Line],
    /// All lines of the table, and the number of the first record's among them.
    pub(super) lines: &'t [Line],
    first: u32,
}

/// What the packets of one direction of a connection need.
#[derive(Clone, Copy)]
pub struct Known<'t> {
    line: &'t Line,
    /// Of all the table's lines.
    pub(super) number: u32,
    pub(super) lead: Lead,
    pub(super) used: Use,
    pub(super) direction: Direction,
    /// What they become: the source's address above the destination's.
    pub addresses: u64,
    /// What they become: the source port above the destination port.
    pub ports: u32,
    /// As [`crate::Action::egress`].
    pub egress: u32,
    /// As [`crate::Action::l3_delta`].
    pub l3_delta: u16,
    /// As [`crate::Action::l4_delta`].
    pub l4_delta: u16,
    /// As [`crate::Connection::generation`].
    pub generation: u32,
    /// As [`crate::Connection::flags`].
    pub flags: u16,
    /// As [`crate::Connection::mss`].
    pub mss: u16,
}

impl Table {
    /// Its IPv4 half.
    #[must_use]
    #[inline]
    pub fn view(&self) -> View<'_> {
        let lines = self.lines();
        let (index, records) = (self.layout.index_of(lines), self.layout.v4_of(lines));
        View { secrets: &self.secrets, index, records, lines, first: self.layout.first_v4() }
    }
}

impl<'t> View<'t> {
    /// What [`View::probe`] gives where no connection can be.
    pub const NOWHERE: u32 = u32::MAX;

    /// As [`Table::hash`]. The source's address stands above the destination's, and so do the ports.
    #[must_use]
    #[inline(always)]
    pub fn hash(&self, addresses: u64, ports: u32, protocol: u8) -> u64 {
        self.secrets.hash_v4(addresses, ports, protocol)
    }

    /// As [`Table::touch`].
    #[inline(always)]
    pub fn touch(&self, hash: u64) -> u64 {
        self.index.bucket(self.index.home(hash)).flags()
    }

    /// Where the connection of a hash probably is, and as [`Table::peek`].
    #[must_use]
    #[inline(always)]
    pub fn probe(&self, hash: u64) -> (u32, u64) {
        let first = self.index.bucket(self.index.home(hash)).first(tag_of(hash));
        let line = self.records.get(Place::of_entry(first).0.index_in(Family::V4));
        (first, line.map_or(0, Brief::touch))
    }

    /// The connection at that place ([`View::probe`]), if it has that key: addresses, ports, protocol.
    #[must_use]
    #[inline(always)]
    pub fn at(&self, entry: u32, (addresses, ports, protocol): (u64, u32, u8)) -> Option<Known<'t>> {
        let (place, direction) = Place::of_entry(entry);
        let line = self.records.get(place.index_in(Family::V4))?;
        let Brief { lead, used, addresses, ports, action, decision } =
            Brief::of(line, direction, addresses, ports, protocol)?;
        Some(Known {
            line,
            number: self.first + place.index(),
            lead,
            used,
            direction,
            addresses,
            ports,
            egress: (action >> 32) as u32,
            l3_delta: (action >> 16) as u16,
            l4_delta: action as u16,
            generation: (decision >> 32) as u32,
            flags: decision as u16,
            mss: lead.mss(),
        })
    }

    /// As [`Table::find`], for a connection that is where the hash leads and that nobody is writing to.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub fn find(&self, hash: u64, key: (u64, u32, u8)) -> Option<Known<'t>> {
        self.index.search_home(hash, |entry| self.at(entry, key))
    }
}

impl Known<'_> {
    /// As [`Table::observe`]. False, with nothing written, when the packet begins a new connection or another thread is at
    /// this one: [`Table::find`] and [`Table::observe`] then say what it is.
    #[must_use]
    #[inline(always)]
    pub fn observe(&self, segment: Segment, now: Tick) -> bool {
        // What nearly every packet meets: nothing changes.
        if self.used.is_settled_at(segment, now) {
            return true;
        }
        let state = self.used.state().after(self.direction, segment);
        if matches!(state, State::TcpReopen) {
            return false;
        }
        let next = self.used.moved_on(now, state);
        next == self.used || self.used.replace(self.line, next)
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::tuple::Key;
    use crate::{Action, Config, New, Owner, Tuple};

    fn tuple(number: u16) -> Tuple {
        Tuple {
            source: Ipv4Addr::new(10, 0, 0, 1).into(),
            destination: Ipv4Addr::new(10, 96, 0, 1).into(),
            source_port: number,
            destination_port: 80,
            protocol: 6,
        }
    }

    fn new(number: u16) -> New {
        let behind = Tuple { destination: Ipv4Addr::new(10, 1, 2, 3).into(), destination_port: 8080, ..tuple(number) };
        let action = |side: u16| Action { egress: 7 << 16 | u32::from(number), l3_delta: side, l4_delta: side + 10 };
        New {
            original: tuple(number),
            reply: behind.reversed(),
            actions: [action(1), action(2)],
            generation: 99,
            owner: Owner(3),
            flags: 5,
            mss: 1400,
            segment: Segment::Tcp { flags: 0x10 },
        }
    }

    fn words(tuple: &Tuple) -> (u64, u32) {
        match Key::of(tuple) {
            Some(Key::V4 { addresses, ports, .. }) => (addresses, ports),
            _ => panic!("IPv4"),
        }
    }

    #[test]
    fn what_is_known_is_what_the_table_finds() {
        let table = Table::new(Config { capacity: 10_000, ..Config::default() });
        for number in 0..1000 {
            table.insert(&new(number), Tick(1)).expect("room");
        }
        let (view, mut seen, mut probed) = (table.view(), 0, 0);
        for number in 0..1000 {
            for tuple in [new(number).original, new(number).reply] {
                let hash = table.hash(&tuple);
                let (addresses, ports) = words(&tuple);
                assert_eq!(view.hash(addresses, ports, 6), hash);
                let found = table.find(hash, &tuple).expect("inserted");
                let Some(known) = view.find(hash, (addresses, ports, 6)) else { continue };
                seen += 1;
                let (entry, _) = view.probe(hash);
                assert!(view.at(entry, (addresses, ports, 6)).is_none_or(|probed| probed.addresses == known.addresses));
                probed += usize::from(view.at(entry, (addresses, ports, 6)).is_some());
                let becomes = match found.direction {
                    Direction::Original => found.reply.reversed(),
                    Direction::Reply => found.original.reversed(),
                };
                assert_eq!((known.addresses, known.ports), words(&becomes));
                let Action { egress, l3_delta, l4_delta } = found.action();
                assert_eq!((known.egress, known.l3_delta, known.l4_delta), (egress, l3_delta, l4_delta));
                assert_eq!((known.generation, known.flags, known.mss), (99, 5, 1400));
            }
        }
        assert!(seen > 1900 && probed > 1900, "nearly all are where their hash leads: {seen} {probed}");
        let absent = tuple(5000);
        let (addresses, ports) = words(&absent);
        assert!(view.find(table.hash(&absent), (addresses, ports, 6)).is_none());
    }

    #[test]
    fn what_is_observed_is_what_the_table_observes() {
        let table = Table::new(Config { capacity: 100, ..Config::default() });
        let opened = table.insert(&new(1), Tick(1)).expect("room");
        let tuple: Tuple = opened.reply;
        let (addresses, ports) = words(&tuple);
        let known = || table.view().find(table.hash(&tuple), (addresses, ports, 6)).expect("it is there");
        let stale = known();
        assert!(known().observe(Segment::Tcp { flags: 0x10 }, Tick(9)));
        let state = || table.find(table.hash(&tuple), &tuple).map(|found| found.state);
        assert_eq!(state(), Some(State::TcpEstablished));
        assert!(!stale.observe(Segment::Tcp { flags: 0x04 }, Tick(9)), "another has been there meanwhile");
        assert!(known().observe(Segment::Tcp { flags: 0x04 }, Tick(9)));
        assert_eq!(state(), Some(State::TcpReset));
        assert!(!known().observe(Segment::Tcp { flags: 0x02 }, Tick(9)), "a new connection begins");
        assert_eq!(state(), Some(State::TcpReset));
    }

    #[test]
    fn a_connection_that_has_gone_is_not_known() {
        let table = Table::new(Config { capacity: 100, ..Config::default() });
        let opened = table.insert(&new(1), Tick(1)).expect("room");
        let (addresses, ports) = words(&opened.original);
        let hash = table.hash(&opened.original);
        let stale = table.view().find(hash, (addresses, ports, 6)).expect("it is there");
        assert!(table.remove(&opened));
        assert!(table.view().find(hash, (addresses, ports, 6)).is_none());
        assert!(!stale.observe(Segment::Tcp { flags: 0x10 }, Tick(9)));
    }
}
