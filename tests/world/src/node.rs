//! The objects of a node, and the tables that follow from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_tables::{Port, PortId, PortKind, Tables, TablesBuilder, WorkerId};
use sluice_wire::MacAddr;

/// A pod with an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its port.
    pub port: PortId,
    /// MAC of its end of the veth.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// The node's own stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its port.
    pub port: PortId,
    /// MAC of the node's end of the veth.
    pub mac: MacAddr,
    /// The node's address among its pods.
    pub v4: Ipv4Addr,
    /// The same for IPv6.
    pub v6: Ipv6Addr,
}

/// A node: 10.7.0.0/24 and fd00:7::/64 are its podCIDRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its pods, in any order.
    pub pods: Vec<Pod>,
    /// Its own stack, if that is attached.
    pub host: Option<Host>,
    /// Path MTU of every port in bytes.
    pub path_mtu: u16,
    /// Largest IP packet that every port takes, in bytes.
    pub max_l3_len: u32,
}

impl Node {
    /// A node whose pods have the given numbers (2 to 254): their ports, MACs and addresses follow from them. The host is
    /// number 1. Path MTU 1500, super-frames up to 65,000 bytes.
    #[must_use]
    pub fn with_pods(numbers: impl IntoIterator<Item = u8>) -> Self {
        let host = Host { port: PortId(1), mac: mac_of(1), v4: v4_of(1), v6: v6_of(1) };
        let pods = numbers.into_iter().map(Pod::number).collect();
        Self { pods, host: Some(host), path_mtu: 1500, max_l3_len: 65_000 }
    }

    /// The generation that the control side would compile from these objects.
    ///
    /// # Panics
    /// When the objects contradict each other (two pods with one address): that is a mistake in the test.
    #[must_use]
    pub fn tables(&self, generation: u64) -> Tables {
        let mut builder = TablesBuilder::new(generation, 0)
            .pod_cidr("10.7.0.0/24".parse().expect("a prefix"))
            .pod_cidr("fd00:7::/64".parse().expect("a prefix"));
        for pod in &self.pods {
            let v4 = pod.v4.map(IpAddr::V4);
            let v6 = pod.v6.map(IpAddr::V6);
            builder = builder.port(self.port(pod.port, PortKind::Pod, pod.mac, v4.into_iter().chain(v6).collect()));
        }
        if let Some(host) = &self.host {
            let addresses = vec![host.v4.into(), host.v6.into()];
            builder = builder.port(self.port(host.port, PortKind::Host, host.mac, addresses));
        }
        builder.build().expect("a node's objects agree")
    }

    fn port(&self, id: PortId, kind: PortKind, mac: MacAddr, addresses: Vec<IpAddr>) -> Port {
        let Self { path_mtu, max_l3_len, .. } = *self;
        Port { id, kind, worker: WorkerId(0), mac, addresses, path_mtu, max_l3_len }
    }
}

impl Pod {
    /// Pod number `number` of the node, with an address of each family.
    #[must_use]
    pub fn number(number: u8) -> Self {
        let port = PortId(u16::from(number));
        Self { port, mac: mac_of(number), v4: Some(v4_of(number)), v6: Some(v6_of(number)) }
    }

    /// The link-local address that its kernel derives from its MAC (modified EUI-64).
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.octets().map(u16::from);
        Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
    }
}

fn mac_of(number: u8) -> MacAddr {
    MacAddr([0x02, 0x70, 0x6f, 0x64, 0, number])
}

fn v4_of(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 7, 0, number)
}

fn v6_of(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, u16::from(number))
}
