//! To the outside and from it: masquerading, and what is the host's after all.

use sluice_packets::{Segment, arp};
use sluice_path::DropReason;
use sluice_wire::protocol::UDP;

use crate::rig::*;

fn ports(frame: &[u8]) -> (u16, u16) {
    let headers = sluice_wire::parse::parse(frame, frame.len()).expect("a packet");
    (headers.source_port, headers.destination_port)
}

#[test]
fn a_pod_reaches_the_outside_under_the_nodes_address_and_a_reserved_port_and_is_answered() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup::default());
        let got = bed.send(A, &up(v6, A, OUTSIDE).udp(1000, 53, b"q"));
        assert_eq!(got.port(), UPLINK.port);
        let frame = got.frame();
        let (port, _) = ports(&frame);
        assert!((61_000..=65_535).contains(&port));
        assert_eq!(frame, outgoing(v6, UPLINK, OUTSIDE).udp(port, 53, b"q"));
        let reply = incoming(v6, OUTSIDE, UPLINK).udp(53, port, b"a");
        bed.expect(UPLINK, &reply, A, &down(v6, A, OUTSIDE, A).udp(53, 1000, b"a"));
        // The next packet goes under the same port.
        let again = up(v6, A, OUTSIDE).udp(1000, 53, b"q");
        bed.expect(A, &again, UPLINK, &outgoing(v6, UPLINK, OUTSIDE).udp(port, 53, b"q"));
    }
}

#[test]
fn what_the_kernel_routes_by_another_device_goes_to_the_host_as_it_is_and_is_answered_from_there() {
    for v6 in [false, true] {
        let elsewhere = vec!["203.0.113.0/24", "2001:db8:ffff::/48"];
        let services = vec![service(UDP, &[(OUTSIDE, 8080)])];
        let mut bed = Bed::new(Setup { elsewhere, services, ..Setup::default() });
        bed.expect(A, &up(v6, A, OUTSIDE).udp(1000, 53, b"q"), HOST, &down(v6, HOST, A, OUTSIDE).udp(1000, 53, b"q"));
        let answer = ip(v6, (HOST.mac, sluice_tables::GATEWAY_MAC), OUTSIDE, A).udp(53, 1000, b"a");
        bed.expect(HOST, &answer, A, &down(v6, A, OUTSIDE, A).udp(53, 1000, b"a"));
        // A Service that has its endpoint there.
        bed.expect(A, &up(v6, A, VIP).udp(2000, 80, b"q"), HOST, &down(v6, HOST, A, OUTSIDE).udp(2000, 8080, b"q"));
        // Where the client would be hidden, the answer would not come back.
        bed.expect_refusal(A, &up(v6, A, BALANCER).udp(2000, 80, b"q"), DropReason::NoRoute);
    }
}

#[test]
fn ping_to_the_outside_is_masqueraded_by_its_identifier() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup::default());
        let frame = bed.send(A, &up(v6, A, OUTSIDE).echo_request(7, 1, b"data")).frame();
        let headers = sluice_wire::parse::parse(&frame, frame.len()).expect("a packet");
        let at = usize::from(headers.l4_offset) + 4;
        let identifier = u16::from_be_bytes([frame[at], frame[at + 1]]);
        assert_eq!(frame, outgoing(v6, UPLINK, OUTSIDE).echo_request(identifier, 1, b"data"));
        let reply = incoming(v6, OUTSIDE, UPLINK).echo_reply(identifier, 1, b"data");
        bed.expect(UPLINK, &reply, A, &down(v6, A, OUTSIDE, A).echo_reply(7, 1, b"data"));
    }
}

/// An address may be shared: the API server's, a peer's, a router's.
#[test]
fn a_load_balancers_address_is_somebody_elses_at_the_ports_that_no_service_has() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup { services: vec![service(UDP, &[(B, 8080)])], ..Setup::default() });
        let node = ip(v6, (HOST.mac, sluice_tables::GATEWAY_MAC), UPLINK, BALANCER);
        for (from, request) in [(A, up(v6, A, BALANCER)), (HOST, up(v6, HOST, BALANCER)), (HOST, node)] {
            assert_eq!(bed.send(from, &request.udp(1000, 80, b"q")).port(), B.port, "the Service's");
            let frame = bed.send(from, &request.udp(1000, 6443, b"q")).frame();
            let (port, _) = ports(&frame);
            assert_eq!(frame, outgoing(v6, UPLINK, BALANCER).udp(port, 6443, b"q"));
            assert!((61_000..=65_535).contains(&port));
            let reply = incoming(v6, BALANCER, UPLINK).udp(6443, port, b"a");
            assert_eq!(bed.send(UPLINK, &reply).port(), from.port);
            assert_eq!(bed.send(from, &request.echo_request(7, 1, b"data")).port(), UPLINK.port);
        }
        // But not for whom the node forwards: the router would send it here again.
        let forwarded = ip(v6, (HOST.mac, sluice_tables::GATEWAY_MAC), OUTSIDE, BALANCER);
        bed.expect_refusal(HOST, &forwarded.udp(1000, 6443, b"q"), DropReason::NoRoute);
        bed.expect_refusal(HOST, &up(v6, HOST, OUTSIDE).udp(1000, 6443, b"q"), DropReason::NoRoute);
    }
}

#[test]
fn two_pods_with_one_port_are_told_apart() {
    let mut bed = Bed::new(Setup::default());
    let of = |bed: &mut Bed, pod| ports(&bed.send(pod, &up(false, pod, OUTSIDE).udp(1000, 53, b"q")).frame()).0;
    let (first, second) = (of(&mut bed, A), of(&mut bed, B));
    assert_ne!(first, second);
    for (pod, port) in [(A, first), (B, second)] {
        assert_eq!(bed.send(UPLINK, &incoming(false, OUTSIDE, UPLINK).udp(53, port, b"a")).port(), pod.port);
    }
}

#[test]
fn every_port_of_the_range_is_used_before_a_connection_is_refused() {
    let mut bed = Bed::new(Setup { masquerade_ports: (61_000, 61_003), ..Setup::default() });
    let mut given: Vec<u16> =
        (1..=4).map(|port| ports(&bed.send(A, &up(false, A, OUTSIDE).udp(port, 53, b"q")).frame()).0).collect();
    given.sort_unstable();
    assert_eq!(given, [61_000, 61_001, 61_002, 61_003]);
    bed.expect_drop(A, &up(false, A, OUTSIDE).udp(5, 53, b"q"), DropReason::MasqueradePorts);
    let elsewhere = End { v4: [203, 0, 113, 8].into(), ..OUTSIDE };
    assert_eq!(bed.send(A, &up(false, A, elsewhere).udp(5, 53, b"q")).port(), UPLINK.port, "another destination");
}

#[test]
fn a_port_whose_connection_is_over_serves_the_next_before_one_is_refused() {
    let mut bed = Bed::new(Setup { masquerade_ports: (61_000, 61_003), ..Setup::default() });
    let with = |port, flags| Segment { flags, ..Segment::data(port, 80) };
    let open = |bed: &mut Bed, port| {
        let given = ports(&bed.send(A, &up(false, A, OUTSIDE).tcp(&Segment::syn(port, 80), b"")).frame()).0;
        bed.send(
            UPLINK,
            &incoming(false, OUTSIDE, UPLINK).tcp(&Segment { flags: 0x12, ..Segment::data(80, given) }, b""),
        );
        bed.send(A, &up(false, A, OUTSIDE).tcp(&with(port, 0x10), b""));
        given
    };
    let given: Vec<u16> = (1..=4).map(|port| open(&mut bed, port)).collect();
    bed.expect_drop(A, &up(false, A, OUTSIDE).tcp(&Segment::syn(5, 80), b""), DropReason::MasqueradePorts);
    // One side's FIN is not the end; the other's is.
    bed.send(A, &up(false, A, OUTSIDE).tcp(&with(2, 0x11), b""));
    bed.expect_drop(A, &up(false, A, OUTSIDE).tcp(&Segment::syn(5, 80), b""), DropReason::MasqueradePorts);
    bed.send(
        UPLINK,
        &incoming(false, OUTSIDE, UPLINK).tcp(&Segment { flags: 0x11, ..Segment::data(80, given[1]) }, b""),
    );
    // What may be the middle of anything takes nobody's port.
    bed.expect_drop(A, &up(false, A, OUTSIDE).tcp(&with(5, 0x10), b""), DropReason::MasqueradePorts);
    assert_eq!(open(&mut bed, 5), given[1]);
    bed.send(A, &up(false, A, OUTSIDE).tcp(&with(4, 0x04), b""));
    assert_eq!(open(&mut bed, 6), given[3]);
    assert_eq!((bed.counts.connections_new, bed.counts.connections_gone), (6, 2));
    assert_eq!(bed.path.shared().connections.len(), 4);
}

#[test]
fn excluded_destinations_see_the_pod() {
    let mut bed = Bed::new(Setup { excluded: vec!["203.0.113.0/24"], ..Setup::default() });
    bed.expect(A, &up(false, A, OUTSIDE).udp(1, 2, b"x"), UPLINK, &outgoing(false, A, OUTSIDE).udp(1, 2, b"x"));
}

#[test]
fn without_an_uplink_the_outside_is_behind_the_host() {
    let mut bed = Bed::new(Setup { uplink: false, ..Setup::default() });
    bed.expect(A, &up(false, A, OUTSIDE).udp(1, 2, b"x"), HOST, &down(false, HOST, A, OUTSIDE).udp(1, 2, b"x"));
    let reply = ip(false, (HOST.mac, sluice_tables::GATEWAY_MAC), OUTSIDE, A).udp(2, 1, b"y");
    bed.expect(HOST, &reply, A, &down(false, A, OUTSIDE, A).udp(2, 1, b"y"));
}

#[test]
fn what_is_none_of_ours_goes_to_the_host_as_it_came() {
    let mut bed = Bed::new(Setup { services: vec![service(UDP, &[(B, 8080)])], ..Setup::default() });
    for v6 in [false, true] {
        for frame in [
            incoming(v6, OUTSIDE, UPLINK).tcp(&Segment::syn(1, 22), b""),
            incoming(v6, OUTSIDE, UPLINK).ttl(1).udp(1, 2, b"x"),
            incoming(v6, OUTSIDE, UPLINK).echo_request(1, 2, b"x"),
            incoming(v6, OUTSIDE, ROUTER).udp(1, 2, b"x"),
        ] {
            // Under the device's own address: what the gateway sends is a Service's.
            let expected = [&HOST.mac.octets()[..], &HOST.mac.octets(), &frame[12..]].concat();
            bed.expect(UPLINK, &frame, HOST, &expected);
        }
    }
    let question = arp::request(ROUTER.mac, ROUTER.v4, UPLINK.v4);
    assert_eq!(bed.send(UPLINK, &question).port(), HOST.port);
    assert_eq!((bed.counts.punted, bed.counts.connections_new), (9, 0));
}

#[test]
fn frames_for_other_macs_are_not_taken() {
    let mut bed = Bed::new(Setup::default());
    let frame = ip(false, (ROUTER.mac, PEER.mac), OUTSIDE, UPLINK).udp(1, 2, b"x");
    bed.expect_drop(UPLINK, &frame, DropReason::NotForGateway);
}

#[test]
fn segments_are_cut_for_the_wire_and_datagrams_that_do_not_fit_are_refused() {
    let mut bed = Bed::new(Setup::default());
    let big = up(false, A, OUTSIDE).partial().tcp(&Segment::data(1, 2), &[7; 8000]);
    let Got::Out { cut: Some(cut), .. } = bed.send(A, &big) else { panic!("not cut") };
    assert_eq!((cut.mtu, cut.mss, cut.inner), (1500, 0, 0));
    bed.expect_refusal(A, &up(false, A, OUTSIDE).udp(1, 2, &[7; 1500]), DropReason::TooBig);
}
