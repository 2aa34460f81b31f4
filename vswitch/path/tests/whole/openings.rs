//! What is decided for a burst's first packets together is what the stages decide for each: bursts of many kinds, both ways.

use std::sync::Arc;

use proptest::prelude::*;
use sluice_packets::Segment;
use sluice_path::PathConfig;
use sluice_tables::{Identity, PodPolicy, PortRange, Ports, RulesBuilder};
use sluice_wire::protocol::{TCP, UDP};
use sluice_wire::tcp::flag::{ACK, RST, SYN};

use crate::rig::*;

/// A packet: between whom, of which port, of which kind.
type Kind = (u8, u16, u16, bool, u8, usize);

fn kinds() -> impl Strategy<Value = Kind> {
    let to = prop::sample::select(vec![80_u16, 80, 80, 90, 8080, TUNNEL_PORT]);
    let flags = prop::sample::select(vec![SYN, SYN, SYN, ACK, SYN | ACK, RST]);
    (0_u8..12, 1000_u16..1008, to, any::<bool>(), flags, prop_oneof![6 => 0_usize..20, 1 => 1380_usize..1500])
}

fn frame(&(way, from, to, udp, flags, payload): &Kind) -> (End, Vec<u8>) {
    let data = vec![7; payload];
    let transport = |ip: sluice_packets::Ip| {
        if udp {
            return ip.udp(from, to, &data);
        }
        let options = if flags & SYN == 0 { Vec::new() } else { vec![2, 4, 5, (from & 0xff) as u8] };
        ip.tcp(&Segment { flags, options, ..Segment::data(from, to) }, &data)
    };
    let own = |from: End, to: End| (from, transport(up(false, from, to)));
    let far = |from: End, to: End| (UPLINK, from_peer(|link| transport(sluice_packets::Ip::v4(link, from.v4, to.v4))));
    match way {
        0 => own(A, B),
        1 => own(A, FAR),
        2 => own(B, VIP),
        3 => own(A, A),
        4 => own(B, HOST),
        5 => own(B, OUTSIDE),
        6 => far(FAR, B),
        7 => far(FAR, A),
        8 => far(PEER, A),
        9 => own(A, BALANCER),
        10 => own(A, PEER),
        _ => own(A, VIP),
    }
}

fn policies() -> impl Strategy<Value = Vec<(End, Option<u8>, Option<u8>)>> {
    let rules = || prop::option::weighted(0.3, 0_u8..8);
    (rules(), rules(), rules(), rules()).prop_map(|(a, b, c, d)| vec![(A, a, b), (B, c, d)])
}

/// What lets some of what is sent pass, by each kind of rule.
fn rules(kind: u8) -> sluice_tables::Rules {
    let some = Ports::of([PortRange::new(TCP, 80, 8080).expect("a range"), PortRange::new(UDP, 90, 90).expect("one")]);
    let rules = RulesBuilder::new(kind.into());
    let rules = match kind {
        0 => rules,
        1 => rules.any(&some),
        2 => rules.identity(Identity(1), &some).identity(Identity(3), &Ports::everything()),
        3 => rules.address(FAR.v4.into(), &some).address(B.v4.into(), &Ports::everything()),
        4 => rules.block(net("10.1.0.0/23"), &[net("10.1.1.0/30")], &some),
        5 => rules.identity(Identity(2), &some).block(net("10.1.1.0/24"), &[], &Ports::everything()),
        6 => rules.any(&Ports::everything()),
        _ => rules.identity(Identity(0), &Ports::everything()),
    };
    rules.build()
}

fn setup(backends: &[(End, u16)], policies: &[(End, Option<u8>, Option<u8>)], internal_local: bool) -> Setup {
    let policy = |kind: Option<u8>| kind.map(|kind| Arc::new(rules(kind)));
    let services =
        [TCP, UDP].map(|protocol| Svc { key: protocol.into(), internal_local, ..service(protocol, backends) });
    Setup {
        services: services.into(),
        identities: vec![(A, 1), (B, 2), (FAR, 3), (HOST, 0)],
        policies: policies
            .iter()
            .map(|(end, ingress, egress)| (end.port, PodPolicy { ingress: policy(*ingress), egress: policy(*egress) }))
            .collect(),
        ..Setup::default()
    }
}

fn backends() -> impl Strategy<Value = Vec<(End, u16)>> {
    let all = vec![(FAR, 8080), (B, 8080), (A, 8080), (FAR, 80), (B, TUNNEL_PORT), (OUTSIDE, 80)];
    prop::sample::subsequence(all, 0..=6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_burst_of_first_packets_is_decided_as_the_stages_decide(
        seed in any::<u64>(),
        backends in backends(),
        policies in policies(),
        internal_local in prop::bool::weighted(0.2),
        bursts in prop::collection::vec(prop::collection::vec(kinds(), 1..40), 1..6),
    ) {
        let mut bed = Bed::with(setup(&backends, &policies, internal_local), PathConfig { seed, ..Default::default() });
        for burst in &bursts {
            let frames: Vec<_> = burst.iter().map(frame).collect();
            bed.send_together(&frames);
            bed.now.0 += 40_000_000;
        }
    }
}

#[test]
fn a_connection_whose_first_packets_come_together_is_made_once() {
    let mut bed = Bed::new(setup(&[(FAR, 8080), (B, 8080)], &[], false));
    let frames: Vec<_> = (0..6).map(|number| frame(&(11, 1000 + number % 2, 80, true, 0, 5))).collect();
    bed.send_together(&frames);
    assert_eq!((bed.counts.connections_new, bed.counts.forwarded), (2, 6));
    assert_eq!((bed.counts.connection_misses, bed.counts.connection_hits), (2, 4));
}

#[test]
fn a_full_share_refuses_first_packets_that_come_together() {
    let shared = sluice_path::SharedConfig {
        connections: sluice_connections::Config { capacity: 8, pod_share: 3, ..Default::default() },
        ..Default::default()
    };
    let mut bed = Bed::over(setup(&[(FAR, 8080)], &[], false), shared);
    let frames: Vec<_> = (0..8).map(|number| frame(&(11, 1000 + number, 80, false, SYN, 5))).collect();
    bed.send_together(&frames);
    assert_eq!(bed.counts.connections_new, 3);
    assert_eq!(bed.counts.dropped(sluice_path::DropReason::ConnectionShare), 5);
}

#[test]
fn a_pod_without_an_ipv4_address_does_not_speak_from_none() {
    let six = End { port: sluice_tables::PortId(4), v4: std::net::Ipv4Addr::UNSPECIFIED, ..A };
    let six = End { mac: sluice_wire::MacAddr([2, 0, 0, 0, 0, 4]), v6: net("fd00:1::4"), ..six };
    let mut bed = Bed::new(Setup { pods: vec![A, B, six], ..setup(&[(B, 8080)], &[], false) });
    for to in [B, FAR, VIP] {
        bed.expect_drop(six, &up(false, six, to).udp(1000, 80, b"x"), sluice_path::DropReason::SpoofedAddress);
    }
    assert_eq!(bed.send(six, &up(true, six, B).udp(1000, 80, b"x")).port(), B.port);
}
