use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use sluice_packets::{fragment, samples};
use sluice_wire::parse::parse;
use sluice_wire::protocol;

use super::{Fragments, KNOWN_FOR, Key, Later, PARKED, PARKED_BY_ONE, Piece, Ports, Release, SETS, WAIT, WAYS};
use crate::{DropReason, Time};

const PORTS: Ports = Ports { source: 1000, destination: 53, protocol: protocol::UDP };
const T: Time = Time(1_000_000);

fn key(sender: u32, identification: u32) -> Key {
    let source = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | sender));
    Key { source, destination: Ipv4Addr::new(10, 9, 9, 9).into(), identification, protocol: protocol::UDP }
}

fn piece(key: Key, start: u16, end: u16, last: bool) -> Piece {
    Piece { key, start, end, last }
}

/// Three fragments of one packet.
fn three(key: Key) -> [Piece; 3] {
    [piece(key, 0, 800, false), piece(key, 800, 1600, false), piece(key, 1600, 2000, true)]
}

fn all_released(fragments: &mut Fragments) -> Vec<(u16, Release)> {
    std::iter::from_fn(|| fragments.released()).collect()
}

fn parked(fragments: &mut Fragments, now: Time, piece: &Piece) -> u16 {
    match fragments.later(now, piece) {
        Later::Park(slot) => slot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pieces_are_read_from_fragments_of_both_families() {
    for ip in [samples::v4().dont_fragment(false), samples::v6()] {
        let pieces = fragment::split(&ip.udp(1, 2, &[7; 300]), 128, 0x1234);
        let mut next = 0;
        for (at, frame) in pieces.iter().enumerate() {
            let headers = parse(frame, frame.len()).expect("a right fragment");
            let piece = Piece::of(frame, &headers).expect("a fragment");
            assert_eq!(Some((piece.key.source, piece.key.destination)), headers.addresses(frame));
            assert_eq!((piece.key.identification, piece.start, piece.last), (0x1234, next, at + 1 == pieces.len()));
            next = piece.end;
        }
        assert_eq!(next, 308);
    }
}

#[test]
fn extension_headers_behind_the_fragment_header_count_as_payload() {
    let ip = samples::v6().extension(protocol::DESTINATION_OPTIONS, &[]);
    let pieces = fragment::split(&ip.udp(1, 2, &[7; 300]), 128, 1);
    let headers = parse(&pieces[0], pieces[0].len()).expect("a right fragment");
    let first = Piece::of(&pieces[0], &headers).expect("a fragment");
    let headers = parse(&pieces[1], pieces[1].len()).expect("a right fragment");
    let second = Piece::of(&pieces[1], &headers).expect("a fragment");
    assert_eq!((first.start, first.end), (0, second.start));
}

#[test]
fn what_is_whole_empty_or_no_multiple_of_eight_is_no_fragment() {
    let whole = samples::v4().udp(1, 2, b"x");
    let headers = parse(&whole, whole.len()).expect("a right packet");
    assert_eq!(Piece::of(&whole, &headers), Err(DropReason::Malformed));
    let mut odd = fragment::split(&samples::v4().udp(1, 2, &[7; 300]), 128, 1).swap_remove(1);
    odd.pop();
    let length = (odd.len() - 14) as u16;
    for length in [length, 20] {
        odd[16..18].copy_from_slice(&length.to_be_bytes());
        let headers = parse(&odd, odd.len()).expect("a right packet");
        assert_eq!(Piece::of(&odd, &headers), Err(DropReason::Malformed));
    }
}

#[test]
fn in_order_every_fragment_goes_its_way_and_then_the_packet_is_forgotten() {
    let mut fragments = Fragments::new(1);
    let [first, second, third] = three(key(1, 1));
    assert_eq!(fragments.first(T, &first, PORTS), Ok(()));
    assert_eq!(fragments.later(T, &second), Later::Known(PORTS));
    assert_eq!(fragments.later(T, &third), Later::Known(PORTS));
    // The next with the same identification is another packet.
    assert!(matches!(fragments.later(T, &second), Later::Park(_)));
}

#[test]
fn what_overtakes_the_first_waits_for_it() {
    let mut fragments = Fragments::new(1);
    let [first, second, third] = three(key(1, 1));
    let slots = [parked(&mut fragments, T, &third), parked(&mut fragments, T, &second)];
    assert_eq!(fragments.released(), None);
    assert_eq!(fragments.first(T, &first, PORTS), Ok(()));
    let mut released = all_released(&mut fragments);
    released.sort_by_key(|(slot, _)| *slot);
    assert_eq!(released, slots.map(|slot| (slot, Release::Run)));
    // Put through the path again, they are known.
    assert_eq!(fragments.later(T, &third), Later::Known(PORTS));
    assert_eq!(fragments.later(T, &second), Later::Known(PORTS));
    assert!(matches!(fragments.later(T, &second), Later::Park(_)), "forgotten by then");
}

#[test]
fn duplicates_are_let_through_and_overlaps_spoil_the_packet() {
    let (base, mut fragments) = (key(1, 1), Fragments::new(1));
    let [first, second, third] = three(base);
    assert_eq!(fragments.first(T, &first, PORTS), Ok(()));
    assert_eq!(fragments.first(T, &first, PORTS), Ok(()));
    assert_eq!(fragments.later(T, &second), Later::Known(PORTS));
    assert_eq!(fragments.later(T, &second), Later::Known(PORTS));
    let overlap = piece(base, 1592, 1608, false);
    assert_eq!(fragments.later(T, &overlap), Later::Drop(DropReason::FragmentOverlap));
    assert_eq!(fragments.later(T, &third), Later::Drop(DropReason::FragmentOverlap));
    assert_eq!(fragments.first(T, &first, PORTS), Err(DropReason::FragmentOverlap));
}

#[test]
fn of_what_waits_there_is_one() {
    let mut fragments = Fragments::new(1);
    let [first, second, _] = three(key(1, 1));
    let slot = parked(&mut fragments, T, &second);
    assert_eq!(fragments.later(T, &second), Later::Drop(DropReason::FragmentOverlap));
    assert_eq!(fragments.first(T, &first, PORTS), Ok(()));
    assert_eq!(all_released(&mut fragments), [(slot, Release::Run)]);
}

#[test]
fn every_contradiction_spoils_the_packet_and_what_waits() {
    let base = key(1, 1);
    let second = piece(base, 800, 1600, false);
    let end = piece(base, 1600, 2000, true);
    let wrong = [
        piece(base, 792, 1600, false),
        piece(base, 800, 1608, false),
        piece(base, 1592, 1600, false),
        piece(base, 0, 65_528, false),
        // Behind the end, another end, an end before what has come.
        piece(base, 2000, 2008, false),
        piece(base, 1600, 2001, true),
        piece(base, 1200, 1300, true),
    ];
    for wrong in wrong {
        let mut fragments = Fragments::new(1);
        let slots = [parked(&mut fragments, T, &second), parked(&mut fragments, T, &end)];
        assert_eq!(fragments.later(T, &wrong), Later::Drop(DropReason::FragmentOverlap), "{wrong:?}");
        let released = all_released(&mut fragments);
        assert_eq!(released, slots.map(|slot| (slot, Release::Drop(DropReason::FragmentOverlap))));
        assert_eq!(fragments.first(T, &piece(base, 0, 800, false), PORTS), Err(DropReason::FragmentOverlap));
    }
}

#[test]
fn a_second_first_with_other_ports_spoils_the_packet() {
    let mut fragments = Fragments::new(1);
    let [first, second, _] = three(key(1, 1));
    assert_eq!(fragments.first(T, &first, PORTS), Ok(()));
    let other = Ports { destination: 22, ..PORTS };
    assert_eq!(fragments.first(T, &first, other), Err(DropReason::FragmentOverlap));
    assert_eq!(fragments.later(T, &second), Later::Drop(DropReason::FragmentOverlap));
}

#[test]
fn packets_are_told_apart_by_all_of_their_key() {
    let mut fragments = Fragments::new(1);
    let base = key(1, 1);
    assert_eq!(fragments.first(T, &piece(base, 0, 800, false), PORTS), Ok(()));
    let others = [
        key(2, 1),
        key(1, 2),
        Key { destination: Ipv4Addr::new(10, 9, 9, 8).into(), ..base },
        Key { protocol: protocol::TCP, ..base },
    ];
    for other in others {
        assert!(matches!(fragments.later(T, &piece(other, 800, 1600, false)), Later::Park(_)), "{other:?}");
    }
}

#[test]
fn one_sender_cannot_take_all_the_room_and_there_is_no_more_than_there_is() {
    let mut fragments = Fragments::new(1);
    for sender in 0..(PARKED / PARKED_BY_ONE) as u32 {
        let waits = (0..PARKED_BY_ONE as u16 + 5)
            .map(|at| fragments.later(T, &piece(key(sender, 1), 800 + at * 8, 808 + at * 8, false)))
            .filter(|later| matches!(later, Later::Park(_)))
            .count();
        assert_eq!(waits, PARKED_BY_ONE);
    }
    let late = fragments.later(T, &piece(key(99, 1), 800, 1600, false));
    assert_eq!(late, Later::Drop(DropReason::FragmentsFull));
    // It is not taken for one that waits.
    let late = fragments.later(T, &piece(key(99, 1), 800, 1600, false));
    assert_eq!(late, Later::Drop(DropReason::FragmentsFull));
    // Room is there again once the worker has taken out what is released.
    assert_eq!(fragments.first(T, &piece(key(0, 1), 0, 800, false), PORTS), Ok(()));
    let full = fragments.later(T, &piece(key(98, 1), 800, 1600, false));
    assert_eq!(full, Later::Drop(DropReason::FragmentsFull));
    assert_eq!(all_released(&mut fragments).len(), PARKED_BY_ONE);
    assert!(matches!(fragments.later(T, &piece(key(97, 1), 800, 1600, false)), Later::Park(_)));
}

#[test]
fn a_packet_in_more_fragments_than_any_host_makes_is_dropped() {
    let mut fragments = Fragments::new(1);
    assert_eq!(fragments.first(T, &piece(key(1, 1), 0, 8, false), PORTS), Ok(()));
    for at in 1..64 {
        assert_eq!(fragments.later(T, &piece(key(1, 1), at * 8, at * 8 + 8, false)), Later::Known(PORTS));
    }
    for at in 64..66 {
        let dropped = fragments.later(T, &piece(key(1, 1), at * 8, at * 8 + 8, false));
        assert_eq!(dropped, Later::Drop(DropReason::FragmentsFull));
    }
}

#[test]
fn new_packets_push_out_old_ones_but_never_lose_a_slot() {
    let mut fragments = Fragments::new(1);
    let slot = parked(&mut fragments, T, &piece(key(1, 1), 800, 1600, false));
    let many = (SETS * WAYS * 20) as u32;
    for at in 0..many {
        let later = Time(T.0 + 1 + u64::from(at));
        assert_eq!(fragments.first(later, &piece(key(2, at), 0, 800, false), PORTS), Ok(()));
    }
    assert_eq!(all_released(&mut fragments), [(slot, Release::Drop(DropReason::FragmentsFull))]);
    let newest = fragments.later(Time(T.0 + 1 + u64::from(many)), &piece(key(2, many - 1), 800, 1600, false));
    assert_eq!(newest, Later::Known(PORTS));
}

#[test]
fn nothing_waits_for_ever() {
    let mut fragments = Fragments::new(1);
    let slot = parked(&mut fragments, T, &piece(key(1, 1), 800, 1600, false));
    assert_eq!(fragments.first(T, &piece(key(2, 1), 0, 800, false), PORTS), Ok(()));
    let all = SETS * WAYS / super::LOOKS;
    (0..all).for_each(|_| fragments.expire(Time(T.0 + WAIT)));
    assert_eq!(fragments.released(), None, "not yet");
    (0..all).for_each(|_| fragments.expire(Time(T.0 + WAIT + 1)));
    assert_eq!(all_released(&mut fragments), [(slot, Release::Drop(DropReason::FragmentTimeout))]);
    let second = piece(key(2, 1), 800, 1600, false);
    assert_eq!(fragments.later(Time(T.0 + KNOWN_FOR), &second), Later::Known(PORTS));
    // Also without a sweep.
    assert!(matches!(fragments.later(Time(T.0 + KNOWN_FOR + 1), &second), Later::Park(_)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send { packet: u32, at: usize },
    Lie { packet: u32, start: u16, length: u16, last: bool },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u32..12, 0usize..3).prop_map(|(packet, at)| Step::Send { packet, at }),
        1 => (0u32..12, 0u16..300, 1u16..2000, any::<bool>()).prop_map(|(packet, start, length, last)| {
            Step::Lie { packet, start: start * 8, length, last }
        }),
        1 => (0..WAIT).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever comes in whatever order: a slot is given out only while it is free, every parked packet comes out, and none runs
    /// whose ports are not known.
    #[test]
    fn every_parked_packet_is_released_once(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..300)) {
        let mut fragments = Fragments::new(seed);
        let mut waiting: Vec<Option<Piece>> = vec![None; PARKED];
        let mut now = T;
        for step in steps {
            let piece = match step {
                Step::Wait(by) => {
                    now = Time(now.0 + by);
                    fragments.expire(now);
                    continue;
                }
                Step::Send { packet, at } => three(key(packet / 4, packet))[at],
                Step::Lie { packet, start, length, last } => piece(key(packet / 4, packet), start, start + length, last),
            };
            if piece.start == 0 {
                let _ = fragments.first(now, &piece, PORTS);
            } else if let Later::Park(slot) = fragments.later(now, &piece) {
                prop_assert_eq!(waiting[usize::from(slot)].replace(piece), None, "a slot given out twice");
            }
            while let Some((slot, release)) = fragments.released() {
                let piece = waiting[usize::from(slot)].take();
                prop_assert!(piece.is_some(), "a slot that holds nothing");
                if let (Release::Run, Some(piece)) = (release, piece) {
                    prop_assert_eq!(fragments.later(now, &piece), Later::Known(PORTS));
                }
            }
        }
        now = Time(now.0 + KNOWN_FOR * 2);
        (0..SETS * WAYS).for_each(|_| fragments.expire(now));
        for (slot, _) in all_released(&mut fragments) {
            prop_assert!(waiting[usize::from(slot)].take().is_some());
        }
        prop_assert!(waiting.iter().all(Option::is_none), "a packet that nobody releases");
    }
}
