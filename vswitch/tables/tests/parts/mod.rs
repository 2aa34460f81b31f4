//! Parts that the tests build generations from.
#![allow(dead_code, reason = "each test takes the parts it needs")]

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::*;
use sluice_wire::MacAddr;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

pub(crate) fn port(id: u16, kind: PortKind, addresses: &[&str]) -> Port {
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

pub(crate) fn node() -> NodeEntry {
    let masquerade = Masquerade { v4: Some([192, 0, 2, 1].into()), ..Masquerade::default() };
    NodeEntry { addresses: vec![ip("192.0.2.1"), ip("2001:db8::1")], masquerade }
}

pub(crate) fn peer(name: &str, address: &str, pod_cidrs: &[&str]) -> Peer {
    let address = ip(address);
    Peer {
        name: name.into(),
        addresses: vec![address],
        tunnel: address,
        mac: tunnel_mac(address),
        pod_cidrs: pod_cidrs.iter().map(|text| net(text)).collect(),
    }
}

pub(crate) fn tunnel() -> Tunnel {
    let local = ip("192.0.2.1");
    let mac = tunnel_mac(local);
    Tunnel { encapsulation: Encapsulation::Vxlan, vni: 1, port: 8472, local, mac, inner_mtu: 1450 }
}

pub(crate) fn service(key: u64, name: &str, family: Family, protocol: u8) -> ServiceEntry {
    ServiceEntry {
        key,
        name: Arc::from(name),
        family,
        protocol,
        cluster: Vec::new(),
        local: Vec::new(),
        known: Vec::new(),
        internal_local: false,
        external_local: false,
        affinity: None,
        source_ranges: None,
        choice: Choice::Random,
    }
}

/// A generation with podCIDRs, a node and one pod, which every test adds to.
pub(crate) fn builder() -> TablesBuilder {
    TablesBuilder::new(1, 0)
        .pod_cidr(net("10.1.0.0/24"))
        .pod_cidr(net("fd00:1::/64"))
        .node(node())
        .port(port(1, PortKind::Pod, &["10.1.0.7", "fd00:1::7"]))
        .port(port(2, PortKind::Host, &["10.1.0.1"]))
}
