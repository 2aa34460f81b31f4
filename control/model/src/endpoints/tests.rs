//! The choice of endpoints, rule by rule.

use super::*;
use crate::name::{EndpointSliceName, ServiceName};
use crate::object::Labels;
use crate::protocol::Protocol;
use crate::service::TargetPort;

/// An endpoint by its last byte, ready and on node `n2` unless said otherwise.
#[derive(Clone, Copy)]
struct Mk {
    byte: u8,
    /// Ready, serving, terminating.
    is: (bool, bool, bool),
    node: &'static str,
    zones: &'static [&'static str],
    nodes: &'static [&'static str],
}

const READY: (bool, bool, bool) = (true, true, false);
const UNREADY: (bool, bool, bool) = (false, false, false);
const TERMINATING: (bool, bool, bool) = (false, true, true);
const DYING: (bool, bool, bool) = (false, false, true);

fn mk(byte: u8) -> Mk {
    Mk { byte, is: READY, node: "n2", zones: &[], nodes: &[] }
}

impl Mk {
    fn is(self, is: (bool, bool, bool)) -> Mk {
        Mk { is, ..self }
    }

    fn on(self, node: &'static str) -> Mk {
        Mk { node, ..self }
    }

    fn zones(self, zones: &'static [&'static str]) -> Mk {
        Mk { zones, ..self }
    }

    fn nodes(self, nodes: &'static [&'static str]) -> Mk {
        Mk { nodes, ..self }
    }

    fn endpoint(self) -> Endpoint {
        let node = |name: &str| NodeName::new(name).expect("is a name");
        Endpoint {
            address: [10, 0, 0, self.byte].into(),
            ready: self.is.0,
            serving: self.is.1,
            terminating: self.is.2,
            node: Some(node(self.node)),
            zone_hints: self.zones.iter().map(|zone| (*zone).into()).collect(),
            node_hints: self.nodes.iter().map(|name| node(name)).collect(),
        }
    }
}

fn bytes(backends: &[Backend]) -> Vec<u8> {
    let last = |backend: &Backend| match backend.address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    backends.iter().map(last).collect()
}

/// The two sets on node `n1` in `zone`.
fn sets_in(zone: Option<&str>, endpoints: &[Mk]) -> (Vec<u8>, Vec<u8>) {
    let endpoints: Vec<Endpoint> = endpoints.iter().map(|mk| mk.endpoint()).collect();
    let candidates: Vec<Candidate<'_>> = endpoints.iter().map(|endpoint| Candidate { port: 80, endpoint }).collect();
    let node = NodeName::new("n1").expect("is a name");
    let usable = usable(&candidates, Place { node: &node, zone });
    (bytes(&usable.cluster), bytes(&usable.local))
}

fn sets(endpoints: &[Mk]) -> (Vec<u8>, Vec<u8>) {
    sets_in(Some("a"), endpoints)
}

fn cluster(endpoints: &[Mk]) -> Vec<u8> {
    sets(endpoints).0
}

#[test]
fn the_cluster_set_is_all_ready_endpoints_and_the_local_set_those_of_this_node() {
    let (cluster, local) = sets(&[mk(1), mk(2).on("n1"), mk(3).is(UNREADY).on("n1"), mk(4).is(TERMINATING).on("n1")]);
    assert_eq!((cluster, local), (vec![1, 2], vec![2]));
}

#[test]
fn with_none_ready_anywhere_the_cluster_set_is_those_that_serve_while_terminating() {
    assert_eq!(cluster(&[mk(1).is(TERMINATING), mk(2).is(DYING), mk(3).is(UNREADY)]), [1]);
    assert_eq!(cluster(&[mk(1).is(TERMINATING), mk(2)]), [2], "one ready endpoint is enough to leave them out");
    assert_eq!(cluster(&[mk(1).is((false, true, false))]), [0; 0], "serving alone is not terminating");
}

#[test]
fn with_none_ready_here_the_local_set_is_those_here_that_serve_while_terminating() {
    let (cluster, local) = sets(&[mk(1), mk(2).on("n1").is(TERMINATING), mk(3).is(TERMINATING)]);
    assert_eq!((cluster, local), (vec![1], vec![2]), "decided independently of the cluster set");
    let (cluster, local) = sets(&[mk(1).on("n1").is(TERMINATING), mk(2).on("n1")]);
    assert_eq!((cluster, local), (vec![2], vec![2]));
}

#[test]
fn the_local_set_ignores_hints() {
    let (cluster, local) = sets(&[mk(1).zones(&["a"]), mk(2).on("n1").zones(&["b"])]);
    assert_eq!((cluster, local), (vec![1], vec![2]));
}

#[test]
fn zone_hints_narrow_to_those_for_this_zone() {
    assert_eq!(cluster(&[mk(1).zones(&["a"]), mk(2).zones(&["b"]), mk(3).zones(&["b", "a"])]), [1, 3]);
}

#[test]
fn zone_hints_count_only_when_every_ready_endpoint_has_one() {
    assert_eq!(cluster(&[mk(1).zones(&["a"]), mk(2)]), [1, 2]);
    assert_eq!(cluster(&[mk(1).zones(&["a"]), mk(2).is(UNREADY), mk(3).zones(&["b"])]), [1]);
}

#[test]
fn zone_hints_count_only_when_one_of_them_names_this_zone() {
    assert_eq!(cluster(&[mk(1).zones(&["b"]), mk(2).zones(&["c"])]), [1, 2]);
    assert_eq!(cluster(&[mk(1).zones(&["b"]), mk(2).zones(&["a"]).is(UNREADY)]), [1]);
}

#[test]
fn on_a_node_without_a_zone_zone_hints_do_not_count() {
    assert_eq!(sets_in(None, &[mk(1).zones(&["a"]), mk(2).zones(&["b"])]).0, [1, 2]);
    assert_eq!(sets_in(None, &[mk(1).nodes(&["n1"]), mk(2).nodes(&["n2"])]).0, [1], "node hints need no zone");
}

#[test]
fn node_hints_go_before_zone_hints() {
    let both = [mk(1).zones(&["a"]).nodes(&["n1"]), mk(2).zones(&["a"]).nodes(&["n2"])];
    assert_eq!(cluster(&both), [1]);
}

#[test]
fn node_hints_that_do_not_hold_leave_it_to_zone_hints() {
    let none_here = [mk(1).zones(&["a"]).nodes(&["n2"]), mk(2).zones(&["b"]).nodes(&["n3"])];
    assert_eq!(cluster(&none_here), [1]);
    let one_without = [mk(1).zones(&["a"]).nodes(&["n1"]), mk(2).zones(&["a"]), mk(3).zones(&["b"])];
    assert_eq!(cluster(&one_without), [1, 2]);
}

#[test]
fn in_the_terminating_fallback_hints_do_not_count() {
    let endpoints = [mk(1).zones(&["a"]).is(TERMINATING), mk(2).zones(&["b"]).is(TERMINATING)];
    assert_eq!(cluster(&endpoints), [1, 2]);
}

#[test]
fn every_endpoint_is_known_with_whether_it_serves() {
    let endpoints: Vec<Endpoint> =
        [mk(1), mk(2).is(TERMINATING), mk(3).is(UNREADY), mk(4).is((true, false, false))].map(Mk::endpoint).into();
    let candidates: Vec<Candidate<'_>> = endpoints.iter().map(|endpoint| Candidate { port: 80, endpoint }).collect();
    let node = NodeName::new("n1").expect("is a name");
    let known = usable(&candidates, Place { node: &node, zone: None }).known;
    assert_eq!(known.iter().map(|one| one.serving).collect::<Vec<_>>(), [true, true, false, true]);
}

fn slice(name: &str, port: (&str, u16, Protocol), endpoints: &[Mk]) -> EndpointSlice {
    EndpointSlice {
        name: EndpointSliceName::parse("default", name).expect("is a name"),
        labels: Labels::new(),
        service: Some(ServiceName::parse("default", "web").expect("is a name")),
        address_type: AddressType::Ip(Family::V4),
        endpoints: endpoints.iter().map(|mk| mk.endpoint()).collect(),
        ports: vec![crate::endpoint_slice::EndpointPort { name: port.0.into(), port: port.1, protocol: port.2 }],
        changed: None,
    }
}

fn found(slices: &[EndpointSlice], name: &str) -> Vec<(IpAddr, u16, bool)> {
    let port = ServicePort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port: 80,
        target: TargetPort::Number(1),
        node_port: None,
    };
    let candidates = candidates(slices, &port, Family::V4);
    candidates.iter().map(|one| (one.endpoint.address, one.port, one.endpoint.ready)).collect()
}

#[test]
fn ports_are_matched_by_name_and_protocol_and_the_number_is_the_slices() {
    let slices = [
        slice("s1", ("http", 8080, Protocol::Tcp), &[mk(1)]),
        slice("s2", ("http", 9090, Protocol::Tcp), &[mk(2)]),
        slice("s3", ("http", 7070, Protocol::Udp), &[mk(3)]),
        slice("s4", ("", 6060, Protocol::Tcp), &[mk(4)]),
    ];
    assert_eq!(found(&slices, "http"), [([10, 0, 0, 1].into(), 8080, true), ([10, 0, 0, 2].into(), 9090, true)]);
    assert_eq!(found(&slices, ""), [([10, 0, 0, 4].into(), 6060, true)]);
}

#[test]
fn an_endpoint_in_two_slices_counts_once_in_its_most_usable_state() {
    let http = ("", 80, Protocol::Tcp);
    let slices = [slice("s1", http, &[mk(1).is(UNREADY), mk(2)]), slice("s2", http, &[mk(1), mk(2).is(TERMINATING)])];
    assert_eq!(found(&slices, ""), [([10, 0, 0, 1].into(), 80, true), ([10, 0, 0, 2].into(), 80, true)]);
    let ports = [slice("s1", http, &[mk(1)]), slice("s2", ("", 81, Protocol::Tcp), &[mk(1)])];
    assert_eq!(found(&ports, "").len(), 2, "two ports of one address are two endpoints");
}

#[test]
fn slices_of_the_other_family_and_of_host_names_are_left_out() {
    let mut other = slice("s1", ("", 80, Protocol::Tcp), &[mk(1)]);
    other.address_type = AddressType::Ip(Family::V6);
    let mut names = slice("s2", ("", 80, Protocol::Tcp), &[mk(1)]);
    names.address_type = AddressType::Fqdn;
    assert_eq!(found(&[other, names], ""), []);
}
