//! What a scenario wants to be brought up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the two ends of a measurement are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// Two pods on one node.
    Node,
    /// Two pods on two nodes, with a wire between them.
    Nodes,
    /// The node itself and one of its pods.
    Host,
}

/// What is written around packets between two nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encapsulation {
    /// VXLAN (RFC 7348).
    #[default]
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// Nothing: the nodes route to each other.
    None,
}

impl Encapsulation {
    /// As the agent's configuration calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::None => "none",
        }
    }
}

/// One set of nodes, pods and objects that peers are brought up with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Topology {
    /// Where the two ends are.
    pub(crate) place: Place,
    /// Between nodes; without meaning on one.
    pub(crate) encapsulation: Encapsulation,
    /// Services in the cluster; the client calls one of them where there are any, else the server itself.
    pub(crate) services: u32,
    /// NetworkPolicies in the cluster; where there are any, one lets the client through to the server.
    pub(crate) policies: u32,
    /// Pods on the node, the client and the server among them.
    pub(crate) pods: u32,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place, self.encapsulation) {
            (Place::Node, _) => write!(f, "two pods on a node")?,
            (Place::Host, _) => write!(f, "a node and its pod")?,
            (Place::Nodes, Encapsulation::None) => write!(f, "pods on two nodes, routed")?,
            (Place::Nodes, around) => write!(f, "pods on two nodes over {}", around.name())?,
        }
        for (count, one, many) in [(self.services, "Service", "Services"), (self.policies, "policy", "policies")] {
            if count > 0 {
                write!(f, ", {count} {}", if count == 1 { one } else { many })?;
            }
        }
        if self.pods > 2 {
            write!(f, ", {} pods", self.pods)?;
        }
        Ok(())
    }
}
