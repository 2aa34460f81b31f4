//! Which addresses a cluster has. All follow from positions, so a test can name them without looking anything up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Pod networks of the whole cluster: what is never masqueraded.
pub const CLUSTER_NETWORKS: [&str; 2] = ["10.7.0.0/16", "fd00:7::/32"];
/// Where Services' ClusterIPs come from.
pub const SERVICE_NETWORKS: [&str; 2] = ["10.96.0.0/16", "fd00:96::/112"];
/// The underlay's router.
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same for IPv6.
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

/// The network `text` says.
///
/// # Panics
/// When it is none: a mistake in the test.
#[must_use]
pub fn parse_net(text: &str) -> IpNet {
    text.parse().expect("a network in prefix notation")
}

/// Whether `address` lies in a network given as text.
#[must_use]
pub fn is_in(network: &str, address: IpAddr) -> bool {
    parse_net(network).contains(&address)
}

/// An address on the underlay's link: 192.0.2.`host` or 2001:db8:1::`host`.
#[must_use]
pub fn on_link(host: u8, v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::new(192, 0, 2, host).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, u16::from(host)).into()
    }
}

/// The InternalIP of a node.
#[must_use]
pub fn node_address(node: usize, v4: bool) -> IpAddr {
    on_link(10 + small(node), v4)
}

/// A node's pod network: 10.7.`node`.0/24 or fd00:7:0:`node`::/64.
#[must_use]
pub fn pod_network(node: usize, v4: bool) -> IpNet {
    let node = small(node);
    parse_net(&if v4 { format!("10.7.{node}.0/24") } else { format!("fd00:7:0:{node:x}::/64") })
}

/// Pod number `number` of a node.
#[must_use]
pub fn pod_address(node: usize, number: u8, v4: bool) -> IpAddr {
    let node = small(node);
    if v4 {
        Ipv4Addr::new(10, 7, node, number).into()
    } else {
        Ipv6Addr::new(0xfd00, 7, 0, u16::from(node), 0, 0, 0, u16::from(number)).into()
    }
}

/// The node's own address among its pods.
#[must_use]
pub fn own_address(node: usize, v4: bool) -> IpAddr {
    pod_address(node, 1, v4)
}

fn small(node: usize) -> u8 {
    u8::try_from(node).expect("a few nodes")
}
