//! How packets travel between nodes.

use std::net::IpAddr;

use sluice_wire::MacAddr;

/// What is written around a packet between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// Nothing: the network between the nodes knows where pods are, or the nodes are neighbours.
    None,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
}

/// This node's end of the tunnels to all its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// What is written around a packet.
    pub encapsulation: Encapsulation,
    /// Virtual network, 24 bits.
    pub vni: u32,
    /// UDP destination port, the same on every node.
    pub port: u16,
    /// Outer source: one of the node's own addresses.
    pub local: IpAddr,
    /// Inner source MAC, and inner destination MAC of what peers send here.
    pub mac: MacAddr,
    /// Largest inner IP packet in bytes that fits the underlay, at least [`crate::MIN_PATH_MTU`].
    pub inner_mtu: u16,
}

/// MAC of a node's end of the tunnels: 02:53 (locally administered) and the last four bytes of its address, so nodes
/// need not tell each other.
#[must_use]
pub fn tunnel_mac(node_address: IpAddr) -> MacAddr {
    let [a, b, c, d] = match node_address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    MacAddr([0x02, 0x53, a, b, c, d])
}
