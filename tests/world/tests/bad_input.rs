//! Cuts, lies, floods and bytes of any kind: nothing panics, and every packet is accounted for.

use std::net::{Ipv4Addr, Ipv6Addr};

use core::time::Duration;

use proptest::prelude::*;
use sluice_packets::{Ethernet, Ip, arp, corrupt, ndp};
use sluice_path::DropReason;
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use sluice_wire::MacAddr;
use sluice_world::{Node, Outcome, Pod, Switch, any_bytes, samples};

fn pods() -> [Pod; 2] {
    [2, 3].map(Pod::number)
}

#[test]
fn every_cut_of_every_kind_is_dropped_by_name() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, _] = pods();
    for (name, frame) in samples::every_kind() {
        for cut in corrupt::truncations(&frame) {
            let outcome = switch.send(a.port, &cut);
            let named = matches!(outcome, Outcome::Dropped(DropReason::Truncated | DropReason::Malformed));
            assert!(named, "{outcome:?} for {} bytes of {name}", cut.len());
        }
    }
    assert!(switch.counts().is_balanced());
}

#[test]
fn a_chain_cut_anywhere_in_its_headers_is_dropped_by_name() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, _] = pods();
    for (name, frame) in samples::every_kind() {
        for first in 0..frame.len() {
            match switch.send_cut(a.port, &frame, first) {
                Outcome::Dropped(reason) => assert_ne!(reason, DropReason::Undecided),
                Outcome::Parked => assert!(name.contains("fragment"), "{name} waits"),
                Outcome::Sent { .. } => assert!(first >= 34, "{name} was cut at {first}"),
            }
        }
    }
    assert!(switch.counts().is_balanced());
}

#[test]
fn every_byte_flipped_is_survived() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, _] = pods();
    for (_, frame) in samples::every_kind() {
        for at in 0..frame.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut wrong = frame.clone();
                wrong[at] ^= flip;
                switch.send(a.port, &wrong);
            }
        }
    }
    assert!(switch.counts().is_balanced());
    assert_eq!(switch.counts().dropped(DropReason::Undecided), 0);
}

#[test]
fn an_arp_flood_is_answered_to_the_asker_alone() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, b] = pods();
    let (own, other) = (a.v4.expect("IPv4"), b.v4.expect("IPv4"));
    for round in 0..1000_u16 {
        let [high, low] = round.to_be_bytes();
        let answer = switch.send(a.port, &arp::request(a.mac, own, GATEWAY_IPV4));
        assert!(matches!(answer, Outcome::Sent { port, .. } if port == a.port));
        let scan = arp::request(a.mac, own, Ipv4Addr::new(10, 7, high, low));
        assert!(matches!(switch.send(a.port, &scan), Outcome::Dropped(_)));
        let poison = arp::request(a.mac, other, GATEWAY_IPV4);
        assert_eq!(switch.send(a.port, &poison), Outcome::Dropped(DropReason::SpoofedArp));
        let claim = arp::reply((a.mac, GATEWAY_IPV4), (b.mac, other));
        assert_eq!(switch.send(a.port, &claim), Outcome::Dropped(DropReason::NotForGateway));
    }
    let counts = switch.counts();
    assert_eq!((counts.arp_replies, counts.forwarded), (1000, 0));
    assert_eq!(counts.dropped(DropReason::SpoofedArp), 1000);
    assert!(counts.is_balanced());
}

#[test]
fn a_solicitation_flood_is_answered_to_the_asker_alone() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, b] = pods();
    let (own, other) = (a.v6.expect("IPv6"), b.v6.expect("IPv6"));
    for round in 0..1000_u16 {
        let answer = switch.send(a.port, &ndp::solicit(a.mac, own, GATEWAY_IPV6));
        assert!(matches!(answer, Outcome::Sent { port, .. } if port == a.port));
        let scan = ndp::solicit(a.mac, own, Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 1, round));
        assert_eq!(switch.send(a.port, &scan), Outcome::Dropped(DropReason::NeighbourNotGateway));
        let poison = ndp::solicit(a.mac, other, GATEWAY_IPV6);
        assert_eq!(switch.send(a.port, &poison), Outcome::Dropped(DropReason::SpoofedAddress));
        let claim = ndp::advert(Ethernet::new(a.mac, b.mac), GATEWAY_IPV6, other);
        assert_eq!(switch.send(a.port, &claim), Outcome::Dropped(DropReason::NeighbourOther));
    }
    let counts = switch.counts();
    assert_eq!((counts.neighbour_replies, counts.forwarded), (1000, 0));
    assert!(counts.is_balanced());
}

#[test]
fn a_flood_of_undeliverable_packets_is_reported_within_the_budget() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, _] = pods();
    let frame = samples::from_pod_v4(Ipv4Addr::new(10, 7, 0, 99)).udp(1, 2, b"x");
    for _ in 0..10_000 {
        switch.send(a.port, &frame);
        switch.clock.advance(Duration::from_micros(100));
    }
    let counts = switch.counts();
    assert_eq!(counts.dropped(DropReason::NoSuchPod), 10_000);
    assert_eq!(counts.icmp_errors + counts.icmp_errors_withheld, 10_000);
    assert!((1000..=1100).contains(&counts.icmp_errors), "a second at 1000 a second and a burst of 100");
}

#[test]
fn a_source_mac_that_is_a_group_is_spoofed() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let [a, b] = pods();
    let link = Ethernet::new(MacAddr::BROADCAST, GATEWAY_MAC);
    let frame = Ip::v4(link, a.v4.expect("IPv4"), b.v4.expect("IPv4")).udp(1, 2, b"x");
    assert_eq!(switch.send(a.port, &frame), Outcome::Dropped(DropReason::SpoofedMac));
}

/// A frame of some kind with some bytes replaced, in front of it what `any_bytes` reads.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let frame = proptest::sample::select(samples::every_kind());
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4);
    (frame, changes, 0_u8..8, any::<u8>()).prop_map(|((_, mut frame), changes, port, choices)| {
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        any_bytes::encode(port, choices, &frame)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_end_in_one_place(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        any_bytes::exercise(&bytes);
    }

    #[test]
    fn nearly_right_frames_end_in_one_place(frames in proptest::collection::vec(nearly_right(), 1..20)) {
        any_bytes::exercise(&frames.concat());
    }
}
