use std::sync::Arc;

use sluice_connections::{Config, Timeouts};
use sluice_packets::{Ethernet, Ip, Segment};

use super::STAGES;
use crate::fixture::*;
use crate::{Counts, DropReason, Packet, Path, PathConfig, Shared, SharedConfig, Time, Verdict};

const DOCUMENT: &str = include_str!("../../../../docs/path.md");

/// The order of the stages, told once.
const ORDER: [&str; 10] =
    ["parse", "origin", "fragment", "connection", "service", "policy", "route", "masquerade", "size", "rewrite"];

#[test]
fn the_stages_are_called_declared_and_described_in_one_order() {
    assert_eq!(STAGES, ORDER);
    let called = include_str!("../walk.rs").lines().filter_map(|line| {
        let (before, _) = line.split_once("::run(")?;
        before.rsplit(|byte: char| !byte.is_ascii_lowercase()).next()
    });
    assert_eq!(called.collect::<Vec<_>>(), ORDER);
    let declared = include_str!("../lib.rs").lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    assert_eq!(declared.filter(|name| ORDER.contains(name)).collect::<Vec<_>>(), ORDER);
    let described = DOCUMENT.lines().filter_map(|line| line.strip_prefix("### ")?.split(". ").nth(1));
    assert_eq!(described.collect::<Vec<_>>(), ORDER);
}

#[test]
fn the_document_lists_exactly_the_drop_reasons() {
    let rows: Vec<(usize, &str)> = DOCUMENT
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let number = cells.next()?.parse().ok()?;
            Some((number, cells.next()?.trim_matches('`')))
        })
        .collect();
    let reasons: Vec<_> = DropReason::ALL.iter().map(|reason| (reason.index(), reason.name())).collect();
    assert_eq!(rows, reasons);
}

#[test]
fn a_burst_is_decided_packet_by_packet_and_counted_once_each() {
    let frames = [
        a_to_b().udp(1, 2, b"x"),
        a_to_b_v6().udp(1, 2, b"x"),
        a_to(ABSENT.v4).udp(1, 2, b"x"),
        a_to(GATEWAY.v4).echo_request(1, 1, b"x"),
        Vec::new(),
    ];
    let mut rooms = vec![Vec::new(); frames.len()];
    let mut burst: Vec<_> = rooms.iter_mut().zip(&frames).map(|(room, frame)| packet(room, frame, A)).collect();
    let mut short = [0; 4];
    burst.push(Packet::new(&mut short, 0, 5, 5, A.port));
    let mut counts = Counts::new();
    Path::new(PathConfig::default(), Arc::default()).run(Time(0), &tables(), &mut counts, &mut burst);
    assert_eq!((counts.received, counts.forwarded, counts.echo_replies, counts.icmp_errors), (6, 2, 1, 1));
    assert_eq!(counts.forwarded_bytes, (frames[0].len() + frames[1].len()) as u64);
    for reason in [DropReason::NoSuchPod, DropReason::Truncated, DropReason::BadDescriptor] {
        assert_eq!(counts.dropped(reason), 1);
    }
    assert_eq!(counts.dropped(DropReason::Undecided), 0);
    assert!(counts.is_balanced());
    assert_eq!(burst[5].verdict(), Verdict::Drop(DropReason::BadDescriptor));
}

#[test]
fn connections_made_and_gone_add_up_when_a_client_uses_its_port_again() {
    use sluice_packets::Segment;
    use sluice_wire::tcp::flag;

    let (tables, shared, mut counts) = (tables(), Arc::<crate::Shared>::default(), Counts::new());
    let mut path = Path::new(PathConfig::default(), Arc::clone(&shared));
    for flags in [flag::SYN, flag::RST, flag::SYN] {
        let frame = a_to_b().tcp(&Segment { flags, ..Segment::data(1000, 80) }, b"");
        let mut room = Vec::new();
        let mut burst = [packet(&mut room, &frame, A)];
        path.run(Time(0), &tables, &mut counts, &mut burst);
        assert!(matches!(burst[0].verdict(), Verdict::Forward { .. }));
    }
    assert_eq!((counts.connections_new, counts.connections_gone), (2, 1));
    assert_eq!(shared.connections.len(), 1);
}

#[test]
fn connections_expire_as_fast_as_bursts_make_them() {
    let timeouts = Timeouts { udp_unreplied: 1, ..Timeouts::default() };
    let connections = Config { capacity: 2000, pod_share: 2000, timeouts, ..Config::default() };
    let shared = Arc::new(Shared::new(SharedConfig { connections, affinity: 1 }));
    let (mut path, mut counts, tables) = (Path::new(PathConfig::default(), shared), Counts::new(), tables());
    // A thousand a second, of which a thousand are not yet idle for long enough: for twenty seconds, then after a flood
    // that has filled the table.
    for (start, step, bursts) in [(0, 32_000_000, 625), (20_000_000_000, 0, 100), (22_000_000_000, 32_000_000, 625)] {
        for burst in 0..bursts {
            let number = |packet: u64| start / 1_000_000 + burst * 32 + packet;
            let frames =
                (0..32).map(|packet| a_to_b().udp(number(packet) as u16, (number(packet) >> 16) as u16 + 1, b"x"));
            let frames: Vec<_> = frames.collect();
            let mut rooms = vec![Vec::new(); frames.len()];
            let mut burst_of: Vec<_> =
                rooms.iter_mut().zip(&frames).map(|(room, frame)| packet(room, frame, A)).collect();
            path.run(Time(start + burst * step), &tables, &mut counts, &mut burst_of);
        }
        let full = counts.dropped(DropReason::ConnectionsFull);
        match (start, step) {
            (_, 0) => assert!(full > 0, "the flood has filled the table"),
            (0, _) => assert_eq!(full, 0),
            _ => assert!(full <= 64, "{full} refused once what filled the table has expired"),
        }
        counts = Counts::new();
    }
}

#[test]
fn packets_of_an_established_connection_meet_patterns_in_both_families_and_directions() {
    let data = |from: u16, to: u16| Segment::data(from, to);
    let four = [
        a_to_b().tcp(&data(5000, 80), b"x"),
        Ip::v4(Ethernet::new(B.mac, GATEWAY.mac), B.v4, A.v4).tcp(&data(80, 5000), b"x"),
    ];
    let six = [
        a_to_b_v6().udp(5000, 53, b"longer than a TCP header"),
        Ip::v6(Ethernet::new(B.mac, GATEWAY.mac), B.v6, A.v6).udp(53, 5000, b"longer than a TCP header"),
    ];
    for [request, reply] in [four, six] {
        let (tables, mut counts) = (tables(), Counts::new());
        let mut path = Path::new(PathConfig::default(), Arc::default());
        let mut met = Vec::new();
        for number in 0..8 {
            let mut room = Vec::new();
            let (frame, from) = if number % 2 == 0 { (&request, A) } else { (&reply, B) };
            let mut packet = packet(&mut room, frame, from);
            path.run(Time(number), &tables, &mut counts, std::slice::from_mut(&mut packet));
            assert!(matches!(packet.verdict(), Verdict::Forward { .. }));
            met.push(path.patterns.as_ref().map_or(0, |patterns| patterns.met()));
        }
        // The first makes the connection, the second establishes it, and each direction's next leaves its pattern at the latest.
        assert_eq!(met[7] - met[3], 4, "{met:?}");
        assert_eq!(counts.connection_hits, 7);
    }
}
