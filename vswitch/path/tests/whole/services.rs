//! Services: each row of "Verdicts" and of "Source address rules" of what Kubernetes asks, through the whole path.

use crate::rig::*;
use sluice_packets::Segment;
use sluice_path::{DropReason, PathConfig};
use sluice_wire::protocol::{SCTP, TCP, UDP};
use sluice_wire::{icmpv4, icmpv6};

fn bed(services: Vec<Svc>) -> Bed {
    Bed::new(Setup { services, ..Setup::default() })
}

/// The masquerade port that a UDP frame was given.
fn source_port(frame: &[u8]) -> u16 {
    sluice_wire::parse::parse(frame, frame.len()).expect("a packet").source_port
}

fn is_port_unreachable(v6: bool, frame: &[u8]) -> bool {
    let headers = sluice_wire::parse::parse(frame, frame.len()).expect("a packet");
    let message = &frame[usize::from(headers.l4_offset)..];
    let expected = if v6 {
        [icmpv6::kind::UNREACHABLE, icmpv6::unreachable::PORT]
    } else {
        [icmpv4::kind::UNREACHABLE, icmpv4::unreachable::PORT]
    };
    message[..2] == expected
}

#[test]
fn pod_to_cluster_ip_keeps_the_pods_address_end_to_end_and_the_reply_comes_from_the_cluster_ip() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(UDP, &[(B, 8080)])]);
        bed.expect(A, &up(v6, A, VIP).udp(1000, 80, b"q"), B, &down(v6, B, A, B).udp(1000, 8080, b"q"));
        bed.expect(B, &up(v6, B, A).udp(8080, 1000, b"a"), A, &down(v6, A, VIP, A).udp(80, 1000, b"a"));
        assert_eq!((bed.counts.connections_new, bed.counts.connection_hits, bed.counts.translated), (1, 1, 2));
    }
}

#[test]
fn partial_checksums_stay_partial_through_translation() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(TCP, &[(B, 8080)])]);
        let sent = up(v6, A, VIP).partial().tcp(&Segment::syn(1000, 80), b"");
        bed.expect(A, &sent, B, &down(v6, B, A, B).tcp(&Segment::syn(1000, 8080), b""));
    }
}

#[test]
fn sctp_is_served_where_port_and_target_port_differ() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(SCTP, &[(B, 9090)])]);
        let chunks = sluice_packets::sctp::init(7);
        bed.expect(A, &up(v6, A, VIP).sctp(1000, 80, 0, &chunks), B, &down(v6, B, A, B).sctp(1000, 9090, 0, &chunks));
    }
}

#[test]
fn no_usable_endpoint_in_the_whole_cluster_is_rejected_for_every_client_and_frontend() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(TCP, &[])]);
        let syn = |port| Segment::syn(1000, port);
        for (from, frame) in [
            (A, up(v6, A, VIP).tcp(&syn(80), b"")),
            (HOST, up(v6, HOST, VIP).tcp(&syn(80), b"")),
            (A, up(v6, A, BALANCER).tcp(&syn(80), b"")),
            (A, up(v6, A, UPLINK).tcp(&syn(NODE_PORT), b"")),
            (UPLINK, incoming(v6, OUTSIDE, VIP).tcp(&syn(80), b"")),
            (UPLINK, incoming(v6, OUTSIDE, BALANCER).tcp(&syn(80), b"")),
            (UPLINK, incoming(v6, OUTSIDE, UPLINK).tcp(&syn(NODE_PORT), b"")),
        ] {
            let news = bed.expect_refusal(from, &frame, DropReason::ServiceNoEndpoints);
            assert!(is_port_unreachable(v6, &news));
            let headers = sluice_wire::parse::parse(&news, news.len()).expect("a packet");
            let to = if from == UPLINK { (UPLINK.mac, ROUTER.mac) } else { (sluice_tables::GATEWAY_MAC, from.mac) };
            assert_eq!((headers.source_mac, headers.destination_mac), to);
        }
    }
}

#[test]
fn rejects_are_rate_limited() {
    let icmp_errors = sluice_path::ErrorRate { per_second: 1, burst: 1 };
    let setup = Setup { services: vec![service(UDP, &[])], ..Setup::default() };
    let mut bed = Bed::with(setup, PathConfig { icmp_errors, ..PathConfig::default() });
    let frame = up(false, A, VIP).udp(1, 80, b"");
    bed.expect_refusal(A, &frame, DropReason::ServiceNoEndpoints);
    bed.expect_drop(A, &frame, DropReason::ServiceNoEndpoints);
    assert_eq!((bed.counts.icmp_errors, bed.counts.icmp_errors_withheld), (1, 1));
}

#[test]
fn internal_policy_local_without_a_local_endpoint_drops_silently() {
    let mut bed = bed(vec![Svc { internal_local: true, ..service(UDP, &[(FAR, 8080)]) }]);
    bed.expect_drop(A, &up(false, A, VIP).udp(1, 80, b""), DropReason::ServiceNoLocalEndpoints);
    bed.expect_drop(HOST, &up(true, HOST, VIP).udp(1, 80, b""), DropReason::ServiceNoLocalEndpoints);
}

#[test]
fn external_policy_local_without_a_local_endpoint_drops_outsiders_and_serves_pods_and_the_host() {
    let mut bed = bed(vec![Svc { external_local: true, ..service(UDP, &[(FAR, 8080)]) }]);
    for to in [(BALANCER, 80), (UPLINK, NODE_PORT)] {
        let frame = incoming(false, OUTSIDE, to.0).udp(1, to.1, b"");
        bed.expect_drop(UPLINK, &frame, DropReason::ServiceNoLocalEndpoints);
        let pod = bed.send(A, &up(false, A, to.0).udp(1, to.1, b"x"));
        let inner = unwrap(pod);
        let port = source_port(&inner);
        assert_eq!(inner, inner_out(false, A, FAR).udp(port, 8080, b"x"), "a pod's address is kept");
        let host = unwrap(bed.send(HOST, &up(false, HOST, to.0).udp(1, to.1, b"x")));
        assert_eq!(host, inner_out(false, UPLINK, FAR).udp(source_port(&host), 8080, b"x"), "the node's is hidden");
    }
}

#[test]
fn a_defined_address_at_an_undefined_port_is_rejected() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(TCP, &[(B, 8080)])]);
        for frame in [up(v6, A, VIP).udp(1, 80, b""), up(v6, A, VIP).tcp(&Segment::syn(1, 81), b"")] {
            let news = bed.expect_refusal(A, &frame, DropReason::ServiceNoPort);
            assert!(is_port_unreachable(v6, &news));
        }
        bed.expect_refusal(A, &up(v6, A, VIP).echo_request(1, 1, b""), DropReason::ServiceNoPort);
    }
}

#[test]
fn an_unallocated_address_of_a_service_range_is_dropped() {
    let mut bed = bed(vec![service(TCP, &[(B, 8080)])]);
    let other = End { v4: [10, 96, 7, 7].into(), ..VIP };
    bed.expect_drop(A, &up(false, A, other).udp(1, 80, b""), DropReason::ServiceUnallocated);
    bed.expect_drop(UPLINK, &incoming(false, OUTSIDE, other).udp(1, 80, b""), DropReason::ServiceUnallocated);
}

#[test]
fn source_ranges_hold_for_load_balancer_addresses_and_never_for_node_ports() {
    let mut bed = bed(vec![Svc { ranges: Some(vec!["198.18.0.0/15"]), ..service(UDP, &[(B, 8080)]) }]);
    let outside = incoming(false, OUTSIDE, BALANCER).udp(1, 80, b"");
    bed.expect_drop(UPLINK, &outside, DropReason::ServiceSourceRange);
    let friend = End { v4: [198, 19, 0, 1].into(), ..OUTSIDE };
    assert_eq!(bed.send(UPLINK, &incoming(false, friend, BALANCER).udp(1, 80, b"")).port(), B.port);
    assert_eq!(bed.send(UPLINK, &incoming(false, OUTSIDE, UPLINK).udp(1, NODE_PORT, b"")).port(), B.port);
    assert_eq!(bed.send(A, &up(false, A, VIP).udp(1, 80, b"")).port(), B.port);
}

#[test]
fn a_node_in_the_source_ranges_may_loop_from_the_load_balancers_own_address() {
    let loops = ip(false, (HOST.mac, sluice_tables::GATEWAY_MAC), BALANCER, BALANCER).udp(1, 80, b"");
    let with = |range| bed(vec![Svc { ranges: Some(vec![range]), ..service(UDP, &[(B, 8080)]) }]);
    assert_eq!(with("192.168.0.1/32").send(HOST, &loops).port(), B.port);
    with("198.18.0.0/15").expect_drop(HOST, &loops, DropReason::ServiceSourceRange);
}

#[test]
fn an_outsider_at_a_cluster_ip_is_masqueraded() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(UDP, &[(B, 8080)])]);
        let got = bed.send(UPLINK, &incoming(v6, OUTSIDE, VIP).udp(5, 80, b"q")).frame();
        let port = source_port(&got);
        assert!(port >= 61_000);
        assert_eq!(got, down(v6, B, UPLINK, B).udp(port, 8080, b"q"));
        let reply = up(v6, B, UPLINK).udp(8080, port, b"a");
        bed.expect(B, &reply, UPLINK, &outgoing(v6, VIP, OUTSIDE).udp(80, 5, b"a"));
    }
}

#[test]
fn node_port_from_the_uplink_with_policy_cluster_hides_the_client_and_with_policy_local_keeps_it() {
    for v6 in [false, true] {
        let mut cluster = bed(vec![service(TCP, &[(FAR, 8080)])]);
        let syn = incoming(v6, OUTSIDE, UPLINK).tcp(&Segment::syn(5, NODE_PORT), b"");
        let inner = unwrap(cluster.send(UPLINK, &syn));
        let port = source_port(&inner);
        assert_eq!(inner, inner_out(v6, UPLINK, FAR).tcp(&Segment::syn(port, 8080), b""));
        let reply = from_peer(|link| {
            ip(v6, (link.source, link.destination), FAR, UPLINK).tcp(&Segment::data(8080, port), b"a")
        });
        let expected = outgoing(v6, UPLINK, OUTSIDE).tcp(&Segment::data(NODE_PORT, 5), b"a");
        cluster.expect(UPLINK, &reply, UPLINK, &expected);

        let mut local = bed(vec![Svc { external_local: true, ..service(TCP, &[(B, 8080), (FAR, 8080)]) }]);
        local.expect(UPLINK, &syn, B, &down(v6, B, OUTSIDE, B).tcp(&Segment::syn(5, 8080), b""));
        let reply = up(v6, B, OUTSIDE).tcp(&Segment::data(8080, 5), b"a");
        local.expect(B, &reply, UPLINK, &expected);
    }
}

#[test]
fn an_outsider_is_hidden_from_a_backend_on_the_host_unless_the_hosts_answers_come_back() {
    for v6 in [false, true] {
        let services = vec![Svc { external_local: true, ..service(TCP, &[(HOST, 8080)]) }];
        let syn = incoming(v6, OUTSIDE, UPLINK).tcp(&Segment::syn(5, NODE_PORT), b"");
        let kept = down(v6, HOST, OUTSIDE, HOST).tcp(&Segment::syn(5, 8080), b"");
        assert_ne!(bed(services.clone()).send(UPLINK, &syn).frame(), kept, "the gateway's address");

        let mut bed = Bed::new(Setup { services, answers_return: true, ..Setup::default() });
        bed.expect(UPLINK, &syn, HOST, &kept);
        let reply = up(v6, HOST, OUTSIDE).tcp(&Segment::data(8080, 5), b"a");
        bed.expect(HOST, &reply, UPLINK, &outgoing(v6, UPLINK, OUTSIDE).tcp(&Segment::data(NODE_PORT, 5), b"a"));
        // Under policy Cluster it is hidden all the same.
        bed.change(|setup| setup.services[0].external_local = false);
        let syn = incoming(v6, OUTSIDE, UPLINK).tcp(&Segment::syn(6, NODE_PORT), b"");
        assert_ne!(bed.send(UPLINK, &syn).frame(), down(v6, HOST, OUTSIDE, HOST).tcp(&Segment::syn(6, 8080), b""));
    }
}

#[test]
fn a_pod_that_is_given_itself_sees_the_nodes_address_and_is_answered() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(UDP, &[(A, 8080)])]);
        let got = bed.send(A, &up(v6, A, VIP).udp(1000, 80, b"q")).frame();
        let port = source_port(&got);
        assert_eq!(got, down(v6, A, UPLINK, A).udp(port, 8080, b"q"));
        let reply = up(v6, A, UPLINK).udp(8080, port, b"a");
        bed.expect(A, &reply, A, &down(v6, A, VIP, A).udp(80, 1000, b"a"));
    }
}

#[test]
fn the_host_reaches_a_backend_on_the_host_under_the_gateways_address() {
    for v6 in [false, true] {
        let mut bed = bed(vec![service(TCP, &[(UPLINK, 6443)])]);
        let gateway = End { v4: sluice_tables::GATEWAY_IPV4, v6: sluice_tables::GATEWAY_IPV6, ..HOST };
        let got = bed.send(HOST, &up(v6, HOST, VIP).tcp(&Segment::syn(1000, 80), b"")).frame();
        let port = source_port(&got);
        assert_eq!(got, down(v6, HOST, gateway, UPLINK).tcp(&Segment::syn(port, 6443), b""));
        let reply =
            ip(v6, (HOST.mac, sluice_tables::GATEWAY_MAC), UPLINK, gateway).tcp(&Segment::data(6443, port), b"a");
        bed.expect(HOST, &reply, HOST, &down(v6, HOST, VIP, HOST).tcp(&Segment::data(80, 1000), b"a"));
    }
}

#[test]
fn a_backend_outside_the_cluster_is_always_masqueraded_so_that_its_answer_comes_back() {
    let mut bed = bed(vec![service(UDP, &[(OUTSIDE, 53)])]);
    let got = bed.send(HOST, &up(false, HOST, VIP).udp(1000, 80, b"q"));
    assert_eq!(got.port(), UPLINK.port);
    let got = got.frame();
    assert_eq!(got, outgoing(false, UPLINK, OUTSIDE).udp(source_port(&got), 53, b"q"));
}

#[test]
fn maglev_chooses_alike_on_every_node_and_leaves_the_port_out_with_affinity() {
    let backends: Vec<_> = (1..20).map(|port| (B, port)).collect();
    let chosen = |affinity, seed, port| {
        let services = vec![Svc { affinity, choice: sluice_tables::Choice::Maglev, ..service(UDP, &backends) }];
        let mut bed = Bed::with(Setup { services, ..Setup::default() }, PathConfig { seed, ..PathConfig::default() });
        let frame = bed.send(A, &up(false, A, VIP).udp(port, 80, b"")).frame();
        sluice_wire::parse::parse(&frame, frame.len()).expect("a packet").destination_port
    };
    let over_ports =
        |affinity| (1..30).map(|port| chosen(affinity, 0, port)).collect::<std::collections::BTreeSet<_>>();
    assert!((1..10).all(|port| chosen(None, 1, port) == chosen(None, 2, port)));
    assert!(over_ports(None).len() > 5);
    assert_eq!(over_ports(Some(10)).len(), 1);
}

#[test]
fn two_services_with_one_backend_asked_from_one_port_do_not_collide() {
    let second = End { v4: [10, 96, 0, 11].into(), v6: "fd00:60::b".parse().expect("an address"), ..VIP };
    for v6 in [false, true] {
        let other = Svc { key: 2, vip: second, ..service(UDP, &[(B, 8080)]) };
        let mut bed = bed(vec![service(UDP, &[(B, 8080)]), other]);
        bed.expect(A, &up(v6, A, VIP).udp(1000, 80, b"1"), B, &down(v6, B, A, B).udp(1000, 8080, b"1"));
        let got = bed.send(A, &up(v6, A, second).udp(1000, 80, b"2")).frame();
        let port = source_port(&got);
        assert_ne!(port, 1000);
        assert_eq!(got, down(v6, B, A, B).udp(port, 8080, b"2"));
        bed.expect(B, &up(v6, B, A).udp(8080, 1000, b"1"), A, &down(v6, A, VIP, A).udp(80, 1000, b"1"));
        bed.expect(B, &up(v6, B, A).udp(8080, port, b"2"), A, &down(v6, A, second, A).udp(80, 1000, b"2"));
        // And the backend asked directly from the same port.
        let direct = bed.send(A, &up(v6, A, B).udp(1000, 8080, b"3")).frame();
        assert_ne!(source_port(&direct), 1000);
    }
}

#[test]
fn a_reset_of_an_unknown_connection_to_a_service_is_dropped_and_makes_none() {
    let mut bed = bed(vec![service(TCP, &[(B, 8080)])]);
    let reset = Segment { flags: 4, ..Segment::data(1000, 80) };
    bed.expect_drop(A, &up(false, A, VIP).tcp(&reset, b""), DropReason::TcpInvalid);
    assert_eq!(bed.counts.connections_new, 0);
}
