//! What a change of the cluster does to connections that there are.

use sluice_packets::Segment;
use sluice_path::{DropReason, PathConfig};
use sluice_wire::protocol::{SCTP, TCP, UDP};
use sluice_wire::tcp::flag;

use crate::rig::*;

const OTHER: u16 = 8081;

fn bed(protocol: u8) -> Bed {
    Bed::new(Setup { services: vec![service(protocol, &[(B, 8080)])], ..Setup::default() })
}

fn port_of(got: Got) -> u16 {
    let frame = got.frame();
    sluice_wire::parse::parse(&frame, frame.len()).expect("a packet").destination_port
}

/// The first backend is no longer usable; whether it is still known, and serving.
fn move_on(bed: &mut Bed, known: Option<bool>) {
    bed.change(|setup| {
        setup.services[0].cluster = vec![(B, OTHER)];
        setup.services[0].local = vec![(B, OTHER)];
        setup.services[0].known = known.map(|serving| (B, 8080, serving)).into_iter().collect();
    });
}

#[test]
fn udp_moves_on_when_its_backend_no_longer_serves_and_stays_while_it_does() {
    for v6 in [false, true] {
        for (known, port) in [(Some(true), 8080), (Some(false), OTHER), (None, OTHER)] {
            let mut bed = bed(UDP);
            let frame = up(v6, A, VIP).udp(1000, 80, b"x");
            assert_eq!(port_of(bed.send(A, &frame)), 8080);
            move_on(&mut bed, known);
            assert_eq!(port_of(bed.send(A, &frame)), port, "{known:?}");
        }
    }
}

#[test]
fn sctp_moves_on_likewise() {
    let mut bed = bed(SCTP);
    let frame = up(false, A, VIP).sctp(1000, 80, 0, &sluice_packets::sctp::init(1));
    assert_eq!(port_of(bed.send(A, &frame)), 8080);
    move_on(&mut bed, Some(false));
    assert_eq!(port_of(bed.send(A, &frame)), OTHER);
}

#[test]
fn udp_answers_of_a_backend_that_is_gone_are_dropped() {
    let mut bed = bed(UDP);
    bed.send(A, &up(false, A, VIP).udp(1000, 80, b"x"));
    move_on(&mut bed, None);
    bed.expect_drop(B, &up(false, B, A).udp(8080, 1000, b"y"), DropReason::BackendGone);
}

#[test]
fn udp_to_the_last_backend_is_rejected_when_that_is_gone() {
    let mut bed = bed(UDP);
    let frame = up(false, A, VIP).udp(1000, 80, b"x");
    bed.send(A, &frame);
    bed.change(|setup| setup.services[0].cluster.clear());
    bed.change(|setup| setup.services[0].local.clear());
    bed.expect_refusal(A, &frame, DropReason::ServiceNoEndpoints);
}

#[test]
fn a_flow_from_before_the_service_had_endpoints_finds_them() {
    let mut bed = Bed::new(Setup::default());
    let frame = up(false, A, BALANCER).udp(1000, 80, b"x");
    assert_eq!(bed.send(A, &frame).port(), UPLINK.port, "nobody's yet: to the outside");
    bed.change(|setup| setup.services = vec![service(UDP, &[(B, 8080)])]);
    assert_eq!(port_of(bed.send(A, &frame)), 8080);
}

#[test]
fn tcp_goes_on_to_a_terminating_endpoint_and_new_connections_go_elsewhere() {
    let mut bed = bed(TCP);
    bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
    move_on(&mut bed, Some(false));
    assert_eq!(port_of(bed.send(A, &up(false, A, VIP).tcp(&Segment::data(1000, 80), b"x"))), 8080);
    assert_eq!(port_of(bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1001, 80), b""))), OTHER);
}

#[test]
fn tcp_to_a_removed_endpoint_is_reset_towards_the_client() {
    for v6 in [false, true] {
        let mut bed = bed(TCP);
        bed.send(A, &up(v6, A, VIP).tcp(&Segment::syn(1000, 80), b""));
        move_on(&mut bed, None);
        let data = Segment { sequence: 500, acknowledgement: 900, ..Segment::data(1000, 80) };
        let reset = bed.expect_refusal(A, &up(v6, A, VIP).tcp(&data, b"x"), DropReason::BackendGone);
        let plain =
            Segment { flags: flag::RST, sequence: 900, acknowledgement: 0, window: 0, ..Segment::data(80, 1000) };
        assert_eq!(reset, ip(v6, (sluice_tables::GATEWAY_MAC, A.mac), VIP, A).tcp(&plain, b""));
        assert_eq!(bed.counts.resets, 1);
        bed.expect_drop(B, &up(v6, B, A).tcp(&Segment::data(8080, 1000), b"y"), DropReason::BackendGone);
        // A new attempt under the same port is a new connection.
        assert_eq!(port_of(bed.send(A, &up(v6, A, VIP).tcp(&Segment::syn(1000, 80), b""))), OTHER);
    }
}

#[test]
fn what_is_left_of_a_connection_to_a_removed_endpoint_goes_soon() {
    for reset_removed in [true, false] {
        let setup = Setup { services: vec![service(TCP, &[(B, 8080)])], ..Setup::default() };
        let mut bed = Bed::with(setup, PathConfig { reset_removed, ..PathConfig::default() });
        bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
        bed.send(B, &up(false, B, A).tcp(&Segment { flags: 0x12, ..Segment::data(8080, 1000) }, b""));
        bed.send(A, &up(false, A, VIP).tcp(&Segment::data(1000, 80), b"x"));
        move_on(&mut bed, None);
        bed.send(A, &up(false, A, VIP).tcp(&Segment::data(1000, 80), b"x"));
        assert_eq!(bed.path.shared().connections.len(), 1);
        bed.pass(11);
        bed.idle();
        assert_eq!(bed.path.shared().connections.len(), 0);
    }
}

#[test]
fn a_reset_is_sent_to_the_outside_by_the_way_the_segment_came() {
    let mut bed = bed(TCP);
    bed.send(UPLINK, &incoming(false, OUTSIDE, BALANCER).tcp(&Segment::syn(1000, 80), b""));
    move_on(&mut bed, None);
    let frame = incoming(false, OUTSIDE, BALANCER).tcp(&Segment { acknowledgement: 3, ..Segment::data(1000, 80) }, b"");
    let reset = bed.expect_refusal(UPLINK, &frame, DropReason::BackendGone);
    let plain = Segment { flags: flag::RST, sequence: 3, acknowledgement: 0, window: 0, ..Segment::data(80, 1000) };
    assert_eq!(reset, ip(false, (UPLINK.mac, ROUTER.mac), BALANCER, OUTSIDE).tcp(&plain, b""));
}

#[test]
fn resets_can_be_switched_off_and_never_answer_a_reset() {
    let setup = || Setup { services: vec![service(TCP, &[(B, 8080)])], ..Setup::default() };
    let mut bed = Bed::with(setup(), PathConfig { reset_removed: false, ..PathConfig::default() });
    bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
    move_on(&mut bed, None);
    bed.expect_drop(A, &up(false, A, VIP).tcp(&Segment::data(1000, 80), b"x"), DropReason::BackendGone);
    let mut bed = Bed::new(setup());
    bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
    move_on(&mut bed, None);
    let reset = Segment { flags: flag::RST | flag::ACK, ..Segment::data(1000, 80) };
    bed.expect_drop(A, &up(false, A, VIP).tcp(&reset, b""), DropReason::BackendGone);
}

#[test]
fn a_connection_of_a_pod_that_has_gone_is_removed_by_the_next_packet() {
    let without = |pod: End| move |setup: &mut Setup| setup.pods.retain(|other| *other != pod);
    for v6 in [false, true] {
        // The client has gone: an answer meets its connection.
        let mut bed = Bed::new(Setup::default());
        bed.send(A, &up(v6, A, B).udp(1, 2, b"x"));
        bed.change(without(A));
        bed.expect_drop(B, &up(v6, B, A).udp(2, 1, b"y"), DropReason::NoSuchPod);
        assert_eq!((bed.path.shared().connections.len(), bed.counts.connections_gone), (0, 1));
        // The target has gone.
        let mut bed = Bed::new(Setup::default());
        bed.send(A, &up(v6, A, B).tcp(&Segment::syn(1, 2), b""));
        bed.change(without(B));
        bed.expect_refusal(A, &up(v6, A, B).tcp(&Segment::data(1, 2), b"x"), DropReason::NoSuchPod);
        assert_eq!((bed.path.shared().connections.len(), bed.counts.connections_gone), (0, 1));
    }
}

/// A process that is started again takes its pods over one by one.
#[test]
fn a_connection_of_the_process_before_waits_for_its_pods_to_be_taken_over() {
    let config = sluice_path::SharedConfig::default();
    let words = sluice_connections::Table::words(&config.connections);
    let memory: Vec<_> = (0..words).map(|_| std::sync::atomic::AtomicU64::new(0)).collect();
    let memory: &'static [_] = memory.leak();
    let begin = |pods: Vec<End>| {
        let mut bed = Bed::new(Setup { pods, services: vec![service(TCP, &[(B, 8080)])], ..Setup::default() });
        bed.compare_no_longer();
        let table = sluice_connections::Table::over(memory, config.connections).expect("enough memory").table;
        let shared = std::sync::Arc::new(sluice_path::Shared::over(table, config));
        bed.path = sluice_path::Path::new(PathConfig::default(), shared);
        bed
    };
    let mut before = begin(vec![A, B]);
    before.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
    drop(before);
    let mut bed = begin(vec![A]);
    let data = up(false, A, VIP).tcp(&Segment::data(1000, 80), b"x");
    bed.expect_refusal(A, &data, DropReason::NoSuchPod);
    bed.change(|setup| setup.pods.push(B));
    bed.change(|setup| setup.services[0].cluster.push((FAR, 1)));
    assert_eq!(port_of(bed.send(A, &data)), 8080);
    assert_eq!((bed.counts.connections_new, bed.counts.connections_gone), (0, 0));
}

#[test]
fn a_pod_is_hidden_from_the_outside_when_its_peers_node_has_gone() {
    for v6 in [false, true] {
        let encapsulation = sluice_tables::Encapsulation::None;
        let mut bed = Bed::new(Setup { encapsulation, excluded: Vec::new(), ..Setup::default() });
        let frame = up(v6, A, FAR).udp(1000, 53, b"x");
        let expected = ip(v6, (UPLINK.mac, PEER.mac), A, FAR).ttl(63).udp(1000, 53, b"x");
        bed.expect(A, &frame, UPLINK, &expected);
        bed.change(|setup| setup.peer = false);
        let sent = bed.send(A, &frame).frame();
        let port = sluice_wire::parse::parse(&sent, sent.len()).expect("a packet").source_port;
        assert_eq!(sent, outgoing(v6, UPLINK, FAR).udp(port, 53, b"x"));
        assert_eq!((bed.counts.connections_new, bed.counts.connections_gone), (2, 1));
    }
}

#[test]
fn traffic_policy_edits_cut_nothing() {
    for change in [
        (|svc| svc.external_local = true) as fn(&mut Svc),
        |svc| svc.internal_local = true,
        |svc| svc.ranges = Some(vec!["198.18.0.0/15"]),
    ] {
        let mut bed = Bed::new(Setup { services: vec![service(UDP, &[(FAR, 8080)])], ..Setup::default() });
        let frame = incoming(false, OUTSIDE, BALANCER).udp(5, 80, b"x");
        let first = bed.send(UPLINK, &frame);
        bed.change(|setup| change(&mut setup.services[0]));
        assert_eq!(bed.send(UPLINK, &frame), first);
        assert_eq!(bed.counts.connections_new, 1);
    }
}

#[test]
fn a_syn_after_the_end_is_a_new_connection() {
    let mut bed = bed(TCP);
    bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
    bed.send(A, &up(false, A, VIP).tcp(&Segment { flags: flag::RST, ..Segment::data(1000, 80) }, b""));
    bed.send(A, &up(false, A, VIP).tcp(&Segment::syn(1000, 80), b""));
    assert_eq!(bed.counts.connections_new, 2);
}

#[test]
fn a_connection_is_taken_up_in_the_middle_after_the_table_was_lost() {
    let mut bed = bed(TCP);
    let data = up(false, A, VIP).tcp(&Segment::data(1000, 80), b"x");
    bed.expect(A, &data, B, &down(false, B, A, B).tcp(&Segment::data(1000, 8080), b"x"));
    let back = up(false, B, A).tcp(&Segment::data(8080, 1000), b"y");
    bed.expect(B, &back, A, &down(false, A, VIP, A).tcp(&Segment::data(80, 1000), b"y"));
}

#[test]
fn flag_nonsense_is_dropped_and_makes_no_connection() {
    let mut bed = bed(TCP);
    for flags in [0, flag::SYN | flag::FIN, flag::SYN | flag::RST, flag::FIN, 0x3f] {
        let segment = Segment { flags, ..Segment::data(1, 2) };
        bed.expect_drop(A, &up(false, A, B).tcp(&segment, b""), DropReason::TcpInvalid);
    }
    assert_eq!(bed.counts.connections_new, 0);
}

#[test]
fn idle_connections_end_in_bounded_work() {
    let mut bed = bed(UDP);
    for port in 1..=100 {
        bed.send(A, &up(false, A, B).udp(port, 2, b"x"));
    }
    assert_eq!(bed.path.shared().connections.len(), 100);
    bed.pass(1000);
    // The table of the rig has 65,536 records of each family.
    for _ in 0..600 {
        bed.idle();
    }
    assert_eq!((bed.path.shared().connections.len(), bed.counts.connections_gone), (0, 100));
}

#[test]
fn a_pod_that_floods_the_table_cannot_take_the_share_of_another() {
    let setup = Setup::default();
    let mut bed = Bed::new(setup);
    let config = sluice_connections::Config { capacity: 64, pod_share: 10, ..Default::default() };
    let shared = sluice_path::SharedConfig { connections: config, affinity: 16 };
    bed.compare_no_longer();
    bed.path = sluice_path::Path::new(PathConfig::default(), std::sync::Arc::new(sluice_path::Shared::new(shared)));
    for port in 1..=10 {
        assert_eq!(bed.send(A, &up(false, A, B).udp(port, 2, b"x")).port(), B.port);
    }
    bed.expect_drop(A, &up(false, A, B).udp(11, 2, b"x"), DropReason::ConnectionShare);
    assert_eq!(bed.send(B, &up(false, B, OUTSIDE).udp(1, 2, b"x")).port(), UPLINK.port);
}
