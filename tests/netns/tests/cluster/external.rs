//! Services from outside, and pods to the outside.

use std::collections::BTreeSet;

use serde_json::json;

use crate::call::Failed;
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, service, with_endpoints};
use crate::place::Place;
use crate::server::Server;
use crate::services::{both, serve_web};

/// Ports that the switch masquerades with, by default.
const MASQUERADE_PORTS: std::ops::RangeInclusive<u16> = 61000..=65535;

/// An address of a load balancer of each family, that no node has.
const BALANCER: [&str; 2] = ["203.0.113.10", "2001:db8:b::10"];
/// An external address of each family.
const EXTERNAL: [&str; 2] = ["203.0.113.20", "2001:db8:b::20"];

/// Sends the outside's packets for an address to a node.
fn lead(outside: &Place, address: &str, node: &Place) {
    let address: std::net::IpAddr = address.parse().expect("an address");
    outside.route(address.into(), node.addresses[usize::from(address.is_ipv6())]);
}

fn at(address: &str, port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::new(address.parse().expect("an address"), port)
}

#[test]
fn a_node_port_with_policy_cluster_serves_from_both_nodes_and_hides_the_client() {
    let cluster = Cluster::up("npclus");
    let (pods, _servers) = serve_web(&cluster);
    cluster.apply("web", &with_endpoints(node_port_service("web", 30, 30030, &json!({})), &both(&pods)));
    let (outside, node) = (cluster.outside(), cluster.node("node-a"));
    for to in node.at(30030) {
        outside.await_tcp(to);
        let mut servers = BTreeSet::new();
        for _ in 0..30 {
            for answer in [outside.tcp(to), outside.udp(to, 100)] {
                assert_eq!(answer.seen.ip(), node.like(to), "masqueraded: {answer:?}");
                assert!(MASQUERADE_PORTS.contains(&answer.seen.port()), "{answer:?}");
                servers.insert(answer.server);
            }
        }
        assert_eq!(servers, BTreeSet::from(["web-a".to_owned(), "web-b".to_owned()]), "{to}");
        // From pods of this node and of another, and from another node, the same.
        for place in [cluster.pod("client"), cluster.pod("other"), cluster.node("node-b")] {
            place.await_tcp(to);
            place.udp(to, 100);
        }
    }
}

#[test]
fn a_node_port_with_policy_local_keeps_the_client_and_is_silent_on_a_node_without_endpoint() {
    let cluster = Cluster::up("nplocal");
    let (pods, _servers) = serve_web(&cluster);
    let more = json!({ "externalTrafficPolicy": "Local" });
    let service = node_port_service("web", 31, 30031, &more);
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&pods[1], "node-b")]));
    let (outside, here, elsewhere) = (cluster.outside(), cluster.node("node-b"), cluster.node("node-a"));
    for to in here.at(30031) {
        for answer in [outside.await_tcp(to), outside.tcp(to), outside.udp(to, 100)] {
            assert_eq!((answer.server.as_str(), answer.seen.ip()), ("web-b", outside.like(to)), "{to}");
        }
    }
    for to in elsewhere.at(30031) {
        // A pod of the node itself is served all the same, which also shows that the Service is in force there.
        let client = cluster.pod("client");
        assert_eq!(client.await_tcp(to).seen.ip(), client.like(to));
        let before = cluster.drops("node-a", "service_no_local_endpoints");
        assert_eq!(outside.tcp_fails(to), Failed::Silent);
        assert_eq!(outside.udp_fails(to), Failed::Silent);
        cluster.await_drops("node-a", "service_no_local_endpoints", before + 2);
    }
}

#[test]
fn a_load_balancer_s_address_serves_the_source_ranges_alone() {
    let cluster = Cluster::up("balance");
    let (pods, _servers) = serve_web(&cluster);
    let more = json!({
        "type": "LoadBalancer", "loadBalancerSourceRanges": ["198.51.100.0/24", "2001:db8:ffff::/64"],
    });
    let mut service = node_port_service("web", 32, 30032, &more);
    service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": BALANCER[0] }, { "ip": BALANCER[1] }] } });
    cluster.apply("web", &with_endpoints(service, &both(&pods)));
    let (outside, beyond, node) = (cluster.outside(), cluster.beyond(), cluster.node("node-a"));
    for address in BALANCER {
        let to = at(address, 80);
        lead(&outside, address, &node);
        // A node port has no source ranges, so it tells when the Service is in force.
        outside.await_tcp(node.at(30032)[usize::from(to.is_ipv6())]);
        assert_eq!(beyond.udp(to, 100).seen.ip(), node.like(to), "who is in the ranges; policy Cluster masquerades");
        let before = cluster.drops("node-a", "service_source_range");
        assert_eq!(outside.udp_fails_from(outside.like(to), to), Failed::Silent, "{to}");
        cluster.await_drops("node-a", "service_source_range", before + 1);
    }
}

#[test]
fn an_external_ip_is_served_to_the_outside_and_to_pods() {
    let cluster = Cluster::up("external");
    let (pods, _servers) = serve_web(&cluster);
    let service = service("web", 33, &json!({ "externalIPs": EXTERNAL }));
    cluster.apply("web", &with_endpoints(service, &both(&pods)));
    let (outside, client, node) = (cluster.outside(), cluster.pod("client"), cluster.node("node-a"));
    for address in EXTERNAL {
        let to = at(address, 80);
        lead(&outside, address, &node);
        assert_eq!(outside.await_tcp(to).seen.ip(), node.like(to));
        outside.udp(to, 100);
        client.await_tcp(to);
    }
}

#[test]
fn a_cluster_ip_asked_from_outside_is_masqueraded() {
    let cluster = Cluster::up("vipout");
    let (pods, _servers) = serve_web(&cluster);
    cluster.apply("web", &with_endpoints(service("web", 34, &json!({})), &[Endpoint::ready(&pods[1], "node-b")]));
    let (outside, node) = (cluster.outside(), cluster.node("node-a"));
    for to in frontends(34, 80) {
        lead(&outside, &to.ip().to_string(), &node);
        let answer = outside.await_tcp(to);
        assert_eq!((answer.server.as_str(), answer.seen.ip()), ("web-b", node.like(to)), "{to}");
    }
}

#[test]
fn a_pod_speaks_to_the_outside_by_its_node_and_a_reserved_port() {
    let cluster = Cluster::up("egress");
    let beyond = cluster.beyond();
    let _server = Server::start(&beyond, PORT);
    for (pod, node) in [("client", "node-a"), ("other", "node-b")] {
        let (pod, node) = (cluster.pod(pod), cluster.node(node));
        for to in beyond.at(PORT) {
            for answer in [pod.await_tcp(to), pod.udp(to, 100), pod.udp(to, 3000)] {
                assert_eq!((answer.server.as_str(), answer.seen.ip()), ("beyond", node.like(to)), "{to}");
                assert!(MASQUERADE_PORTS.contains(&answer.seen.port()), "{answer:?}");
            }
            assert!(pod.pings(to.ip(), 3), "echo is masqueraded too: {to}");
            crate::overlay::transfer(&pod, to, 4 * 1024 * 1024);
        }
    }
    // The node's own packets keep to the ports that are not reserved.
    let node = cluster.node("node-a");
    for to in beyond.at(PORT) {
        assert!(!MASQUERADE_PORTS.contains(&node.tcp(to).seen.port()));
    }
}
