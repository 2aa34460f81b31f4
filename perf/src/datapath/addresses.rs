//! Who has which address in the benchmark's cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sluice_tables::{Family, PortId};
use sluice_wire::MacAddr;

pub(super) const HOST_PORT: PortId = PortId(1);
pub(super) const UPLINK_PORT: PortId = PortId(2);
/// The first pod's; the others follow.
const FIRST_POD_PORT: u16 = 10;

/// Pods of this node.
pub(super) const PODS: u32 = 250;
/// Pods of each other node.
pub(super) const PODS_ON_A_PEER: u32 = 250;

pub(super) const SERVICE_PORT: u16 = 80;
pub(super) const BACKEND_PORT: u16 = 8080;
pub(super) const VXLAN_PORT: u16 = 4789;
pub(super) const GENEVE_PORT: u16 = 6081;
pub(super) const VNI: u32 = 7;

/// An end in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Two {
    /// Its port, if it is of this node.
    pub(super) port: PortId,
    pub(super) mac: MacAddr,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

impl Two {
    pub(super) fn both(&self) -> Vec<IpAddr> {
        vec![self.v4.into(), self.v6.into()]
    }

    pub(super) fn of(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

/// This node on the uplink.
pub(super) const NODE: Two = Two {
    port: UPLINK_PORT,
    mac: MacAddr([2, 0, 0, 0, 0, UPLINK_PORT.0 as u8]),
    v4: Ipv4Addr::new(192, 168, 0, 1),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
};

const POD_NET: u32 = 0x0a40_0000;
const SERVICE_NET: u32 = 0x0a60_0000;
const PEER_NET: u32 = 0xc0a8_0100;

/// The node's own stack, as its port knows it.
pub(super) fn host() -> Two {
    in_pod_net(0, 1, HOST_PORT)
}

/// A pod of this node.
pub(super) fn pod(number: u32) -> Two {
    in_pod_net(0, number + 2, PortId(FIRST_POD_PORT + number as u16))
}

/// A pod of another node.
pub(super) fn pod_of_peer(peer: u32, number: u32) -> Two {
    in_pod_net(peer + 1, number + 2, UPLINK_PORT)
}

/// Pods have an address in the /24 and the /64 of their node, which are numbered.
fn in_pod_net(node: u32, number: u32, port: PortId) -> Two {
    let [high, low] = port.0.to_be_bytes();
    Two {
        port,
        mac: MacAddr([2, 0, 0, 0, high, low]),
        v4: Ipv4Addr::from_bits(POD_NET + node * 256 + number),
        v6: Ipv6Addr::new(0xfd00, 0x64, 0, node as u16, 0, 0, 0, number as u16),
    }
}

/// The prefixes of this node's pods.
pub(super) fn pod_cidrs() -> Vec<IpNet> {
    cidrs(0)
}

/// The prefixes of a peer's pods.
pub(super) fn peer_cidrs(peer: u32) -> Vec<IpNet> {
    cidrs(peer + 1)
}

fn cidrs(node: u32) -> Vec<IpNet> {
    let end = in_pod_net(node, 0, UPLINK_PORT);
    vec![Ipv4Net::new_assert(end.v4, 24).into(), Ipv6Net::new_assert(end.v6, 64).into()]
}

/// Another node on the uplink.
pub(super) fn peer(number: u32) -> Two {
    let [.., high, low] = number.to_be_bytes();
    Two {
        port: UPLINK_PORT,
        mac: MacAddr([2, 1, 0, 0, high, low]),
        v4: Ipv4Addr::from_bits(PEER_NET + number),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 1, number as u16),
    }
}

/// The ClusterIP of a Service.
pub(super) fn vip(service: u32) -> Two {
    Two {
        port: UPLINK_PORT,
        mac: MacAddr([0; 6]),
        v4: Ipv4Addr::from_bits(SERVICE_NET + service + 1),
        v6: Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, service as u16 + 1),
    }
}
