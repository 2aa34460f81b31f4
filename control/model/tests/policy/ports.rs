//! Which ports a rule means.

use serde_json::{Value, json};

use super::cluster::{Cluster, Compiled, Pod};

const CLIENT: &str = "10.0.0.2";

/// A server of this node that calls its ports by names, and one of the other that has other numbers for them.
fn cluster() -> Cluster {
    Cluster::of([
        Pod::here("shop", "client", &[CLIENT]),
        Pod::here("shop", "server", &["10.0.0.3"]).label("app", "server").port("web", 80, "TCP").port("dns", 53, "UDP"),
        Pod::there("shop", "server-b", &["10.0.1.4", "fd00:1::4"]).label("app", "server").port("web", 8080, "TCP"),
        Pod::there("shop", "server-c", &["10.0.1.5"]).label("app", "server").port("web", 53, "UDP"),
        Pod::there("yard", "server-d", &["10.0.1.6"]).label("app", "server").port("web", 9090, "TCP"),
    ])
}

fn ingress(ports: Value) -> Compiled {
    cluster().compile(&[("shop", json!({"ingress": [{"ports": ports}]}))])
}

fn egress(to: Value, ports: Value) -> Compiled {
    cluster().compile(&[("shop", json!({"policyTypes": ["Egress"], "egress": [{"to": to, "ports": ports}]}))])
}

#[test]
fn the_protocol_is_tcp_where_none_is_written() {
    let compiled = ingress(json!([{"port": 80}, {"port": 53, "protocol": "UDP"}, {"protocol": "SCTP"}]));
    let may = |protocol, port| compiled.enters(CLIENT, "shop/server", protocol, port);
    assert!(may("TCP", 80) && !may("UDP", 80) && !may("TCP", 81));
    assert!(may("UDP", 53) && !may("TCP", 53));
    assert!(may("SCTP", 1) && may("SCTP", 65535));
}

#[test]
fn protocols_without_ports_need_a_rule_without_ports() {
    let all: Vec<Value> = ["TCP", "UDP", "SCTP"].iter().map(|protocol| json!({"protocol": protocol})).collect();
    let compiled = ingress(json!(all));
    for protocol in ["ICMP", "ICMPv6", "GRE"] {
        assert!(!compiled.enters(CLIENT, "shop/server", protocol, 0), "{protocol}");
    }
    assert!(ingress(json!([])).enters(CLIENT, "shop/server", "ICMP", 0));
}

#[test]
fn an_end_port_makes_a_range_with_both_ends() {
    let compiled = ingress(json!([{"port": 32000, "endPort": 32768}, {"port": 65535, "endPort": 65535}]));
    let may = |port| compiled.enters(CLIENT, "shop/server", "TCP", port);
    assert!(may(32000) && may(32500) && may(32768) && may(65535));
    assert!(!may(31999) && !may(32769) && !may(65534));
}

#[test]
fn a_named_port_of_ingress_is_the_subjects() {
    let compiled = ingress(json!([{"port": "web"}, {"port": "dns", "protocol": "UDP"}]));
    let may = |protocol, port| compiled.enters(CLIENT, "shop/server", protocol, port);
    assert!(may("TCP", 80) && may("UDP", 53));
    assert!(!may("TCP", 8080) && !may("TCP", 53) && !may("UDP", 80));
    // The client has no port of these names.
    for port in [80, 53, 8080] {
        assert!(!compiled.enters("10.0.0.3", "shop/client", "TCP", port));
    }
}

#[test]
fn a_named_port_of_egress_is_each_target_pods_own() {
    let to = json!([{"podSelector": {"matchLabels": {"app": "server"}}}]);
    let compiled = egress(to, json!([{"port": "web"}]));
    let may = |peer, protocol, port| compiled.leaves("shop/client", peer, protocol, port);
    assert!(may("10.0.0.3", "TCP", 80) && !may("10.0.0.3", "TCP", 8080));
    assert!(may("10.0.1.4", "TCP", 8080) && may("fd00:1::4", "TCP", 8080) && !may("10.0.1.4", "TCP", 80));
    // Its port of that name is of another protocol, so the name is not mapped there.
    assert!(!may("10.0.1.5", "UDP", 53) && !may("10.0.1.5", "TCP", 53));
    assert!(!may("10.0.1.6", "TCP", 9090), "a peer of another namespace");
}

#[test]
fn a_named_port_of_egress_to_anybody_or_to_a_block_is_still_the_target_pods() {
    let anybody = egress(json!(null), json!([{"port": "web"}]));
    assert!(
        anybody.leaves("shop/client", "10.0.1.6", "TCP", 9090) && anybody.leaves("shop/client", "10.0.0.3", "TCP", 80)
    );
    assert!(!anybody.leaves("shop/client", "198.51.100.7", "TCP", 80), "the outside has no names");
    let block = json!([{"ipBlock": {"cidr": "10.0.1.0/24", "except": ["10.0.1.6/32"]}}]);
    let compiled = egress(block, json!([{"port": "web"}]));
    assert!(compiled.leaves("shop/client", "10.0.1.4", "TCP", 8080));
    assert!(
        !compiled.leaves("shop/client", "fd00:1::4", "TCP", 8080)
            && !compiled.leaves("shop/client", "10.0.0.3", "TCP", 80)
    );
    assert!(
        !compiled.leaves("shop/client", "10.0.1.6", "TCP", 9090)
            && !compiled.leaves("shop/client", "10.0.1.9", "TCP", 8080)
    );
}

#[test]
fn a_rule_whose_only_port_is_a_name_that_nobody_has_allows_nothing() {
    let compiled = ingress(json!([{"port": "metrics"}]));
    assert!(compiled.of("shop/server").ingress.as_ref().is_some_and(|rules| rules.is_shut()));
    let compiled = egress(json!([]), json!([{"port": "metrics"}]));
    assert!(compiled.of("shop/client").egress.as_ref().is_some_and(|rules| rules.is_shut()));
}

#[test]
fn what_two_rules_or_two_policies_open_for_one_peer_is_united_however_it_is_named() {
    let block = json!([{"ipBlock": {"cidr": "10.0.1.4/30", "except": ["10.0.1.6/32"]}}]);
    let pods = json!([{"podSelector": {"matchLabels": {"app": "server"}}}]);
    for to in [block, pods, json!([])] {
        let rule = |port: Value| json!({"to": to, "ports": [port]});
        let two_rules = [rule(json!({"port": 81})), rule(json!({"port": "web"})), rule(json!({"port": 83}))];
        let spec = |rules: &[Value]| ("shop", json!({"policyTypes": ["Egress"], "egress": rules}));
        let more = spec(&[rule(json!({"port": 84})), rule(json!({"port": "dns", "protocol": "UDP"}))]);
        let mut cluster = cluster();
        cluster.pods[2].ports.push(("dns", 5353, "UDP"));
        let compiled = cluster.compile(&[spec(&two_rules), more]);
        let may = |protocol, port| compiled.leaves("shop/client", "10.0.1.4", protocol, port);
        assert!([81, 83, 84, 8080].iter().all(|port| may("TCP", *port)) && may("UDP", 5353), "{to}");
        assert!(!may("TCP", 82) && !may("TCP", 5353) && !may("UDP", 8080), "{to}");
    }
}

#[test]
fn of_several_ports_with_one_name_the_first_counts_at_both_ends() {
    let mut cluster = cluster();
    cluster.pods[1].ports.push(("web", 81, "TCP"));
    let named = json!([{"ports": [{"port": "web"}]}]);
    let compiled = cluster.compile(&[("shop", json!({"ingress": named, "egress": named}))]);
    for (port, expected) in [(80, true), (81, false)] {
        assert_eq!(compiled.enters(CLIENT, "shop/server", "TCP", port), expected);
        assert_eq!(compiled.leaves("shop/client", "10.0.0.3", "TCP", port), expected);
    }
}

#[test]
fn egress_is_judged_on_the_pods_port_and_so_after_translation() {
    // The Service's own address and port (say 10.96.0.1:443) are not what the rule is asked about.
    let compiled = egress(json!([{"podSelector": {"matchLabels": {"app": "server"}}}]), json!([{"port": 8080}]));
    assert!(compiled.leaves("shop/client", "10.0.1.4", "TCP", 8080));
    assert!(
        !compiled.leaves("shop/client", "10.96.0.1", "TCP", 443)
            && !compiled.leaves("shop/client", "10.0.1.4", "TCP", 443)
    );
}
