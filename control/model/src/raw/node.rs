//! `v1/Node`.

use serde::{Deserialize, Serialize};

use crate::raw::Metadata;

/// A Node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// Spec.
    pub spec: Option<NodeSpec>,
    /// Status.
    pub status: Option<NodeStatus>,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// The first pod network, as older writers have it.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    /// All pod networks.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<String>>,
    /// What keeps pods off the node.
    pub taints: Option<Vec<Taint>>,
}

/// One of `spec.taints`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// What it is called.
    pub key: Option<String>,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Addresses and names of the node.
    pub addresses: Option<Vec<NodeAddress>>,
}

/// One of `status.addresses`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `Hostname` and so on.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The address or name.
    pub address: Option<String>,
}
