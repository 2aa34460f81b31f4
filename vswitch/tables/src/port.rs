//! A port: where packets come from and go to.

use std::net::IpAddr;

use sluice_wire::MacAddr;

use crate::{PortId, WorkerId};

/// What is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortKind {
    /// A pod: it may speak only from its own MAC and addresses.
    Pod,
    /// The node's own stack: it may speak from any address that is no pod's. At most one in a generation.
    Host,
    /// A queue of the node's device to the network outside. It has no addresses: the node's are
    /// [`crate::NodeEntry::addresses`]. Several may be in a generation.
    Uplink,
}

/// One port as the path sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port's name; unique in a generation.
    pub id: PortId,
    /// What is behind it.
    pub kind: PortKind,
    /// The worker that alone polls it.
    pub worker: WorkerId,
    /// MAC of the device behind the port (the pod's end of the veth, or the node's).
    pub mac: MacAddr,
    /// Addresses that are reached through this port. A pod's lie in the node's podCIDRs.
    pub addresses: Vec<IpAddr>,
    /// Largest IP packet in bytes that a sender may address to this port; at least [`crate::MIN_PATH_MTU`].
    pub path_mtu: u16,
    /// Largest IP packet in bytes that the device takes: `path_mtu`, or more where TCP super-frames are in use.
    pub max_l3_len: u32,
}

impl Port {
    /// Whether `address` is one of the port's own. A linear search: a port has one or two addresses.
    #[must_use]
    #[inline]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}
