//! What the builder makes of good tables and how it names what is wrong with bad ones.

use std::net::IpAddr;

use proptest::prelude::*;
use sluice_tables::{GATEWAY_MAC, Port, PortId, PortKind, TablesBuilder, TablesError, WorkerId};
use sluice_wire::MacAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn port(id: u16, kind: PortKind, addresses: &[&str]) -> Port {
    Port {
        id: PortId(id),
        kind,
        worker: WorkerId(0),
        mac: MacAddr([0x02, 0, 0, 0, (id >> 8) as u8, id as u8]),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        path_mtu: 1500,
        max_l3_len: 65_000,
    }
}

fn builder() -> TablesBuilder {
    TablesBuilder::new(3, 0)
        .pod_cidr("10.1.0.0/24".parse().expect("a prefix"))
        .pod_cidr("fd00:1::/64".parse().expect("a prefix"))
}

fn refused(ports: impl IntoIterator<Item = Port>) -> TablesError {
    ports.into_iter().fold(builder(), TablesBuilder::port).build().expect_err("refused")
}

#[test]
fn answers_by_id_and_by_address() {
    let tables = builder()
        .port(port(700, PortKind::Pod, &["10.1.0.7", "fd00:1::7"]))
        .port(port(2, PortKind::Host, &["10.1.0.1", "fd00:1::1"]))
        .build()
        .expect("good tables");
    assert_eq!(tables.generation(), 3);
    assert_eq!(tables.owner(ip("10.1.0.7")).map(|port| port.id), Some(PortId(700)));
    assert_eq!(tables.owner(ip("fd00:1::1")).map(|port| port.id), Some(PortId(2)));
    assert_eq!(tables.owner(ip("10.1.0.8")), None);
    assert_eq!(tables.port(PortId(700)).map(|port| port.kind), Some(PortKind::Pod));
    assert_eq!(tables.port(PortId(1)), None);
    assert_eq!(tables.port(PortId(u16::MAX)), None);
    assert_eq!(tables.host_port().map(|port| port.id), Some(PortId(2)));
    assert!(tables.in_pod_cidr(ip("10.1.0.200")));
    assert!(!tables.in_pod_cidr(ip("10.2.0.1")));
    assert_eq!(tables.ports().map(|port| port.id.0).collect::<Vec<_>>(), [2, 700]);
    assert_eq!(tables.gateway().mac, GATEWAY_MAC);
}

#[test]
fn empty_tables_are_good_tables() {
    let tables = TablesBuilder::new(0, 0).build().expect("empty tables");
    assert_eq!(tables.host_port(), None);
    assert_eq!(tables.owner(ip("10.1.0.1")), None);
    assert_eq!(tables.port(PortId(0)), None);
}

#[test]
fn a_pod_cidr_may_have_bits_below_its_length() {
    let tables = TablesBuilder::new(0, 0).pod_cidr("10.1.0.77/24".parse().expect("a prefix")).build().expect("built");
    assert_eq!(tables.pod_cidrs(), ["10.1.0.0/24".parse().expect("a prefix")]);
}

#[test]
fn refuses_what_is_there_twice() {
    let pod = |id, address| port(id, PortKind::Pod, &[address]);
    assert_eq!(refused([pod(1, "10.1.0.1"), pod(1, "10.1.0.2")]), TablesError::DuplicatePort(PortId(1)));
    let address = ip("10.1.0.1");
    let expected = TablesError::DuplicateAddress { address, first: PortId(1), second: PortId(2) };
    assert_eq!(refused([pod(2, "10.1.0.1"), pod(1, "10.1.0.1")]), expected);
    let expected = TablesError::DuplicateAddress { address, first: PortId(1), second: PortId(1) };
    assert_eq!(refused([port(1, PortKind::Pod, &["10.1.0.1", "10.1.0.1"])]), expected);
    let hosts = [port(5, PortKind::Host, &[]), port(4, PortKind::Host, &[])];
    assert_eq!(refused(hosts), TablesError::TwoHostPorts { first: PortId(4), second: PortId(5) });
    let twice = builder().pod_cidr("10.1.0.128/25".parse().expect("a prefix")).build();
    assert!(matches!(twice, Err(TablesError::OverlappingPodCidrs(..))));
}

#[test]
fn refuses_addresses_that_cannot_be_a_ports() {
    let outside = TablesError::AddressOutsidePodCidrs { address: ip("10.9.0.1"), port: PortId(1) };
    assert_eq!(refused([port(1, PortKind::Pod, &["10.9.0.1"])]), outside);
    let unusable = [
        "169.254.1.1",
        "169.254.7.7",
        "fe80::1",
        "fe80::2",
        "127.0.0.1",
        "::1",
        "::",
        "0.0.0.0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "0.1.2.3",
        "240.0.0.1",
        "::ffff:10.1.0.1",
    ];
    for text in unusable {
        let expected = TablesError::UnusableAddress { address: ip(text), port: PortId(1) };
        assert_eq!(refused([port(1, PortKind::Host, &[text])]), expected);
    }
}

#[test]
fn a_host_address_may_lie_outside_the_pod_cidrs() {
    let tables = builder().port(port(1, PortKind::Host, &["192.0.2.1"])).build().expect("good tables");
    assert_eq!(tables.owner(ip("192.0.2.1")).map(|port| port.id), Some(PortId(1)));
}

#[test]
fn refuses_devices_that_cannot_work() {
    for mac in [MacAddr([0; 6]), MacAddr([1, 0, 0, 0, 0, 1]), GATEWAY_MAC] {
        let odd = Port { mac, ..port(1, PortKind::Pod, &[]) };
        assert_eq!(refused([odd]), TablesError::UnusableMac(PortId(1)));
    }
    let small = Port { path_mtu: 1279, ..port(1, PortKind::Pod, &[]) };
    assert_eq!(refused([small]), TablesError::PathMtuTooSmall { port: PortId(1), path_mtu: 1279 });
    let narrow = Port { max_l3_len: 1499, ..port(1, PortKind::Pod, &[]) };
    let expected = TablesError::LimitBelowPathMtu { port: PortId(1), max_l3_len: 1499, path_mtu: 1500 };
    assert_eq!(refused([narrow]), expected);
}

proptest! {
    #[test]
    fn every_address_leads_to_its_port(hosts in proptest::collection::btree_set(0_u16..4096, 0..200), seed: u64) {
        let mut builder = TablesBuilder::new(1, seed).pod_cidr("10.64.0.0/16".parse().expect("a prefix"));
        let address = |host: u16| IpAddr::from([10, 64, (host >> 8) as u8, host as u8]);
        for &host in &hosts {
            builder = builder.port(Port { addresses: vec![address(host)], ..port(host, PortKind::Pod, &[]) });
        }
        let tables = builder.build().expect("good tables");
        for host in 0..4096 {
            let expected = hosts.contains(&host).then_some(PortId(host));
            prop_assert_eq!(tables.owner(address(host)).map(|port| port.id), expected);
            prop_assert_eq!(tables.port(PortId(host)).map(|port| port.id), expected);
        }
    }
}
