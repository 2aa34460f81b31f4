//! Fragments that come before the first of theirs wait, and none of their frames is lost.
use std::net::Ipv4Addr;

use sluice_packets::fragment;
use sluice_path::{DropReason, Time};
use sluice_xsk::pair::Sent;

use super::{B, Bench, FRAME, FRAMES, address, everything, from_a_to};

const SECOND: u64 = 1_000_000_000;

/// The fragments of a datagram from A to B.
fn pieces(to: Ipv4Addr, number: u32) -> Vec<Vec<u8>> {
    let datagram = from_a_to(to).dont_fragment(false).udp(1000, 53, &vec![number as u8; 4000]);
    fragment::split(&datagram, 1500, number)
}

impl Bench {
    fn parked(&self) -> usize {
        self.workers.iter().map(|worker| worker.parked()).sum()
    }

    fn give(&mut self, piece: &[u8]) {
        assert!(self.a.deliver(piece, FRAME));
        self.turn();
    }

    fn got(&mut self) -> Vec<Sent> {
        let sent = self.b.transmit(usize::MAX);
        self.b.complete(usize::MAX);
        self.turn();
        sent
    }

    fn balanced(&self) -> bool {
        self.workers.iter().all(|worker| worker.counts().is_balanced())
    }
}

#[test]
fn later_fragments_wait_for_the_first_and_then_all_arrive() {
    for workers in [1, 2] {
        let mut bench = Bench::new(workers, everything());
        let pieces = pieces(address(B), 1);
        bench.give(&pieces[2]);
        bench.give(&pieces[1]);
        assert!(bench.got().is_empty() && bench.parked() == 2 && bench.balanced());
        bench.give(&pieces[0]);
        let sent = bench.got();
        assert_eq!((sent.len(), bench.parked()), (3, 0));
        let mut bodies: Vec<&[u8]> = sent.iter().map(|sent| &sent.bytes[34..]).collect();
        let mut expected: Vec<&[u8]> = pieces.iter().map(|piece| &piece[34..]).collect();
        bodies.sort_unstable();
        expected.sort_unstable();
        assert!(bodies == expected, "as they came, but for the headers of the way");
        assert!(bench.balanced());
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn a_fragment_whose_first_never_comes_is_dropped_in_time_also_when_nothing_else_comes() {
    let mut bench = Bench::new(1, everything());
    bench.give(&pieces(address(B), 1)[1]);
    assert_eq!(bench.parked(), 1);
    // Nothing arrives any more: only the clock goes on.
    let mut now = bench.now;
    while bench.parked() > 0 && now < 60 * SECOND {
        now += SECOND / 50;
        bench.workers[0].turn(Time(now));
    }
    assert_eq!((bench.parked(), bench.dropped(DropReason::FragmentTimeout)), (0, 1));
    assert!(bench.balanced());
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn there_is_room_for_so_many_and_what_finds_none_is_counted() {
    let mut bench = Bench::new(1, everything());
    for number in 0..200 {
        bench.give(&pieces(address(B), number)[1]);
    }
    assert!(bench.parked() > 0 && bench.parked() <= sluice_path::PARKED);
    assert_eq!(bench.dropped(DropReason::FragmentsFull) as usize, 200 - bench.parked());
    assert_eq!(bench.dropped(DropReason::ParkedFull), 0);
    assert!(bench.balanced());
    assert_eq!(bench.frames_back(), FRAMES as usize, "also of what is parked when the worker ends");
}

#[test]
fn a_chain_is_parked_and_released_whole() {
    let mut bench = Bench::new(1, everything());
    let pieces = pieces(address(B), 1);
    // As a device with small buffers would hand it over.
    assert!(bench.a.deliver(&pieces[1], 700));
    bench.turn();
    assert_eq!(bench.parked(), 1);
    bench.give(&pieces[0]);
    let sent = bench.got();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .any(|sent| sent.segments.len() == pieces[1].len().div_ceil(700) && sent.bytes[34..] == pieces[1][34..])
    );
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn tables_that_change_meanwhile_hold_for_what_is_released() {
    let mut bench = Bench::new(1, everything());
    let pieces = pieces(address(B), 1);
    bench.give(&pieces[1]);
    bench.publisher.publish(super::tables(1, &[super::A], 2));
    bench.give(&pieces[0]);
    assert!(bench.got().is_empty());
    assert_eq!((bench.parked(), bench.dropped(DropReason::NoSuchPod)), (0, 2));
    assert!(bench.balanced());
    assert_eq!(bench.frames_back(), FRAMES as usize);
}
