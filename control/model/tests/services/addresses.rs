//! External frontends: NodePorts, load balancers' addresses, externalIPs, and who may use them.

use std::net::IpAddr;

use serde_json::{Value, json};
use sluice_model::{NodePortAddresses, Object, ServicesConfig};
use sluice_tables::FrontendKind;

use crate::scene::*;

fn node_port(change: Value) -> Object {
    let mut spec =
        json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}]}});
    if let (Some(spec), Value::Object(change)) = (spec["spec"].as_object_mut(), change) {
        spec.extend(change);
    }
    mk_service("web", 1, spec)
}

fn load_balancer(ingress: Value, spec: Value) -> Object {
    let mut whole = json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}}});
    if let (Some(own), Value::Object(change)) = (whole["spec"].as_object_mut(), spec) {
        own.extend(change);
    }
    mk_service("web", 1, whole)
}

/// At which of these addresses port 30080 is served.
fn served<'a>(config: &ServicesConfig, asked: &[&'a str]) -> Vec<&'a str> {
    let outcome = outcome_with(config, [node_port(Value::Null)]).good();
    asked.iter().copied().filter(|address| outcome.at(address, 30080, TCP).is_some()).collect()
}

const LIVE: [&str; 4] = ["192.0.2.1", "198.51.100.7", "127.0.0.1", "169.254.7.7"];

fn live() -> Vec<IpAddr> {
    LIVE.iter().map(|text| ip(text)).collect()
}

#[test]
fn a_node_port_is_served_at_the_addresses_of_the_nodes_status() {
    let config = ServicesConfig { node_addresses: live(), ..ServicesConfig::default() };
    assert_eq!(served(&config, &LIVE), ["192.0.2.1"]);
    let outcome = outcome([node_port(Value::Null)]).good();
    assert_eq!(outcome.at("192.0.2.1", 30080, TCP).map(|found| found.1), Some(FrontendKind::NodePort));
    assert_eq!(outcome.name_at("192.0.2.2", 30080, TCP), "", "another node's address is not ours");
}

#[test]
fn a_node_port_may_be_served_at_all_addresses_that_packets_can_come_to() {
    let all = NodePortAddresses::All;
    let config = ServicesConfig { node_port_addresses: all, node_addresses: live(), ..ServicesConfig::default() };
    assert_eq!(served(&config, &LIVE), ["192.0.2.1", "198.51.100.7"]);
}

#[test]
fn a_node_port_may_be_served_at_the_addresses_in_given_ranges() {
    let ranges = vec!["198.51.100.0/24".parse().expect("is a network"), "127.0.0.0/8".parse().expect("is a network")];
    let node_port_addresses = NodePortAddresses::Ranges(ranges);
    let config = ServicesConfig { node_port_addresses, node_addresses: live(), ..ServicesConfig::default() };
    assert_eq!(served(&config, &LIVE), ["198.51.100.7"]);
}

#[test]
fn a_node_port_outside_of_the_usual_range_is_as_good_as_any() {
    let service = node_port(json!({"ports": [{"port": 80, "nodePort": 8888}]}));
    assert_eq!(outcome([service]).good().name_at("192.0.2.1", 8888, TCP), "default/web:80");
}

#[test]
fn a_node_port_of_a_cluster_ip_service_is_none() {
    let service = mk_service("web", 1, json!({"spec": {"ports": [{"port": 80, "nodePort": 30080}]}}));
    assert_eq!(outcome([service]).good().name_at("192.0.2.1", 30080, TCP), "");
}

#[test]
fn a_load_balancers_address_is_served_and_host_names_and_proxies_are_not() {
    let ingress = json!([
        {"ip": "203.0.113.1"}, {"hostname": "lb.example.org"},
        {"ip": "203.0.113.2", "ipMode": "VIP"}, {"ip": "203.0.113.3", "ipMode": "Proxy"}
    ]);
    let outcome = outcome([load_balancer(ingress, Value::Null)]).good();
    assert_eq!(outcome.at("203.0.113.1", 80, TCP).map(|found| found.1), Some(FrontendKind::LoadBalancer));
    assert_eq!(outcome.name_at("203.0.113.2", 80, TCP), "default/web:80");
    assert_eq!(outcome.name_at("203.0.113.3", 80, TCP), "");
}

#[test]
fn a_load_balancer_works_without_node_ports() {
    let spec = json!({"allocateLoadBalancerNodePorts": false});
    let outcome = outcome([load_balancer(json!([{"ip": "203.0.113.1"}]), spec)]).good();
    assert_eq!(outcome.name_at("203.0.113.1", 80, TCP), "default/web:80");
    assert_eq!(outcome.services.node_ports().count(), 0);
}

#[test]
fn a_load_balancer_of_another_class_is_served_alike() {
    let service = load_balancer(json!([{"ip": "203.0.113.1"}]), json!({"loadBalancerClass": "example.org/lb"}));
    assert_eq!(outcome([service]).good().name_at("203.0.113.1", 80, TCP), "default/web:80");
}

#[test]
fn two_services_share_a_load_balancers_address_on_different_ports() {
    let other = json!({
        "spec": {"type": "LoadBalancer", "ports": [{"port": 81}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    });
    let services = [load_balancer(json!([{"ip": "203.0.113.1"}]), Value::Null), mk_service("api", 2, other)];
    let outcome = outcome(services).good();
    assert_eq!(outcome.name_at("203.0.113.1", 80, TCP), "default/web:80");
    assert_eq!(outcome.name_at("203.0.113.1", 81, TCP), "default/api:81");
}

#[test]
fn external_ips_are_served_only_when_switched_on() {
    let service = mk_service("web", 1, json!({"spec": {"externalIPs": ["203.0.113.1"]}}));
    assert_eq!(outcome([service.clone()]).good().name_at("203.0.113.1", 80, TCP), "");
    let config = ServicesConfig { external_ips: true, ..ServicesConfig::default() };
    let outcome = outcome_with(&config, [service]).good();
    assert_eq!(outcome.at("203.0.113.1", 80, TCP).map(|found| found.1), Some(FrontendKind::ExternalIp));
}

#[test]
fn source_ranges_allow_their_members_alone() {
    let spec = json!({"loadBalancerSourceRanges": ["203.0.113.0/25", " 198.51.100.9/32 "]});
    let outcome = outcome([load_balancer(json!([{"ip": "203.0.113.200"}]), spec)]).good();
    let service = outcome.tcp("203.0.113.200", 80);
    let allowed = ["203.0.113.5", "198.51.100.9", "203.0.113.129", "203.0.113.200", "192.0.2.1"];
    let allowed: Vec<&str> = allowed.into_iter().filter(|source| service.allows_source(ip(source))).collect();
    assert_eq!(allowed, ["203.0.113.5", "198.51.100.9"]);
}

#[test]
fn where_the_nodes_address_is_in_a_source_range_so_is_the_load_balancers_own() {
    let spec = json!({"loadBalancerSourceRanges": ["192.0.2.0/24"]});
    let outcome = outcome([load_balancer(json!([{"ip": "203.0.113.200"}]), spec)]).good();
    assert!(outcome.tcp("203.0.113.200", 80).allows_source(ip("203.0.113.200")));
    assert!(!outcome.tcp("203.0.113.200", 80).allows_source(ip("203.0.113.201")));
}

#[test]
fn source_ranges_of_one_family_let_nobody_of_the_other_in() {
    let spec = json!({"clusterIPs": ["10.96.0.1", "fd00:96::1"], "loadBalancerSourceRanges": ["0.0.0.0/0"]});
    let outcome = outcome([load_balancer(json!([{"ip": "203.0.113.1"}, {"ip": "2001:db8:1::1"}]), spec)]).good();
    assert!(outcome.tcp("203.0.113.1", 80).allows_source(ip("198.51.100.9")));
    assert!(!outcome.tcp("2001:db8:1::1", 80).allows_source(ip("2001:db8:2::9")));
}

#[test]
fn no_source_ranges_are_no_restriction() {
    for spec in [Value::Null, json!({"loadBalancerSourceRanges": []})] {
        let outcome = outcome([load_balancer(json!([{"ip": "203.0.113.1"}]), spec)]).good();
        assert!(outcome.tcp("203.0.113.1", 80).allows_source(ip("198.51.100.9")));
    }
}

#[test]
fn external_policy_local_is_told_with_both_sets() {
    let slice = mk_slice("a", "web", &[mk_endpoint("10.1.1.5", "n1"), mk_endpoint("10.1.2.5", "n2")], Value::Null);
    let outcome = outcome([node_port(json!({"externalTrafficPolicy": "Local"})), slice]).good();
    let service = outcome.tcp("192.0.2.1", 30080);
    assert!(service.external_local() && !service.internal_local());
    assert_eq!((service.cluster().len(), service.local().len()), (2, 1));
}
