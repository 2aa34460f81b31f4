//! What the agent has attached to the switch, as the compiler is told of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_tables::{PortId, WorkerId};
use sluice_wire::MacAddr;

use crate::name::PodName;

/// The container runtime's id of a pod's sandbox, as CNI brings it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// Takes an id as it is; the CNI side has checked its form.
    pub fn new(id: &str) -> ContainerId {
        ContainerId(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pod's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The sandbox it was made for.
    pub container: ContainerId,
    /// The pod it belongs to.
    pub pod: PodName,
    /// The switch's port.
    pub port: PortId,
    /// The worker that polls the port.
    pub worker: WorkerId,
    /// MAC of the pod's side.
    pub mac: MacAddr,
    /// The pod's addresses: at least one, each in the node's pod networks.
    pub addresses: Vec<IpAddr>,
    /// Path MTU of the pod's routes in bytes.
    pub path_mtu: u16,
    /// Largest IP packet in bytes that the pod's device takes; the path MTU where super-frames are off.
    pub max_l3_len: u32,
}

/// The port that joins the node's own stack. Its addresses are the node's own in the pod networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The switch's port.
    pub port: PortId,
    /// The worker that polls the port.
    pub worker: WorkerId,
    /// MAC of the node's side.
    pub mac: MacAddr,
    /// Path MTU of the node's routes into the switch in bytes.
    pub path_mtu: u16,
    /// Largest IP packet in bytes that the node's device takes.
    pub max_l3_len: u32,
}

/// A queue of the node's device to the network outside. It has no addresses of its own: the node's are the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkPort {
    /// The switch's port.
    pub port: PortId,
    /// The worker that polls the port.
    pub worker: WorkerId,
    /// MAC of the device.
    pub mac: MacAddr,
    /// Path MTU of the network outside in bytes.
    pub path_mtu: u16,
    /// Largest IP packet in bytes that the device takes.
    pub max_l3_len: u32,
}
