//! NetworkPolicies.

use ipnet::IpNet;

use super::{Labels, Protocol};

/// A NetworkPolicy, called `policy0` and so on by its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its namespace.
    pub namespace: usize,
    /// Which pods of the namespace it is about.
    pub subject: Selector,
    /// `policyTypes`; absent when `None`.
    pub types: Option<Vec<Way>>,
    /// `ingress`; absent when `None`.
    pub ingress: Option<Vec<Rule>>,
    /// `egress`; absent when `None`.
    pub egress: Option<Vec<Rule>>,
}

/// Into a pod or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into it.
    Ingress,
    /// Out of it.
    Egress,
}

/// One rule: any of the peers at any of the ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// `from` or `to`; empty means any.
    pub peers: Vec<Peer>,
    /// `ports`; empty means any.
    pub ports: Vec<PolicyPort>,
}

/// One peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Peer {
    /// Pods: of the selected namespaces, or of the policy's own when there is no selector for them.
    Pods {
        /// `namespaceSelector`.
        namespaces: Option<Selector>,
        /// `podSelector`.
        pods: Option<Selector>,
    },
    /// Addresses.
    Block {
        /// Those that are meant,
        cidr: IpNet,
        /// except these.
        except: Vec<IpNet>,
    },
}

/// One entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPort {
    /// `protocol`; TCP when `None`.
    pub protocol: Option<Protocol>,
    /// `port` and `endPort`; every port when `None`.
    pub port: Option<PortName>,
}

/// A port as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortName {
    /// By number.
    Number(u16),
    /// From the first to the last.
    Range(u16, u16),
    /// By the name that the destination pod gives it.
    Name(String),
}

/// A label selector: all of it must hold; an empty one holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// `matchLabels`.
    pub labels: Labels,
    /// `matchExpressions`.
    pub expressions: Vec<Expression>,
}

/// One of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The label it is about.
    pub key: String,
    /// What is asked of it.
    pub operator: Operator,
}

/// What is asked of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is there with one of these values.
    In(Vec<String>),
    /// It is not there, or with another value.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}
