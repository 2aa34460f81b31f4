//! The other nodes of the cluster.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_wire::MacAddr;

/// Position of a peer in its generation, in the order given. Means nothing in another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The Node's name.
    pub name: Arc<str>,
    /// Its InternalIPs.
    pub addresses: Vec<IpAddr>,
    /// Outer destination of tunnelled packets, and next hop of those sent directly.
    pub tunnel: IpAddr,
    /// Inner destination MAC of tunnelled packets.
    pub mac: MacAddr,
    /// Where its pods are. Disjoint from every other node's.
    pub pod_cidrs: Vec<IpNet>,
}

impl Peer {
    /// Whether `address` lies in one of its podCIDRs. A linear search: a node has one or two.
    #[must_use]
    #[inline]
    pub fn has_pod(&self, address: IpAddr) -> bool {
        self.pod_cidrs.iter().any(|cidr| cidr.contains(&address))
    }
}
