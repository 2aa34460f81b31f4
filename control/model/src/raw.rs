//! Objects as the API writes them, only the fields that Sluice reads.
//!
//! Every field may be missing and `null` means missing, as the API has it; fields that are not here are ignored. So a
//! newer API server, or a manifest with parts for others, is never refused for what Sluice does not read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::fault::Fault;
use crate::object::{Kind, Object};

mod endpoint_slice;
mod from_checked;
mod int_or_string;
mod namespace;
mod network_policy;
mod node;
mod pod;
mod service;

pub use endpoint_slice::*;
pub use int_or_string::IntOrString;
pub use namespace::*;
pub use network_policy::*;
pub use node::*;
pub use pod::*;
pub use service::*;

/// A raw object of one of the kinds.
#[derive(Clone, Debug, Serialize)]
pub enum Raw {
    /// A Node.
    Node(Node),
    /// A Pod.
    Pod(Pod),
    /// A Namespace.
    Namespace(Namespace),
    /// A Service.
    Service(Box<Service>),
    /// An EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// A NetworkPolicy.
    NetworkPolicy(NetworkPolicy),
}

impl Raw {
    /// Reads an object of a known kind. Fails when a field has the wrong type.
    pub fn deserialize<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Raw, D::Error> {
        match kind {
            Kind::Node => Node::deserialize(deserializer).map(Raw::Node),
            Kind::Pod => Pod::deserialize(deserializer).map(Raw::Pod),
            Kind::Namespace => Namespace::deserialize(deserializer).map(Raw::Namespace),
            Kind::Service => Service::deserialize(deserializer).map(Box::new).map(Raw::Service),
            Kind::EndpointSlice => EndpointSlice::deserialize(deserializer).map(Raw::EndpointSlice),
            Kind::NetworkPolicy => NetworkPolicy::deserialize(deserializer).map(Raw::NetworkPolicy),
        }
    }

    /// Checks every field that Sluice reads. All faults of the object are returned, in the order of its fields.
    pub fn check(&self) -> Result<Object, Vec<Fault>> {
        match self {
            Raw::Node(raw) => crate::node::check(raw).map(Object::Node),
            Raw::Pod(raw) => crate::pod::check(raw).map(Object::Pod),
            Raw::Namespace(raw) => crate::namespace::check(raw).map(Object::Namespace),
            Raw::Service(raw) => crate::service::check(raw).map(Box::new).map(Object::Service),
            Raw::EndpointSlice(raw) => crate::endpoint_slice::check(raw).map(Object::EndpointSlice),
            Raw::NetworkPolicy(raw) => crate::network_policy::check(raw).map(Object::NetworkPolicy),
        }
    }
}

/// `metadata` of any object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Name.
    pub name: Option<String>,
    /// Namespace; "default" when missing, for kinds that have one.
    pub namespace: Option<String>,
    /// Unique id that the API server gave.
    pub uid: Option<String>,
    /// Labels; a `null` value is an empty one.
    pub labels: Option<BTreeMap<String, Option<String>>>,
    /// Annotations; a `null` value is an empty one.
    pub annotations: Option<BTreeMap<String, Option<String>>>,
    /// When the API server took the object.
    pub creation_timestamp: Option<String>,
    /// When the object is to be gone; it is on its way out as soon as it has one.
    pub deletion_timestamp: Option<String>,
}
