//! The oracle itself: it is held to small clusters whose answers can be read off, and what is tried must reach every answer.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sluice_world::cluster::{
    Cluster, Endpoint, Namespace, Node, Peer, Pod, Policy, Protocol, Rule, Selector, Service, ServiceKind, ServicePort,
    Slice, SlicePort, generate, node_address, pod_address,
};
use sluice_world::expect::{Answer, Delivery, Source, To, answer};
use sluice_world::traffic::{Content, Flow, From, drafts, outsider};

fn pod(namespace: usize, node: usize, number: u8) -> Pod {
    Pod {
        namespace,
        labels: BTreeMap::new(),
        node,
        number,
        v4: true,
        v6: true,
        host_network: false,
        ports: Vec::new(),
        over: false,
    }
}

fn endpoint(node: usize, number: u8) -> Endpoint {
    Endpoint {
        address: pod_address(node, number, true),
        node: Some(node),
        ready: None,
        serving: None,
        terminating: None,
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
    }
}

/// Two nodes; pods 2 and 3 on ours, 4 on the other; a Service with pods 3 and 4 behind it.
fn small() -> Cluster {
    let name = Some("web".to_owned());
    let service = Service {
        namespace: 0,
        kind: ServiceKind::NodePort,
        cluster_ips: vec!["10.96.0.10".parse().expect("an address")],
        ports: vec![ServicePort { name: name.clone(), protocol: Protocol::Tcp, port: 80, node_port: Some(30_000) }],
        external_ips: Vec::new(),
        ingress: Vec::new(),
        source_ranges: Vec::new(),
        internal_local: false,
        external_local: false,
        affinity: None,
        foreign_proxy: false,
        slices: vec![Slice {
            v4: true,
            ports: vec![SlicePort { name, protocol: Protocol::Tcp, port: 8080 }],
            endpoints: vec![endpoint(0, 3), endpoint(1, 4)],
        }],
    };
    Cluster {
        nodes: vec![Node::default(); 2],
        namespaces: vec![Namespace::default(); 2],
        pods: vec![pod(0, 0, 2), pod(0, 0, 3), pod(1, 1, 4)],
        services: vec![service],
        ..Cluster::default()
    }
}

fn tcp(from: From, source: std::net::IpAddr, destination: &str, port: u16) -> Flow {
    let destination = destination.parse().expect("an address");
    let content = Content::Transport(Protocol::Tcp);
    Flow { from, source, destination, content, source_port: 40_000, destination_port: port }
}

fn from_pod(destination: &str, port: u16) -> Flow {
    tcp(From::Pod(0), pod_address(0, 2, true), destination, port)
}

fn arrives(to: To, source: Source, node: usize, number: u8) -> Answer {
    Answer::Delivered(Delivery { to, source, destination: pod_address(node, number, true), port: 8080 })
}

#[test]
fn a_cluster_ip_leads_to_any_endpoint_and_keeps_the_client() {
    let expected = vec![arrives(To::Pod(1), Source::Kept, 0, 3), arrives(To::Peer(1), Source::Kept, 1, 4)];
    assert_eq!(answer(&small(), &from_pod("10.96.0.10", 80)), expected);
    assert_eq!(answer(&small(), &from_pod("10.96.0.10", 81)), [Answer::Rejected("service_no_port")]);
    assert_eq!(answer(&small(), &from_pod("10.96.0.11", 80)), [Answer::Dropped("service_unallocated")]);
}

#[test]
fn a_node_port_masquerades_unless_its_policy_is_local() {
    let mut cluster = small();
    let flow = tcp(From::Outside, outsider(9, true), "192.0.2.10", 30_000);
    let both = vec![arrives(To::Pod(1), Source::Masqueraded, 0, 3), arrives(To::Peer(1), Source::Masqueraded, 1, 4)];
    assert_eq!(answer(&cluster, &flow), both);
    cluster.services[0].external_local = true;
    assert_eq!(answer(&cluster, &flow), [arrives(To::Pod(1), Source::Kept, 0, 3)]);
    cluster.services[0].slices[0].endpoints.remove(0);
    assert_eq!(answer(&cluster, &flow), [Answer::Dropped("service_no_local_endpoints")]);
    let from_pod = from_pod("192.0.2.10", 30_000);
    assert_eq!(answer(&cluster, &from_pod), [arrives(To::Peer(1), Source::Kept, 1, 4)]);
    cluster.services[0].slices[0].endpoints.clear();
    assert_eq!(answer(&cluster, &flow), [Answer::Rejected("service_no_endpoints")]);
}

#[test]
fn a_terminating_endpoint_serves_only_where_none_is_ready() {
    let mut cluster = small();
    let endpoints = &mut cluster.services[0].slices[0].endpoints;
    endpoints[1].ready = Some(false);
    endpoints[1].terminating = Some(true);
    assert_eq!(answer(&cluster, &from_pod("10.96.0.10", 80)), [arrives(To::Pod(1), Source::Kept, 0, 3)]);
    cluster.services[0].slices[0].endpoints.remove(0);
    assert_eq!(answer(&cluster, &from_pod("10.96.0.10", 80)), [arrives(To::Peer(1), Source::Kept, 1, 4)]);
}

#[test]
fn an_isolated_pod_is_reached_by_those_that_a_rule_names() {
    let mut cluster = small();
    let policy =
        Policy { namespace: 0, subject: Selector::default(), types: None, ingress: Some(Vec::new()), egress: None };
    cluster.policies.push(policy);
    let direct = from_pod("10.7.0.3", 8080);
    assert_eq!(answer(&cluster, &direct), [Answer::Dropped("policy_ingress")]);
    let of_node = tcp(From::Host, node_address(0, true), "10.7.0.3", 8080);
    assert_eq!(answer(&cluster, &of_node), [arrives(To::Pod(1), Source::Kept, 0, 3)]);
    let same = Peer::Pods { namespaces: None, pods: Some(Selector::default()) };
    cluster.policies[0].ingress = Some(vec![Rule { peers: vec![same], ports: Vec::new() }]);
    assert_eq!(answer(&cluster, &direct), [arrives(To::Pod(1), Source::Kept, 0, 3)]);
    let other_namespace = tcp(From::Peer(1), pod_address(1, 4, true), "10.7.0.3", 8080);
    assert_eq!(answer(&cluster, &other_namespace), [Answer::Dropped("policy_ingress")]);
}

#[test]
fn what_leaves_the_cluster_carries_the_nodes_address() {
    let to = |address: &str| answer(&small(), &from_pod(address, 443));
    let leaves = |hop: &str, destination: &str| {
        let [hop, destination] = [hop, destination].map(|text| text.parse().expect("an address"));
        vec![Answer::Delivered(Delivery {
            to: To::Neighbour(hop),
            source: Source::Masqueraded,
            destination,
            port: 443,
        })]
    };
    assert_eq!(to("198.51.100.5"), leaves("192.0.2.1", "198.51.100.5"));
    assert_eq!(to("192.0.2.77"), leaves("192.0.2.77", "192.0.2.77"));
}

/// A property is worth what its inputs reach.
#[test]
fn the_flows_tried_reach_every_answer() {
    let mut runner = TestRunner::deterministic();
    let strategy = (generate::clusters(), vec(drafts(), 40));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut flows, mut open) = (0, 0);
    for _ in 0..400 {
        let (cluster, drafts) = strategy.new_tree(&mut runner).expect("no input is rejected").current();
        for flow in drafts.iter().filter_map(|draft| draft.fit(&cluster)) {
            flows += 1;
            for answer in answer(&cluster, &flow) {
                open += usize::from(answer == Answer::AnythingButAPod);
                *seen.entry(kind(&answer)).or_default() += 1;
            }
        }
    }
    let all = [
        "pod kept",
        "pod masqueraded",
        "peer kept",
        "peer masqueraded",
        "neighbour masqueraded",
        "host kept",
        "host",
        "punted",
        "policy_egress",
        "policy_ingress",
        "service_no_endpoints",
        "service_no_local_endpoints",
        "service_no_port",
        "service_unallocated",
        "service_source_range",
        "spoofed_address",
        "tunnel_spoofed",
        "no_such_pod",
        "no_route",
        "same_port",
    ];
    let missing: Vec<_> = all.iter().filter(|name| seen.get(**name).is_none_or(|&times| times < 5)).collect();
    assert!(missing.is_empty(), "seldom or never tried: {missing:?} of {seen:?}");
    assert!(flows > 10_000, "{flows} flows fit");
    assert!(open * 20 < flows, "{open} of {flows} are left open");
}

fn kind(answer: &Answer) -> String {
    match answer {
        Answer::Delivered(Delivery { to, source, .. }) => {
            let to = match to {
                To::Pod(_) => "pod",
                To::Host => "host",
                To::Peer(_) => "peer",
                To::Neighbour(_) => "neighbour",
            };
            match source {
                Source::Kept => format!("{to} kept"),
                Source::Masqueraded => format!("{to} masqueraded"),
                Source::Either => to.to_owned(),
            }
        }
        Answer::Rejected(reason) | Answer::Dropped(reason) => (*reason).to_owned(),
        Answer::Punted => "punted".to_owned(),
        Answer::AnythingButAPod => "open".to_owned(),
    }
}

/// Every cluster made up is one that the model takes and the tables hold.
#[test]
fn clusters_are_right_in_themselves() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let cluster = generate::clusters().new_tree(&mut runner).expect("no input is rejected").current();
        let tables = sluice_world::wiring::tables(&cluster, 1, 2);
        assert_eq!(tables.ports().count(), cluster.attached().count() + 1 + 2 * usize::from(cluster.setup.uplink));
    }
}
