//! Packet by packet: what is taken, and as what.

use sluice_ebpf::XdpMode;
use sluice_netns::wait_for;
use sluice_packets::icmp_error::{LEAST_QUOTE, quote};
use sluice_packets::{Ethernet, IcmpError, Ip, Segment, fragment};
use sluice_tables::Claims;
use sluice_wire::MacAddr;

use crate::wire::{
    MASQUERADE_PORT, NODE, NODE_MAC, NODE_PORT, NODE6, OUTSIDE, OUTSIDE_MAC, OUTSIDE6, Switch, TUNNEL_PORT, VIP, VIP6,
    Wire, claims, ethernet, v4, v6,
};

/// Nobody claims it.
const OTHER_PORT: u16 = 22;
/// Below the masquerade range.
const LOCAL_PORT: u16 = 60_999;

/// What the program does with a frame: the name of the counter of what it was taken as, or `passed`.
fn judged(wire: &Wire, switch: &mut Switch, frame: &[u8]) -> &'static str {
    judged_in(wire, switch, frame, 3500)
}

fn judged_in(wire: &Wire, switch: &mut Switch, frame: &[u8], piece: usize) -> &'static str {
    let mark = v4(VIP).udp(1, 1, b"the frame before this one has been judged");
    let before = switch.counters();
    wire.send_in(frame, piece);
    wire.send(&mark);
    let mut received = Vec::new();
    wait_for("the mark", || {
        received.extend(switch.received());
        (received.last() == Some(&mark)).then_some(())
    })
    .unwrap();
    received.pop();
    let rose: Vec<&'static str> = before
        .list()
        .iter()
        .zip(switch.counters().list())
        // The mark is one of them.
        .filter(|((name, before), (_, after))| after - before > u64::from(*name == "taken_address"))
        .map(|((name, _), _)| *name)
        .filter(|name| name.starts_with("taken"))
        .collect();
    match (&received[..], &rose[..]) {
        ([], []) => "passed",
        ([one], [name]) if one == frame => name,
        _ => panic!("received {} frames, counted as {rose:?}", received.len()),
    }
}

fn tcp(ip: &Ip, source: u16, destination: u16) -> Vec<u8> {
    ip.tcp(&Segment::syn(source, destination), b"")
}

/// To the node, in both families.
fn to_node() -> [Ip; 2] {
    [v4(NODE), v6(NODE6)]
}

/// From the node, as an error about it quotes it.
fn from_node() -> [Ip; 2] {
    [Ip::v4(ethernet(), NODE, OUTSIDE), Ip::v6(ethernet(), NODE6, OUTSIDE6)]
}

fn each(frames: Vec<(&'static str, Vec<u8>, &'static str)>) {
    for mode in [XdpMode::Generic, XdpMode::Native] {
        let wire = Wire::new();
        let mut switch = wire.switch(mode);
        switch.program.claim(&claims()).unwrap();
        for (what, frame, expected) in &frames {
            assert_eq!(judged(&wire, &mut switch, frame), *expected, "{mode:?}: {what}");
        }
        switch.program.claim(&Claims::default()).unwrap();
    }
}

#[test]
fn tunnel_packets_to_this_node_are_taken() {
    let other = Ip::v4(ethernet(), OUTSIDE, std::net::Ipv4Addr::new(192, 0, 2, 3));
    each(vec![
        ("to the tunnel", v4(NODE).udp(50_000, TUNNEL_PORT, &[8; 60]), "taken_tunnel"),
        ("with IP options", v4(NODE).options(&[1, 1, 1, 1]).udp(50_000, TUNNEL_PORT, &[8; 60]), "taken_tunnel"),
        ("to another port", v4(NODE).udp(50_000, TUNNEL_PORT + 1, &[8; 60]), "passed"),
        ("by TCP", tcp(&v4(NODE), 50_000, TUNNEL_PORT), "passed"),
        ("from the tunnel's port", v4(NODE).udp(TUNNEL_PORT, 50_000, &[8; 60]), "passed"),
        ("to another node", other.udp(50_000, TUNNEL_PORT, &[8; 60]), "passed"),
        ("to an address without a tunnel", v6(NODE6).udp(50_000, TUNNEL_PORT, &[8; 60]), "passed"),
    ]);
}

#[test]
fn everything_to_a_claimed_prefix_is_taken() {
    let beside = Ip::v4(ethernet(), OUTSIDE, std::net::Ipv4Addr::new(10, 97, 0, 10));
    let mut frames = vec![
        ("ping", v4(VIP).echo_request(1, 1, b"x"), "taken_address"),
        ("UDP", v4(VIP).udp(1, 2, b"x"), "taken_address"),
        ("another protocol", v4(VIP).packet(47, b"gre?"), "taken_address"),
        ("IPv6", tcp(&v6(VIP6), 1, 80), "taken_address"),
        ("IPv6 with an extension header", v6(VIP6).extension(60, &[0; 6]).udp(1, 2, b"x"), "taken_address"),
        ("a prefix beside", beside.udp(1, 2, b"x"), "passed"),
    ];
    let pieces = fragment::split(&v4(VIP).dont_fragment(false).udp(1, 2, &[0; 3000]), 1500, 9);
    frames.extend(pieces.into_iter().map(|piece| ("a fragment", piece, "taken_address")));
    each(frames);
}

#[test]
fn node_ports_are_taken_by_protocol_and_port() {
    let mut frames = Vec::new();
    for ip in to_node() {
        frames.push(("TCP", tcp(&ip, 40_000, NODE_PORT), "taken_node_port"));
        frames.push(("UDP", ip.udp(40_000, NODE_PORT, b"x"), "taken_node_port"));
        frames.push(("SCTP", ip.sctp(40_000, NODE_PORT, 1, b"x"), "taken_node_port"));
        frames.push(("another protocol", ip.packet(47, &[0x9c, 0x40, 0x75, 0x80, 0, 0, 0, 0]), "passed"));
        frames.push(("another port", tcp(&ip, 40_000, OTHER_PORT), "passed"));
        frames.push(("as source", tcp(&ip, NODE_PORT, 40_000), "passed"));
        frames.push(("ping", ip.echo_request(NODE_PORT, 1, b"x"), "passed"));
    }
    let extended = v6(NODE6).extension(0, &[0; 6]).extension(60, &[0; 14]);
    frames.push(("behind extension headers", tcp(&extended, 40_000, NODE_PORT), "taken_node_port"));
    each(frames);
}

#[test]
fn answers_to_masqueraded_packets_are_taken() {
    let mut frames = Vec::new();
    for ip in to_node() {
        for (port, verdict) in [
            (MASQUERADE_PORT, "taken_masquerade"),
            (61_000, "taken_masquerade"),
            (65_535, "taken_masquerade"),
            (LOCAL_PORT, "passed"),
        ] {
            frames.push(("TCP", tcp(&ip, 443, port), verdict));
            frames.push(("UDP", ip.udp(53, port, b"x"), verdict));
            frames.push(("SCTP", ip.sctp(5, port, 1, b"x"), verdict));
            frames.push(("echo reply", ip.echo_reply(port, 1, b"x"), verdict));
        }
        frames.push(("echo request", ip.echo_request(MASQUERADE_PORT, 1, b"x"), "passed"));
    }
    each(frames);
}

#[test]
fn errors_are_taken_by_the_packet_they_quote() {
    let mut frames = Vec::new();
    for (to, from) in to_node().into_iter().zip(from_node()) {
        let about = |packet: &[u8], kind| to.icmp_error(kind, quote(packet, 28 + if to.is_v6() { 20 } else { 0 }));
        for kind in [
            IcmpError::PortUnreachable,
            IcmpError::HostUnreachable,
            IcmpError::TooBig { mtu: 1400 },
            IcmpError::TimeExceeded,
        ] {
            frames.push(("masqueraded TCP", about(&tcp(&from, MASQUERADE_PORT, 443), kind), "taken_related"));
            frames.push(("masqueraded UDP", about(&from.udp(MASQUERADE_PORT, 53, b"x"), kind), "taken_related"));
            frames.push(("masqueraded SCTP", about(&from.sctp(MASQUERADE_PORT, 5, 1, b"x"), kind), "taken_related"));
            frames.push((
                "masqueraded ping",
                about(&from.echo_request(MASQUERADE_PORT, 1, b"x"), kind),
                "taken_related",
            ));
            frames.push(("an answer of a NodePort", about(&tcp(&from, NODE_PORT, 40_000), kind), "taken_related"));
            frames.push(("the node's own TCP", about(&tcp(&from, LOCAL_PORT, 443), kind), "passed"));
            frames.push(("the node's own ping", about(&from.echo_request(77, 1, b"x"), kind), "passed"));
            frames.push(("an answer to a ping", about(&from.echo_reply(MASQUERADE_PORT, 1, b"x"), kind), "passed"));
        }
    }
    let (to, from) = (v4(NODE), Ip::v4(ethernet(), NODE, OUTSIDE));
    let tunnelled = from.udp(50_000, TUNNEL_PORT, &[8; 60]);
    let least = |packet: &[u8]| to.icmp_error(IcmpError::TooBig { mtu: 1400 }, quote(packet, 20 + LEAST_QUOTE));
    frames.push(("a tunnel packet", least(&tunnelled), "taken_related"));
    frames.push((
        "with options inside",
        to.icmp_error(IcmpError::TimeExceeded, quote(&from.options(&[1; 4]).udp(MASQUERADE_PORT, 53, b"x"), 32)),
        "taken_related",
    ));
    let mut later = tunnelled.clone();
    later[21] = 9;
    frames.push(("a later fragment", least(&later), "passed"));
    frames.push(("a quote cut short", to.icmp_error(IcmpError::TimeExceeded, &tunnelled[14..34]), "passed"));
    frames.push(("nothing quoted", to.icmp_error(IcmpError::TimeExceeded, &[]), "passed"));
    frames.push(("a redirect", to.icmp(5, 1, 0, quote(&tunnelled, 28)), "passed"));
    let extended = Ip::v6(ethernet(), NODE6, OUTSIDE6).extension(60, &[0; 6]).udp(MASQUERADE_PORT, 53, b"x");
    frames.push((
        "an extension header inside",
        v6(NODE6).icmp_error(IcmpError::TooBig { mtu: 1400 }, quote(&extended, 80)),
        "taken_related",
    ));
    each(frames);
}

#[test]
fn all_parts_of_a_datagram_go_the_same_way() {
    let frames = |expected| {
        let datagrams = to_node().map(|ip| ip.dont_fragment(false).udp(40_000, OTHER_PORT, &[7; 4000]));
        let pieces = datagrams.into_iter().flat_map(|datagram| fragment::split(&datagram, 1500, 5));
        pieces.map(move |piece| ("a fragment", piece, expected)).collect::<Vec<_>>()
    };
    each(frames("taken_fragment"));
    // Without a port that a fragment may be for, the node keeps all of its own.
    let wire = Wire::new();
    let mut switch = wire.switch(XdpMode::Generic);
    switch.program.claim(&Claims { fragments: false, ..claims() }).unwrap();
    for (what, piece, expected) in frames("passed") {
        assert_eq!(judged(&wire, &mut switch, &piece), expected, "{what}");
    }
}

#[test]
fn tagged_foreign_and_malformed_frames_pass() {
    let from = |link: Ethernet| Ip::v4(link, OUTSIDE, VIP).udp(1, 2, b"x");
    let good = from(ethernet());
    let changed = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        frame
    };
    let extended = (0..7).fold(v6(NODE6), |ip, _| ip.extension(60, &[0; 6]));
    let good6 = v6(VIP6).udp(1, 2, b"x");
    each(vec![
        ("as it should be", good.clone(), "taken_address"),
        ("tagged", from(ethernet().vlan(5)), "passed"),
        ("to another MAC", from(Ethernet::new(OUTSIDE_MAC, MacAddr([2, 0, 0, 0, 0, 9]))), "passed"),
        ("broadcast", from(Ethernet::new(OUTSIDE_MAC, MacAddr([0xff; 6]))), "passed"),
        ("multicast", from(Ethernet::new(OUTSIDE_MAC, MacAddr([1, 0, 0x5e, 0, 0, 1]))), "passed"),
        ("another ethertype", Ethernet::new(OUTSIDE_MAC, NODE_MAC).frame(0x88cc, &good[14..]), "passed"),
        ("IP version 5", changed(14, 0x55), "passed"),
        ("a header of 16 bytes", changed(14, 0x44), "passed"),
        ("a length below its header", changed(17, 19), "passed"),
        ("a length beyond the frame", changed(16, 9), "passed"),
        ("an IPv4 header cut short", good[..33].to_vec(), "passed"),
        ("an IPv6 header cut short", good6[..53].to_vec(), "passed"),
        ("more extension headers than are walked", tcp(&extended, 40_000, NODE_PORT), "passed"),
        ("a port cut short", v4(NODE).packet(17, &[1, 2, 3]), "passed"),
        ("an ICMP header cut short", v4(NODE).packet(1, &[0, 0, 0]), "passed"),
    ]);
}

#[test]
fn a_packet_of_several_buffers_is_taken_whole() {
    let wire = Wire::new();
    let mut switch = wire.switch(XdpMode::Generic);
    assert!(switch.ends.port.features().multi_buffer, "this kernel has it");
    switch.program.claim(&claims()).unwrap();
    let long = v4(VIP).tcp(&Segment::data(1, 80), &[7; 1400]);
    assert_eq!(judged_in(&wire, &mut switch, &long, 400), "taken_address");
}
