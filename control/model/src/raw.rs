//! Objects as the API writes them, only the fields that Sluice reads.
//!
//! Every field may be missing and `null` means missing, as the API has it; fields that are not here are ignored. So a
//! newer API server, or a manifest with parts for others, is never refused for what Sluice does not read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::fault::Fault;
use crate::object::{Kind, Object};

/// A raw object of one of the kinds.
#[derive(Clone, Debug)]
pub enum Raw {
    /// A Node.
    Node(Node),
    /// A Pod.
    Pod(Pod),
    /// A Namespace.
    Namespace(Namespace),
}

impl Raw {
    /// Reads an object of a known kind. Fails when a field has the wrong type.
    pub fn deserialize<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Raw, D::Error> {
        match kind {
            Kind::Node => Node::deserialize(deserializer).map(Raw::Node),
            Kind::Pod => Pod::deserialize(deserializer).map(Raw::Pod),
            Kind::Namespace => Namespace::deserialize(deserializer).map(Raw::Namespace),
        }
    }

    /// Checks every field that Sluice reads. All faults of the object are returned, in the order of its fields.
    pub fn check(&self) -> Result<Object, Vec<Fault>> {
        match self {
            Raw::Node(raw) => crate::node::check(raw).map(Object::Node),
            Raw::Pod(raw) => crate::pod::check(raw).map(Object::Pod),
            Raw::Namespace(raw) => crate::namespace::check(raw).map(Object::Namespace),
        }
    }
}

/// `metadata` of any object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Name.
    pub name: Option<String>,
    /// Namespace; "default" when missing, for kinds that have one.
    pub namespace: Option<String>,
    /// Unique id that the API server gave.
    pub uid: Option<String>,
    /// Labels; a `null` value is an empty one.
    pub labels: Option<BTreeMap<String, Option<String>>>,
}

/// A Node.
#[derive(Clone, Debug, Default, Deserialize)]
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// The first pod network, as older writers have it.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    /// All pod networks.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<String>>,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Addresses and names of the node.
    pub addresses: Option<Vec<NodeAddress>>,
}

/// One of `status.addresses`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `Hostname` and so on.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The address or name.
    pub address: Option<String>,
}

/// A Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// Spec.
    pub spec: Option<PodSpec>,
    /// Status.
    pub status: Option<PodStatus>,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node it is bound to.
    pub node_name: Option<String>,
    /// Whether it uses the node's own network.
    pub host_network: Option<bool>,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodStatus {
    /// Where it is in its life.
    pub phase: Option<String>,
}

/// A Namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Metadata.
    pub metadata: Option<Metadata>,
}
