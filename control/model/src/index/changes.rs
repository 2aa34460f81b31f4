//! What changed in an index since it was last compiled.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{NamespaceName, NetworkPolicyName, NodeName, PodName, ServiceName};
use crate::pod::Pod;

/// What is to be compiled anew. An index that was never compiled tells of nothing single.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    /// All of it.
    pub(crate) everything: bool,
    /// Services that came, went or are others than before.
    pub(crate) services: BTreeSet<ServiceName>,
    /// Services whose endpoints may be others than before.
    pub(crate) endpoints: BTreeSet<ServiceName>,
    /// Pods, and what each was before; `None`: it was not there.
    pub(crate) pods: BTreeMap<PodName, Option<Box<Pod>>>,
    /// Namespaces whose labels are others than before.
    pub(crate) namespaces: BTreeSet<NamespaceName>,
    /// Policies that came, went or are others than before.
    pub(crate) policies: BTreeSet<NetworkPolicyName>,
    /// Nodes that came, went or are others than before.
    pub(crate) nodes: BTreeSet<NodeName>,
    /// Whether pod networks of nodes are among that.
    pub(crate) networks: bool,
}

impl Changes {
    /// Nothing.
    fn none() -> Changes {
        Changes {
            everything: false,
            services: BTreeSet::new(),
            endpoints: BTreeSet::new(),
            pods: BTreeMap::new(),
            namespaces: BTreeSet::new(),
            policies: BTreeSet::new(),
            nodes: BTreeSet::new(),
            networks: false,
        }
    }

    /// All there is.
    pub(crate) fn all() -> Changes {
        Changes { everything: true, ..Changes::none() }
    }

    /// What there is so far; from now on nothing.
    pub(crate) fn take(&mut self) -> Changes {
        std::mem::replace(self, Changes::none())
    }
}

impl Default for Changes {
    fn default() -> Changes {
        Changes::all()
    }
}
