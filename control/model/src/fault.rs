//! What is wrong with an object, as data: which object, which field, what is wrong and what to write instead.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::{Family, ServicesError};

use crate::name::{NameError, NodeName};
use crate::network_policy::PolicyProblem;
use crate::object::Kind;
use crate::selector::SelectorProblem;

/// One thing wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The object, as far as it could be named.
    pub subject: Subject,
    /// The field that is wrong.
    pub field: FieldPath,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.subject, self.field, self.problem)
    }
}

/// The object a fault is about. Its names are as written, because a bad name is a fault itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// `metadata.namespace` as written.
    pub namespace: Option<String>,
    /// `metadata.name` as written.
    pub name: Option<String>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, &self.name) {
            (_, None) => write!(f, "{} without a name", self.kind),
            (None, Some(name)) => write!(f, "{} {name}", self.kind),
            (Some(namespace), Some(name)) => write!(f, "{} {namespace}/{name}", self.kind),
        }
    }
}

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A key of a mapping.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// The way to a field from the top of its object, as `spec.podCIDRs[1]`.
///
/// Kept in steps, because a label's key may hold dots itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The object itself.
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    /// The path of these keys, from the top.
    pub fn of(keys: &[&str]) -> FieldPath {
        FieldPath(keys.iter().map(|key| Segment::Key((*key).to_owned())).collect())
    }

    /// The path one key further.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> FieldPath {
        self.0.push(Segment::Key(key.into()));
        self
    }

    /// The path one element further (from 0).
    #[must_use]
    pub fn index(mut self, index: usize) -> FieldPath {
        self.0.push(Segment::Index(index));
        self
    }

    /// The steps from the top.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if key.contains(['.', '[']) => write!(f, "[\"{key}\"]")?,
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// What is wrong with a field. Reads after the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field that must be there is not.
    #[error("is missing; every object needs it")]
    Missing,
    /// Not a name of the Kubernetes API.
    #[error("\"{value}\" {reason}")]
    BadName {
        /// As written.
        value: String,
        /// The rule it breaks.
        reason: NameError,
    },
    /// Not a label key or value of the Kubernetes API.
    #[error("\"{value}\" is no label {part}: letters, digits, '-', '_' and '.' inside, at most 63{prefix}",
        prefix = if *.part == LabelPart::Key { ", with an optional DNS prefix and '/'" } else { "" })]
    BadLabel {
        /// As written.
        value: String,
        /// Which side of the label.
        part: LabelPart,
    },
    /// Not an address.
    #[error("\"{value}\" is no IP address")]
    NotAnAddress {
        /// As written.
        value: String,
    },
    /// Not a network.
    #[error("\"{value}\" is no network; write an address, a slash and a prefix length, as 10.0.0.0/24")]
    NotACidr {
        /// As written.
        value: String,
    },
    /// A network written with an address inside it.
    #[error("{value} has bits set behind its prefix; write {network}")]
    HostBits {
        /// As written.
        value: IpNet,
        /// The network it lies in.
        network: IpNet,
    },
    /// A network that pods cannot have.
    #[error("{value} lies in {reserved}, which is not for pods")]
    ReservedRange {
        /// As written.
        value: IpNet,
        /// The range it touches.
        reserved: IpNet,
    },
    /// A network with no room for a pod beside the node's own address.
    #[error("{value} has no room for a pod; use at least a /30 (IPv4) or a /126 (IPv6)")]
    TooSmall {
        /// As written.
        value: IpNet,
    },
    /// Two networks of one Node share addresses.
    #[error("{value} overlaps {other} of the same node")]
    Overlap {
        /// This one.
        value: IpNet,
        /// The earlier one.
        other: IpNet,
    },
    /// Networks of two Nodes share addresses.
    #[error("{value} overlaps {other} of node {node}; give each node its own")]
    OverlapsNode {
        /// This one.
        value: IpNet,
        /// The other node's.
        other: IpNet,
        /// The other node.
        node: NodeName,
    },
    /// An address of a pod that is left over from a network which another node has now.
    #[error(
        "{value} lies in {network}, which is node {node}'s now, so that only this node reaches it; delete the Pod, and another one has an address of this node's"
    )]
    InNetworkOf {
        /// As attached.
        value: IpAddr,
        /// The other node's network.
        network: IpNet,
        /// The other node.
        node: Arc<str>,
    },
    /// A pod network with hosts of the network between the nodes in it.
    #[error(
        "{value} has {address} of node {node} in it, so hosts there would be taken for pods; give the node another"
    )]
    HoldsNode {
        /// As written.
        value: IpNet,
        /// An address that is no pod's.
        address: IpAddr,
        /// The node that has it.
        node: NodeName,
    },
    /// A pod network that shares addresses with the network between the nodes.
    #[error(
        "{value} overlaps {link}, where this node reaches hosts by its uplink that would be taken for pods; give the node another"
    )]
    OverlapsUnderlay {
        /// As written.
        value: IpNet,
        /// The network on link, or a router.
        link: IpNet,
    },
    /// A field for one value says something else than the first of the field for several.
    #[error("\"{value}\" is not the first of {list} (\"{first}\"); make them equal or leave one out")]
    NotFirst {
        /// As written.
        value: String,
        /// The field for several.
        list: &'static str,
        /// What it begins with.
        first: String,
    },
    /// An address that no host can have.
    #[error("{value} is not an address that can be reached from another host")]
    NotUnicast {
        /// As written.
        value: IpAddr,
    },
    /// A Node to whose pods nothing can be sent.
    #[error("is empty; nothing reaches pods of this node until it has one")]
    NoPodNetwork,
    /// A Node that cannot be reached over the underlay.
    #[error("has no InternalIP that is {family} and this node's alone; nothing reaches pods of this node without one")]
    NoInternalIp {
        /// The underlay's family.
        family: Family,
    },
    /// An address that another Node has.
    #[error("{value} is also node {node}'s; give each node its own")]
    AddressOfNode {
        /// As written.
        value: IpAddr,
        /// The other node.
        node: NodeName,
    },
    /// Another way of tunnelling than this node's.
    #[error("is {theirs} and this node's is {ours}; what one sends the other drops, so configure all nodes alike")]
    OtherTunnel {
        /// What the other node says.
        theirs: String,
        /// What this one has.
        ours: String,
    },
    /// An address of pods where none can be.
    #[error("{value} lies in {network}, which is for pods; take another")]
    InPodNetwork {
        /// As written.
        value: IpAddr,
        /// The pod network.
        network: IpNet,
    },
    /// A pod network among ClusterIPs.
    #[error("{value} overlaps the Service range {range}; change one of them")]
    InServiceRange {
        /// As written.
        value: IpNet,
        /// The range.
        range: IpNet,
    },
    /// A Service's address that is the node's.
    #[error("{value} is an address of this node; take another")]
    OfThisNode {
        /// As written.
        value: IpAddr,
    },
    /// A port on the node that the switch itself needs.
    #[error("{port} is one that the switch masquerades or tunnels with; take another, or configure other ones")]
    ReservedPort {
        /// As written.
        port: u16,
    },
    /// What two Services claim, and this one does not get.
    #[error("{what} belongs to Service {by}, which comes first; take another")]
    Taken {
        /// The frontend or the port.
        what: String,
        /// Who has it, as `namespace/name:port`.
        by: Arc<str>,
    },
    /// What the tables refuse for any other reason.
    #[error("cannot be carried out: {reason}")]
    Refused {
        /// What the tables say.
        reason: ServicesError,
    },
    /// Nothing in a list that must hold something.
    #[error("is empty; write at least one")]
    Empty,
    /// What an API server would have chosen is not there.
    #[error("is missing; write one, because nothing but an API server chooses it")]
    NotAllocated,
    /// No point in time.
    #[error("\"{value}\" is no time; write it as 2026-01-31T09:00:00Z")]
    NotATime {
        /// As written.
        value: String,
    },
    /// Not a port's name.
    #[error("\"{value}\" is no name of a port: at most 15 lower case letters, digits and '-', one letter among them")]
    BadPortName {
        /// As written.
        value: String,
    },
    /// The same port or the same name of a port a second time in one object.
    #[error("\"{value}\" is there twice; give each port its own")]
    DuplicateOf {
        /// The port or the name.
        value: String,
    },
    /// A number outside the range that the API allows.
    #[error("{value} is outside {least} to {most}")]
    OutOfRange {
        /// As written.
        value: i64,
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// No number where one is due.
    #[error("\"{value}\" is no number")]
    NotANumber {
        /// As written.
        value: String,
    },
    /// Not the address of an Ethernet device.
    #[error("\"{value}\" is no MAC address of one device; write it as 02:53:c0:00:02:01")]
    NotAMac {
        /// As written.
        value: String,
    },
    /// An address of one family where the other one is due.
    #[error("{value} is not of the family that addressType names")]
    OtherFamily {
        /// As written.
        value: IpAddr,
    },
    /// A second address of a family where only one can be.
    #[error("{value} is of the same family as {other}; only one of each can be")]
    SecondOfFamily {
        /// As written.
        value: IpAddr,
        /// The one before.
        other: IpAddr,
    },
    /// A number that no port has.
    #[error("{value} is no port; ports are 1 to 65535")]
    NotAPort {
        /// As written.
        value: i64,
    },
    /// What only a label selector can have wrong.
    #[error(transparent)]
    Selector(#[from] SelectorProblem),
    /// What only a policy can have wrong.
    #[error(transparent)]
    Policy(#[from] PolicyProblem),
    /// A value outside a closed list.
    #[error("\"{value}\" is not one of {allowed}")]
    NotOneOf {
        /// As written.
        value: String,
        /// What is allowed, separated by commas.
        allowed: &'static str,
    },
}

/// A side of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl fmt::Display for LabelPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LabelPart::Key => "key",
            LabelPart::Value => "value",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_as_it_is_written_in_documentation() {
        assert_eq!(FieldPath::of(&["spec", "podCIDRs"]).index(1).to_string(), "spec.podCIDRs[1]");
        let label = FieldPath::of(&["metadata", "labels"]).key("app.kubernetes.io/name");
        assert_eq!(label.to_string(), "metadata.labels[\"app.kubernetes.io/name\"]");
    }

    #[test]
    fn a_fault_names_object_field_and_problem() {
        let fault = Fault {
            subject: Subject { kind: Kind::Pod, namespace: Some("default".into()), name: Some("web".into()) },
            field: FieldPath::of(&["status", "phase"]),
            problem: Problem::NotOneOf { value: "Sleeping".into(), allowed: "Pending, Running" },
        };
        assert_eq!(fault.to_string(), "Pod default/web: status.phase \"Sleeping\" is not one of Pending, Running");
        let nameless = Subject { kind: Kind::Node, namespace: None, name: None };
        assert_eq!(nameless.to_string(), "Node without a name");
    }
}
