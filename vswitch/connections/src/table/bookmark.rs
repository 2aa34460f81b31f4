//! What a user of the table keeps of a connection from one packet to the next, to find it again without looking it up.

use super::View;
use super::view::Known;
use crate::layout::Line;
use crate::record::{Lead, Use};
use crate::{Connection, Segment, State, Table, Tick};

/// Where a connection is, and the words that say that it is still there and still what it was: while they are the same, so are
/// its tuples, what was decided for it, its segment size and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Of all the table's lines, the record's first.
    line: u32,
    /// Half of the incarnation, protocol and state.
    used: u32,
    lead: Lead,
}

impl Bookmark {
    /// Of no connection.
    pub const NONE: Bookmark = Bookmark { line: u32::MAX, used: 0, lead: Lead::NONE };

    pub(super) fn new(line: u32, lead: Lead, used: Use) -> Bookmark {
        Bookmark { line, used: used.rest(), lead }
    }
}

impl Known<'_> {
    /// A bookmark for packets such as `segment`, if that leaves the state as it is.
    #[must_use]
    pub fn bookmark(&self, segment: Segment) -> Option<Bookmark> {
        let state = self.used.state();
        let stays = state.after(self.direction, segment) == state && state != State::TcpReopen;
        stays.then(|| Bookmark::new(self.number, self.lead, self.used))
    }
}

impl Table {
    /// A bookmark for packets such as `segment` of a connection that was found, if that leaves the state as it is, and the connection is
    /// still what was found.
    #[must_use]
    pub fn bookmark(&self, connection: &Connection, segment: Segment) -> Option<Bookmark> {
        let number = self.layout.record(connection.id.place)?;
        let record = self.record(connection.id.place)?;
        let lead = Lead::settled(record.first)?;
        let (copy, used) = record.read()?;
        let copy = Connection { direction: connection.direction, state: connection.state, ..copy };
        let state = used.state();
        let stays = state.after(connection.direction, segment) == state && state != State::TcpReopen;
        // The lead again: what was read between was under this one.
        let same = copy == *connection && Lead::of(record.first) == lead;
        (stays && same).then(|| Bookmark::new(number as u32, lead, used))
    }
}

impl View<'_> {
    /// Tells the connection of one more packet of the kind that the bookmark was made for. False, with nothing written, when it
    /// is not what it was any more, or another thread is at it: look it up.
    #[must_use]
    #[inline(always)]
    pub fn observe_at(&self, mark: &Bookmark, now: Tick) -> bool {
        let Some(line) = self.lines.get(mark.line as usize) else { return false };
        if Lead::of(line) != mark.lead {
            return false;
        }
        // What nearly every packet meets: another has come in the same tick.
        Use::of(line) == Use::at(now, mark.used) || use_now(line, mark.used, now)
    }
}

/// Moves the last use on to `now`, if the word is otherwise `rest`.
#[cold]
#[inline(never)]
fn use_now(line: &Line, rest: u32, now: Tick) -> bool {
    let used = Use::of(line);
    if used.rest() != rest {
        return false;
    }
    let next = used.moved_on(now, used.state());
    next == used || used.replace(line, next)
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{Action, Config, New, Owner, Tuple};

    const DATA: Segment = Segment::Tcp { flags: 0x10 };

    fn new() -> New {
        let original = Tuple {
            source: Ipv4Addr::new(10, 0, 0, 1).into(),
            destination: Ipv4Addr::new(10, 0, 0, 2).into(),
            source_port: 4000,
            destination_port: 80,
            protocol: 6,
        };
        New {
            original,
            reply: original.reversed(),
            actions: [Action::default(); 2],
            generation: 1,
            owner: Owner(0),
            flags: 0,
            mss: 0,
            segment: DATA,
        }
    }

    fn known<'t>(table: &'t Table, tuple: &Tuple) -> Known<'t> {
        let address = |address| if let std::net::IpAddr::V4(v4) = address { v4.to_bits() } else { 0 };
        let addresses = u64::from(address(tuple.source)) << 32 | u64::from(address(tuple.destination));
        let ports = u32::from(tuple.source_port) << 16 | u32::from(tuple.destination_port);
        table.view().find(table.hash(tuple), (addresses, ports, 6)).expect("it is there")
    }

    /// A table with an established connection, and a bookmark in it.
    fn marked() -> (Table, Connection, Bookmark) {
        let table = Table::new(Config { capacity: 100, ..Config::default() });
        let opened = table.insert(&new(), Tick(1)).expect("room");
        assert!(known(&table, &opened.reply).observe(DATA, Tick(1)));
        let mark = known(&table, &opened.original).bookmark(DATA).expect("established");
        assert!(table.view().observe_at(&mark, Tick(1)));
        (table, opened, mark)
    }

    #[test]
    fn the_last_use_is_written_once_a_tick() {
        let (table, _, mark) = marked();
        let last = || table.list().next().expect("one connection").last_used;
        assert!(table.view().observe_at(&mark, Tick(7)));
        assert_eq!(last(), Tick(7));
        assert!(table.view().observe_at(&mark, Tick(6)), "time never goes back");
        assert_eq!(last(), Tick(7));
    }

    #[test]
    fn whatever_changes_a_connection_ends_its_bookmarks() {
        type Change = fn(&Table, &Connection);
        let changes: [Change; 5] = [
            |table, it| assert!(table.redecide(it, it.actions, 0, 2)),
            |table, it| table.set_mss(it, 1200),
            |table, it| assert!(table.remove(it)),
            |table, it| {
                let fin = Segment::Tcp { flags: 0x11 };
                assert_eq!(table.observe(it, fin, Tick(1)), State::TcpClosingOriginal);
            },
            |table, it| {
                assert!(table.remove(it));
                table.insert(&new(), Tick(1)).expect("room");
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let (table, opened, mark) = marked();
            change(&table, &opened);
            assert!(!table.view().observe_at(&mark, Tick(1)), "change {number}");
        }
    }

    #[test]
    fn what_moves_the_state_gets_no_bookmark() {
        let table = Table::new(Config { capacity: 100, ..Config::default() });
        let opened = table.insert(&new(), Tick(1)).expect("room");
        assert!(known(&table, &opened.reply).bookmark(DATA).is_none(), "it establishes the connection");
        assert!(known(&table, &opened.original).bookmark(DATA).is_some(), "it leaves it picked up");
        assert!(known(&table, &opened.original).bookmark(Segment::Tcp { flags: 0x11 }).is_none());
        assert!(!table.view().observe_at(&Bookmark::NONE, Tick(1)));
    }
}
