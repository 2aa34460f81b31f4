//! Sequences of operations against a plain list of connections that knows nothing of buckets, records or versions.

mod fixture;

use fixture::{Shape, new, tuple};
use proptest::prelude::*;
use sluice_connections::{
    Action, Config, Connection, Direction, New, Owner, Refused, Segment, State, Table, Tick, Timeouts, Tuple,
};

const TIMEOUTS: Timeouts = Timeouts {
    tcp_syn: 2,
    tcp_established: 40,
    tcp_closing: 4,
    tcp_closed: 3,
    tcp_reset: 1,
    udp_unreplied: 5,
    udp_replied: 10,
    icmp: 6,
    sctp: 20,
    other: 7,
};

/// What a person would write down about a connection.
#[derive(Clone, Debug)]
struct Note {
    new: New,
    state: State,
    last: u32,
}

#[derive(Default)]
struct Oracle {
    notes: Vec<Note>,
}

impl Oracle {
    fn find(&self, tuple: &Tuple) -> Option<(usize, Direction)> {
        self.notes.iter().enumerate().find_map(|(at, note)| {
            let directions = [(note.new.original, Direction::Original), (note.new.reply, Direction::Reply)];
            directions.into_iter().find(|(own, _)| own == tuple).map(|(_, direction)| (at, direction))
        })
    }

    fn owned(&self, owner: Owner) -> u32 {
        self.notes.iter().filter(|note| note.new.owner == owner).count() as u32
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Shape, u8),
    Packet(Shape, bool, u8),
    Remove(Shape, bool),
    Redecide(Shape, u32),
    Mss(Shape, u16),
    Wait(u8),
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let shape = || fixture::shapes(12);
    let flags = || prop_oneof![Just(0x02), Just(0x12), Just(0x10), Just(0x11), Just(0x04), any::<u8>()];
    let step = prop_oneof![
        6 => (shape(), flags()).prop_map(|(shape, flags)| Step::Insert(shape, flags)),
        4 => (shape(), any::<bool>(), flags()).prop_map(|(shape, reply, flags)| Step::Packet(shape, reply, flags)),
        2 => (shape(), any::<bool>()).prop_map(|(shape, reply)| Step::Remove(shape, reply)),
        1 => (shape(), any::<u32>()).prop_map(|(shape, generation)| Step::Redecide(shape, generation)),
        1 => (shape(), any::<u16>()).prop_map(|(shape, mss)| Step::Mss(shape, mss)),
        2 => any::<u8>().prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..120)
}

struct Pair {
    table: Table,
    oracle: Oracle,
    config: Config,
    now: u32,
}

impl Pair {
    fn found(&self, tuple: &Tuple) -> Option<Connection> {
        let found = self.table.find(self.table.hash(tuple), tuple);
        let wanted = self.oracle.find(tuple);
        assert_eq!(found.map(|found| found.direction), wanted.map(|(_, direction)| direction), "{tuple:?}");
        if let (Some(found), Some((at, _))) = (found, wanted) {
            let Note { new, state, .. } = &self.oracle.notes[at];
            let copy = New { segment: new.segment, ..as_new(&found) };
            assert_eq!((copy, found.state), (*new, *state));
        }
        found
    }

    fn insert(&mut self, new: New) {
        let before = self.oracle.find(&new.original);
        let result = self.table.insert(&new, Tick(self.now));
        if before.is_some() {
            let Err(Refused::OriginalTaken(other)) = result else { panic!("{result:?} instead of the other's") };
            assert_eq!(Some(other), self.table.find(self.table.hash(&new.original), &new.original));
        } else if self.oracle.find(&new.reply).is_some() {
            assert_eq!(result, Err(Refused::ReplyTaken));
        } else if self.has_its_share(new.owner) {
            assert_eq!(result, Err(Refused::Share));
        } else if self.oracle.notes.len() as u32 >= self.config.capacity {
            assert_eq!(result, Err(Refused::Full));
        } else {
            let state = State::first(new.original.protocol, new.segment);
            assert_eq!(result.map(|it| (as_new(&it).original, it.state)), Ok((new.original, state)));
            self.oracle.notes.push(Note { new, state, last: self.now });
        }
    }

    /// A share of the whole table is none: then the table is full.
    fn has_its_share(&self, owner: Owner) -> bool {
        let Config { capacity, pod_share, .. } = self.config;
        let share = if owner == Owner::NODE { capacity - capacity / 4 } else { pod_share };
        share < capacity && self.oracle.owned(owner) >= share
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert(shape, flags) => self.insert(New { segment: Segment::Tcp { flags }, ..new(shape) }),
            Step::Packet(shape, reply, flags) => {
                let Some(found) = self.found(&tuple(shape, reply)) else { return };
                let segment = Segment::Tcp { flags };
                let note = self.oracle.find(&tuple(shape, reply)).map(|(at, _)| &mut self.oracle.notes[at]);
                let note = note.expect("both know it");
                let state = note.state.after(found.direction, segment);
                assert_eq!(self.table.observe(&found, segment, Tick(self.now)), state);
                if state != State::TcpReopen {
                    (note.state, note.last) = (state, self.now);
                }
            }
            Step::Remove(shape, reply) => {
                let Some(found) = self.found(&tuple(shape, reply)) else { return };
                assert!(self.table.remove(&found));
                assert!(!self.table.remove(&found), "it is gone already");
                assert!(!self.table.redecide(&found, found.actions, 0, 0), "there is nothing to decide about");
                let (at, _) = self.oracle.find(&tuple(shape, reply)).expect("both know it");
                self.oracle.notes.swap_remove(at);
            }
            Step::Redecide(shape, generation) => {
                let Some(found) = self.found(&tuple(shape, false)) else { return };
                let actions = [1, 2].map(|egress| Action { egress: egress ^ generation, l3_delta: 3, l4_delta: 4 });
                assert!(self.table.redecide(&found, actions, 9, generation));
                let (at, _) = self.oracle.find(&tuple(shape, false)).expect("both know it");
                let new = &mut self.oracle.notes[at].new;
                *new = New { actions, flags: 9, generation, ..*new };
            }
            Step::Mss(shape, mss) => {
                let Some(found) = self.found(&tuple(shape, true)) else { return };
                self.table.set_mss(&found, mss);
                let (at, _) = self.oracle.find(&tuple(shape, true)).expect("both know it");
                self.oracle.notes[at].new.mss = mss;
            }
            Step::Wait(ticks) => self.now = self.now.wrapping_add(u32::from(ticks)),
            Step::Sweep => self.sweep(),
        }
    }

    fn sweep(&mut self) {
        let before = self.oracle.notes.len();
        let now = self.now;
        self.oracle.notes.retain(|note| now.wrapping_sub(note.last) <= 16 * TIMEOUTS.of(note.state));
        let mut expired = 0;
        // The first round may begin in the middle.
        for _ in 0..2 {
            while !{
                let swept = self.table.sweep(Tick(now), 5);
                expired += swept.expired as usize;
                swept.wrapped
            } {}
        }
        assert_eq!(expired, before - self.oracle.notes.len());
    }

    fn check(&self) {
        assert_eq!(self.table.len() as usize, self.oracle.notes.len());
        for note in &self.oracle.notes {
            self.found(&note.new.original);
            self.found(&note.new.reply);
        }
        for owner in [Owner(0), Owner(1), Owner(2), Owner::NODE] {
            assert_eq!(self.table.owned_by(owner), self.oracle.owned(owner));
        }
        let listed: Vec<_> = self.table.list().collect();
        assert_eq!(listed.len(), self.oracle.notes.len());
        for listed in listed {
            let (at, _) = self.oracle.find(&listed.connection.original).expect("what is listed is known");
            assert_eq!(listed.last_used, Tick(self.oracle.notes[at].last));
        }
    }
}

fn as_new(connection: &Connection) -> New {
    let Connection { original, reply, actions, generation, owner, flags, mss, .. } = *connection;
    New { original, reply, actions, generation, owner, flags, mss, segment: Segment::Other }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_a_plain_list_does(
        steps in steps(), capacity in 1_u32..40, share in 1_u32..20, seed: u64, start: u32
    ) {
        let config = Config { capacity, pod_share: share, owners: 16, seed, timeouts: TIMEOUTS };
        let mut pair = Pair { table: Table::new(config), oracle: Oracle::default(), config, now: start };
        for step in steps {
            pair.apply(step);
        }
        pair.check();
    }
}

#[test]
fn a_table_can_be_filled_to_the_last_record_and_emptied_again() {
    // Every bucket is full several times over on the way there, whatever the seed.
    for seed in 0..20 {
        let config = Config { capacity: 400, pod_share: 400, seed, ..Config::default() };
        let table = Table::new(config);
        for round in 0..3 {
            let all: Vec<Connection> = (0..400)
                .map(|number| table.insert(&fixture::numbered(number, round), Tick(0)).expect("room for each"))
                .collect();
            assert_eq!(table.insert(&fixture::numbered(400, round), Tick(0)), Err(Refused::Full));
            for connection in &all {
                for tuple in [connection.original, connection.reply] {
                    assert_eq!(table.find(table.hash(&tuple), &tuple).map(|it| it.id), Some(connection.id));
                }
            }
            assert!(all.iter().all(|connection| table.remove(connection)));
            assert!(table.is_empty());
        }
    }
}

#[test]
fn a_flood_from_outside_leaves_a_quarter_of_the_table_to_the_pods() {
    let table = Table::new(Config { capacity: 400, ..Config::default() });
    let owned = |number: u32, owner: Owner| New { owner, ..fixture::numbered(number, 0) };
    let flood = (0..1000).map(|number| table.insert(&owned(number, Owner::NODE), Tick(0)));
    let refused = flood.skip(300).all(|result| result == Err(Refused::Share));
    assert!(refused && table.owned_by(Owner::NODE) == 300);
    for number in 0..100 {
        table.insert(&owned(1000 + number, Owner(number as u16 % 4)), Tick(0)).expect("room for pods");
    }
    assert_eq!(table.insert(&owned(1100, Owner(0)), Tick(0)), Err(Refused::Full));
}

#[test]
fn a_pod_that_has_gone_leaves_no_connection_and_its_share_to_the_next() {
    let table = Table::new(Config { capacity: 400, pod_share: 100, ..Config::default() });
    let owned = |number: u32, owner: u16| New { owner: Owner(owner), ..fixture::numbered(number, 0) };
    for number in 0..100 {
        table.insert(&owned(number, 1), Tick(0)).expect("a share of 100");
        table.insert(&owned(1000 + number, 2), Tick(0)).expect("a share of 100");
    }
    // Counted under a port that the pod had before the process was started again.
    let elsewhere = owned(60_000, 3);
    table.insert(&elsewhere, Tick(0)).expect("room");
    assert_eq!(table.insert(&owned(2000, 1), Tick(0)), Err(Refused::Share));
    assert_eq!(table.remove_owned(Owner(1), &[elsewhere.original.source]), 101);
    assert_eq!([1, 2, 3].map(|owner| table.owned_by(Owner(owner))), [0, 100, 0]);
    for number in 0..100 {
        table.insert(&owned(3000 + number, 1), Tick(0)).expect("the whole share");
    }
    assert_eq!(table.remove_owned(Owner(9), &[]), 0);
    assert_eq!(table.list().count(), 200);
}
