//! A node with two pods and a host port, for the tests beside the stages.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_packets::{Ethernet, Ip};
use sluice_tables::{
    GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC, Gateway, Port, PortId, PortKind, Tables, TablesBuilder, WorkerId,
};
use sluice_wire::MacAddr;

use crate::origin::Arrival;
use crate::parse::Parsed;
use crate::{Packet, origin, parse};

/// What is behind a port of the fixture.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) port: PortId,
    pub(crate) mac: MacAddr,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

const fn end(number: u8) -> End {
    End {
        port: PortId(number as u16),
        mac: MacAddr([2, 0, 0, 0, 0, number]),
        v4: Ipv4Addr::new(10, 1, 0, number),
        v6: Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, number as u16),
    }
}

pub(crate) const HOST: End = end(1);
pub(crate) const A: End = end(2);
pub(crate) const B: End = end(3);
pub(crate) const GATEWAY: Gateway = Gateway { mac: GATEWAY_MAC, v4: GATEWAY_IPV4, v6: GATEWAY_IPV6 };
/// In a podCIDR, but nobody's.
pub(crate) const ABSENT: End = end(99);
/// Beyond the node.
pub(crate) const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

pub(crate) fn tables() -> Tables {
    built(&[(HOST, PortKind::Host), (A, PortKind::Pod), (B, PortKind::Pod)])
}

pub(crate) fn tables_without_host() -> Tables {
    built(&[(A, PortKind::Pod), (B, PortKind::Pod)])
}

fn built(ends: &[(End, PortKind)]) -> Tables {
    let mut builder = TablesBuilder::new(1, 0)
        .pod_cidr("10.1.0.0/24".parse().expect("a prefix"))
        .pod_cidr("fd00:1::/64".parse().expect("a prefix"));
    for &(end, kind) in ends {
        builder = builder.port(Port {
            id: end.port,
            kind,
            worker: WorkerId(0),
            mac: end.mac,
            addresses: vec![end.v4.into(), end.v6.into()],
            path_mtu: 1500,
            max_l3_len: 65_000,
        });
    }
    builder.build().expect("good tables")
}

pub(crate) fn a_to(destination: Ipv4Addr) -> Ip {
    Ip::v4(Ethernet::new(A.mac, GATEWAY.mac), A.v4, destination)
}

pub(crate) fn a_to_v6(destination: Ipv6Addr) -> Ip {
    Ip::v6(Ethernet::new(A.mac, GATEWAY.mac), A.v6, destination)
}

pub(crate) fn a_to_b() -> Ip {
    a_to(B.v4)
}

pub(crate) fn a_to_b_v6() -> Ip {
    a_to_v6(B.v6)
}

pub(crate) fn host_to(source: Ipv4Addr, destination: Ipv4Addr) -> Ip {
    Ip::v4(Ethernet::new(HOST.mac, GATEWAY.mac), source, destination)
}

pub(crate) fn host_to_v6(source: Ipv6Addr, destination: Ipv6Addr) -> Ip {
    Ip::v6(Ethernet::new(HOST.mac, GATEWAY.mac), source, destination)
}

/// The frame as a packet in the middle of its room.
pub(crate) fn packet<'f>(room: &'f mut Vec<u8>, frame: &[u8], from: End) -> Packet<'f> {
    room.clear();
    room.resize(256, 0xee);
    room.extend_from_slice(frame);
    room.resize(256 + frame.len() + 256, 0xee);
    Packet::new(room, 256, frame.len(), frame.len(), from.port)
}

/// The packet's arrival, for the stages after origin.
pub(crate) fn arrival<'t>(tables: &'t Tables, packet: &mut Packet<'_>) -> Arrival<'t> {
    let parsed = parse::run(packet).expect("parses");
    assert!(matches!(parsed, Parsed::Ip(_)));
    origin::run(tables, packet, parsed).expect("an honest packet")
}
