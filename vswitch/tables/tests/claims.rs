//! What is claimed on the uplink, and Services against the rest of a generation.

mod parts;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use parts::{builder, ip, net, node, peer, port, service, tunnel};
use sluice_tables::*;
use sluice_wire::protocol::{TCP, UDP};

fn key(address: &str, port: u16) -> FrontendKey {
    FrontendKey { address: ip(address), port, protocol: TCP }
}

/// A Service at these frontends.
fn at(frontends: &[(&str, u16, FrontendKind)], node_ports: &[u16]) -> ServicesBuilder {
    let mut builder = ServicesBuilder::new(0);
    let id = builder.service(service(1, "a/web:http", Family::V4, TCP)).expect("a good Service");
    for &(address, port, kind) in frontends {
        builder.frontend(key(address, port), kind, id).expect("a free frontend");
    }
    for &port in node_ports {
        builder.node_port(port, TCP, id).expect("a free node port");
    }
    builder
}

fn claims(builder: TablesBuilder) -> Claims {
    builder.port(port(9, PortKind::Uplink, &[])).build().expect("good tables").claims()
}

fn nets(all: &[&str]) -> Vec<IpNet> {
    all.iter().map(|text| net(text)).collect()
}

fn tcp(ports: &[u16]) -> Vec<ClaimedPort> {
    ports.iter().map(|&port| ClaimedPort { protocol: TCP, port }).collect()
}

#[test]
fn without_an_uplink_nothing_is_claimed() {
    let mut services = at(&[("10.96.0.1", 443, FrontendKind::ClusterIp)], &[30_000]);
    services.node_port_address(ip("192.0.2.1"));
    let tables = builder().tunnel(tunnel()).services(Arc::new(services.build())).build().expect("good tables");
    assert_eq!(tables.claims(), Claims::default());
}

#[test]
fn a_node_with_a_tunnel_alone_claims_its_datagrams_and_what_may_come_back() {
    let claims = claims(builder().tunnel(tunnel()));
    let masquerade = MasqueradeClaim { addresses: vec![ip("192.0.2.1")], ports: (61_000, 65_535) };
    let expected = Claims {
        tunnel: Some(TunnelClaim { local: ip("192.0.2.1"), port: 8472 }),
        masquerade: Some(masquerade),
        fragments: true,
        icmp_errors: true,
        ..Claims::default()
    };
    assert_eq!(claims, expected);
}

#[test]
fn without_encapsulation_the_pods_are_claimed() {
    let plain = NodeEntry { masquerade: Masquerade::default(), ..node() };
    let claims = claims(builder().node(plain));
    let expected = Claims { networks: nets(&["10.1.0.0/24", "fd00:1::/64"]), ..Claims::default() };
    assert_eq!(claims, expected);
}

#[test]
fn services_claim_their_own_addresses_whole_and_the_nodes_by_port() {
    let mut services = at(
        &[
            ("203.0.113.5", 80, FrontendKind::LoadBalancer),
            ("203.0.113.4", 80, FrontendKind::LoadBalancer),
            ("192.0.2.1", 8080, FrontendKind::ExternalIp),
            ("10.96.0.1", 443, FrontendKind::ClusterIp),
            ("10.200.0.1", 443, FrontendKind::ClusterIp),
        ],
        &[30_001, 30_000],
    );
    services.service_cidr(net("10.96.0.0/12")).node_port_address(ip("192.0.2.1"));
    let claims = claims(builder().tunnel(tunnel()).services(Arc::new(services.build())));
    assert_eq!(claims.networks, nets(&["10.96.0.0/12", "10.200.0.1/32", "203.0.113.4/31"]));
    assert_eq!(claims.node_addresses, [ip("192.0.2.1")]);
    assert_eq!(claims.ports, tcp(&[8080, 30_000, 30_001]));
    assert!(claims.fragments && claims.icmp_errors);
}

#[test]
fn equal_generations_claim_alike_whatever_their_seeds() {
    let with = |seed| {
        let mut services = ServicesBuilder::new(seed);
        for number in 0..50_u8 {
            let name = number.to_string();
            let id = services.service(service(u64::from(number), &name, Family::V4, TCP)).expect("a good Service");
            let address = IpAddr::from([203, 0, 113, number.wrapping_mul(5)]);
            let key = FrontendKey { address, port: 80, protocol: TCP };
            services.frontend(key, FrontendKind::LoadBalancer, id).expect("a free frontend");
            services.node_port(30_000 + u16::from(number), TCP, id).expect("a free node port");
        }
        services.node_port_address(ip("192.0.2.1")).node_port_address(ip("2001:db8::1"));
        claims(builder().services(Arc::new(services.build())))
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(1).node_addresses, [ip("192.0.2.1"), ip("2001:db8::1")]);
}

fn refused(builder: TablesBuilder, services: ServicesBuilder) -> TablesError {
    builder.services(Arc::new(services.build())).build().expect_err("refused")
}

#[test]
fn frontends_at_addresses_of_pods_are_refused() {
    let name: Arc<str> = "a/web:http".into();
    for (address, cidr) in [("10.1.0.99", "10.1.0.0/24"), ("10.1.1.9", "10.1.1.0/24")] {
        let services =
            at(&[(address, 80, FrontendKind::ExternalIp), ("203.0.113.5", 80, FrontendKind::ExternalIp)], &[]);
        let expected = TablesError::FrontendInPodCidr { key: key(address, 80), service: name.clone(), cidr: net(cidr) };
        assert_eq!(refused(builder().peer(peer("b", "192.0.2.2", &["10.1.1.0/24"])), services), expected);
    }
    let mut services = at(&[], &[]);
    services.service_cidr(net("10.0.0.0/8"));
    let expected = TablesError::ServiceRangeOfPods { range: net("10.0.0.0/8"), cidr: net("10.1.0.0/24") };
    assert_eq!(refused(builder(), services), expected);
}

#[test]
fn the_nodes_addresses_are_kept_from_being_shut() {
    let key = key("192.0.2.1", 80);
    let services = at(&[("192.0.2.1", 80, FrontendKind::ClusterIp)], &[]);
    let expected = TablesError::ClusterIpOfNode { key, service: "a/web:http".into() };
    assert_eq!(refused(builder(), services), expected);
    let mut services = at(&[], &[]);
    services.service_cidr(net("192.0.2.0/25"));
    let expected = TablesError::NodeInServiceRange { address: ip("192.0.2.1"), range: net("192.0.2.0/25") };
    assert_eq!(refused(builder(), services), expected);
    let mut services = at(&[], &[]);
    services.node_port_address(ip("192.0.2.9"));
    assert_eq!(refused(builder(), services), TablesError::NodePortAddress(ip("192.0.2.9")));
}

#[test]
fn an_address_that_node_local_dns_binds_stays_the_services() {
    let dns = "10.96.0.10";
    let mut services = at(&[(dns, 53, FrontendKind::ClusterIp)], &[30_000]);
    services.service_cidr(net("10.96.0.0/12"));
    for address in ["192.0.2.1", "10.96.0.10", "10.96.0.11"] {
        services.node_port_address(ip(address));
    }
    let addresses = ["192.0.2.1", dns].map(ip).to_vec();
    let claimed =
        builder().tunnel(tunnel()).node(NodeEntry { addresses, ..node() }).services(Arc::new(services.build()));
    let tables = claimed.clone().build().expect("good tables");
    assert!(tables.is_node_address(ip("192.0.2.1")) && !tables.is_node_address(ip(dns)));
    assert!(matches!(tables.frontend(ip(dns), 53, TCP), FrontendLookup::Found(..)));
    assert!(matches!(tables.frontend(ip(dns), 30_000, TCP), FrontendLookup::UndefinedPort));
    let claims = claims(claimed);
    assert_eq!((claims.networks, claims.node_addresses), (nets(&["10.96.0.0/12"]), vec![ip("192.0.2.1")]));
}

#[test]
fn service_ports_on_the_node_keep_off_masquerading_and_the_tunnel() {
    let taken = |port| TablesError::ServicePortTaken { service: "a/web:http".into(), port };
    assert_eq!(refused(builder(), at(&[], &[61_000])), taken(61_000));
    assert_eq!(refused(builder(), at(&[("192.0.2.1", 65_535, FrontendKind::ExternalIp)], &[])), taken(65_535));
    let plain = NodeEntry { masquerade: Masquerade::default(), ..node() };
    let free = builder().node(plain).services(Arc::new(at(&[], &[61_000]).build()));
    assert!(free.build().is_ok(), "nothing is masqueraded");
    assert!(builder().tunnel(tunnel()).services(Arc::new(at(&[], &[8472]).build())).build().is_ok(), "TCP is free");
    let mut services = ServicesBuilder::new(0);
    let id = services.service(service(1, "a/web:http", Family::V4, UDP)).expect("a good Service");
    services.node_port(8472, UDP, id).expect("a free node port");
    assert_eq!(refused(builder().tunnel(tunnel()), services), taken(8472));
}
