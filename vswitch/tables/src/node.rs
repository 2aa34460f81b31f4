//! The node itself: its addresses, and under which of them pods speak to the outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::Family;

/// Source ports reserved for masquerading unless configured otherwise, both ends inclusive: above Linux' default
/// `ip_local_port_range` (32768 to 60999) and Kubernetes' default NodePorts (30000 to 32767).
pub const DEFAULT_MASQUERADE_PORTS: (u16, u16) = (61_000, 65_535);

/// This node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NodeEntry {
    /// All addresses of the node's own stack: what comes from them is the node's own traffic. Of those that are
    /// ClusterIPs or in a Service range [`crate::Tables::is_node_address`] says no: node-local DNS and kube-proxy's IPVS
    /// mode bind such addresses to a device of their own, and they are the Service's all the same.
    pub addresses: Vec<IpAddr>,
    /// How pods speak to the outside.
    pub masquerade: Masquerade,
}

/// What stands as the source of packets that must come back to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// The node's address for IPv4; without it nothing is masqueraded there.
    pub v4: Option<Ipv4Addr>,
    /// The node's address for IPv6; without it nothing is masqueraded there.
    pub v6: Option<Ipv6Addr>,
    /// Source ports (and echo identifiers) that are the switch's alone, first and last inclusive, not below 1024.
    pub ports: (u16, u16),
    /// Destinations for which egress keeps its source: the cluster's ranges.
    pub excluded: Vec<IpNet>,
    /// Whether egress to the outside is masqueraded.
    pub outside: bool,
}

impl Masquerade {
    /// The address for one family.
    #[must_use]
    #[inline]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Whether egress to `destination` keeps its source. A linear search: there are a handful of ranges.
    #[must_use]
    #[inline]
    pub fn excludes(&self, destination: IpAddr) -> bool {
        self.excluded.iter().any(|range| range.contains(&destination))
    }
}

impl Default for Masquerade {
    fn default() -> Self {
        Self { v4: None, v6: None, ports: DEFAULT_MASQUERADE_PORTS, excluded: Vec::new(), outside: false }
    }
}
