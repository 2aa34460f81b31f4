use std::sync::Arc;

use std::net::{IpAddr, Ipv4Addr};

use sluice_packets::{Ethernet, Ip, Segment, fragment};
use sluice_tables::Tables;
use sluice_wire::ethernet::{Frame, HEADER_LEN, ethertype};
use sluice_wire::{icmpv4, icmpv6, ipv4, ipv6, protocol};

use super::{is_due, next_header_field};
use crate::fixture::*;
use crate::{Checksum, Counts, DropReason, ErrorRate, Packet, Path, PathConfig, Time, Verdict};

/// An error as its receiver reads it.
#[derive(Debug, PartialEq)]
struct News {
    kind: u8,
    code: u8,
    rest: u32,
    quote: Vec<u8>,
}

fn run(tables: &Tables, packet: &mut Packet<'_>, counts: &mut Counts) {
    Path::new(PathConfig::default(), Arc::default()).run(Time(0), tables, counts, std::slice::from_mut(packet));
}

/// Runs the frame, which must be dropped for `reason` and become an error to its sender.
fn news(from: End, frame: &[u8], reason: DropReason) -> News {
    let mut room = Vec::new();
    let mut packet = packet(&mut room, frame, from);
    let mut counts = Counts::new();
    run(&tables(), &mut packet, &mut counts);
    assert_eq!(packet.verdict(), Verdict::Forward { port: from.port, checksum: Checksum::Complete });
    assert_eq!((counts.dropped(reason), counts.dropped_in_all(), counts.icmp_errors), (1, 1, 1));
    assert!(counts.is_balanced());
    assert_eq!(packet.head_len(), packet.total_len());
    read(packet.head(), from)
}

fn read(head: &[u8], to: End) -> News {
    let frame = Frame::new_checked(head).expect("a frame");
    assert_eq!((frame.destination(), frame.source()), (to.mac, GATEWAY.mac));
    if frame.ethertype() == ethertype::IPV4 {
        let header = ipv4::Packet::new_checked(&head[HEADER_LEN..]).expect("IPv4");
        assert!(header.checksum_ok() && header.total_len() <= 576);
        assert_eq!((header.source(), header.protocol()), (GATEWAY.v4, protocol::ICMPV4));
        let message = icmpv4::Packet::new_checked(header.payload()).expect("ICMP");
        assert!(message.checksum_ok() && message.is_error());
        News { kind: message.kind(), code: message.code(), rest: message.rest(), quote: message.payload().to_vec() }
    } else {
        let header = ipv6::Packet::new_checked(&head[HEADER_LEN..]).expect("IPv6");
        assert!(header.total_len() <= 1280);
        assert_eq!((header.source(), header.next_header()), (GATEWAY.v6, protocol::ICMPV6));
        let message = icmpv6::Packet::new_checked(header.payload()).expect("ICMPv6");
        assert!(message.checksum_ok(header.pseudo_header(protocol::ICMPV6, header.payload_len() as u32)));
        assert!(message.is_error());
        News { kind: message.kind(), code: message.code(), rest: message.rest(), quote: message.payload().to_vec() }
    }
}

fn expect(frame: &[u8], reason: DropReason, kind: u8, code: u8, rest: u32) {
    let quote = frame[HEADER_LEN..].to_vec();
    assert_eq!(news(A, frame, reason), News { kind, code, rest, quote });
}

#[test]
fn each_failure_has_its_message_in_icmp() {
    use icmpv4::{kind, unreachable};
    let to = |destination| a_to(destination).udp(1, 2, b"data");
    expect(&to(ABSENT.v4), DropReason::NoSuchPod, kind::UNREACHABLE, unreachable::HOST, 0);
    expect(&to(GATEWAY.v4), DropReason::GatewayPort, kind::UNREACHABLE, unreachable::PORT, 0);
    expect(&a_to_b().ttl(1).udp(1, 2, b"data"), DropReason::TtlExpired, kind::TIME_EXCEEDED, 0, 0);
    let sctp = a_to(GATEWAY.v4).packet(protocol::SCTP, &[0; 16]);
    expect(&sctp, DropReason::GatewayProtocol, kind::UNREACHABLE, unreachable::PROTOCOL, 0);
    let from_host = news(HOST, &host_to(HOST.v4, OUTSIDE_V4).udp(1, 2, b"x"), DropReason::NoRoute);
    assert_eq!((from_host.kind, from_host.code), (kind::UNREACHABLE, unreachable::NETWORK));
    let big = news(A, &a_to_b().udp(1, 2, &[7; 1500]), DropReason::TooBig);
    assert_eq!((big.kind, big.code, big.rest), (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED, 1500));
}

#[test]
fn each_failure_has_its_message_in_icmpv6() {
    use icmpv6::{kind, unreachable};
    let to = |destination| a_to_v6(destination).udp(1, 2, b"data");
    expect(&to(ABSENT.v6), DropReason::NoSuchPod, kind::UNREACHABLE, unreachable::ADDRESS, 0);
    expect(&to(GATEWAY.v6), DropReason::GatewayPort, kind::UNREACHABLE, unreachable::PORT, 0);
    expect(&a_to_b_v6().ttl(1).udp(1, 2, b"data"), DropReason::TtlExpired, kind::TIME_EXCEEDED, 0, 0);
    let sctp = a_to_v6(GATEWAY.v6);
    expect(&sctp.packet(protocol::SCTP, &[0; 16]), DropReason::GatewayProtocol, kind::PARAMETER_PROBLEM, 1, 6);
    let behind = sctp.extension(protocol::DESTINATION_OPTIONS, &[]).packet(protocol::SCTP, &[0; 16]);
    expect(&behind, DropReason::GatewayProtocol, kind::PARAMETER_PROBLEM, 1, 40);
    let from_host = news(HOST, &host_to_v6(HOST.v6, OUTSIDE_V6).udp(1, 2, b"x"), DropReason::NoRoute);
    assert_eq!((from_host.kind, from_host.code), (kind::UNREACHABLE, unreachable::NO_ROUTE));
    let big = news(A, &a_to_b_v6().udp(1, 2, &[7; 1500]), DropReason::TooBig);
    assert_eq!((big.kind, big.code, big.rest), (kind::PACKET_TOO_BIG, 0, 1500));
}

#[test]
fn the_quote_is_as_long_as_the_datagram_may_be() {
    let sent = a_to_b().udp(1, 2, &[7; 1500]);
    assert_eq!(news(A, &sent, DropReason::TooBig).quote, sent[14..14 + 576 - 28]);
    let sent = a_to_b_v6().udp(1, 2, &[7; 1500]);
    assert_eq!(news(A, &sent, DropReason::TooBig).quote, sent[14..14 + 1280 - 48]);
}

#[test]
fn a_chain_becomes_an_error_in_its_first_frame() {
    let sent = a_to_b_v6().tcp(&Segment::data(1, 2), &[7; 65_400]);
    let mut room = [&[0; 64], &sent[..200]].concat();
    let mut packet = Packet::new(&mut room, 64, 200, sent.len(), A.port);
    run(&tables(), &mut packet, &mut Counts::new());
    assert_eq!(packet.total_len(), packet.head_len());
    assert_eq!(read(packet.head(), A).quote, sent[14..200]);
}

#[test]
fn an_error_finds_room_or_is_withheld() {
    let sent = a_to(ABSENT.v4).udp(1, 2, b"data");
    let behind = [&sent[..], &[0; 28]].concat();
    for (slack, errors) in [(28, 1), (27, 0), (0, 0)] {
        let mut room = behind[..sent.len() + slack].to_vec();
        let mut packet = Packet::new(&mut room, 0, sent.len(), sent.len(), A.port);
        let mut counts = Counts::new();
        run(&tables(), &mut packet, &mut counts);
        assert_eq!((counts.icmp_errors, counts.icmp_errors_withheld), (errors, 1 - errors));
        assert_eq!(counts.dropped(DropReason::NoSuchPod), 1);
        if errors == 1 {
            assert_eq!(read(packet.head(), A).quote, sent[14..]);
        } else {
            assert_eq!(packet.verdict(), Verdict::Drop(DropReason::NoSuchPod));
        }
    }
}

/// Whether an error about the frame is due, asked of the rule itself.
fn due(frame: &[u8], from: End) -> bool {
    let mut room = Vec::new();
    let tables = tables();
    let mut packet = packet(&mut room, frame, from);
    let ip = arrival(&tables, &mut packet).ip;
    is_due(packet.head(), &ip)
}

#[test]
fn no_error_about_errors_or_later_fragments() {
    for kind in [3, 4, 5, 11, 12] {
        assert!(!due(&a_to(ABSENT.v4).icmp(kind, 0, 0, &[0; 28]), A));
    }
    for kind in [1, 2, 3, 4, 100] {
        assert!(!due(&a_to_v6(ABSENT.v6).icmp(kind, 0, 0, &[0; 48]), A));
    }
    assert!(due(&a_to(ABSENT.v4).echo_request(1, 1, b"x"), A));
    assert!(due(&a_to_v6(ABSENT.v6).echo_reply(1, 1, b"x"), A));
    for ip in [a_to(ABSENT.v4), a_to_v6(ABSENT.v6)] {
        let pieces = fragment::split(&ip.udp(1, 2, &[7; 3000]), 1500, 1);
        assert_eq!(pieces.iter().map(|piece| due(piece, A)).collect::<Vec<_>>(), [true, false, false]);
    }
}

#[test]
fn no_error_to_an_address_that_is_nobodys_alone() {
    let mut room = Vec::new();
    let tables = tables();
    let frame = Ip::v4(Ethernet::new(A.mac, GATEWAY.mac), A.v4, ABSENT.v4).udp(1, 2, b"x");
    let mut packet = packet(&mut room, &frame, A);
    let mut ip = arrival(&tables, &mut packet).ip;
    for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        ip.source = IpAddr::V4(source.parse::<Ipv4Addr>().expect("an address"));
        assert!(!is_due(packet.head(), &ip), "{source}");
    }
}

#[test]
fn the_budget_bounds_errors_and_not_the_count_of_drops() {
    let config = PathConfig { icmp_errors: ErrorRate { per_second: 10, burst: 2 }, ..PathConfig::default() };
    let (mut path, mut counts, tables) = (Path::new(config, Arc::default()), Counts::new(), tables());
    for (now, errors) in [(0, 2), (99_999_999, 2), (100_000_000, 3), (10_000_000_000, 5)] {
        for _ in 0..10 {
            let mut room = Vec::new();
            let mut packet = packet(&mut room, &a_to(ABSENT.v4).udp(1, 2, b"x"), A);
            path.run(Time(now), &tables, &mut counts, std::slice::from_mut(&mut packet));
        }
        assert_eq!(counts.icmp_errors, errors);
    }
    assert_eq!(counts.dropped(DropReason::NoSuchPod), 40);
    assert_eq!(counts.icmp_errors_withheld, 35);
    assert!(counts.is_balanced());
}

#[test]
fn the_field_that_names_a_protocol_is_found_in_any_bytes() {
    for byte in 0..=255_u8 {
        let bytes = [byte; 200];
        for transport in 0..200 {
            assert!(next_header_field(&bytes, transport) < 200);
        }
    }
}
