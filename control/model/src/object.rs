//! Any object: its kind, its key, its checked form.

use std::collections::BTreeMap;
use std::fmt;

use crate::name::{NamespaceName, NodeName, PodName};
use crate::namespace::Namespace;
use crate::node::Node;
use crate::pod::Pod;

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
}

impl Kind {
    /// The kind that an object's `apiVersion` and `kind` name, or nothing when Sluice does not read it.
    pub fn of(api_version: &str, kind: &str) -> Option<Kind> {
        match (api_version, kind) {
            ("v1", "Node") => Some(Kind::Node),
            ("v1", "Pod") => Some(Kind::Pod),
            ("v1", "Namespace") => Some(Kind::Namespace),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::Namespace => "Namespace",
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
}

impl Key {
    /// The object's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Key::Node(_) => Kind::Node,
            Key::Pod(_) => Kind::Pod,
            Key::Namespace(_) => Kind::Namespace,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Node(name) => write!(f, "{} {name}", self.kind()),
            Key::Pod(name) => write!(f, "{} {name}", self.kind()),
            Key::Namespace(name) => write!(f, "{} {name}", self.kind()),
        }
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
}

impl Object {
    /// The object's key.
    pub fn key(&self) -> Key {
        match self {
            Object::Node(node) => Key::Node(node.name.clone()),
            Object::Pod(pod) => Key::Pod(pod.name.clone()),
            Object::Namespace(namespace) => Key::Namespace(namespace.name.clone()),
        }
    }
}
