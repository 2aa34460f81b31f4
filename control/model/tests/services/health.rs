//! What load balancers are told.

use serde_json::{Value, json};
use sluice_model::{Object, ServicesConfig, health_checks};

use crate::scene::*;

fn checked(spec: Value) -> Object {
    let mut whole =
        json!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}});
    if let (Some(own), Value::Object(change)) = (whole["spec"].as_object_mut(), spec) {
        own.extend(change);
    }
    mk_service("web", 1, whole)
}

/// Port, Service and count of each health check.
fn checks(objects: impl IntoIterator<Item = Object>) -> Vec<(u16, String, usize)> {
    let index = index(objects);
    let checks = health_checks(&index, n1(&index), &ServicesConfig::default());
    checks.into_iter().map(|one| (one.node_port, one.service.to_string(), one.local_ready_endpoints)).collect()
}

#[test]
fn only_ready_endpoints_on_this_node_are_counted() {
    let endpoints =
        [mk_endpoint("10.1.1.5", "n1"), mk_endpoint("10.1.2.5", "n2"), mk_state("10.1.1.6", "n1", (false, true, true))];
    // Two ports are still one endpoint.
    let ports = json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
    let slices = [mk_slice("a", "web", &endpoints, ports), mk_slice("b", "web", &endpoints, Value::Null)];
    assert_eq!(checks(slices.into_iter().chain([checked(Value::Null)])), [(31000, "default/web".to_owned(), 1)]);
}

#[test]
fn only_terminating_endpoints_count_as_none_while_traffic_still_flows() {
    let slice = mk_slice("a", "web", &[mk_state("10.1.1.6", "n1", (false, true, true))], Value::Null);
    assert_eq!(checks([checked(Value::Null), slice.clone()]), [(31000, "default/web".to_owned(), 0)]);
    assert_eq!(outcome([checked(Value::Null), slice]).good().local(), ["10.1.1.6:8080"]);
}

#[test]
fn only_load_balancers_under_policy_local_are_asked_for() {
    assert_eq!(checks([checked(json!({"externalTrafficPolicy": "Cluster"}))]), []);
    assert_eq!(checks([checked(json!({"healthCheckNodePort": 0}))]), []);
    let node_port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    assert_eq!(checks([checked(node_port)]), []);
}
