//! Fragments of connections that are translated or tunnelled, in both orders.

use sluice_packets::fragment::split;
use sluice_path::{DropReason, Release};
use sluice_wire::protocol::UDP;

use crate::rig::*;

fn bed(to: End) -> Bed {
    Bed::new(Setup { services: vec![service(UDP, &[(to, 8080)])], ..Setup::default() })
}

/// The fragments of a packet to the Service, and what must arrive.
fn fragments(v6: bool, id: u32) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let data: Vec<u8> = (0..3000).map(|byte| byte as u8).collect();
    let plain = |ip: sluice_packets::Ip| ip.dont_fragment(false);
    let sent = split(&plain(up(v6, A, VIP)).udp(1000, 80, &data), 1300, id);
    let expected = split(&plain(down(v6, B, A, B)).udp(1000, 8080, &data), 1300, id);
    (sent, expected)
}

#[test]
fn fragments_to_a_service_in_order_reach_one_backend() {
    for v6 in [false, true] {
        let mut bed = bed(B);
        let (sent, expected) = fragments(v6, 7);
        assert_eq!(sent.len(), 3);
        for (piece, expected) in sent.iter().zip(&expected) {
            bed.expect(A, piece, B, expected);
        }
        assert_eq!(bed.counts.connections_new, 1);
    }
}

#[test]
fn fragments_to_a_service_in_reverse_order_wait_for_the_first() {
    for v6 in [false, true] {
        let mut bed = bed(B);
        let (sent, expected) = fragments(v6, 7);
        let Got::Parked(last) = bed.send(A, &sent[2]) else { panic!("not parked") };
        let Got::Parked(middle) = bed.send(A, &sent[1]) else { panic!("not parked") };
        assert_eq!((bed.counts.parked, bed.released()), (2, vec![]));
        bed.expect(A, &sent[0], B, &expected[0]);
        let mut released = bed.released();
        released.sort_by_key(|(slot, _)| *slot);
        let mut slots = vec![(last, Release::Run), (middle, Release::Run)];
        slots.sort_by_key(|(slot, _)| *slot);
        assert_eq!(released, slots);
        bed.expect(A, &sent[2], B, &expected[2]);
        bed.expect(A, &sent[1], B, &expected[1]);
        assert_eq!((bed.counts.parked, bed.counts.received, bed.counts.forwarded), (0, 3, 3));
    }
}

#[test]
fn fragments_from_a_service_come_from_its_address() {
    for v6 in [false, true] {
        let mut bed = bed(B);
        bed.send(A, &up(v6, A, VIP).udp(1000, 80, b"q"));
        let answer = up(v6, B, A).dont_fragment(false).udp(8080, 1000, &[7; 2000]);
        let expected = down(v6, A, VIP, A).dont_fragment(false).udp(80, 1000, &[7; 2000]);
        for (piece, expected) in split(&answer, 1300, 1).iter().zip(split(&expected, 1300, 1)) {
            bed.expect(B, piece, A, &expected);
        }
    }
}

#[test]
fn fragments_go_through_the_tunnel_one_by_one() {
    let mut bed = bed(FAR);
    let sent = up(false, A, VIP).dont_fragment(false).udp(1000, 80, &[7; 2000]);
    let expected = inner_out(false, A, FAR).dont_fragment(false).udp(1000, 8080, &[7; 2000]);
    for (piece, expected) in split(&sent, 1300, 1).iter().zip(split(&expected, 1300, 1)) {
        assert_eq!(unwrap(bed.send(A, piece)), expected);
    }
}

#[test]
fn a_fragment_whose_first_never_comes_is_dropped_and_counted_once() {
    let mut bed = bed(B);
    let (sent, _) = fragments(false, 7);
    assert!(matches!(bed.send(A, &sent[1]), Got::Parked(_)));
    bed.pass(3);
    // A few are looked at each time.
    for _ in 0..64 {
        bed.idle();
    }
    let released = bed.released();
    assert!(matches!(released[..], [(_, Release::Drop(DropReason::FragmentTimeout))]));
    assert_eq!((bed.counts.dropped(DropReason::FragmentTimeout), bed.counts.parked), (1, 0));
    assert!(bed.counts.is_balanced());
}

#[test]
fn overlapping_fragments_spoil_their_packet() {
    let mut bed = bed(B);
    let (sent, _) = fragments(true, 7);
    bed.send(A, &sent[0]);
    // The same packet cut elsewhere.
    let other = split(&up(true, A, VIP).udp(1000, 80, &[1; 3000]), 1290, 7);
    bed.expect_drop(A, &other[1], DropReason::FragmentOverlap);
    bed.expect_drop(A, &sent[1], DropReason::FragmentOverlap);
}

#[test]
fn fragments_over_the_uplink_that_are_the_hosts_go_to_the_host() {
    let mut bed = bed(B);
    let sent = incoming(false, OUTSIDE, UPLINK).dont_fragment(false).udp(1000, 53, &[7; 2000]);
    for piece in split(&sent, 1300, 1) {
        assert_eq!(bed.send(UPLINK, &piece).port(), HOST.port);
    }
    assert_eq!(bed.counts.punted, 2);
}
