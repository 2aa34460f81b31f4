//! NetworkPolicy: each line of what Kubernetes asks that concerns packets, through the whole path.

use std::sync::Arc;

use sluice_packets::{Ip, Segment, fragment};
use sluice_path::DropReason;
use sluice_tables::{Identity, PodPolicy, PortId, PortRange, Ports, Rules, RulesBuilder};
use sluice_wire::protocol::{SCTP, TCP, UDP};

use crate::rig::*;

fn rules(fill: impl FnOnce(RulesBuilder) -> RulesBuilder) -> Option<Arc<Rules>> {
    Some(Arc::new(fill(RulesBuilder::new(0)).build()))
}

fn nothing() -> Option<Arc<Rules>> {
    rules(|rules| rules)
}

fn ports(protocol: u8, first: u16, last: u16) -> Ports {
    Ports::of([PortRange::new(protocol, first, last).expect("a range")])
}

fn bed(port: PortId, ingress: Option<Arc<Rules>>, egress: Option<Arc<Rules>>) -> Bed {
    Bed::new(Setup {
        policies: vec![(port, PodPolicy { ingress, egress })],
        identities: vec![(A, 1), (B, 2), (FAR, 3)],
        services: vec![service(UDP, &[(B, 8080)])],
        ..Setup::default()
    })
}

fn udp(ip: &Ip) -> Vec<u8> {
    ip.udp(1000, 8080, b"x")
}

#[test]
fn pods_are_not_isolated_by_default_and_isolation_is_per_direction() {
    let mut open = Bed::new(Setup::default());
    assert_eq!(open.send(A, &udp(&up(false, A, B))).port(), B.port);
    let mut shut = bed(B.port, nothing(), None);
    shut.expect_drop(A, &udp(&up(false, A, B)), DropReason::PolicyIngress);
    assert_eq!(shut.send(B, &udp(&up(false, B, A))).port(), A.port, "egress is open");
    let mut shut = bed(A.port, None, nothing());
    shut.expect_drop(A, &udp(&up(true, A, B)), DropReason::PolicyEgress);
    assert_eq!(shut.send(B, &udp(&up(true, B, A))).port(), A.port, "ingress is open");
}

#[test]
fn a_connection_needs_both_ends_permission() {
    let to_b = || rules(|rules| rules.identity(Identity(2), &Ports::everything()));
    let from_a = || rules(|rules| rules.identity(Identity(1), &ports(UDP, 8080, 8080)));
    let both = |ingress, egress| {
        let mut bed = bed(B.port, ingress, None);
        bed.change(|setup| setup.policies.push((A.port, PodPolicy { ingress: None, egress })));
        bed.send(A, &udp(&up(false, A, B)))
    };
    assert_eq!(both(from_a(), to_b()).port(), B.port);
    assert_eq!(both(nothing(), to_b()), Got::Dropped(DropReason::PolicyIngress));
    assert_eq!(both(from_a(), nothing()), Got::Dropped(DropReason::PolicyEgress));
}

#[test]
fn ports_and_end_ports_are_judged_by_protocol() {
    let allowed = || rules(|rules| rules.identity(Identity(1), &ports(UDP, 8080, 8090)));
    let mut bed = bed(B.port, allowed(), None);
    for (port, passes) in [(8079, false), (8080, true), (8085, true), (8090, true), (8091, false)] {
        let got = bed.send(A, &up(false, A, B).udp(1, port, b""));
        assert_eq!(got != Got::Dropped(DropReason::PolicyIngress), passes, "{port}");
    }
    bed.expect_drop(A, &up(false, A, B).tcp(&Segment::syn(1, 8080), b""), DropReason::PolicyIngress);
    let chunks = sluice_packets::sctp::init(1);
    bed.expect_drop(A, &up(false, A, B).sctp(1, 8080, 0, &chunks), DropReason::PolicyIngress);
    let mut sctp = Bed::new(Setup {
        policies: vec![(
            B.port,
            PodPolicy { ingress: rules(|rules| rules.any(&ports(SCTP, 8080, 8080))), egress: None },
        )],
        ..Setup::default()
    });
    assert_eq!(sctp.send(A, &up(false, A, B).sctp(1, 8080, 0, &chunks)).port(), B.port);
}

#[test]
fn blocks_match_by_address_whoever_owns_it() {
    let block = |cidr: &str, except: &[&str]| {
        let except: Vec<_> = except.iter().map(|text| net(text)).collect();
        rules(|rules| rules.block(net(cidr), &except, &Ports::everything()))
    };
    let mut pods = bed(B.port, block("10.1.0.0/23", &["10.1.1.0/25"]), None);
    assert_eq!(pods.send(A, &udp(&up(false, A, B))).port(), B.port, "a pod");
    let far = from_peer(|link| udp(&ip(false, (link.source, link.destination), FAR, B)));
    pods.expect_drop(UPLINK, &far, DropReason::PolicyIngress);
    pods.expect_drop(A, &udp(&up(true, A, B)), DropReason::PolicyIngress);
    let mut nodes = bed(B.port, block("192.168.0.2/31", &[]), None);
    let node = from_peer(|link| udp(&ip(false, (link.source, link.destination), PEER, B)));
    assert_eq!(nodes.send(UPLINK, &node).port(), B.port, "another node");
    let mut outside = bed(A.port, None, block("203.0.113.7/32", &[]));
    assert_eq!(outside.send(A, &udp(&up(false, A, OUTSIDE))).port(), UPLINK.port, "the outside");
    outside.expect_drop(A, &udp(&up(true, A, OUTSIDE)), DropReason::PolicyEgress);
}

#[test]
fn egress_to_a_cluster_ip_is_judged_on_the_pod_behind_it() {
    let to_pod = || rules(|rules| rules.identity(Identity(2), &ports(UDP, 8080, 8080)));
    let mut allowed = bed(A.port, None, to_pod());
    assert_eq!(allowed.send(A, &up(false, A, VIP).udp(1, 80, b"")).port(), B.port);
    let to_vip = rules(|rules| rules.block(net("10.96.0.0/16"), &[], &Ports::everything()));
    let mut forbidden = bed(A.port, None, to_vip);
    forbidden.expect_drop(A, &up(false, A, VIP).udp(1, 80, b""), DropReason::PolicyEgress);
}

#[test]
fn ingress_is_judged_on_the_client_before_it_is_hidden() {
    let from_outside = rules(|rules| rules.block(net("203.0.113.0/24"), &[], &Ports::everything()));
    let mut bed = bed(B.port, from_outside, None);
    assert_eq!(bed.send(UPLINK, &incoming(false, OUTSIDE, UPLINK).udp(1, NODE_PORT, b"")).port(), B.port);
    let stranger = End { v4: [198, 18, 0, 1].into(), ..OUTSIDE };
    let frame = incoming(false, stranger, UPLINK).udp(1, NODE_PORT, b"");
    bed.expect_drop(UPLINK, &frame, DropReason::PolicyIngress);
}

#[test]
fn replies_to_an_allowed_connection_always_pass_and_so_does_related_icmp() {
    let mut bed = bed(A.port, nothing(), rules(|rules| rules.identity(Identity(2), &ports(UDP, 8080, 8080))));
    let sent = udp(&up(false, A, B));
    let arrived = bed.send(A, &sent).frame();
    bed.expect(B, &up(false, B, A).udp(8080, 1000, b"a"), A, &down(false, A, B, A).udp(8080, 1000, b"a"));
    let news = up(false, B, A).icmp(3, 3, 0, &arrived[14..]);
    assert_eq!(bed.send(B, &news).port(), A.port);
    bed.expect_drop(B, &udp(&up(false, B, A)), DropReason::PolicyIngress);
}

#[test]
fn the_pods_own_node_always_passes_in_both_directions() {
    for v6 in [false, true] {
        for own in [HOST, UPLINK] {
            let mut bed = bed(A.port, nothing(), nothing());
            let probe = ip(v6, (HOST.mac, sluice_tables::GATEWAY_MAC), own, A);
            assert_eq!(bed.send(HOST, &probe.tcp(&Segment::syn(1, 8080), b"")).port(), A.port);
            assert_eq!(bed.send(HOST, &probe.echo_request(1, 1, b"")).port(), A.port);
            assert_eq!(bed.send(A, &up(v6, A, own).udp(1, 53, b"")).port(), HOST.port);
        }
        let mut bed = bed(A.port, nothing(), nothing());
        let stranger = ip(v6, (HOST.mac, sluice_tables::GATEWAY_MAC), OUTSIDE, A).udp(1, 2, b"");
        bed.expect_drop(HOST, &stranger, DropReason::PolicyIngress);
    }
}

#[test]
fn a_pod_is_never_cut_from_itself() {
    let mut bed = bed(B.port, nothing(), nothing());
    assert_eq!(bed.send(B, &up(false, B, VIP).udp(1, 80, b"")).port(), B.port);
}

#[test]
fn neighbour_discovery_and_the_gateway_are_never_blocked() {
    let mut bed = bed(A.port, nothing(), nothing());
    let gateway = End { v4: sluice_tables::GATEWAY_IPV4, v6: sluice_tables::GATEWAY_IPV6, ..HOST };
    bed.send(A, &sluice_packets::arp::request(A.mac, A.v4, gateway.v4));
    bed.send(A, &sluice_packets::ndp::solicit(A.mac, A.v6, gateway.v6));
    bed.send(A, &up(false, A, gateway).echo_request(1, 1, b""));
    assert_eq!(bed.counts.replies(), 3);
}

#[test]
fn echo_and_other_protocols_pass_only_rules_without_ports() {
    let with = |allowed: &Ports| {
        let mut bed = bed(B.port, rules(|rules| rules.identity(Identity(1), allowed)), None);
        [up(false, A, B).echo_request(1, 1, b""), up(false, A, B).packet(47, &[0; 8])].map(|frame| bed.send(A, &frame))
    };
    assert!(with(&Ports::everything()).iter().all(|got| got.port() == B.port));
    assert!(with(&ports(TCP, 0, u16::MAX)).iter().all(|got| *got == Got::Dropped(DropReason::PolicyIngress)));
}

#[test]
fn later_fragments_are_judged_by_the_ports_of_the_first() {
    let mut bed = bed(B.port, rules(|rules| rules.any(&ports(UDP, 8080, 8080))), None);
    for piece in fragment::split(&up(false, A, B).udp(1, 8080, &[7; 3000]), 1400, 1) {
        assert_eq!(bed.send(A, &piece).port(), B.port);
    }
    for piece in fragment::split(&up(false, A, B).udp(1, 9, &[7; 3000]), 1400, 2) {
        bed.expect_drop(A, &piece, DropReason::PolicyIngress);
    }
}

#[test]
fn a_policy_change_cuts_the_connections_that_it_forbids_on_their_next_packet() {
    for direction in ["request", "reply"] {
        let mut bed = bed(B.port, None, None);
        assert_eq!(bed.send(A, &udp(&up(false, A, B))).port(), B.port);
        bed.change(|setup| setup.policies = vec![(B.port, PodPolicy { ingress: nothing(), egress: None })]);
        if direction == "request" {
            bed.expect_drop(A, &udp(&up(false, A, B)), DropReason::PolicyIngress);
        } else {
            bed.expect_drop(B, &up(false, B, A).udp(8080, 1000, b"a"), DropReason::PolicyIngress);
        }
        assert_eq!(bed.counts.connections_gone, 1);
        bed.change(|setup| setup.policies.clear());
        assert_eq!(bed.send(A, &udp(&up(false, A, B))).port(), B.port);
        assert_eq!(bed.counts.connections_new, 2);
    }
}

#[test]
fn a_change_that_still_allows_a_connection_is_not_noticed_by_it() {
    let mut bed = bed(B.port, None, None);
    let first = bed.send(A, &udp(&up(false, A, B)));
    let allowing = rules(|rules| rules.identity(Identity(1), &ports(UDP, 8080, 8080)));
    bed.change(|setup| setup.policies = vec![(B.port, PodPolicy { ingress: allowing, egress: None })]);
    assert_eq!(bed.send(A, &udp(&up(false, A, B))), first);
    assert_eq!((bed.counts.decided_again, bed.counts.connections_new), (1, 1));
    bed.send(A, &udp(&up(false, A, B)));
    assert_eq!(bed.counts.decided_again, 1, "once a generation");
}

#[test]
fn a_reused_address_inherits_nothing() {
    let from_one = rules(|rules| rules.identity(Identity(1), &Ports::everything()));
    let mut bed = bed(B.port, from_one, None);
    assert_eq!(bed.send(A, &udp(&up(false, A, B))).port(), B.port);
    // Another pod, of another identity, has the address now.
    bed.change(|setup| setup.identities[0].1 = 9);
    bed.expect_drop(A, &udp(&up(false, A, B)), DropReason::PolicyIngress);
}
