//! Memory that outlives the process: what is found in it is kept, or dropped, or formatted; never believed.

mod fixture;

use std::sync::atomic::{AtomicU64, Ordering};

use fixture::{Shape, new, numbered, tuple};
use proptest::prelude::*;
use sluice_connections::{Config, Connection, Outcome, Owner, Refused, Table, Tick, Tuple};

const CONFIG: Config = Config {
    capacity: 24,
    pod_share: 24,
    owners: 8,
    seed: 11,
    timeouts: sluice_connections::Timeouts {
        tcp_syn: 1,
        tcp_established: 1,
        tcp_closing: 1,
        tcp_closed: 1,
        tcp_reset: 1,
        udp_unreplied: 1,
        udp_replied: 1,
        icmp: 1,
        sctp: 1,
        other: 1,
    },
};

/// Memory that is never given back, as a mapping would not be; a test has little of it.
fn memory(words: impl IntoIterator<Item = u64>) -> &'static [AtomicU64] {
    Vec::leak(words.into_iter().map(AtomicU64::new).collect())
}

fn fresh() -> &'static [AtomicU64] {
    memory(vec![0; Table::words(&CONFIG)])
}

/// What a process that is killed here and now leaves behind.
fn left_behind(memory: &[AtomicU64]) -> Vec<u64> {
    memory.iter().map(|word| word.load(Ordering::SeqCst)).collect()
}

fn adopt(words: Vec<u64>) -> (Table, Outcome) {
    let adopted = Table::over(memory(words), CONFIG).expect("memory enough");
    (adopted.table, adopted.outcome)
}

fn find(table: &Table, tuple: &Tuple) -> Option<Connection> {
    table.find(table.hash(tuple), tuple)
}

#[test]
fn connections_go_on_in_the_next_process_and_are_to_be_decided_again() {
    let memory = fresh();
    let first = Table::over(memory, CONFIG).expect("memory enough");
    assert_eq!(first.outcome, Outcome::Formatted);
    let shapes: Vec<Shape> = (0..10)
        .map(|client| Shape { client, server: 20, translated: true, v6: client % 2 == 1, protocol: 17 })
        .collect();
    for shape in &shapes {
        first.table.insert(&new(*shape), Tick(5)).expect("room for ten");
    }
    let gone = find(&first.table, &tuple(shapes[3], true)).expect("it was put in");
    assert!(first.table.remove(&gone));
    // The seed is that of the memory, whatever the next process would have chosen.
    let next = Table::over(memory, Config { seed: 99, ..CONFIG }).expect("memory enough");
    assert_eq!(next.outcome, Outcome::Kept { connections: 9, discarded: 0 });
    assert_eq!(next.table.hash(&gone.original), first.table.hash(&gone.original));
    for (number, shape) in shapes.iter().enumerate() {
        for reply in [false, true] {
            let found = find(&next.table, &tuple(*shape, reply));
            assert_eq!(found.map(|it| it.original), (number != 3).then(|| tuple(*shape, false)));
            assert!(found.is_none_or(|it| it.generation == Connection::UNDECIDED && it.actions == new(*shape).actions));
        }
    }
    assert_eq!((next.table.len(), next.table.owned_by(Owner(1))), (9, 3));
    assert!(next.table.list().all(|listed| listed.last_used == Tick(5)));
}

#[test]
fn locks_and_half_written_records_of_a_killed_process_hold_nobody_up() {
    let memory = fresh();
    let first = Table::over(memory, CONFIG).expect("memory enough").table;
    for number in 0..6 {
        first.insert(&numbered(number, 1), Tick(0)).expect("room for six");
    }
    let words = left_behind(memory);
    let records = (0..6_usize).map(|number| {
        let actions = words.iter().position(|word| word >> 32 == number as u64 && *word as u32 == 0x1_0002);
        actions.expect("each has its action") - 4
    });
    let mut cut = words.clone();
    for (number, at) in records.enumerate() {
        match number {
            0 => cut[at] |= 1,                // Being decided again.
            1 => cut[at] &= !2,               // Taken out, and still in the index.
            2 => cut[at + 7] ^= 0x8000 << 16, // Claimed by the sweep.
            3 => cut[at + 7] &= !0xff,        // In no state.
            _ => {}
        }
    }
    // Every bucket locked: they begin after five lines and the nine owners' two, and end where the records do.
    let buckets = (2 * CONFIG.capacity as usize).div_ceil(7);
    for bucket in 0..buckets {
        cut[(7 + bucket) * 8 + 2] |= 1 << 63;
    }
    let (table, outcome) = adopt(cut);
    assert_eq!(outcome, Outcome::Kept { connections: 3, discarded: 2 });
    let known: Vec<u32> = (0..6).filter(|&it| find(&table, &numbered(it, 1).original).is_some()).collect();
    assert_eq!(known, [0, 4, 5]);
    // Every record is there again: 21 free ones and the three that are kept.
    for number in 100..121 {
        table.insert(&numbered(number, 1), Tick(0)).expect("room for 24");
    }
    assert_eq!(table.insert(&numbered(121, 1), Tick(0)), Err(Refused::Full));
    assert!(table.sweep(Tick(1000), 1000).wrapped);
    assert!(table.is_empty());
}

#[test]
fn other_sizes_another_version_or_other_contents_are_formatted() {
    let memory = fresh();
    let first = Table::over(memory, CONFIG).expect("memory enough").table;
    first.insert(&numbered(1, 1), Tick(0)).expect("room for one");
    let words = left_behind(memory);
    let other = |word: usize| {
        let mut words = words.clone();
        words[word] ^= 0x55;
        words
    };
    for words in [other(0), other(1), other(2), other(3), vec![!0; words.len()]] {
        let (table, outcome) = adopt(words);
        assert_eq!(outcome, Outcome::Formatted);
        assert!(table.is_empty());
        assert_eq!(table.list().count(), 0);
        for number in 0..24 {
            table.insert(&numbered(number, 1), Tick(0)).expect("room for 24");
        }
    }
}

#[test]
fn too_little_memory_is_said() {
    let words = Table::words(&CONFIG);
    let refused = Table::over(memory(vec![0; words - 1]), CONFIG).expect_err("one word is missing");
    assert_eq!((refused.needed, refused.given), (words, words - 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_memory_holds_the_table_works(
        shapes in prop::collection::vec(fixture::shapes(30), 1..40),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..60),
    ) {
        let memory = fresh();
        let first = Table::over(memory, CONFIG).expect("memory enough").table;
        for shape in &shapes {
            let _ = first.insert(&new(*shape), Tick(0));
        }
        let mut words = left_behind(memory);
        for (at, value) in damage {
            // All but the first line, which says what the memory is.
            let at = 8 + at.index(words.len() - 8);
            words[at] = value;
        }
        let (table, outcome) = adopt(words);
        let Outcome::Kept { connections, .. } = outcome else { panic!("{outcome:?}") };
        prop_assert_eq!(table.len(), connections);
        for listed in table.list().collect::<Vec<_>>() {
            prop_assert_eq!(find(&table, &listed.connection.original).map(|it| it.id), Some(listed.connection.id));
            prop_assert!(find(&table, &listed.connection.reply).is_some());
            prop_assert!(table.remove(&listed.connection));
        }
        prop_assert!(table.is_empty());
        let ours = (0..200).take_while(|&number| table.insert(&numbered(number, 1), Tick(0)).is_ok()).count();
        prop_assert_eq!(ours, CONFIG.capacity as usize);
    }
}
