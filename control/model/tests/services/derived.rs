//! Slices derived from Pods where nobody wrote any.

use serde_json::{Value, json};
use sluice_model::{Kind, Object};

use crate::scene::*;

fn web(change: Value) -> Object {
    let mut spec = json!({"spec": {"selector": {"app": "web"}}});
    if let (Some(spec), Value::Object(change)) = (spec["spec"].as_object_mut(), change) {
        spec.extend(change);
    }
    mk_service("web", 1, spec)
}

/// A Pod of the app `web` with an address, on a node; its spec and status may be added to.
fn pod(name: &str, address: &str, node: &str, spec: Value, status: Value) -> Object {
    let mut value = json!({
        "metadata": {"name": name, "labels": {"app": "web", "more": "x"}},
        "spec": {"nodeName": node}, "status": {"podIP": address}
    });
    for (part, change) in [("spec", spec), ("status", status)] {
        if let (Some(part), Value::Object(change)) = (value[part].as_object_mut(), change) {
            part.extend(change);
        }
    }
    object(Kind::Pod, value)
}

fn plain(name: &str, address: &str, node: &str) -> Object {
    pod(name, address, node, Value::Null, Value::Null)
}

fn ready(status: &str) -> Value {
    json!({"conditions": [{"type": "Ready", "status": status}]})
}

#[test]
fn a_service_with_a_selector_and_no_slice_has_the_pods_it_selects() {
    let mut other = plain("other", "10.1.1.7", "n1");
    if let Object::Pod(pod) = &mut other {
        pod.labels.insert("app".into(), "api".into());
    }
    let pods = [plain("a", "10.1.1.5", "n1"), plain("b", "10.1.2.5", "n2"), other];
    let outcome = outcome(pods.into_iter().chain([web(Value::Null)])).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080", "10.1.2.5:8080"]);
    assert_eq!(outcome.local(), ["10.1.1.5:8080"]);
}

#[test]
fn a_service_without_a_selector_has_no_pods() {
    let outcome = outcome([mk_service("web", 1, Value::Null), plain("a", "10.1.1.5", "n1")]).good();
    assert_eq!(outcome.cluster(), [""; 0]);
}

#[test]
fn a_slice_that_is_there_is_believed_instead() {
    let slice = mk_slice("s", "web", &[mk_endpoint("10.1.2.9", "n2")], Value::Null);
    assert_eq!(outcome([web(Value::Null), plain("a", "10.1.1.5", "n1"), slice]).good().cluster(), ["10.1.2.9:8080"]);
    let empty = mk_slice("s", "web", &[], Value::Null);
    assert_eq!(outcome([web(Value::Null), plain("a", "10.1.1.5", "n1"), empty]).good().cluster(), [""; 0]);
}

#[test]
fn pods_of_other_namespaces_are_not_selected() {
    let mut elsewhere = plain("a", "10.1.1.5", "n1");
    if let Object::Pod(pod) = &mut elsewhere {
        pod.name = sluice_model::PodName::parse("shop", "a").expect("is a name");
    }
    assert_eq!(outcome([web(Value::Null), elsewhere]).good().cluster(), [""; 0]);
}

#[test]
fn a_pod_is_ready_unless_a_condition_says_no() {
    let pods = [
        pod("a", "10.1.1.5", "n1", Value::Null, ready("True")),
        pod("b", "10.1.1.6", "n1", Value::Null, ready("False")),
        plain("c", "10.1.1.7", "n1"),
    ];
    let outcome = outcome(pods.into_iter().chain([web(Value::Null)])).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080", "10.1.1.7:8080"]);
    assert_eq!(outcome.tcp("10.96.0.1", 80).known(ip("10.1.1.6"), 8080), Some(false));
}

#[test]
fn addresses_are_published_before_pods_are_ready_where_that_is_asked_for() {
    let pods = [pod("b", "10.1.1.6", "n1", Value::Null, ready("False"))];
    let service = web(json!({"publishNotReadyAddresses": true}));
    assert_eq!(outcome(pods.into_iter().chain([service])).good().cluster(), ["10.1.1.6:8080"]);
}

#[test]
fn pods_that_are_over_or_have_no_address_are_left_out() {
    let pods = [
        pod("a", "10.1.1.5", "n1", Value::Null, json!({"phase": "Succeeded"})),
        pod("b", "10.1.1.6", "n1", Value::Null, json!({"phase": "Failed"})),
        pod("c", "", "n1", Value::Null, json!({"phase": "Running"})),
    ];
    assert_eq!(outcome(pods.into_iter().chain([web(Value::Null)])).good().cluster(), [""; 0]);
}

#[test]
fn a_pod_on_its_way_out_serves_only_while_no_other_is_ready() {
    let mut leaving = plain("a", "10.1.1.5", "n1");
    if let Object::Pod(pod) = &mut leaving {
        pod.terminating = true;
    }
    assert_eq!(outcome([web(Value::Null), leaving.clone()]).good().cluster(), ["10.1.1.5:8080"]);
    let both = outcome([web(Value::Null), leaving, plain("b", "10.1.2.5", "n2")]).good();
    assert_eq!(both.cluster(), ["10.1.2.5:8080"]);
    assert_eq!(both.local(), ["10.1.1.5:8080"]);
    assert_eq!(both.tcp("10.96.0.1", 80).known(ip("10.1.1.5"), 8080), Some(true), "its connections go on");
}

#[test]
fn a_named_target_port_is_each_pods_own() {
    let named = |port: u16| json!({"containers": [{"ports": [{"name": "http", "containerPort": port}]}]});
    let pods = [
        pod("a", "10.1.1.5", "n1", named(8080), Value::Null),
        pod("b", "10.1.1.6", "n1", named(9090), Value::Null),
        plain("c", "10.1.1.7", "n1"),
    ];
    let service = web(json!({"ports": [{"port": 80, "targetPort": "http"}]}));
    let outcome = outcome(pods.into_iter().chain([service])).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080", "10.1.1.6:9090"], "a pod that has no such port is no endpoint");
}

#[test]
fn a_named_target_port_is_looked_for_by_protocol_and_in_sidecars() {
    let containers = json!({
        "containers": [{"ports": [{"name": "dns", "containerPort": 1053, "protocol": "UDP"}]}],
        "initContainers": [
            {"ports": [{"name": "dns", "containerPort": 1}]},
            {"restartPolicy": "Always", "ports": [{"name": "dns", "containerPort": 2053}]}
        ]
    });
    let service = web(json!({"ports": [{"port": 80, "targetPort": "dns"}]}));
    let outcome = outcome([service, pod("a", "10.1.1.5", "n1", containers, Value::Null)]).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:2053"]);
}

#[test]
fn each_family_has_its_own_slice() {
    let ips = json!({"podIPs": [{"ip": "10.1.1.5"}, {"ip": "fd00:1:1::5"}]});
    let service = web(json!({"clusterIPs": ["10.96.0.1", "fd00:96::1"]}));
    let pods = [pod("a", "10.1.1.5", "n1", Value::Null, ips), plain("b", "10.1.1.6", "n1")];
    let outcome = outcome(pods.into_iter().chain([service])).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080", "10.1.1.6:8080"]);
    assert_eq!(shown(outcome.tcp("fd00:96::1", 80).cluster()), ["fd00:1:1::5:8080"]);
}

#[test]
fn host_network_pods_are_endpoints_at_their_nodes_address() {
    let pods = [pod("a", "192.0.2.2", "n2", json!({"hostNetwork": true}), Value::Null)];
    assert_eq!(outcome(pods.into_iter().chain([web(Value::Null)])).good().cluster(), ["192.0.2.2:8080"]);
}

#[test]
fn traffic_distribution_prefers_the_zone_or_the_node() {
    let zone = |name: &str, byte, zone: &str| {
        mk_node(name, byte, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
    };
    let cluster = |distribution: Value| {
        let nodes = [zone("n1", 1, "a"), zone("n2", 2, "a"), zone("n3", 3, "b")];
        let pods = [plain("x", "10.1.1.5", "n1"), plain("y", "10.1.2.5", "n2"), plain("z", "10.1.3.5", "n3")];
        let service = web(json!({"trafficDistribution": distribution}));
        outcome(nodes.into_iter().chain(pods).chain([service])).good().cluster().len()
    };
    assert_eq!(cluster(Value::Null), 3);
    assert_eq!(cluster(json!("PreferSameZone")), 2);
    assert_eq!(cluster(json!("PreferClose")), 2);
    assert_eq!(cluster(json!("PreferSameNode")), 1);
    assert_eq!(cluster(json!("SomethingLater")), 3, "a word that is not known is no preference");
}
