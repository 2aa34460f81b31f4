//! Two Services that claim one frontend, and frontends that nobody can have.

use serde_json::{Value, json};
use sluice_model::{Inputs, NodePortAddresses, Object, ServicesConfig, compile, compile_services, masquerade};

use crate::scene::*;

/// A load balancer at 203.0.113.1 port 80, made at a time.
fn at(name: &str, byte: u8, created: Option<&str>) -> Object {
    mk_service(
        name,
        byte,
        json!({
            "metadata": {"creationTimestamp": created},
            "spec": {"type": "LoadBalancer"},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
        }),
    )
}

#[test]
fn the_older_service_has_the_frontend_and_the_other_is_told() {
    let services = [at("a", 1, Some("2026-01-02T00:00:00Z")), at("b", 2, Some("2026-01-01T00:00:00Z"))];
    let outcome = outcome(services);
    assert_eq!(outcome.name_at("203.0.113.1", 80, TCP), "default/b:80");
    assert_eq!(
        outcome.faults,
        [
            "Service default/a: status.loadBalancer.ingress 203.0.113.1:80/TCP belongs to Service default/b:80, which comes \
          first; take another"
        ]
    );
    assert_eq!(outcome.name_at("10.96.0.1", 80, TCP), "default/a:80", "its other frontends are its own");
}

#[test]
fn of_two_of_one_age_the_first_by_name_has_it() {
    let time = Some("2026-01-01T00:00:00Z");
    assert_eq!(outcome([at("b", 2, time), at("a", 1, time)]).name_at("203.0.113.1", 80, TCP), "default/a:80");
    assert_eq!(outcome([at("b", 2, None), at("a", 1, None)]).name_at("203.0.113.1", 80, TCP), "default/a:80");
}

#[test]
fn a_service_without_an_age_comes_after_those_that_have_one() {
    assert_eq!(
        outcome([at("a", 1, None), at("b", 2, Some("2026-01-01T00:00:00Z"))]).name_at("203.0.113.1", 80, TCP),
        "default/b:80"
    );
}

#[test]
fn two_services_with_one_node_port_are_told() {
    let spec = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}});
    let outcome = outcome([mk_service("a", 1, spec.clone()), mk_service("b", 2, spec)]);
    assert_eq!(outcome.name_at("192.0.2.1", 30080, TCP), "default/a:80");
    assert_eq!(outcome.faults.len(), 1);
    assert!(
        outcome.faults[0].starts_with("Service default/b: spec.ports[0].nodePort 30080 belongs to"),
        "{:?}",
        outcome.faults
    );
}

#[test]
fn two_services_with_one_cluster_ip_are_told() {
    let outcome = outcome([mk_service("a", 1, Value::Null), mk_service("b", 1, Value::Null)]);
    assert_eq!(outcome.name_at("10.96.0.1", 80, TCP), "default/a:80");
    assert!(
        outcome.faults[0].starts_with("Service default/b: spec.clusterIPs 10.96.0.1:80/TCP belongs"),
        "{:?}",
        outcome.faults
    );
}

#[test]
fn nobody_takes_a_cluster_ip_away_by_naming_it_as_an_external_one() {
    let thief =
        json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}, "spec": {"externalIPs": ["10.96.0.2"]}});
    let config = ServicesConfig { external_ips: true, ..ServicesConfig::default() };
    let outcome = outcome_with(&config, [mk_service("a", 1, thief), mk_service("b", 2, Value::Null)]);
    assert_eq!(outcome.name_at("10.96.0.2", 80, TCP), "default/b:80");
    assert!(
        outcome.faults[0].starts_with("Service default/a: spec.externalIPs 10.96.0.2:80/TCP belongs"),
        "{:?}",
        outcome.faults
    );
}

#[test]
fn an_address_that_is_an_external_one_and_the_load_balancers_is_no_conflict() {
    let both = json!({
        "spec": {"type": "LoadBalancer", "externalIPs": ["203.0.113.1"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    });
    let config = ServicesConfig { external_ips: true, ..ServicesConfig::default() };
    outcome_with(&config, [mk_service("web", 1, both)]).good();
}

/// Frontends that a generation would be refused for, each told by the Service's name instead.
#[test]
fn what_nobody_can_have_is_told_and_the_generation_is_made_all_the_same() {
    let cases = [
        (json!({"spec": {"clusterIP": "10.1.1.9"}}), "spec.clusterIPs 10.1.1.9 lies in 10.1.1.0/24, which is for pods"),
        (json!({"spec": {"clusterIP": "10.1.2.9"}}), "spec.clusterIPs 10.1.2.9 lies in 10.1.2.0/24, which is for pods"),
        (json!({"spec": {"clusterIP": "192.0.2.1"}}), "spec.clusterIPs 192.0.2.1 is an address of this node"),
        (
            json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 61000}]}}),
            "spec.ports[0].nodePort 61000 is one that the switch masquerades or tunnels with",
        ),
        (
            json!({"spec": {"type": "NodePort", "ports": [{"protocol": "UDP", "port": 80, "nodePort": 4789}]}}),
            "spec.ports[0].nodePort 4789 is one that the switch masquerades or tunnels with",
        ),
        (
            json!({"spec": {"externalIPs": ["192.0.2.1"], "ports": [{"port": 65000}]}}),
            "spec.externalIPs 65000 is one that the switch masquerades or tunnels with",
        ),
    ];
    let config = ServicesConfig { external_ips: true, tunnel_port: Some(4789), ..ServicesConfig::default() };
    for (change, told) in cases {
        let index = index([mk_service("bad", 1, change), mk_service("good", 2, Value::Null)]);
        let node = n1(&index);
        let (services, faults) = compile_services(&index, node, &config, 7);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            faults.len() == 1 && faults[0].contains(told) && faults[0].contains("default/bad"),
            "{told}: {faults:?}"
        );
        let masquerade = masquerade(node, config.masquerade_ports, Vec::new(), true);
        let inputs = Inputs { services: services.into(), masquerade, ..Inputs::new(1, 0, node) };
        let tables = compile(&inputs).expect("is made");
        let found = tables.frontend(ip("10.96.0.2"), 80, TCP);
        assert!(matches!(found, sluice_tables::FrontendLookup::Found(..)), "{told}");
    }
}

#[test]
fn an_external_address_may_be_the_nodes_own() {
    let service = mk_service("web", 1, json!({"spec": {"externalIPs": ["192.0.2.1"]}}));
    let config = ServicesConfig { external_ips: true, ..ServicesConfig::default() };
    assert_eq!(outcome_with(&config, [service]).good().name_at("192.0.2.1", 80, TCP), "default/web:80");
}

/// Node-local DNS binds the address of the cluster's DNS on a device of the node, IPVS every ClusterIP.
#[test]
fn a_cluster_ip_that_the_nodes_stack_has_too_stays_the_services_and_serves_no_node_port() {
    let config = ServicesConfig {
        service_cidrs: vec!["10.96.0.0/24".parse().expect("is a network")],
        node_port_addresses: NodePortAddresses::All,
        node_addresses: [ip("10.96.0.1"), ip("10.96.0.77"), ip("10.97.0.1"), ip("198.51.100.7")].into(),
        ..ServicesConfig::default()
    };
    let spec = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}});
    let outside = json!({"spec": {"clusterIP": "10.97.0.1"}});
    let index = index([mk_service("dns", 1, spec), mk_service("old", 0, outside)]);
    let node = n1(&index);
    let (services, faults) = compile_services(&index, node, &config, 7);
    assert!(faults.is_empty(), "{faults:?}");
    let mut served: Vec<String> = services.node_port_addresses().map(|address| address.to_string()).collect();
    served.sort();
    assert_eq!(served, ["192.0.2.1", "198.51.100.7", "2001:db8::1"]);
    let node_addresses = &config.node_addresses;
    compile(&Inputs { services: services.into(), node_addresses, ..Inputs::new(1, 0, node) }).expect("is made");
}
