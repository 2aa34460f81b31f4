//! The path against an oracle that knows the objects and not the tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use sluice_path::{Checksum, ErrorRate, PathConfig};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC, PortId};
use sluice_wire::{MacAddr, ethernet, parse, protocol};
use sluice_world::{Content, Expected, Node, Outcome, Pod, Sent, Switch, oracle};

/// Pods of the node, some with one address only; the host is there or not.
fn nodes() -> impl Strategy<Value = Node> {
    let pods = proptest::collection::btree_map(2_u8..12, 0_u8..4, 1..8);
    (pods, any::<bool>(), select(vec![1280_u16, 1500, 9000]), select(vec![0_u32, 56_000])).prop_map(
        |(pods, host, path_mtu, more)| {
            let mut node = Node::with_pods([]);
            node.pods = pods
                .into_iter()
                .map(|(number, families)| {
                    let pod = Pod::number(number);
                    Pod { v4: pod.v4.filter(|_| families != 1), v6: pod.v6.filter(|_| families != 2), ..pod }
                })
                .collect();
            if !host {
                node.host = None;
            }
            node.path_mtu = path_mtu;
            node.max_l3_len = u32::from(path_mtu) + more;
            node
        },
    )
}

/// Addresses worth trying: every pod's (there or not), the host's, the gateway's, others of every kind.
fn addresses(v4: bool) -> Vec<IpAddr> {
    let pods = (1..14).map(Pod::number);
    if v4 {
        let others = [
            "10.7.0.200",
            "10.8.0.1",
            "192.0.2.7",
            "8.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "169.254.1.2",
            "224.0.0.5",
            "240.1.1.1",
            "255.255.255.255",
        ];
        let others = others.map(|text| text.parse().expect("an address"));
        pods.filter_map(|pod| pod.v4.map(IpAddr::V4))
            .chain([GATEWAY_IPV4.into(), GATEWAY_IPV4.into()])
            .chain(others)
            .collect()
    } else {
        let others = ["fd00:7::c8", "fd00:8::1", "2001:db8::1", "::", "::1", "fe80::2", "ff02::1", "ff0e::5"];
        let others = others.map(|text| text.parse().expect("an address"));
        let own = pods.clone().map(|pod| IpAddr::V6(pod.link_local()));
        let global = pods.filter_map(|pod| pod.v6.map(IpAddr::V6));
        global.chain(own).chain([GATEWAY_IPV6.into(), GATEWAY_IPV6.into()]).chain(others).collect()
    }
}

/// Any of these, and as often one that a pod really has.
fn destinations(node: &Node, v4: bool) -> impl Strategy<Value = IpAddr> + use<> {
    let there = node.pods.iter().filter_map(|pod| if v4 { pod.v4.map(IpAddr::V4) } else { pod.v6.map(IpAddr::V6) });
    let there: Vec<IpAddr> = there.chain([if v4 { GATEWAY_IPV4.into() } else { GATEWAY_IPV6.into() }]).collect();
    prop_oneof![select(addresses(v4)), select(there)]
}

fn macs(own: MacAddr, honest: MacAddr) -> impl Strategy<Value = MacAddr> {
    let others =
        vec![MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), GATEWAY_MAC, own, MacAddr([2, 9, 9, 9, 9, 9])];
    prop_oneof![12 => Just(honest), 1 => select(others)]
}

/// How long a packet is made. A limit is hit exactly, missed by one, or passed by one.
#[derive(Clone, Copy, Debug)]
enum Length {
    Payload(usize),
    AroundPathMtu(usize),
    AroundLargest(usize),
}

impl Length {
    /// Bytes of payload behind `headers` bytes. The largest IPv4 packet has 65,535 bytes.
    fn payload(self, node: &Node, headers: usize) -> usize {
        match self {
            Self::Payload(payload) => payload,
            Self::AroundPathMtu(off) => usize::from(node.path_mtu) + off - 1 - headers,
            Self::AroundLargest(off) => (node.max_l3_len as usize + off - 1).min(65_535) - headers,
        }
    }
}

/// A packet from one of the first ports: mostly honest, or hardly any would pass the first checks.
fn packets(node: Node) -> impl Strategy<Value = (Node, Sent)> {
    (1_u8..13, any::<bool>()).prop_flat_map(move |(number, v4)| {
        let node = node.clone();
        let me = Pod::number(number);
        let own = if v4 { me.v4.map(IpAddr::V4) } else { me.v6.map(IpAddr::V6) };
        let own = own.expect("a numbered pod has both");
        let outside =
            if v4 { Ipv4Addr::new(192, 0, 2, 7).into() } else { Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into() };
        let link_local = if v4 { own } else { me.link_local().into() };
        let source = prop_oneof![
            8 => Just(own), 2 => Just(outside), 1 => Just(link_local), 2 => select(addresses(v4))
        ];
        let contents = [
            Content::Udp,
            Content::Tcp,
            Content::TcpPartial,
            Content::EchoRequest,
            Content::EchoReply,
            Content::Unreachable,
            Content::Unknown,
        ];
        let ttl = prop_oneof![4 => Just(64_u8), 1 => 0_u8..4, 1 => any::<u8>()];
        let length = prop_oneof![
            6 => (0_usize..200).prop_map(Length::Payload),
            1 => (55_000_usize..65_480).prop_map(Length::Payload),
            3 => (0_usize..3).prop_map(Length::AroundPathMtu),
            3 => (0_usize..3).prop_map(Length::AroundLargest),
        ];
        (
            (macs(me.mac, me.mac), macs(me.mac, GATEWAY_MAC)),
            (source, destinations(&node, v4)),
            ttl,
            any::<bool>(),
            select(contents.to_vec()),
            length,
        )
            .prop_map(
                move |((source_mac, destination_mac), (source, destination), ttl, dont_fragment, content, length)| {
                    let port = PortId(u16::from(number));
                    let sent = Sent {
                        port,
                        source_mac,
                        destination_mac,
                        source,
                        destination,
                        ttl,
                        dont_fragment,
                        content,
                        payload: 0,
                    };
                    (node.clone(), Sent { payload: length.payload(&node, sent.ip_len()), ..sent })
                },
            )
    })
}

fn mac_behind(node: &Node, port: PortId) -> MacAddr {
    let pods = node.pods.iter().map(|pod| (pod.port, pod.mac));
    let host = node.host.iter().map(|host| (host.port, host.mac));
    pods.chain(host).find(|(id, _)| *id == port).expect("a port of the node").1
}

/// What must leave for a forwarded packet: the same, one hop older, from the gateway to the port.
fn forwarded(node: &Node, sent: &Sent, to: PortId) -> Outcome {
    let older =
        Sent { source_mac: GATEWAY_MAC, destination_mac: mac_behind(node, to), ttl: sent.ttl - 1, ..sent.clone() };
    let start = if sent.source.is_ipv4() { 34 } else { 54 };
    let checksum = match sent.content {
        Content::TcpPartial => Checksum::Partial { start, offset: 16 },
        _ => Checksum::Complete,
    };
    Outcome::Sent { port: to, checksum, frame: older.frame() }
}

fn check(node: &Node, sent: &Sent) {
    let mut switch = Switch::new(node);
    let expected = oracle::answer(node, sent);
    let outcome = switch.send(sent.port, &sent.frame());
    let counts = switch.counts();
    assert!(counts.is_balanced());
    match expected {
        Expected::Forwarded(to) => {
            assert_eq!(outcome, forwarded(node, sent, to));
            assert_eq!(counts.forwarded, 1);
        }
        Expected::Dropped(reason) => {
            assert_eq!(outcome, Outcome::Dropped(reason));
            assert_eq!((counts.dropped(reason), counts.icmp_errors), (1, 0));
        }
        Expected::EchoReply => {
            let back = Sent {
                source_mac: GATEWAY_MAC,
                destination_mac: mac_behind(node, sent.port),
                source: sent.destination,
                destination: sent.source,
                ttl: 64,
                content: Content::EchoReply,
                ..sent.clone()
            };
            let expected = Outcome::Sent { port: sent.port, checksum: Checksum::Complete, frame: back.frame() };
            assert_eq!(outcome, expected);
            assert_eq!(counts.echo_replies, 1);
        }
        Expected::Refused(reason) => {
            assert_eq!((counts.dropped(reason), counts.icmp_errors), (1, 1), "{outcome:?}");
            let Outcome::Sent { port, frame, .. } = outcome else { panic!("no error was sent: {outcome:?}") };
            assert_eq!(port, sent.port);
            let headers = parse::parse(&frame, frame.len()).expect("an error parses");
            let (_, receiver) = headers.addresses(&frame).expect("an error is IP");
            assert_eq!((receiver, headers.destination_mac), (sent.source, mac_behind(node, sent.port)));
            let kind = if sent.source.is_ipv4() { protocol::ICMPV4 } else { protocol::ICMPV6 };
            assert_eq!(headers.protocol, kind);
            let quote = &frame[usize::from(headers.l4_offset) + 8..];
            assert!(sent.frame()[ethernet::HEADER_LEN..].starts_with(quote));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_path_does_what_the_objects_say((node, sent) in nodes().prop_flat_map(packets)) {
        check(&node, &sent);
    }
}

/// A property is worth what its inputs reach: every answer that the oracle has must come up.
#[test]
fn the_packets_tried_reach_every_answer() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = nodes().prop_flat_map(packets);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        let (node, sent) = strategy.new_tree(&mut runner).expect("no input is rejected").current();
        seen.insert(match oracle::answer(&node, &sent) {
            Expected::Forwarded(_) => "forwarded",
            Expected::EchoReply => "echo_reply",
            Expected::Dropped(reason) | Expected::Refused(reason) => reason.name(),
        });
    }
    let all = [
        "forwarded",
        "echo_reply",
        "unknown_port",
        "spoofed_mac",
        "spoofed_address",
        "broadcast",
        "multicast",
        "not_for_gateway",
        "link_local_source",
        "martian",
        "gateway_icmp",
        "gateway_port",
        "gateway_protocol",
        "no_such_pod",
        "no_route",
        "same_port",
        "ttl_expired",
        "too_big",
        "needs_fragmenting",
        "martian_source",
    ];
    let missing: Vec<_> = all.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "never tried: {missing:?}");
}

#[test]
fn a_change_of_the_pods_holds_from_the_next_burst_on() {
    let mut node = Node::with_pods([2, 3]);
    let mut switch = Switch::new(&node);
    let [a, b] = [2, 3].map(Pod::number);
    let sent = Sent {
        port: a.port,
        source_mac: a.mac,
        destination_mac: GATEWAY_MAC,
        source: a.v4.expect("IPv4").into(),
        destination: b.v4.expect("IPv4").into(),
        ttl: 64,
        dont_fragment: true,
        content: Content::Udp,
        payload: 10,
    };
    assert_eq!(switch.send(a.port, &sent.frame()), forwarded(&node, &sent, b.port));
    node.pods.pop();
    switch.publish(&node);
    let Outcome::Sent { port, .. } = switch.send(a.port, &sent.frame()) else { panic!("no error was sent") };
    assert_eq!(port, a.port, "host unreachable");
    node.pods.clear();
    switch.publish(&node);
    let reason = sluice_path::DropReason::UnknownPort;
    assert_eq!(switch.send(a.port, &sent.frame()), Outcome::Dropped(reason));
}

#[test]
fn a_spoofing_flood_reaches_nobody_and_costs_no_errors() {
    let node = Node::with_pods([2, 3]);
    let config = PathConfig { icmp_errors: ErrorRate { per_second: 0, burst: 1 }, ..PathConfig::default() };
    let mut switch = Switch::with_config(&node, config);
    let [a, b] = [2, 3].map(Pod::number);
    for round in 0..10_000_u16 {
        let [high, low] = round.to_be_bytes();
        let (source_mac, source) = match round % 2 {
            0 => (MacAddr([2, 1, 1, 1, high, low]), a.v4.expect("IPv4")),
            _ => (a.mac, Ipv4Addr::new(172, 16, high, low)),
        };
        let (source, destination) = (source.into(), b.v4.expect("IPv4").into());
        let sent = Sent {
            port: a.port,
            source_mac,
            destination_mac: GATEWAY_MAC,
            source,
            destination,
            ttl: 1,
            dont_fragment: true,
            content: Content::Udp,
            payload: 0,
        };
        assert!(matches!(switch.send(a.port, &sent.frame()), Outcome::Dropped(_)));
    }
    let counts = switch.counts();
    let spoofed = [sluice_path::DropReason::SpoofedMac, sluice_path::DropReason::SpoofedAddress];
    assert_eq!(spoofed.map(|reason| counts.dropped(reason)), [5000, 5000]);
    assert_eq!((counts.icmp_errors, counts.icmp_errors_withheld), (0, 0));
}
