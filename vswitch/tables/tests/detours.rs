//! What of the node's own packets is led into the switch.

mod parts;

use std::sync::Arc;

use parts::{builder, ip, service};
use sluice_tables::*;
use sluice_wire::protocol::TCP;

fn tcp(port: u16) -> ClaimedPort {
    ClaimedPort { protocol: TCP, port }
}

fn of(services: ServicesBuilder) -> Detours {
    builder().services(Arc::new(services.build())).build().expect("good tables").detours()
}

#[test]
fn node_ports_and_external_addresses_of_the_node_are() {
    let mut services = ServicesBuilder::new(0);
    let id = services.service(service(1, "a/web:http", Family::V4, TCP)).expect("a good Service");
    for (address, port, kind) in [
        ("192.0.2.1", 80, FrontendKind::LoadBalancer),
        ("203.0.113.5", 80, FrontendKind::LoadBalancer),
        ("10.96.0.1", 80, FrontendKind::ClusterIp),
    ] {
        let key = FrontendKey { address: ip(address), port, protocol: TCP };
        services.frontend(key, kind, id).expect("a free frontend");
    }
    services.node_port(30_000, TCP, id).expect("a free node port");
    services.node_port_address(ip("192.0.2.1"));
    let expected = Detours {
        node_addresses: vec![ip("192.0.2.1")],
        node_ports: vec![(Family::V4, tcp(30_000))],
        frontends: vec![(ip("192.0.2.1"), tcp(80))],
        endpoints: Vec::new(),
    };
    assert_eq!(of(services), expected);
}

#[test]
fn endpoints_that_are_the_node_are_where_their_service_keeps_clients_and_also_when_they_are_going() {
    let entry = |key, name: &str, external_local, port| {
        let known = |address| KnownBackend { address: ip(address), port, serving: true };
        let known = vec![known("192.0.2.1"), known("10.1.0.9")];
        ServiceEntry { external_local, known, ..service(key, name, Family::V4, TCP) }
    };
    let mut services = ServicesBuilder::new(0);
    services.service(entry(1, "a/kept:http", true, 8080)).expect("a good Service");
    services.service(entry(2, "a/hidden:http", false, 8081)).expect("a good Service");
    assert_eq!(of(services).endpoints, [(ip("192.0.2.1"), tcp(8080))]);
}

#[test]
fn without_node_ports_no_address_is_looked_at() {
    let mut services = ServicesBuilder::new(0);
    services.node_port_address(ip("192.0.2.1"));
    assert_eq!(of(services), Detours::default());
}
