//! Whom selectors and blocks mean.

use serde_json::{Value, json};

use super::cluster::{Cluster, Compiled, Pod};

/// Three namespaces with a web and a cache pod each, all on the other node but for the subject, `blue/subject`.
fn cluster() -> Cluster {
    let pods = ["blue", "green", "red"].into_iter().enumerate().flat_map(|(position, namespace)| {
        let address =
            move |host: u8| [format!("10.0.1.{}", 10 * position as u8 + host), format!("fd00:1::{position}{host}")];
        ["web", "cache"].into_iter().zip(2..).map(move |(app, host)| {
            let [v4, v6] = address(host);
            Pod::there(namespace, app, &[&v4, &v6]).label("app", app)
        })
    });
    let subject = Pod::here("blue", "subject", &["10.0.0.9", "fd00::9"]).label("role", "subject");
    Cluster::of(pods.chain([subject]))
        .namespace("blue", &[("team", "a")])
        .namespace("green", &[("team", "a"), ("tier", "back")])
}

fn from(peers: Value) -> Compiled {
    cluster().compile(&[(
        "blue",
        json!({"podSelector": {"matchLabels": {"role": "subject"}},
        "ingress": [{"from": peers}], "egress": [{"to": peers}]}),
    )])
}

/// The pods that may come in, of which the same must be reachable, at all their addresses.
fn peers(compiled: &Compiled) -> Vec<String> {
    let others = cluster().pods.into_iter().filter(|pod| pod.name != "subject");
    let reach = |pod: &Pod| {
        let may = |address: &std::net::IpAddr| {
            let inward = compiled.ingress("blue/subject", *address, "TCP", 80);
            assert_eq!(inward, compiled.egress("blue/subject", *address, "TCP", 80));
            inward
        };
        let all: Vec<bool> = pod.addresses().iter().map(may).collect();
        assert!(all.iter().all(|one| *one == all[0]), "both families alike");
        all[0]
    };
    others.filter(reach).map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect()
}

fn web() -> Value {
    json!({"matchLabels": {"app": "web"}})
}

fn team_a() -> Value {
    json!({"matchLabels": {"team": "a"}})
}

#[test]
fn a_pod_selector_alone_means_the_policys_own_namespace() {
    assert_eq!(peers(&from(json!([{"podSelector": web()}]))), ["blue/web"]);
    assert_eq!(peers(&from(json!([{"podSelector": {}}]))), ["blue/web", "blue/cache"]);
}

#[test]
fn a_namespace_selector_alone_means_all_its_pods_and_the_empty_one_all_namespaces() {
    let a = ["blue/web", "blue/cache", "green/web", "green/cache"];
    assert_eq!(peers(&from(json!([{"namespaceSelector": team_a()}]))), a);
    assert_eq!(peers(&from(json!([{"namespaceSelector": {}}]))).len(), 6);
}

#[test]
fn pods_are_selected_and_the_outside_is_not() {
    let compiled = from(json!([{"namespaceSelector": {}}]));
    for peer in ["198.51.100.7", "192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        assert!(!compiled.enters(peer, "blue/subject", "TCP", 80), "{peer}");
    }
}

#[test]
fn both_selectors_in_one_item_are_and_in_two_items_or() {
    let both = from(json!([{"namespaceSelector": {"matchLabels": {"tier": "back"}}, "podSelector": web()}]));
    assert_eq!(peers(&both), ["green/web"]);
    let either = from(json!([{"namespaceSelector": {"matchLabels": {"tier": "back"}}}, {"podSelector": web()}]));
    assert_eq!(peers(&either), ["blue/web", "green/web", "green/cache"]);
}

#[test]
fn all_operators_are_honoured_on_pods_and_namespaces() {
    let pods = |expression: Value| peers(&from(json!([{"podSelector": {"matchExpressions": [expression]}}])));
    assert_eq!(pods(json!({"key": "app", "operator": "In", "values": ["web", "db"]})), ["blue/web"]);
    assert_eq!(pods(json!({"key": "app", "operator": "NotIn", "values": ["web"]})), ["blue/cache"]);
    assert_eq!(pods(json!({"key": "app", "operator": "Exists"})), ["blue/web", "blue/cache"]);
    assert_eq!(pods(json!({"key": "app", "operator": "DoesNotExist"})), [] as [&str; 0]);
    let spaces = |expression: Value| peers(&from(json!([{"namespaceSelector": {"matchExpressions": [expression]}}])));
    assert_eq!(spaces(json!({"key": "tier", "operator": "Exists"})), ["green/web", "green/cache"]);
    assert_eq!(spaces(json!({"key": "tier", "operator": "NotIn", "values": ["back"]})).len(), 4);
}

#[test]
fn every_namespace_has_the_label_of_its_name_also_one_without_an_object() {
    for namespace in ["green", "red"] {
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
        let expected = [format!("{namespace}/web"), format!("{namespace}/cache")];
        assert_eq!(peers(&from(json!([{"namespaceSelector": selector}]))), expected);
    }
    // Red has no object, and so no other label.
    let absent = json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]});
    assert_eq!(peers(&from(json!([{"namespaceSelector": absent}]))), ["red/web", "red/cache"]);
}

#[test]
fn a_block_means_addresses_whoever_has_them_less_its_exceptions() {
    let compiled = from(json!([
        {"ipBlock": {"cidr": "10.0.0.0/15", "except": ["10.0.1.12/31", "10.0.1.20/30"]}},
        {"ipBlock": {"cidr": "192.0.2.2/31"}},
        {"ipBlock": {"cidr": "fd00:1::/33", "except": ["fd00:1::10/125"]}}
    ]));
    // Pods have .2 and .3, .12 and .13, .22 and .23; the last four are excepted.
    let v4 = [
        "10.0.1.2",
        "10.0.1.3",
        "10.0.1.12",
        "10.0.1.13",
        "10.0.1.22",
        "10.0.1.23",
        "10.0.1.24",
        "10.1.2.3",
        "10.2.0.0",
    ];
    let may = |peer: &&str| {
        let inward = compiled.enters(peer, "blue/subject", "TCP", 80);
        assert_eq!(inward, compiled.leaves("blue/subject", peer, "TCP", 80));
        inward
    };
    let allowed: Vec<&str> = v4.iter().copied().filter(|peer| may(peer)).collect();
    assert_eq!(allowed, ["10.0.1.2", "10.0.1.3", "10.0.1.24", "10.1.2.3"]);
    // Nodes, and pods of the host's network with them.
    assert!(may(&"192.0.2.2") && may(&"192.0.2.3") && !may(&"192.0.2.1"));
    assert!(may(&"fd00:1::2") && !may(&"fd00:1::12") && may(&"fd00:1::22") && !may(&"fd00:2::2"));
}

#[test]
fn an_exception_of_one_block_takes_nothing_from_another() {
    let compiled = from(json!([
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}},
        {"ipBlock": {"cidr": "10.0.1.0/28"}},
        {"podSelector": {"matchLabels": {"app": "cache"}}}
    ]));
    let may = |peer| compiled.enters(peer, "blue/subject", "TCP", 80);
    assert!(may("198.51.100.7") && may("10.0.1.2") && may("10.0.1.3"));
    assert!(!may("10.0.1.22") && !may("2001:db8::1"));
    // The cache by its label, at the address of the family that no block is about.
    assert!(may("fd00:1::03") && !may("fd00:1::02"));
}

#[test]
fn pods_of_the_hosts_network_are_node_addresses_that_only_blocks_mean() {
    let mut cluster = cluster();
    let mut host = Pod::there("blue", "host", &["192.0.2.2"]).label("app", "web").label("role", "subject");
    host.host_network = true;
    cluster.pods.push(host);
    let subject = json!({"matchLabels": {"role": "subject"}});
    let selected =
        json!({"podSelector": subject, "ingress": [{"from": [{"podSelector": {}}, {"namespaceSelector": {}}]}]});
    assert!(!cluster.compile(&[("blue", selected)]).enters("192.0.2.2", "blue/subject", "TCP", 80));
    let block = json!({"podSelector": subject, "ingress": [{"from": [{"ipBlock": {"cidr": "192.0.2.2/32"}}]}]});
    assert!(cluster.compile(&[("blue", block)]).enters("192.0.2.2", "blue/subject", "TCP", 80));
}
