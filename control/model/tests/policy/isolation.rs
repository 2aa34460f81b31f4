//! Which pods are isolated, in which direction, and what policies together allow them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::{Cluster, Compiled, Pod};

const CLIENT: &str = "10.0.0.2";
const OUTSIDE: &str = "198.51.100.7";

fn shop() -> Cluster {
    Cluster::of([
        Pod::here("shop", "client", &[CLIENT]).label("app", "client"),
        Pod::here("shop", "server", &["10.0.0.3"]).label("app", "server"),
        Pod::here("yard", "server", &["10.0.0.4"]).label("app", "server"),
    ])
}

fn one(spec: Value) -> Compiled {
    shop().compile(&[("shop", spec)])
}

/// Whether the pod is isolated: ingress, egress.
fn isolated(compiled: &Compiled, pod: &str) -> (bool, bool) {
    let policy = compiled.of(pod);
    (policy.ingress.is_some(), policy.egress.is_some())
}

#[test]
fn without_a_policy_nobody_is_isolated() {
    let compiled = shop().compile(&[]);
    for pod in ["shop/client", "shop/server", "yard/server"] {
        assert_eq!(isolated(&compiled, pod), (false, false));
    }
}

#[test]
fn isolation_is_per_direction_and_begins_with_the_first_policy_of_that_type() {
    let server = json!({"matchLabels": {"app": "server"}});
    let only = |types: Value| one(json!({"podSelector": server, "policyTypes": types}));
    assert_eq!(isolated(&only(json!(["Ingress"])), "shop/server"), (true, false));
    assert_eq!(isolated(&only(json!(["Egress"])), "shop/server"), (false, true));
    let both = only(json!(["Ingress", "Egress"]));
    assert_eq!(isolated(&both, "shop/server"), (true, true));
    assert_eq!(isolated(&both, "shop/client"), (false, false));
    assert_eq!(isolated(&both, "yard/server"), (false, false), "a policy is about its own namespace");
}

#[test]
fn absent_policy_types_isolate_ingress_always_and_egress_with_egress_rules() {
    assert_eq!(isolated(&one(json!({})), "shop/server"), (true, false));
    assert_eq!(isolated(&one(json!({"egress": [{}]})), "shop/server"), (true, true));
    assert_eq!(isolated(&one(json!({"policyTypes": ["Egress"], "ingress": [{}]})), "shop/server"), (false, true));
}

#[test]
fn an_empty_pod_selector_is_the_whole_namespace() {
    let compiled = one(json!({"podSelector": {}}));
    let all = ["shop/client", "shop/server", "yard/server"].map(|pod| isolated(&compiled, pod).0);
    assert_eq!(all, [true, true, false]);
}

#[test]
fn no_rule_denies_all_and_an_empty_rule_allows_all() {
    for ingress in [json!([]), json!(null)] {
        let compiled = one(json!({"policyTypes": ["Ingress"], "ingress": ingress}));
        assert!(
            !compiled.enters(CLIENT, "shop/server", "TCP", 80) && !compiled.enters(OUTSIDE, "shop/server", "UDP", 53)
        );
        assert!(compiled.of("shop/server").ingress.as_ref().is_some_and(|rules| rules.is_shut()));
    }
    let compiled = one(json!({"ingress": [{}], "egress": [{}]}));
    for (protocol, port) in [("TCP", 80), ("UDP", 53), ("SCTP", 7), ("ICMP", 0), ("GRE", 0)] {
        assert!(compiled.enters(OUTSIDE, "shop/server", protocol, port), "{protocol}");
        assert!(compiled.leaves("shop/server", OUTSIDE, protocol, port), "{protocol}");
    }
}

#[test]
fn an_absent_or_empty_from_or_to_is_any_peer() {
    for peers in [json!(null), json!([])] {
        let rules = |list: &str| json!([{list: peers, "ports": [{"port": 80}]}]);
        let compiled = one(json!({"ingress": rules("from"), "egress": rules("to")}));
        for peer in [CLIENT, OUTSIDE, "2001:db8::7", "192.0.2.2"] {
            assert!(compiled.enters(peer, "shop/server", "TCP", 80) && compiled.leaves("shop/server", peer, "TCP", 80));
            assert!(
                !compiled.enters(peer, "shop/server", "TCP", 81) && !compiled.leaves("shop/server", peer, "TCP", 81)
            );
        }
    }
}

#[test]
fn absent_or_empty_ports_are_any_port_and_protocol() {
    for ports in [json!(null), json!([])] {
        let from = json!([{"podSelector": {"matchLabels": {"app": "client"}}}]);
        let compiled = one(json!({"ingress": [{"from": from, "ports": ports}]}));
        for (protocol, port) in [("TCP", 1), ("UDP", 65535), ("SCTP", 80), ("ICMP", 0), ("GRE", 0)] {
            assert!(compiled.enters(CLIENT, "shop/server", protocol, port), "{protocol}");
            assert!(!compiled.enters("10.0.0.4", "shop/server", protocol, port), "{protocol}");
        }
    }
}

#[test]
fn policies_only_add_and_their_order_is_of_no_matter() {
    let port = |port: u16| ("shop", json!({"ingress": [{"ports": [{"port": port}]}]}));
    let deny = ("shop", json!({"ingress": []}));
    let reach = |policies: &[(&str, Value)]| {
        let compiled = shop().compile(policies);
        [80, 81, 82].map(|port| compiled.enters(CLIENT, "shop/server", "TCP", port))
    };
    assert_eq!(reach(&[port(80), deny.clone(), port(81)]), [true, true, false]);
    assert_eq!(reach(&[port(81), port(80), deny.clone()]), [true, true, false]);
    assert_eq!(reach(&[deny]), [false, false, false]);
}

#[test]
fn an_attachment_whose_pod_is_not_known_is_shut_where_its_namespace_has_a_policy() {
    let mut cluster = shop();
    cluster.pods[1].known = false;
    // A policy that would let it in, had it the labels.
    let anybody = json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [{}], "egress": [{}]});
    let compiled = cluster.compile(&[("shop", anybody)]);
    assert_eq!(isolated(&compiled, "shop/server"), (true, true));
    assert!(!compiled.enters(CLIENT, "shop/server", "TCP", 80) && !compiled.leaves("shop/server", OUTSIDE, "TCP", 80));
    assert_eq!(isolated(&cluster.compile(&[("yard", json!({}))]), "shop/server"), (false, false));
}

#[test]
fn a_pod_of_the_same_name_elsewhere_or_in_the_hosts_network_says_nothing_of_an_attachment() {
    for change in [|pod: &mut Pod| pod.node = Some("there"), |pod: &mut Pod| pod.host_network = true] {
        let mut cluster = shop();
        change(&mut cluster.pods[1]);
        let compiled = cluster.compile(&[("shop", json!({"podSelector": {"matchLabels": {"app": "client"}}}))]);
        assert_eq!(isolated(&compiled, "shop/server"), (true, true));
        assert_eq!(isolated(&compiled, "shop/client"), (true, false));
    }
}

#[test]
fn pods_with_the_same_policies_share_their_rules() {
    let mut cluster = shop();
    cluster.pods.push(Pod::here("shop", "server-2", &["10.0.0.5"]).label("app", "server").port("web", 80, "TCP"));
    cluster.pods.push(Pod::here("shop", "server-3", &["10.0.0.6"]).label("app", "server").port("web", 81, "TCP"));
    let compiled = cluster.compile(&[("shop", json!({"ingress": [{"ports": [{"port": 80}]}], "egress": [{}]}))]);
    let ingress = |pod: &str| Arc::clone(compiled.of(pod).ingress.as_ref().expect("is isolated"));
    assert!(Arc::ptr_eq(&ingress("shop/server"), &ingress("shop/server-2")));
    assert!(Arc::ptr_eq(&ingress("shop/client"), &ingress("shop/server-3")));
    let compiled = cluster.compile(&[("shop", json!({"ingress": [{"ports": [{"port": "web"}]}], "egress": [{}]}))]);
    let ingress = |pod: &str| Arc::clone(compiled.of(pod).ingress.as_ref().expect("is isolated"));
    assert!(!Arc::ptr_eq(&ingress("shop/server-2"), &ingress("shop/server-3")), "the name is another port in each");
    assert!(Arc::ptr_eq(&ingress("shop/server"), &ingress("shop/client")), "neither has the port");
}
