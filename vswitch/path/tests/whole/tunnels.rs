//! Between nodes: into tunnels, out of them, and what must not come through one.

use sluice_packets::tunnel::Geneve;
use sluice_packets::{Ethernet, Ip, Segment, icmp_error, tcp_option};
use sluice_path::DropReason;
use sluice_tables::{Encapsulation, tunnel_mac};
use sluice_wire::protocol::{TCP, UDP};

use crate::rig::*;

/// From the peer, inside its tunnel packet.
fn inner_in(v6: bool, from: End, to: End) -> Ip {
    ip(v6, (tunnel_mac(PEER.v4.into()), tunnel_mac(UPLINK.v4.into())), from, to)
}

fn arriving(inner: &[u8]) -> Vec<u8> {
    from_peer(|_| inner.to_vec())
}

#[test]
fn pod_to_cluster_ip_to_a_remote_pod_over_vxlan_and_its_reply() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup { services: vec![service(TCP, &[(FAR, 8080)])], ..Setup::default() });
        let sent = up(v6, A, VIP).partial().tcp(&Segment::syn(1000, 80), b"");
        assert_eq!(unwrap(bed.send(A, &sent)), inner_out(v6, A, FAR).tcp(&Segment::syn(1000, 8080), b""));
        let reply = arriving(&inner_in(v6, FAR, A).tcp(&Segment::data(8080, 1000), b"a"));
        bed.expect(UPLINK, &reply, A, &down(v6, A, VIP, A).tcp(&Segment::data(80, 1000), b"a"));
        assert_eq!((bed.counts.encapsulated, bed.counts.decapsulated, bed.counts.connection_hits), (1, 1, 1));
    }
}

#[test]
fn a_remote_pod_opens_a_connection_to_a_pod_here_and_is_answered_through_the_tunnel() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup::default());
        let request = arriving(&inner_in(v6, FAR, A).udp(5, 53, b"q"));
        bed.expect(UPLINK, &request, A, &down(v6, A, FAR, A).udp(5, 53, b"q"));
        let reply = unwrap(bed.send(A, &up(v6, A, FAR).udp(53, 5, b"a")));
        assert_eq!(reply, inner_out(v6, A, FAR).udp(53, 5, b"a"));
        assert_eq!(bed.counts.connections_new, 1);
    }
}

#[test]
fn the_host_reaches_remote_pods_and_remote_hosts_reach_pods_here() {
    let mut bed = Bed::new(Setup::default());
    let sent = up(false, HOST, FAR).udp(1, 2, b"x");
    assert_eq!(unwrap(bed.send(HOST, &sent)), inner_out(false, HOST, FAR).udp(1, 2, b"x"));
    let reply = arriving(&inner_in(false, FAR, HOST).udp(2, 1, b"y"));
    bed.expect(UPLINK, &reply, HOST, &down(false, HOST, FAR, HOST).udp(2, 1, b"y"));
    let probe = arriving(&inner_in(false, PEER, A).udp(1, 2, b"z"));
    bed.expect(UPLINK, &probe, A, &down(false, A, PEER, A).udp(1, 2, b"z"));
}

#[test]
fn whom_the_host_forwards_for_reaches_a_remote_pod_under_the_nodes_address() {
    let mut bed = Bed::new(Setup::default());
    let sent = ip(false, (HOST.mac, sluice_tables::GATEWAY_MAC), OUTSIDE, FAR).udp(1, 2, b"x");
    let inner = unwrap(bed.send(HOST, &sent));
    let port = sluice_wire::parse::parse(&inner, inner.len()).expect("a packet").source_port;
    assert_eq!(inner, inner_out(false, UPLINK, FAR).udp(port, 2, b"x"));
}

#[test]
fn geneve_carries_the_same() {
    let mut bed = Bed::new(Setup { encapsulation: Encapsulation::Geneve, ..Setup::default() });
    let got = bed.send(A, &up(false, A, FAR).udp(1, 2, b"x"));
    assert_eq!(got.port(), UPLINK.port);
    let frame = got.frame();
    let inner = inner_out(false, A, FAR).udp(1, 2, b"x");
    assert_eq!(frame[42..50], Geneve::ethernet(VNI).bytes()[..]);
    assert_eq!(frame[50..], inner[..]);
    let outer = Ip::v4(Ethernet::new(PEER.mac, UPLINK.mac), PEER.v4, UPLINK.v4);
    let reply = outer.geneve(50_000, TUNNEL_PORT, &Geneve::ethernet(VNI), &inner_in(false, FAR, A).udp(2, 1, b"y"));
    bed.expect(UPLINK, &reply, A, &down(false, A, FAR, A).udp(2, 1, b"y"));
}

#[test]
fn without_encapsulation_pods_of_the_peer_are_reached_by_its_address_as_next_hop() {
    let mut bed = Bed::new(Setup { encapsulation: Encapsulation::None, ..Setup::default() });
    let expected = ip(false, (UPLINK.mac, PEER.mac), A, FAR).ttl(63).udp(1, 2, b"x");
    bed.expect(A, &up(false, A, FAR).udp(1, 2, b"x"), UPLINK, &expected);
    let reply = ip(false, (PEER.mac, UPLINK.mac), FAR, A);
    bed.expect(UPLINK, &reply.udp(2, 1, b"y"), A, &down(false, A, FAR, A).udp(2, 1, b"y"));
    bed.expect(UPLINK, &reply.udp(7, 9, b"z"), A, &down(false, A, FAR, A).udp(7, 9, b"z"));
    let back = ip(false, (UPLINK.mac, PEER.mac), A, FAR).ttl(63).udp(9, 7, b"z");
    bed.expect(A, &up(false, A, FAR).udp(9, 7, b"z"), UPLINK, &back);
}

#[test]
fn what_no_peer_may_send_through_a_tunnel_is_dropped_and_named() {
    let inner = inner_in(false, FAR, A).udp(1, 2, b"x");
    let wrap = |from: End, vni: u32, inner: &[u8]| {
        Ip::v4(Ethernet::new(ROUTER.mac, UPLINK.mac), from.v4, UPLINK.v4).vxlan(50_000, TUNNEL_PORT, vni, inner)
    };
    let link = Ethernet::new(PEER.mac, tunnel_mac(UPLINK.v4.into()));
    let arp = sluice_packets::arp::message(link, 1, (PEER.mac, FAR.v4), (PEER.mac, A.v4));
    let other_mac = ip(false, (PEER.mac, PEER.mac), FAR, A).udp(1, 2, b"x");
    let of = |from: End| inner_in(false, from, A).udp(1, 2, b"x");
    let mut bed = Bed::new(Setup::default());
    for (frame, reason) in [
        (wrap(OUTSIDE, VNI, &inner), DropReason::TunnelPeer),
        (wrap(PEER, VNI + 1, &inner), DropReason::TunnelVni),
        (wrap(PEER, VNI, &inner[..20]), DropReason::TunnelMalformed),
        (wrap(PEER, VNI, &arp), DropReason::TunnelMalformed),
        (wrap(PEER, VNI, &other_mac), DropReason::TunnelMac),
        (wrap(PEER, VNI, &of(B)), DropReason::TunnelSpoofed),
        (wrap(PEER, VNI, &of(UPLINK)), DropReason::TunnelSpoofed),
        (wrap(PEER, VNI, &of(OUTSIDE)), DropReason::TunnelSpoofed),
    ] {
        bed.expect_drop(UPLINK, &frame, reason);
    }
    assert_eq!(bed.counts.connections_new, 0);
}

#[test]
fn nothing_goes_from_a_tunnel_to_a_third_place() {
    let mut bed = Bed::new(Setup { services: vec![service(UDP, &[(B, 1)])], ..Setup::default() });
    for to in [OUTSIDE, FAR, VIP] {
        let frame = arriving(&inner_in(false, FAR, to).udp(1, 80, b"x"));
        // The sender is told, through the tunnel.
        let news = unwrap_news(bed.send(UPLINK, &frame));
        assert_eq!(news.0, UPLINK.v4, "the node speaks for itself");
    }
    assert_eq!(bed.counts.dropped(DropReason::NoRoute), 3);
}

fn unwrap_news(got: Got) -> (std::net::Ipv4Addr, u8) {
    let inner = unwrap(got);
    let header = sluice_wire::ipv4::Packet::new_checked(&inner[14..]).expect("IPv4");
    assert!(header.checksum_ok());
    (header.source(), header.payload()[0])
}

#[test]
fn a_pod_may_not_speak_to_a_nodes_end_of_the_tunnels() {
    let mut bed = Bed::new(Setup::default());
    for to in [UPLINK, PEER] {
        bed.expect_drop(A, &up(false, A, to).udp(1, TUNNEL_PORT, b"x"), DropReason::TunnelFromPod);
    }
    assert_eq!(bed.send(A, &up(false, A, OUTSIDE).udp(1, TUNNEL_PORT, b"x")).port(), UPLINK.port);
    assert_eq!(bed.counts.connections_new, 1);
}

#[test]
fn nobody_speaks_to_a_nodes_end_of_the_tunnels_by_way_of_a_service() {
    for end in [PEER, UPLINK, HOST] {
        let setup = Setup { services: vec![service(UDP, &[(end, TUNNEL_PORT)])], ..Setup::default() };
        let mut bed = Bed::new(setup);
        let forwarded = ip(false, (HOST.mac, sluice_tables::GATEWAY_MAC), OUTSIDE, VIP);
        for (from, frame) in [
            (A, up(false, A, VIP).udp(1, 80, b"x")),
            (A, up(true, A, VIP).udp(1, 80, b"x")),
            (UPLINK, incoming(false, OUTSIDE, UPLINK).udp(1, NODE_PORT, b"x")),
            (UPLINK, incoming(false, OUTSIDE, BALANCER).udp(1, 80, b"x")),
            (HOST, forwarded.udp(1, 80, b"x")),
        ] {
            bed.expect_drop(from, &frame, DropReason::TunnelFromPod);
        }
        assert_eq!(bed.counts.connections_new, 0);
    }
}

#[test]
fn a_peers_own_address_among_its_pods_is_its_end_of_the_tunnels_too() {
    let gateway = End { v4: [10, 1, 1, 1].into(), ..FAR };
    let mut bed = Bed::new(Setup { identities: vec![(FAR, 1)], ..Setup::default() });
    bed.expect_drop(A, &up(false, A, gateway).udp(1, TUNNEL_PORT, b"x"), DropReason::TunnelFromPod);
    unwrap(bed.send(A, &up(false, A, gateway).udp(1, 53, b"x")));
    unwrap(bed.send(A, &up(false, A, FAR).udp(1, TUNNEL_PORT, b"x")));
}

#[test]
fn a_connection_to_what_becomes_a_nodes_tunnel_port_is_cut() {
    let mut bed = Bed::new(Setup { identities: vec![(FAR, 1)], ..Setup::default() });
    let frame = up(false, A, FAR).udp(1, TUNNEL_PORT, b"x");
    unwrap(bed.send(A, &frame));
    bed.change(|setup| setup.identities.clear());
    bed.expect_drop(A, &frame, DropReason::TunnelFromPod);
    assert_eq!(bed.counts.connections_gone, 1);
}

#[test]
fn the_outside_may_not_speak_as_the_node_or_a_pod() {
    let mut bed = Bed::new(Setup::default());
    for from in [A, UPLINK, HOST, FAR] {
        let frame = incoming(false, from, B).udp(1, 2, b"x");
        bed.expect_drop(UPLINK, &frame, DropReason::SpoofedAddress);
    }
}

#[test]
fn a_missing_neighbour_is_asked_for_and_the_packet_dropped() {
    let mut bed = Bed::new(Setup { neighbours: false, ..Setup::default() });
    bed.expect_drop(A, &up(false, A, FAR).udp(1, 2, b"x"), DropReason::NeighbourMissing);
    bed.expect_drop(A, &up(false, A, FAR).udp(3, 4, b"x"), DropReason::NeighbourMissing);
    bed.expect_drop(A, &up(true, A, OUTSIDE).udp(1, 2, b"x"), DropReason::NeighbourMissing);
    let wanted: Vec<std::net::IpAddr> = bed.path.wanted().collect();
    assert_eq!(wanted, [std::net::IpAddr::from(PEER.v4), ROUTER.v6.into()]);
    assert_eq!(bed.path.wanted().count(), 0);
    bed.change(|setup| setup.neighbours = true);
    assert_eq!(bed.send(A, &up(false, A, FAR).udp(1, 2, b"x")).port(), UPLINK.port);
}

#[test]
fn super_frames_are_cut_to_what_fits_the_tunnel_and_to_the_segment_size_that_was_agreed_on() {
    let mut bed = Bed::new(Setup::default());
    let syn = Segment { options: tcp_option::mss(1400), ..Segment::syn(1, 2) };
    bed.send(A, &up(false, A, FAR).tcp(&syn, b""));
    let answer = Segment { flags: 0x12, options: tcp_option::mss(1200), ..Segment::syn(2, 1) };
    bed.send(UPLINK, &arriving(&inner_in(false, FAR, A).tcp(&answer, b"")));
    let big = up(false, A, FAR).partial().tcp(&Segment::data(1, 2), &[7; 8000]);
    let Got::Out { cut: Some(cut), .. } = bed.send(A, &big) else { panic!("not cut") };
    assert_eq!((cut.mtu, cut.mss, cut.inner), (INNER_MTU, 1200, 50));
    let small = up(false, A, FAR).partial().tcp(&Segment::data(1, 2), &[7; 1300]);
    let Got::Out { cut: Some(cut), .. } = bed.send(A, &small) else { panic!("fits the path, not the segment size") };
    assert_eq!(cut.mss, 1200);
    let fits = up(false, A, FAR).partial().tcp(&Segment::data(1, 2), &[7; 1200]);
    assert!(matches!(bed.send(A, &fits), Got::Out { cut: None, .. }));
}

#[test]
fn what_is_too_long_for_the_tunnel_is_cut_into_fragments_where_its_sender_leaves_that_to_routers() {
    let mut bed = Bed::new(Setup { services: vec![service(UDP, &[(FAR, 8080)])], ..Setup::default() });
    let datagram =
        |allowed: bool| incoming(false, OUTSIDE, UPLINK).dont_fragment(!allowed).udp(1, NODE_PORT, &[7; 1472]);
    let Got::Out { port, cut: Some(cut), .. } = bed.send(UPLINK, &datagram(true)) else { panic!("not cut") };
    assert_eq!((port, cut.mtu, cut.mss, cut.inner), (UPLINK.port, INNER_MTU, 0, 50));
    bed.expect_refusal(UPLINK, &datagram(false), DropReason::TooBig);
    // Its own fragments are cut again, the first and the later ones.
    let whole = incoming(false, OUTSIDE, UPLINK).dont_fragment(false).udp(1, NODE_PORT, &[7; 4000]);
    for piece in sluice_packets::fragment::split(&whole, 1500, 9) {
        match bed.send(UPLINK, &piece) {
            Got::Out { cut, .. } => assert_eq!(cut.is_some(), piece.len() > usize::from(INNER_MTU) + 14),
            other => panic!("{other:?}"),
        }
    }
}

/// The segment size at which super-frames from A to FAR are cut now.
fn cut_at(bed: &mut Bed, v6: bool) -> u16 {
    cut_of(bed, v6, 1)
}

/// The same of the connection from this port.
fn cut_of(bed: &mut Bed, v6: bool, port: u16) -> u16 {
    let big = up(v6, A, FAR).partial().tcp(&Segment::data(port, 2), &[7; 8000]);
    let Got::Out { cut: Some(cut), .. } = bed.send(A, &big) else { panic!("not cut") };
    cut.mss
}

#[test]
fn super_frames_are_cut_to_what_a_router_behind_the_tunnel_says() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup::default());
        assert_eq!(cut_at(&mut bed, v6), 0);
        let segment = ip(v6, (A.mac, B.mac), A, FAR).ttl(63).tcp(&Segment::data(1, 2), &[7; 1300]);
        let headers = if v6 { 60 } else { 40 };
        // Less than any link has is not believed, more than is known changes nothing.
        let least = if v6 { 1280 } else { 552 };
        for (mtu, mss) in [(1300, 1300 - headers), (1400, 1300 - headers), (68, least - headers)] {
            let quoted = icmp_error::quote(&segment, 500);
            let news = inner_in(v6, FAR, A).icmp_error(icmp_error::IcmpError::TooBig { mtu }, quoted);
            assert_eq!(bed.send(UPLINK, &arriving(&news)).port(), A.port);
            assert_eq!(cut_at(&mut bed, v6), mss, "{mtu}");
        }
    }
}

#[test]
fn super_frames_are_cut_to_what_a_router_of_the_underlay_leaves_inside() {
    let mut bed = Bed::new(Setup::default());
    let frame = bed.send(A, &up(false, A, FAR).tcp(&Segment::data(1, 2), &[7; 1300])).frame();
    let quoted = icmp_error::quote(&frame, 500);
    let news = incoming(false, ROUTER, UPLINK).icmp_error(icmp_error::IcmpError::TooBig { mtu: 1400 }, quoted);
    assert_eq!(bed.send(UPLINK, &news).port(), A.port);
    assert_eq!(cut_at(&mut bed, false), 1400 - 50 - 40);
    assert_eq!(cut_of(&mut bed, false, 3), 1400 - 50 - 40, "a new connection knows it from the start");
}

#[test]
fn a_new_connection_to_where_a_router_told_of_a_narrow_link_has_short_segments_from_its_first_super_frame_on() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup::default());
        assert_eq!(cut_of(&mut bed, v6, 1), 0);
        let segment = ip(v6, (A.mac, B.mac), A, FAR).ttl(63).tcp(&Segment::data(1, 2), &[7; 1300]);
        let quoted = icmp_error::quote(&segment, 500);
        let news = inner_in(v6, FAR, A).icmp_error(icmp_error::IcmpError::TooBig { mtu: 1300 }, quoted);
        assert_eq!(bed.send(UPLINK, &arriving(&news)).port(), A.port);
        let headers = if v6 { 60 } else { 40 };
        assert_eq!(cut_of(&mut bed, v6, 3), 1300 - headers);
        // What was agreed on in the connection itself counts where it is less.
        let syn = Segment { options: tcp_option::mss(1000), ..Segment::syn(5, 2) };
        bed.send(A, &up(v6, A, FAR).tcp(&syn, b""));
        assert_eq!(cut_of(&mut bed, v6, 5), 1000);
        bed.pass(11 * 60);
        assert_eq!(cut_of(&mut bed, v6, 7), 0, "it is not believed for ever");
    }
}

#[test]
fn tunnels_over_ipv6_carry_both_families_under_a_right_checksum() {
    for v6 in [false, true] {
        for partial in [false, true] {
            let mut bed = Bed::new(Setup { tunnel_v6: true, ..Setup::default() });
            let sent = up(v6, A, FAR);
            let sent = if partial { sent.partial() } else { sent };
            let frame = bed.send(A, &sent.udp(1, 2, b"data")).frame();
            let headers = sluice_wire::parse::parse(&frame, frame.len()).expect("an outer packet");
            let addresses = headers.addresses(&frame).expect("IP");
            assert_eq!(addresses, (UPLINK.v6.into(), PEER.v6.into()));
            let outer = sluice_wire::udp::Packet::new_checked(&frame[54..]).expect("UDP");
            assert!(outer.checksum_ok(headers.pseudo_header(&frame).expect("a pseudo header")), "{partial}");
            let inner = ip(v6, (tunnel_mac(UPLINK.v6.into()), tunnel_mac(PEER.v6.into())), A, FAR).ttl(63);
            assert_eq!(frame[70..], inner.udp(1, 2, b"data")[..]);
        }
    }
}

#[test]
fn two_workers_carry_the_two_directions_of_one_connection() {
    let mut bed = Bed::new(Setup { services: vec![service(UDP, &[(FAR, 8080)])], ..Setup::default() });
    let sent = up(false, A, VIP).udp(1000, 80, b"q");
    assert_eq!(unwrap(bed.send(A, &sent)), inner_out(false, A, FAR).udp(1000, 8080, b"q"));
    let config = sluice_path::PathConfig { worker: sluice_tables::WorkerId(1), ..Default::default() };
    bed.compare_no_longer();
    bed.path = sluice_path::Path::new(config, std::sync::Arc::clone(bed.path.shared()));
    let reply = arriving(&inner_in(false, FAR, A).udp(8080, 1000, b"a"));
    bed.expect(UPLINK, &reply, A, &down(false, A, VIP, A).udp(80, 1000, b"a"));
    assert_eq!((bed.counts.connections_new, bed.counts.connection_hits), (1, 1));
}
