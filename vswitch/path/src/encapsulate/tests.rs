use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_packets::{ChecksumMode, Ethernet, Geneve, Ip, samples};
use sluice_tables::{Encapsulation, Peer, Port, PortId, PortKind, Tunnel, WorkerId};
use sluice_wire::parse::parse;
use sluice_wire::{MacAddr, ipv6, udp};

use super::run;
use crate::sound::{self, Kind, any, is_sound};
use crate::{Checksum, CutTo, DropReason, Packet};

const OWN: MacAddr = MacAddr([2, 0x53, 10, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0x53, 10, 0, 0, 2]);
const NEXT_HOP: MacAddr = MacAddr([2, 0, 0, 0, 9, 9]);
const UPLINK: MacAddr = MacAddr([2, 0, 0, 0, 9, 1]);
const VNI: u32 = 0x12_3456;
const PORT: u16 = 4789;

fn ends(six: bool) -> (IpAddr, IpAddr) {
    if six {
        ("2001:db8::1".parse().expect("an address"), "2001:db8::2".parse().expect("an address"))
    } else {
        ("192.0.2.1".parse().expect("an address"), "192.0.2.2".parse().expect("an address"))
    }
}

fn tunnel(encapsulation: Encapsulation, six: bool) -> Tunnel {
    Tunnel { encapsulation, vni: VNI, port: PORT, local: ends(six).0, mac: OWN, inner_mtu: 1400 }
}

fn peer(six: bool) -> Peer {
    Peer { name: "other".into(), addresses: vec![], tunnel: ends(six).1, mac: OTHER, pod_cidrs: vec![] }
}

fn uplink() -> Port {
    Port {
        id: PortId(9),
        kind: PortKind::Uplink,
        worker: WorkerId(0),
        mac: UPLINK,
        addresses: vec![],
        path_mtu: 1500,
        max_l3_len: 1500,
    }
}

/// The frame after encapsulation, of which `visible` bytes lie in the first buffer, and the state of its checksum.
fn encapsulated(
    frame: &[u8],
    visible: usize,
    (encapsulation, six): (Encapsulation, bool),
    hash: u64,
    checksum: Checksum,
) -> Result<(Vec<u8>, Checksum), DropReason> {
    let mut room = [&[0xee; 128][..], &frame[..visible]].concat();
    let mut packet = Packet::new(&mut room, 128, visible, frame.len(), PortId(1));
    let state = run(&mut packet, &tunnel(encapsulation, six), &peer(six), &uplink(), NEXT_HOP, hash, checksum)?;
    assert_eq!(packet.total_len() - packet.head_len(), frame.len() - visible, "the rest of the chain");
    Ok(([packet.head(), &frame[visible..]].concat(), state))
}

/// What should come of `inner`, all checksums complete.
fn wanted(inner: &[u8], (encapsulation, six): (Encapsulation, bool), source_port: u16, class: u8) -> Vec<u8> {
    let mut inner = inner.to_vec();
    inner[..12].copy_from_slice(&[OTHER.0, OWN.0].concat());
    let link = Ethernet::new(UPLINK, NEXT_HOP);
    let outer = match ends(six) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ip::v4(link, from, to),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ip::v6(link, from, to),
        _ => panic!("one family"),
    };
    let outer = outer.traffic_class(class);
    match encapsulation {
        Encapsulation::Geneve => outer.geneve(source_port, PORT, &Geneve::ethernet(VNI), &inner),
        _ => outer.vxlan(source_port, PORT, VNI, &inner),
    }
}

/// The flow label says nothing to who does not look for it, so the builder knows none.
fn without_label(mut frame: Vec<u8>, six: bool) -> Vec<u8> {
    if six {
        ipv6::Packet::new_header(&mut frame[14..]).expect("IPv6").set_flow_label(0);
    }
    frame
}

const WAYS: [(Encapsulation, bool); 4] = [
    (Encapsulation::Vxlan, false),
    (Encapsulation::Vxlan, true),
    (Encapsulation::Geneve, false),
    (Encapsulation::Geneve, true),
];

proptest! {
    #[test]
    fn a_tunnelled_packet_is_the_one_a_builder_makes(
        way in prop::sample::select(&WAYS[..]),
        (kind, tuple, _) in any::translation(),
        class in any::<u8>(),
        data in vec(any::<u8>(), 0..130),
        hash in any::<u64>(),
    ) {
        for mode in [ChecksumMode::Complete, ChecksumMode::Partial, ChecksumMode::Wrong] {
            if mode == ChecksumMode::Partial && !matches!(kind, Kind::Tcp | Kind::Udp) {
                continue;
            }
            let ip = sound::ip(&tuple).traffic_class(class).checksum(mode);
            let mut inner = sound::frame(&ip, kind, &tuple, &data);
            let state = sound::state(mode, &inner);
            let visible = inner.len() - data.len();
            let (mut got, left) = encapsulated(&inner, visible, way, hash, state).expect("room");
            // Over IPv6 the outer checksum is left only where the inner one is not.
            let outer_left = way.1 && mode != ChecksumMode::Partial;
            prop_assert_eq!(left != Checksum::Complete, outer_left || mode == ChecksumMode::Partial);
            sound::complete(&mut got, left);
            sound::complete(&mut inner, state);
            let headers = parse(&got, got.len()).expect("a right packet");
            prop_assert!(headers.source_port >= 49_152);
            prop_assert_eq!(without_label(got, way.1), wanted(&inner, way, headers.source_port, class), "{:?}", mode);
        }
    }
}

#[test]
fn the_outer_checksum_of_ipv6_is_right_and_that_of_ipv4_is_none() {
    for way in WAYS {
        for inner in [samples::v4().partial().udp(1, 2, b"odd"), samples::v6().udp(1, 2, b"odd")] {
            let state = crate::sound::state(
                if inner[12] == 8 { ChecksumMode::Partial } else { ChecksumMode::Complete },
                &inner,
            );
            let (mut got, left) = encapsulated(&inner, inner.len(), way, 7, state).expect("room");
            sound::complete(&mut got, left);
            assert!(is_sound(&got), "{way:?}");
            let headers = parse(&got, got.len()).expect("a right packet");
            let datagram = udp::Packet::new_checked(&got[usize::from(headers.l4_offset)..]).expect("UDP");
            assert_eq!(datagram.checksum() == 0, !way.1);
        }
    }
}

#[test]
fn one_flow_has_one_source_port_and_flows_have_many() {
    let inner = samples::v4().udp(1, 2, b"x");
    let port = |hash| {
        let (frame, _) = encapsulated(&inner, inner.len(), WAYS[0], hash, Checksum::Complete).expect("room");
        parse(&frame, frame.len()).expect("a right packet").source_port
    };
    assert_eq!(port(0x1234_5678), port(0x1234_5678));
    let ports: std::collections::BTreeSet<u16> =
        (0..1000u64).map(|hash| port(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    assert!(ports.len() > 900, "{} of 1000", ports.len());
}

#[test]
fn what_does_not_fit_is_refused_and_left_as_it_was() {
    let inner = samples::v4().udp(1, 2, b"x");
    let mut room = [&[0xee; 49][..], &inner].concat();
    let before = room.clone();
    let mut packet = Packet::new(&mut room, 49, inner.len(), inner.len(), PortId(1));
    let (way, six) = WAYS[0];
    let refused = run(&mut packet, &tunnel(way, six), &peer(six), &uplink(), NEXT_HOP, 0, Checksum::Complete)
        .expect_err("no room");
    assert_eq!(refused, DropReason::NoRoom);
    let none =
        run(&mut packet, &tunnel(Encapsulation::None, six), &peer(six), &uplink(), NEXT_HOP, 0, Checksum::Complete);
    assert_eq!(none, Err(DropReason::NoRoute));
    let mixed = run(&mut packet, &tunnel(way, six), &peer(true), &uplink(), NEXT_HOP, 0, Checksum::Complete);
    assert_eq!(mixed, Err(DropReason::NoRoute));
    assert_eq!(room, before);

    let long = samples::v4().udp(1, 2, &vec![0; 65_500]);
    let too_big = encapsulated(&long, 60, WAYS[0], 0, Checksum::Complete);
    assert_eq!(too_big, Err(DropReason::TooBig));
}

#[test]
fn a_super_frame_that_is_cut_later_may_be_longer_than_udp_can_say() {
    let long = samples::v4().partial().udp(1, 2, &vec![0; 65_500]);
    let mut room = [&[0xee; 128][..], &long[..60]].concat();
    let mut packet = Packet::new(&mut room, 128, 60, long.len(), PortId(1));
    packet.cut(Some(CutTo { mtu: 1400, mss: 0, inner: 50 }));
    let state = crate::sound::state(ChecksumMode::Partial, &long);
    let left = run(&mut packet, &tunnel(Encapsulation::Vxlan, false), &peer(false), &uplink(), NEXT_HOP, 0, state);
    assert_eq!(left, Ok(Checksum::Partial { start: 84, offset: 6 }));
    assert_eq!(packet.total_len(), long.len() + 50);
}
