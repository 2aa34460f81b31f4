//! Ports whose pods may receive or send only so much.
use proptest::prelude::*;
use sluice_packets::{Ip, Segment};
use sluice_path::{DropReason, Rate};
use sluice_worker::Limits;
use sluice_xsk::pair::Sent;

use super::{A, B, Bench, Ethernet, FRAME, FRAMES, GATEWAY_MAC, address, everything, from_a_to, mac, one, tcp};

const SECOND: u64 = 1_000_000_000;
const NONE: Limits = Limits { ingress: None, egress: None };

fn rate(bits_per_second: u64, burst_bits: u64) -> Option<Rate> {
    Some(Rate { bits_per_second, burst_bits })
}

/// Limits of A and of B by which what A sends to B is limited, and the reason that packets are then dropped for.
fn either_way(limit: Option<Rate>) -> [([Limits; 2], DropReason); 2] {
    let (egress, ingress) = (Limits { egress: limit, ..NONE }, Limits { ingress: limit, ..NONE });
    [([egress, NONE], DropReason::BandwidthEgress), ([NONE, ingress], DropReason::BandwidthIngress)]
}

/// A datagram that is `len` bytes long, headers included, and carries a number.
fn numbered(number: u8, len: usize) -> Vec<u8> {
    from_a_to(address(B)).udp(7, 7, &vec![number; len - 42])
}

/// What comes out at B of packets that A sends at once.
fn sent(bench: &mut Bench, packets: &[Vec<u8>]) -> Vec<Sent> {
    packets.iter().for_each(|packet| assert!(bench.a.deliver(packet, FRAME)));
    bench.turn();
    let sent = bench.b.transmit(999);
    bench.b.complete(9999);
    bench.turn();
    sent
}

#[test]
fn what_is_over_a_limit_is_dropped_and_counted_and_the_rest_stays_in_order() {
    for workers in [1, 2] {
        for (limits, reason) in either_way(rate(80_000, 5 * 8000)) {
            let mut bench = Bench::limited(workers, everything(), limits);
            let packets: Vec<Vec<u8>> = (0..20).map(|number| numbered(number, 1000)).collect();
            let passed = sent(&mut bench, &packets);
            let numbers: Vec<u8> = passed.iter().map(|sent| sent.bytes[42]).collect();
            assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "the burst, and one that leaves a debt of its length");
            assert_eq!(bench.dropped(reason), 14);
            // A tenth of a second pays for one: for the debt, and for another one.
            bench.now += SECOND / 10;
            assert_eq!(sent(&mut bench, &packets[7..8]).len(), 1);
            assert_eq!(sent(&mut bench, &packets[8..9]).len(), 0);
            bench.now += SECOND / 10;
            assert_eq!(sent(&mut bench, &packets[9..10]).len(), 1);
            assert_eq!(bench.dropped(reason), 15);
            bench.now += 100 * SECOND;
            assert_eq!(sent(&mut bench, &packets).len(), 6, "no more than the burst is saved");
            assert!(bench.workers.iter().all(|worker| worker.counts().is_balanced()));
            assert_eq!(bench.frames_back(), FRAMES as usize);
        }
    }
}

#[test]
fn a_super_frame_passes_the_smallest_burst_and_is_paid_for_with_the_headers_of_its_segments() {
    const LEN: usize = 58_400;
    let on_a_wire = (54 + LEN + 39 * 54) as u64;
    for (limits, reason) in either_way(rate(8 * 1_000_000, 1)) {
        let mut bench = Bench::limited(1, everything(), limits);
        let packet = tcp(LEN);
        assert!(one(sent(&mut bench, std::slice::from_ref(&packet))).bytes[34..] == packet[34..]);
        bench.now += (on_a_wire - 10) * 1000;
        assert_eq!(sent(&mut bench, &[tcp(10)]).len(), 0, "a byte a microsecond, and ten are owed");
        bench.now += 10_000;
        assert_eq!(sent(&mut bench, &[tcp(10)]).len(), 1);
        assert_eq!(bench.dropped(reason), 1);
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn of_long_and_short_packets_those_that_pass_keep_their_bytes() {
    let limit = rate(1, 8 * 100_000);
    for (limits, reason) in either_way(limit) {
        let mut bench = Bench::limited(1, everything(), limits);
        bench.workers[0].set_join(false);
        let packets = [tcp(20_000), tcp(30), tcp(59_000), tcp(40_000), tcp(31)];
        let passed = sent(&mut bench, &packets);
        assert_eq!(passed.len(), 4, "the last one meets a debt");
        assert!(passed.iter().zip(&packets).all(|(sent, packet)| sent.bytes[34..] == packet[34..]));
        assert_eq!(bench.dropped(reason), 1);
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn a_limit_of_one_direction_and_of_one_pod_is_no_other_ones() {
    // B may send next to nothing and A receive next to nothing; what A sends to B is neither.
    let (receives, sends) = (Limits { ingress: rate(1, 1), ..NONE }, Limits { egress: rate(1, 1), ..NONE });
    for workers in [1, 2] {
        let mut bench = Bench::limited(workers, everything(), [receives, sends]);
        let packets: Vec<Vec<u8>> = (0..60).map(|number| numbered(number, 1000)).collect();
        assert_eq!(sent(&mut bench, &packets).len(), 60);
        let back = Ip::v4(Ethernet::new(mac(B), GATEWAY_MAC), address(B), address(A)).udp(9, 9, &[0; 500]);
        for _ in 0..3 {
            assert!(bench.b.deliver(&back, FRAME));
        }
        bench.turn();
        assert_eq!(bench.a.transmit(9).len(), 1);
        assert_eq!((bench.dropped(DropReason::BandwidthEgress), bench.dropped(DropReason::BandwidthIngress)), (2, 0));
    }
}

#[test]
fn segments_that_were_joined_are_dropped_as_those_that_came() {
    let ingress = rate(1, 1);
    let mut bench = Bench::limited(1, everything(), [NONE, Limits { ingress, ..NONE }]);
    assert_eq!(sent(&mut bench, &[numbered(0, 1500)]).len(), 1);
    let segment = |number: u32| {
        let part = Segment { sequence: number * 1000, ..Segment::data(1000, 80) };
        from_a_to(address(B)).tcp(&part, &[7; 1000])
    };
    assert_eq!(sent(&mut bench, &[segment(0), segment(1), segment(2)]).len(), 0);
    assert_eq!(bench.dropped(DropReason::BandwidthIngress), 3);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_limited_warm_turn_allocates_nothing() {
    for (limits, _) in either_way(rate(8_000_000, 8)) {
        let mut bench = Bench::limited(1, everything(), limits);
        let mut allocated = 0;
        for round in 0..64 {
            for number in 0..8 {
                assert!(bench.a.deliver(&numbered(number, 1000), FRAME) && bench.a.deliver(&tcp(20_000), FRAME));
            }
            let turn = allocation_counter::measure(|| bench.turn());
            if round >= 8 {
                allocated += turn.count_total;
            }
            bench.b.transmit(999);
            bench.b.complete(9999);
        }
        assert_eq!(allocated, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_comes_when_no_more_passes_than_the_rate_allows_and_everything_is_counted(
        workers in 1..3u8,
        bits_per_second in 1..1_000_000_000u64,
        burst_bits in 0..1_000_000u64,
        bursts in prop::collection::vec((0..SECOND / 100, prop::collection::vec(60..1500usize, 1..20)), 1..20),
    ) {
        for (limits, reason) in either_way(rate(bits_per_second, burst_bits)) {
            let mut bench = Bench::limited(workers, everything(), limits);
            let (mut offered, mut passed, mut bits, mut first) = (0, 0, 0, None);
            for (pause, lens) in &bursts {
                bench.now += pause;
                let packets: Vec<Vec<u8>> = lens.iter().map(|len| numbered(0, *len)).collect();
                offered += packets.len();
                let first = *first.get_or_insert(bench.now);
                for sent in sent(&mut bench, &packets) {
                    passed += 1;
                    bits += sent.bytes.len() as u64 * 8;
                }
                let earned = u128::from(bench.now - first) * u128::from(bits_per_second) / u128::from(SECOND);
                prop_assert!(u128::from(bits) <= earned + u128::from(burst_bits) + 8 * 1500);
            }
            prop_assert_eq!(offered as u64, passed + bench.dropped(reason));
            prop_assert_eq!(bench.frames_back(), FRAMES as usize);
        }
    }
}
