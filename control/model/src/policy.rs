//! NetworkPolicies to what each local pod's port enforces.
//!
//! ```text
//! Index, attachments --owners--> pods with addresses --population--> identities --allowed--> Rules, one PodPolicy a port
//! ```
//!
//! Policies only add, so all that select a pod become one set of rules a direction; pods with the same policies (and, for
//! ingress, the same answers to the named ports in them) share it. Peers that are selected by label become identities,
//! never addresses: a pod that comes or goes elsewhere changes the map of identities and no rule.
//!
//! What the path adds by itself is not compiled: the own node's traffic, a pod with itself, replies and related ICMP
//! always pass.

mod allowed;
mod compiled;
mod known_rules;
mod label_index;
mod members;
mod named_ports;
mod owners;
mod population;
mod selectors;

use std::sync::Arc;

use sluice_tables::{Identities, PodPolicy, PortId};

use crate::attachment::Attachment;
use crate::fault::Fault;
use crate::index::{Changes, Index};
use crate::name::NodeName;
pub(crate) use compiled::CompiledPolicies;

/// How much is kept that nothing uses any more, beside as much as is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slack {
    /// Identities that no pod has.
    pub(crate) identities: usize,
    /// Selections that no rule is made of.
    pub(crate) selections: usize,
}

impl Default for Slack {
    fn default() -> Slack {
        Slack { identities: 1024, selections: 256 }
    }
}

/// What all policies together mean for one node.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Who is behind each address of the cluster's pods. The numbers hold for the rules of the same call alone.
    pub identities: Arc<Identities>,
    /// What each attachment's port enforces, in the order of the attachments.
    pub by_port: Vec<(PortId, PodPolicy)>,
    /// Addresses that several claim.
    pub faults: Vec<Fault>,
}

/// Compiles the policies of an index for the pods attached to `node`; `seed` seeds the hash maps.
///
/// A pod whose object is not known (or is another's of the same name) cannot be selected by label: it is shut in both
/// directions as long as its namespace has any policy.
pub fn compile_policies(index: &Index, node: &NodeName, attachments: &[Attachment], seed: u64) -> Policies {
    let mut compiled = CompiledPolicies::default();
    compiled.update(index, &Changes::all(), node, attachments, seed);
    Policies {
        identities: Arc::clone(compiled.identities()),
        by_port: compiled.by_port().to_vec(),
        faults: compiled.faults().cloned().collect(),
    }
}
