//! Every interleaving of an intake's opening with what others do to the table, as `interleavings.rs` has it for the rest. Run by
//! `make test` with the feature `loom`.

mod fixture;

use core::net::IpAddr;

use fixture::{assert_whole, find, find_reply, whole};
use loom::sync::Arc;
use loom::thread;
use sluice_connections::{Action, Config, New, Opening, Owner, Table, Tick, Tuple};

/// Runs `scene` in every interleaving with at most `interruptions` of running threads.
fn in_every_order(interruptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.max_branches = 20_000;
    model.check(scene);
}

/// A tuple as a view is asked for it: addresses, ports, protocol.
fn words(tuple: &Tuple) -> (u64, u32, u8) {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (tuple.source, tuple.destination) else { panic!("IPv4") };
    let addresses = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
    (addresses, u32::from(tuple.source_port) << 16 | u32::from(tuple.destination_port), tuple.protocol)
}

/// Two buckets, and the first number of a connection with one tuple in each.
fn two_buckets() -> (Arc<Table>, u32) {
    let table = Arc::new(Table::new(Config { capacity: 4, pod_share: 4, owners: 1, seed: 3, ..Config::default() }));
    let apart = |number: &u32| {
        let New { original, reply, .. } = whole(*number);
        // The highest bit of a hash tells which of two.
        (table.hash(&original) ^ table.hash(&reply)) >> 63 == 1
    };
    let number = (1..100).find(apart).expect("one in two is");
    (table, number)
}

fn open(table: &Table, new: &New) -> bool {
    let [original, reply] = [words(&new.original), words(&new.reply)];
    let action = |it: Action| u64::from(it.egress) << 32 | u64::from(it.l3_delta) << 16 | u64::from(it.l4_delta);
    let opening = Opening {
        addresses: [original.0, reply.0],
        ports: [original.1, reply.1],
        hashes: [table.hash(&new.original), table.hash(&new.reply)],
        protocol: original.2,
        actions: new.actions.map(action),
        generation: new.generation,
        owner: new.owner,
        flags: new.flags,
        mss: new.mss,
        segment: new.segment,
    };
    table.intake().open(&mut table.intake().reserve(1).0, &opening, Tick(0))
}

#[test]
fn who_finds_one_direction_of_an_opened_connection_finds_all_of_it_and_the_other() {
    in_every_order(3, || {
        let (table, number) = two_buckets();
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || open(&table, &whole(number)))
        };
        if let Some(found) = find(&table, &whole(number)) {
            assert_whole(&found, &[number]);
            assert!(find_reply(&table, &whole(number)).is_some(), "both are there at once");
        }
        assert!(writer.join().expect("the writer gets through"));
    });
}

#[test]
fn where_one_opens_what_another_inserts_there_is_one_connection() {
    in_every_order(3, || {
        let (table, number) = two_buckets();
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.insert(&whole(number), Tick(0)).is_ok())
        };
        let mine = open(&table, &whole(number));
        let other = other.join().expect("the other gets through");
        assert!(mine != other, "one of them makes it");
        assert_eq!((table.len(), table.owned_by(Owner(0))), (1, 1));
    });
}

#[test]
fn an_opened_connection_is_seen_whole_while_it_takes_the_place_of_another() {
    in_every_order(2, || {
        let (table, number) = two_buckets();
        let first = table.insert(&whole(number + 1), Tick(0)).expect("room for one");
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                assert!(table.remove(&first));
                // Takes the record that has just been given back.
                assert!(open(&table, &whole(number)));
            })
        };
        for number in [number, number + 1] {
            if let Some(found) = find(&table, &whole(number)) {
                assert_whole(&found, &[number]);
            }
        }
        writer.join().expect("the writer gets through");
        assert!(find(&table, &whole(number)).is_some() && find(&table, &whole(number + 1)).is_none());
    });
}

#[test]
fn a_record_that_is_given_back_while_another_is_taken_is_there_for_the_next() {
    in_every_order(2, || {
        let table = Arc::new(Table::new(Config { capacity: 2, pod_share: 2, owners: 1, seed: 3, ..Config::default() }));
        let [first, second] = [1, 2].map(|number| table.insert(&whole(number), Tick(0)).expect("room for two"));
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || assert!(table.remove(&first)))
        };
        assert!(table.remove(&second));
        // Takes the only free record, or one of two, and the mark that leads there if it was the last.
        table.insert(&whole(3), Tick(0)).expect("one is free");
        other.join().expect("the other gets through");
        table.insert(&whole(4), Tick(0)).expect("the other's is free");
        assert_eq!(table.len(), 2);
        for number in [3, 4] {
            assert_whole(&find(&table, &whole(number)).expect("it is there"), &[number]);
        }
    });
}
