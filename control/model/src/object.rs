//! Any object: its kind, its key, its checked form.

use std::collections::BTreeMap;
use std::fmt;

use crate::endpoint_slice::EndpointSlice;
use crate::fault::Subject;
use crate::name::{EndpointSliceName, NamespaceName, NetworkPolicyName, NodeName, PodName, ServiceName};
use crate::namespace::Namespace;
use crate::network_policy::NetworkPolicy;
use crate::node::Node;
use crate::pod::Pod;
use crate::service::Service;

/// Labels of an object, by key.
pub type Labels = BTreeMap<String, String>;

/// The kinds of object Sluice reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1/Node`.
    Node,
    /// `v1/Pod`.
    Pod,
    /// `v1/Namespace`.
    Namespace,
    /// `v1/Service`.
    Service,
    /// `discovery.k8s.io/v1/EndpointSlice`.
    EndpointSlice,
    /// `networking.k8s.io/v1/NetworkPolicy`.
    NetworkPolicy,
}

impl Kind {
    /// The kind that an object's `apiVersion` and `kind` name, or nothing when Sluice does not read it.
    pub fn of(api_version: &str, kind: &str) -> Option<Kind> {
        match (api_version, kind) {
            ("v1", "Node") => Some(Kind::Node),
            ("v1", "Pod") => Some(Kind::Pod),
            ("v1", "Namespace") => Some(Kind::Namespace),
            ("v1", "Service") => Some(Kind::Service),
            ("discovery.k8s.io/v1", "EndpointSlice") => Some(Kind::EndpointSlice),
            ("networking.k8s.io/v1", "NetworkPolicy") => Some(Kind::NetworkPolicy),
            _ => None,
        }
    }

    /// Whether objects of the kind lie in a namespace.
    pub fn is_namespaced(self) -> bool {
        match self {
            Kind::Node | Kind::Namespace => false,
            Kind::Pod | Kind::Service | Kind::EndpointSlice | Kind::NetworkPolicy => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::Namespace => "Namespace",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::NetworkPolicy => "NetworkPolicy",
        })
    }
}

/// Which object: its kind and its full name. Displayed as `Pod default/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A Node.
    Node(NodeName),
    /// A Pod.
    Pod(PodName),
    /// A Namespace.
    Namespace(NamespaceName),
    /// A Service.
    Service(ServiceName),
    /// An EndpointSlice.
    EndpointSlice(EndpointSliceName),
    /// A NetworkPolicy.
    NetworkPolicy(NetworkPolicyName),
}

impl Key {
    /// The object's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Key::Node(_) => Kind::Node,
            Key::Pod(_) => Kind::Pod,
            Key::Namespace(_) => Kind::Namespace,
            Key::Service(_) => Kind::Service,
            Key::EndpointSlice(_) => Kind::EndpointSlice,
            Key::NetworkPolicy(_) => Kind::NetworkPolicy,
        }
    }

    /// The object as a fault names it.
    pub fn subject(&self) -> Subject {
        let (namespace, name) = match self {
            Key::Node(name) => (None, name.as_str()),
            Key::Namespace(name) => (None, name.as_str()),
            Key::Pod(name) => (Some(name.namespace()), name.name()),
            Key::Service(name) => (Some(name.namespace()), name.name()),
            Key::EndpointSlice(name) => (Some(name.namespace()), name.name()),
            Key::NetworkPolicy(name) => (Some(name.namespace()), name.name()),
        };
        let namespace = namespace.map(|namespace| namespace.as_str().to_owned());
        Subject { kind: self.kind(), namespace, name: Some(name.to_owned()) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject().fmt(f)
    }
}

/// A checked object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
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

impl Object {
    /// The object's key.
    pub fn key(&self) -> Key {
        match self {
            Object::Node(node) => Key::Node(node.name.clone()),
            Object::Pod(pod) => Key::Pod(pod.name.clone()),
            Object::Namespace(namespace) => Key::Namespace(namespace.name.clone()),
            Object::Service(service) => Key::Service(service.name.clone()),
            Object::EndpointSlice(slice) => Key::EndpointSlice(slice.name.clone()),
            Object::NetworkPolicy(policy) => Key::NetworkPolicy(policy.name.clone()),
        }
    }
}
