//! Which objects count, and how endpoints are gathered.

use serde_json::{Value, json};
use sluice_model::ServicesConfig;
use sluice_tables::{Choice, FrontendLookup};

use crate::scene::*;

fn web(change: Value) -> sluice_model::Object {
    mk_service("web", 1, change)
}

#[test]
fn a_service_leads_to_the_endpoints_of_its_slices() {
    let slices = [
        mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1")], Value::Null),
        mk_slice("b", "web", &[mk_endpoint("10.1.2.5", "n2"), mk_endpoint("10.1.1.5", "n1")], Value::Null),
        mk_slice("c", "other", &[mk_endpoint("10.1.2.9", "n2")], Value::Null),
    ];
    let outcome = outcome(slices.into_iter().chain([web(Value::Null)])).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080", "10.1.2.5:8080"], "all slices are merged, each endpoint once");
    assert_eq!(outcome.local(), ["10.1.1.5:8080"]);
    assert_eq!(outcome.tcp("10.96.0.1", 80).name().as_ref(), "default/web:80");
}

#[test]
fn external_names_and_headless_services_are_ignored() {
    let external = web(json!({"spec": {"type": "ExternalName", "clusterIP": ""}}));
    let headless = mk_service("db", 2, json!({"spec": {"clusterIP": "None"}}));
    assert_eq!(outcome([external, headless]).good().services.iter().len(), 0);
}

#[test]
fn services_of_another_proxy_and_those_labelled_headless_are_ignored() {
    let label = |name: &str, value: &str| web(json!({"metadata": {"labels": {name: value}}}));
    let proxied = label("service.kubernetes.io/service-proxy-name", "sluice");
    assert_eq!(outcome([proxied.clone()]).good().services.iter().len(), 0);
    assert_eq!(outcome([label("service.kubernetes.io/headless", "")]).good().services.iter().len(), 0);
    let config = ServicesConfig { proxy_name: Some("sluice".into()), ..ServicesConfig::default() };
    assert_eq!(outcome_with(&config, [proxied]).good().services.iter().len(), 1, "it is meant by this name");
    assert_eq!(outcome_with(&config, [web(Value::Null)]).good().services.iter().len(), 1);
    let other = label("service.kubernetes.io/service-proxy-name", "other");
    assert_eq!(outcome_with(&config, [other]).good().services.iter().len(), 0);
}

#[test]
fn slices_with_those_labels_are_ignored() {
    for label in ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"] {
        let hidden =
            mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1")], json!({"metadata": {"labels": {label: "x"}}}));
        assert_eq!(outcome([web(Value::Null), hidden]).good().cluster(), [""; 0], "{label}");
    }
}

#[test]
fn host_name_slices_are_ignored() {
    let names =
        mk_slice("a", "web", &[], json!({"addressType": "FQDN", "endpoints": [{"addresses": ["db.example.org"]}]}));
    assert_eq!(outcome([web(Value::Null), names]).good().cluster(), [""; 0]);
}

#[test]
fn families_are_kept_apart() {
    let dual = web(json!({"spec": {"clusterIPs": ["10.96.0.1", "fd00:96::1"]}}));
    let v4 = mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1")], Value::Null);
    let v6 = mk_slice("b", "web", &[mk_endpoint("fd00:1:1::5", "n1")], json!({"addressType": "IPv6"}));
    let outcome = outcome([dual, v4, v6]).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080"]);
    assert_eq!(shown(outcome.tcp("fd00:96::1", 80).cluster()), ["fd00:1:1::5:8080"]);
    assert_ne!(outcome.tcp("10.96.0.1", 80).key(), outcome.tcp("fd00:96::1", 80).key());
}

#[test]
fn slice_ports_are_matched_by_name_and_their_number_is_taken() {
    let ports = json!([{"name": "http", "port": 80, "targetPort": "web"}, {"name": "metrics", "port": 9090}]);
    let service = web(json!({"spec": {"ports": ports}}));
    let slice_ports =
        json!([{"name": "metrics", "port": 9999}, {"name": "http", "port": 8081}, {"name": "x", "port": 1}]);
    let slice = mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1")], json!({"ports": slice_ports}));
    let outcome = outcome([service, slice]).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8081"]);
    assert_eq!(shown(outcome.tcp("10.96.0.1", 9090).cluster()), ["10.1.1.5:9999"]);
    assert_eq!(outcome.tcp("10.96.0.1", 9090).name().as_ref(), "default/web:metrics");
}

#[test]
fn a_missing_port_name_and_an_empty_one_are_the_same() {
    let slice = mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1")], json!({"ports": [{"name": "", "port": 8080}]}));
    assert_eq!(outcome([web(Value::Null), slice]).good().cluster(), ["10.1.1.5:8080"]);
}

#[test]
fn a_service_without_a_selector_uses_whatever_ports_its_slices_have() {
    let slice = mk_slice("a", "web", &[mk_endpoint("203.0.113.9", "n9")], json!({"ports": [{"port": 31337}]}));
    let outcome = outcome([web(Value::Null), slice]).good();
    assert_eq!(outcome.cluster(), ["203.0.113.9:31337"], "an endpoint outside every podCIDR is a good one");
}

#[test]
fn conditions_that_are_missing_mean_ready_serving_and_not_terminating() {
    let endpoints = [
        json!({"addresses": ["10.1.1.5"]}),
        json!({"addresses": ["10.1.1.6"], "conditions": {"ready": null, "serving": null, "terminating": null}}),
        json!({"addresses": ["10.1.1.7"], "conditions": {"ready": false}}),
        json!({"addresses": ["10.1.1.8"], "conditions": {"ready": false, "serving": false}}),
    ];
    let outcome = outcome([web(Value::Null), mk_slice("a", "web", &endpoints, Value::Null)]).good();
    assert_eq!(outcome.cluster(), ["10.1.1.5:8080", "10.1.1.6:8080"]);
    let known = |address: &str| outcome.tcp("10.96.0.1", 80).known(ip(address), 8080);
    assert_eq!(known("10.1.1.7"), Some(true), "serving is true when missing");
    assert_eq!(known("10.1.1.8"), Some(false));
    assert_eq!(known("10.1.1.9"), None);
}

#[test]
fn one_port_number_may_be_three_protocols() {
    let port =
        |protocol: &str| json!({"name": protocol.to_lowercase(), "protocol": protocol, "port": 53, "nodePort": 30053});
    let ports = json!([port("TCP"), port("UDP"), port("SCTP")]);
    let service = web(json!({"spec": {"type": "NodePort", "ports": ports}}));
    let outcome = outcome([service]).good();
    for (protocol, name) in [(TCP, "default/web:tcp"), (UDP, "default/web:udp"), (SCTP, "default/web:sctp")] {
        assert_eq!(outcome.name_at("10.96.0.1", 53, protocol), name);
        assert_eq!(outcome.name_at("192.0.2.1", 30053, protocol), name);
    }
}

#[test]
fn sctp_has_a_port_and_another_target_port() {
    let service = web(json!({"spec": {"ports": [{"protocol": "SCTP", "port": 80, "targetPort": 9000}]}}));
    let slice_ports = json!({"ports": [{"protocol": "SCTP", "port": 9000}]});
    let slice = mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1")], slice_ports);
    let outcome = outcome([service, slice]).good();
    let (found, _) = outcome.at("10.96.0.1", 80, SCTP).expect("is there");
    assert_eq!(shown(found.cluster()), ["10.1.1.5:9000"]);
}

#[test]
fn an_undefined_port_and_an_unallocated_address_are_told_apart() {
    let service_cidrs = vec!["10.96.0.0/24".parse().expect("is a network")];
    let config = ServicesConfig { service_cidrs, ..ServicesConfig::default() };
    let outcome = outcome_with(&config, [web(Value::Null)]).good();
    let at = |address: &str, port| outcome.services.frontend(ip(address), port, TCP);
    assert!(matches!(at("10.96.0.1", 81), FrontendLookup::UndefinedPort));
    assert!(matches!(at("10.96.0.2", 80), FrontendLookup::Unallocated));
    assert!(matches!(at("10.97.0.2", 80), FrontendLookup::None));
}

#[test]
fn with_no_usable_endpoint_both_sets_are_empty_and_the_service_is_still_there() {
    let none = outcome([web(Value::Null)]).good();
    assert_eq!((none.cluster(), none.local()), (vec![], vec![]));
    let dying = [mk_state("10.1.1.5", "n1", (false, false, true))];
    let outcome = outcome([web(Value::Null), mk_slice("a", "web", &dying, Value::Null)]).good();
    assert_eq!((outcome.cluster(), outcome.local()), (vec![], vec![]));
}

#[test]
fn endpoints_elsewhere_alone_leave_the_local_set_empty() {
    let slice = mk_slice("a", "web", &[mk_endpoint("10.1.2.5", "n2")], Value::Null);
    let outcome = outcome([web(json!({"spec": {"internalTrafficPolicy": "Local"}})), slice]).good();
    assert!(outcome.tcp("10.96.0.1", 80).internal_local());
    assert_eq!((outcome.cluster(), outcome.local()), (vec!["10.1.2.5:8080".to_owned()], vec![]));
}

#[test]
fn hints_for_this_nodes_zone_are_heeded() {
    let zone = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}});
    let hinted = |address: &str, zone: &str| json!({"addresses": [address], "nodeName": "n2", "zone": zone, "hints": {"forZones": [{"name": zone}]}});
    let slice = mk_slice("s", "web", &[hinted("10.1.2.5", "a"), hinted("10.1.2.6", "b")], Value::Null);
    let objects = [web(Value::Null), slice];
    let here = outcome(objects.clone().into_iter().chain([mk_node("n1", 1, zone)])).good();
    assert_eq!(here.cluster(), ["10.1.2.5:8080"]);
    assert_eq!(outcome(objects).good().cluster().len(), 2, "a node without a zone takes all");
}

#[test]
fn affinity_has_its_timeout() {
    let affinity = |config: Value| {
        let spec = json!({"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}});
        outcome([web(spec)]).good().tcp("10.96.0.1", 80).affinity()
    };
    assert_eq!(affinity(Value::Null), Some(10_800));
    assert_eq!(affinity(json!({"clientIP": {"timeoutSeconds": 60}})), Some(60));
    assert_eq!(outcome([web(Value::Null)]).good().tcp("10.96.0.1", 80).affinity(), None);
}

#[test]
fn the_key_of_a_port_is_the_same_in_every_generation_and_for_every_frontend() {
    let spec = json!({"spec": {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}});
    let first = outcome([web(spec)]).good();
    let key = first.tcp("10.96.0.1", 80).key();
    assert_eq!(first.tcp("192.0.2.1", 30080).key(), key);
    // Another number, another address, other Services beside it: the port goes by its name.
    let moved = mk_service("web", 9, json!({"spec": {"ports": [{"name": "http", "port": 81}]}}));
    let second = outcome([mk_service("a", 2, Value::Null), moved]).good();
    assert_eq!(second.tcp("10.96.0.9", 81).key(), key);
    let other = second.tcp("10.96.0.2", 80).key();
    assert_ne!(other, key);
}

#[test]
fn backends_are_chosen_as_configured() {
    let many: Vec<Value> = (1..=20).map(|byte| mk_endpoint(&format!("10.1.2.{byte}"), "n2")).collect();
    let choose = |choice| {
        let config = ServicesConfig { choice, ..ServicesConfig::default() };
        let outcome = outcome_with(&config, [web(Value::Null), mk_slice("a", "web", &many, Value::Null)]).good();
        let hashes = (0..64_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let service = outcome.tcp("10.96.0.1", 80);
        hashes.map(|hash| service.cluster().choose(hash).expect("has backends")).collect::<Vec<_>>()
    };
    assert_ne!(choose(Choice::Maglev), choose(Choice::Random));
}
