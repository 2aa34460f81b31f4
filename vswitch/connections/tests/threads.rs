//! Several threads at once on a table so full that entries overflow: nobody waits for ever, nothing is lost.

mod fixture;

use std::thread;

use fixture::numbered;
use sluice_connections::{Config, New, Owner, Refused, Segment, Table, Tick};

/// A connection of one thread's own, or of all.
fn connection(thread: u32, number: u32) -> New {
    let whose = if number.is_multiple_of(3) { 0 } else { thread };
    New { owner: Owner(number as u16 % 3), ..numbered(whose * 50_000 + number, number) }
}

fn work(table: &Table, thread: u32) {
    let mut state = thread;
    for step in 0..40_000_u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let new = connection(thread, (state >> 16) % 64);
        match table.find(table.hash(&new.reply), &new.reply) {
            Some(found) if state >> 8 & 1 == 0 => {
                table.remove(&found);
            }
            Some(found) => {
                assert_eq!((found.original, found.actions), (new.original, new.actions));
                table.observe(&found, Segment::Other, Tick(step / 64));
                table.redecide(&found, found.actions, step as u16, step);
            }
            None => match table.insert(&new, Tick(step / 64)) {
                Ok(_) | Err(Refused::Full | Refused::Share) => {}
                Err(Refused::OriginalTaken(other)) => assert_eq!(other.reply, new.reply),
                Err(other) => panic!("{other}"),
            },
        }
        if step % 50 == 0 {
            table.sweep(Tick(step / 64), 8);
        }
    }
}

#[test]
fn threads_that_fill_and_empty_a_table_leave_it_whole() {
    for (capacity, seed) in [(20, 1), (60, 2), (100, 3)] {
        let table = Table::new(Config { capacity, pod_share: capacity / 2, seed, ..Config::default() });
        thread::scope(|scope| {
            for number in 1..=3 {
                let table = &table;
                scope.spawn(move || work(table, number));
            }
        });
        let left: Vec<_> = table.list().collect();
        assert_eq!(left.len() as u32, table.len());
        assert_eq!((0..3).map(|owner| table.owned_by(Owner(owner))).sum::<u32>(), table.len());
        for listed in left {
            let connection = listed.connection;
            for tuple in [connection.original, connection.reply] {
                assert_eq!(table.find(table.hash(&tuple), &tuple).map(|it| it.id), Some(connection.id));
            }
            assert!(table.remove(&connection));
        }
        assert!(table.is_empty());
        let again = (0..200)
            .filter(|&it| table.insert(&New { owner: Owner(it as u16 % 3), ..numbered(it, 0) }, Tick(0)).is_ok());
        assert_eq!(again.count() as u32, capacity, "every record came back");
    }
}
