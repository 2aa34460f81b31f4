//! Every interleaving of a few operations, and every value that the memory model lets a load see, up to a bound on how
//! often a thread is interrupted: by loom. Run by `make test` with the feature `loom`.

mod fixture;

use core::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixture::{assert_whole, find, find_reply, whole};
use loom::sync::Arc;
use loom::thread;
use sluice_connections::{Action, Affinity, Config, New, Owner, Refused, Segment, State, Table, Tick, Timeouts, Tuple};

/// Runs `scene` in every interleaving with at most `interruptions` of running threads.
fn in_every_order(interruptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.max_branches = 20_000;
    let played = std::sync::Arc::new(AtomicUsize::new(0));
    let one = std::sync::Arc::clone(&played);
    model.check(move || {
        one.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    // One order alone: loom has found no two accesses that meet, and the scene shows nothing.
    assert!(played.load(Ordering::Relaxed) > 1, "there is but one order");
}

/// One bucket and three records of each family: everything meets.
fn table() -> Arc<Table> {
    let timeouts = Timeouts { udp_unreplied: 1, udp_replied: 1, ..Timeouts::default() };
    Arc::new(Table::new(Config { capacity: 3, pod_share: 3, owners: 1, seed: 3, timeouts }))
}

#[test]
fn a_look_up_sees_all_of_a_connection_or_nothing_while_it_is_replaced() {
    in_every_order(2, || {
        let table = table();
        let first = table.insert(&whole(1), Tick(0)).expect("room for one");
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                assert!(table.remove(&first));
                // Takes the record that has just been given back.
                table.insert(&whole(2), Tick(0)).expect("room again");
            })
        };
        if let Some(found) = find(&table, &whole(1)) {
            assert_whole(&found, &[1]);
        }
        if let Some(found) = find_reply(&table, &whole(2)) {
            assert_whole(&found, &[2]);
        }
        writer.join().expect("the writer gets through");
        assert_eq!(find(&table, &whole(1)), None);
        assert!(find(&table, &whole(2)).is_some() && find_reply(&table, &whole(2)).is_some());
    });
}

// In the next two the reader is the thread that is started: loom goes back to the last access to a word alone, and a writer
// reads the words before it writes them.

#[test]
fn who_finds_one_direction_of_a_new_connection_finds_the_other() {
    in_every_order(3, || {
        let table = table();
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                if let Some(found) = find(&table, &whole(1)) {
                    assert_whole(&found, &[1]);
                    assert!(find_reply(&table, &whole(1)).is_some(), "both are there at once");
                }
            })
        };
        table.insert(&whole(1), Tick(0)).expect("room for one");
        reader.join().expect("the reader gets through");
    });
}

#[test]
fn a_look_up_never_misses_a_connection_beside_which_another_comes_and_goes() {
    in_every_order(2, || {
        let table = table();
        table.insert(&whole(1), Tick(0)).expect("room for one");
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || find_reply(&table, &whole(1)))
        };
        let second = table.insert(&whole(2), Tick(0)).expect("room for two");
        assert!(table.remove(&second));
        let found = reader.join().expect("the reader gets through");
        assert_whole(&found.expect("it is there all the while"), &[1]);
        assert_eq!(table.len(), 1);
    });
}

#[test]
fn a_look_up_sees_the_old_or_the_new_decision() {
    in_every_order(3, || {
        let table = table();
        let first = table.insert(&whole(1), Tick(0)).expect("room for one");
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let New { actions, flags, generation, .. } = whole(2);
                assert!(table.redecide(&first, actions, flags, generation));
            })
        };
        let found = find(&table, &whole(1)).expect("it is there all the while");
        let (old, new) = (whole(1), whole(2));
        let seen: ([Action; 2], u16, u32) = (found.actions, found.flags, found.generation);
        assert!(
            seen == (old.actions, old.flags, old.generation) || seen == (new.actions, new.flags, new.generation),
            "torn: {found:?}"
        );
        writer.join().expect("the writer gets through");
    });
}

/// A tuple as a view is asked for it: addresses, ports, protocol.
fn words(tuple: &Tuple) -> (u64, u32, u8) {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (tuple.source, tuple.destination) else { panic!("IPv4") };
    let addresses = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
    (addresses, u32::from(tuple.source_port) << 16 | u32::from(tuple.destination_port), tuple.protocol)
}

/// What a view says of the original direction: what packets become, and what was decided.
fn known(table: &Table, new: &New) -> Option<((u64, u32), (u32, u32, u16))> {
    let (addresses, ports, protocol) = words(&new.original);
    let view = table.view();
    let (entry, _) = view.probe(view.hash(addresses, ports, protocol));
    let known = view.at(entry, (addresses, ports, protocol))?;
    Some(((known.addresses, known.ports), (known.egress, known.generation, known.flags)))
}

fn known_whole(number: u32) -> Option<((u64, u32), (u32, u32, u16))> {
    let New { reply, actions, generation, flags, .. } = whole(number);
    let (addresses, ports, _) = words(&reply.reversed());
    Some(((addresses, ports), (actions[0].egress, generation, flags)))
}

#[test]
fn a_view_sees_all_of_a_connection_or_nothing_while_it_is_replaced() {
    in_every_order(2, || {
        let table = table();
        let first = table.insert(&whole(1), Tick(0)).expect("room for one");
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                assert!(table.remove(&first));
                // Takes the record that has just been given back.
                table.insert(&whole(2), Tick(0)).expect("room again");
            })
        };
        for number in [1, 2] {
            let seen = known(&table, &whole(number));
            assert!(seen.is_none() || seen == known_whole(number), "torn: {seen:?}");
        }
        writer.join().expect("the writer gets through");
        assert_eq!((known(&table, &whole(1)), known(&table, &whole(2))), (None, known_whole(2)));
    });
}

#[test]
fn a_view_sees_the_old_or_the_new_decision_or_leaves_it_to_the_look_up() {
    in_every_order(3, || {
        let table = table();
        let first = table.insert(&whole(1), Tick(0)).expect("room for one");
        let writer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let New { actions, flags, generation, .. } = whole(2);
                assert!(table.redecide(&first, actions, flags, generation));
            })
        };
        let becomes = |number: u32| known_whole(number).map(|(becomes, _)| becomes);
        let decided = |number: u32| known_whole(number).map(|(_, decided)| decided);
        if let Some((addresses, decision)) = known(&table, &whole(1)) {
            assert_eq!(Some(addresses), becomes(1));
            assert!(Some(decision) == decided(1) || Some(decision) == decided(2), "torn: {decision:?}");
        }
        writer.join().expect("the writer gets through");
        assert_eq!(known(&table, &whole(1)).map(|(_, decision)| decision), decided(2));
    });
}

#[test]
fn a_packet_that_a_view_knows_and_a_sweep_agree_on_who_came_first() {
    in_every_order(3, || {
        let table = table();
        table.insert(&whole(1), Tick(0)).expect("room for one");
        let sweeper = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.sweep(Tick(100), 3).expired)
        };
        let key = words(&whole(1).original);
        let view = table.view();
        let (entry, _) = view.probe(view.hash(key.0, key.1, key.2));
        let observed = view.at(entry, key).is_some_and(|known| known.observe(Segment::Other, Tick(100)));
        let expired = sweeper.join().expect("the sweeper gets through");
        assert_eq!(observed, expired == 0, "only one of them can have had it");
        assert_eq!((table.len(), find(&table, &whole(1)).is_some()), (1 - expired, expired == 0));
    });
}

#[test]
fn of_two_inserts_of_one_tuple_one_succeeds_and_the_other_gets_its_connection() {
    in_every_order(3, || {
        let table = table();
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.insert(&whole(1), Tick(0)))
        };
        let mine = table.insert(&whole(1), Tick(0));
        let other = other.join().expect("the other gets through");
        match (mine, other) {
            (Ok(won), Err(Refused::OriginalTaken(got))) | (Err(Refused::OriginalTaken(got)), Ok(won)) => {
                assert_eq!(won, got);
            }
            both => panic!("one of them must win: {both:?}"),
        }
        assert_eq!((table.len(), table.owned_by(Owner(0))), (1, 1));
    });
}

#[test]
fn of_two_connections_that_want_one_reply_tuple_one_is_refused() {
    in_every_order(3, || {
        let table = table();
        let rival = New { reply: whole(1).reply, ..whole(2) };
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.insert(&rival, Tick(0)).map(|_| ()))
        };
        let mine = table.insert(&whole(1), Tick(0)).map(|_| ());
        let other = other.join().expect("the other gets through");
        let refused = Err(Refused::ReplyTaken);
        assert!((mine, other) == (Ok(()), refused) || (mine, other) == (refused, Ok(())), "{mine:?} {other:?}");
        assert_eq!(table.len(), 1);
    });
}

#[test]
fn a_sweep_beside_an_insert_removes_what_is_old_and_nothing_else() {
    in_every_order(3, || {
        let table = table();
        table.insert(&whole(1), Tick(0)).expect("room for one");
        let sweeper = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.sweep(Tick(100), 3).expired)
        };
        let second = table.insert(&whole(2), Tick(100)).expect("room for two");
        assert_eq!(sweeper.join().expect("the sweeper gets through"), 1);
        assert_eq!(find(&table, &whole(1)), None);
        assert_eq!(find(&table, &whole(2)).map(|found| found.id), Some(second.id));
        assert_eq!((table.len(), table.owned_by(Owner(0))), (1, 1));
    });
}

#[test]
fn a_packet_and_a_sweep_agree_on_who_came_first() {
    in_every_order(3, || {
        let table = table();
        let first = table.insert(&whole(1), Tick(0)).expect("room for one");
        let sweeper = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.sweep(Tick(100), 3).expired)
        };
        assert_eq!(table.observe(&first, Segment::Other, Tick(100)), State::UdpUnreplied);
        let expired = sweeper.join().expect("the sweeper gets through");
        assert_eq!(expired == 0, find(&table, &whole(1)).is_some());
        assert_eq!(table.len(), 1 - expired);
    });
}

#[test]
fn two_threads_that_remove_one_connection_give_one_record_back() {
    in_every_order(3, || {
        let table = table();
        let first = table.insert(&whole(1), Tick(0)).expect("room for one");
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.remove(&first))
        };
        let mine = table.remove(&first);
        assert!(mine != other.join().expect("the other gets through"));
        assert_eq!((table.len(), table.owned_by(Owner(0))), (0, 0));
        assert_eq!(find(&table, &whole(1)), None);
        for number in 1..=3 {
            table.insert(&whole(number), Tick(0)).expect("every record is there, once");
        }
        assert_eq!(table.insert(&whole(4), Tick(0)), Err(Refused::Full));
    });
}

/// Which backend a client of the scenes below was given: both by one number, whose every word has it.
fn choice(number: u16) -> (IpAddr, (IpAddr, u16)) {
    let address = |net: u16| IpAddr::from([net, 0, 0, number, net, 0, 0, number]);
    (address(0xfd09), (address(0xfd03), number))
}

// In the next two the reader is the thread that is started: loom goes back to the last access to a word alone, and a writer
// reads the words before it writes them. Each was seen to fail with the version never odd while an entry is written, without
// either fence, and with the orders of the version's first load and last store relaxed.

#[test]
fn an_affinity_is_seen_whole_while_it_is_replaced() {
    in_every_order(3, || {
        let affinity = Arc::new(Affinity::new(4, 1));
        let ((client, first), (_, second)) = (choice(1), choice(2));
        affinity.put(client, 1, first, Tick(1));
        let reader = {
            let affinity = Arc::clone(&affinity);
            thread::spawn(move || affinity.find(client, 1, Tick(1), 10))
        };
        affinity.put(client, 1, second, Tick(1));
        let found = reader.join().expect("the reader gets through").expect("it is there all the while");
        assert!(found == first || found == second, "torn: {found:?}");
    });
}

#[test]
fn a_client_is_never_given_the_backend_of_the_one_that_takes_its_place() {
    in_every_order(2, || {
        // One set of four, full.
        let affinity = Arc::new(Affinity::new(4, 1));
        for number in 1..=4 {
            let (client, backend) = choice(number);
            affinity.put(client, 1, backend, Tick(number.into()));
        }
        let reader = {
            let affinity = Arc::clone(&affinity);
            thread::spawn(move || [1, 5].map(|number| affinity.find(choice(number).0, 1, Tick(6), 10)))
        };
        let (client, backend) = choice(5);
        affinity.put(client, 1, backend, Tick(6));
        for (number, found) in [1, 5].into_iter().zip(reader.join().expect("the reader gets through")) {
            assert!(found.is_none() || found == Some(choice(number).1), "{number}: {found:?}");
        }
        let known: Vec<u16> =
            (1..=5).filter(|number| affinity.find(choice(*number).0, 1, Tick(6), 10).is_some()).collect();
        assert_eq!(known, [2, 3, 4, 5]);
    });
}

/// Fails when `affinity::locked` does not lock.
#[test]
fn two_choices_for_one_client_leave_one_that_can_be_forgotten() {
    in_every_order(3, || {
        let affinity = Arc::new(Affinity::new(4, 1));
        let (client, first) = choice(1);
        let (_, second) = choice(2);
        let other = {
            let affinity = Arc::clone(&affinity);
            thread::spawn(move || affinity.put(client, 1, second, Tick(1)))
        };
        affinity.put(client, 1, first, Tick(1));
        other.join().expect("the other gets through");
        let found = affinity.find(client, 1, Tick(1), 10).expect("one of them");
        assert!(found == first || found == second, "torn: {found:?}");
        affinity.forget(client, 1);
        assert_eq!(affinity.find(client, 1, Tick(1), 10), None, "there was but one");
    });
}
