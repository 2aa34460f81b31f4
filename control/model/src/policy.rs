//! NetworkPolicies to what each local pod's port enforces.
//!
//! ```text
//! Index, attachments --residents--> pods with addresses --population--> identities --allowed--> Rules, one PodPolicy a port
//! ```
//!
//! Policies only add, so all that select a pod become one set of rules a direction; pods with the same policies (and, for
//! ingress, the same answers to the named ports in them) share it. Peers that are selected by label become identities,
//! never addresses: a pod that comes or goes elsewhere changes the map of identities and no rule.
//!
//! What the path adds by itself is not compiled: the own node's traffic, a pod with itself, replies and related ICMP
//! always pass.

mod allowed;
mod label_index;
mod members;
mod population;
mod residents;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_tables::{Identities, Identity, PodPolicy, PortId, PortRange, Ports, Rules, RulesBuilder};

use crate::attachment::Attachment;
use crate::fault::Fault;
use crate::index::Index;
use crate::name::{NetworkPolicyName, NodeName};
use crate::network_policy::{NetworkPolicy, PolicyPort, PolicyRule};
use crate::pod::Pod;
use crate::protocol::Protocol;
use allowed::{Allowed, Naming, Opening};
use population::Population;

/// What all policies together mean for one node.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Who is behind each address of the cluster's pods. The numbers hold for the rules of the same call alone.
    pub identities: Arc<Identities>,
    /// What each attachment's port enforces, in the order of the attachments.
    pub by_port: Vec<(PortId, PodPolicy)>,
    /// Addresses that several claim: they are nobody's in `identities`.
    pub faults: Vec<Fault>,
}

/// Compiles the policies of an index for the pods attached to `node`; `seed` seeds the hash maps.
///
/// A pod whose object is not known (or is another's of the same name) cannot be selected by label: it is shut in both
/// directions as long as its namespace has any policy.
pub fn compile_policies(index: &Index, node: &NodeName, attachments: &[Attachment], seed: u64) -> Policies {
    let (residents, faults) = residents::residents(index, node, attachments);
    let population = Population::of(index, &residents);
    let mut identities = Identities::new(seed);
    for (address, identity) in population.addresses() {
        identities.insert(*address, Identity(*identity));
    }
    let mut compiler = Compiler::new(&population, seed);
    let mut policy = |attachment: &Attachment| {
        let mut policies = index.network_policies_of(attachment.pod.namespace());
        match residents::pod_of(index, node, attachment) {
            Some(pod) => compiler.policy(pod, policies.filter(|policy| policy.subjects.matches(&pod.labels)).collect()),
            None if policies.next().is_some() => compiler.shut_policy(),
            None => PodPolicy::default(),
        }
    };
    let by_port = attachments.iter().map(|attachment| (attachment.port, policy(attachment))).collect();
    Policies { identities: Arc::new(identities), by_port, faults }
}

/// The names that a pod's ingress rules use, and the ports the pod has for them.
type Names<'a> = BTreeMap<(&'a str, Protocol), Option<u16>>;

/// Makes rules, each only once.
struct Compiler<'p, 'a> {
    population: &'p Population<'a>,
    seed: u64,
    ingress: BTreeMap<(Vec<&'a NetworkPolicyName>, Names<'a>), Arc<Rules>>,
    egress: BTreeMap<Vec<&'a NetworkPolicyName>, Arc<Rules>>,
    shut: Arc<Rules>,
}

impl<'p, 'a> Compiler<'p, 'a> {
    fn new(population: &'p Population<'a>, seed: u64) -> Compiler<'p, 'a> {
        let shut = Arc::new(RulesBuilder::new(seed).build());
        Compiler { population, seed, ingress: BTreeMap::new(), egress: BTreeMap::new(), shut }
    }

    fn shut_policy(&self) -> PodPolicy {
        PodPolicy { ingress: Some(Arc::clone(&self.shut)), egress: Some(Arc::clone(&self.shut)) }
    }

    /// What a pod enforces that these policies select. Without one that is about a direction, it is not isolated in it.
    fn policy(&mut self, pod: &Pod, selecting: Vec<&'a NetworkPolicy>) -> PodPolicy {
        let about = |side: fn(&NetworkPolicy) -> &Option<Vec<PolicyRule>>| -> Vec<&'a NetworkPolicy> {
            selecting.iter().copied().filter(|policy| side(policy).is_some()).collect()
        };
        let (ingress, egress) = (about(|policy| &policy.ingress), about(|policy| &policy.egress));
        PodPolicy {
            ingress: (!ingress.is_empty()).then(|| self.ingress(pod, &ingress)),
            egress: (!egress.is_empty()).then(|| self.egress(&egress)),
        }
    }

    fn ingress(&mut self, pod: &Pod, policies: &[&'a NetworkPolicy]) -> Arc<Rules> {
        let names = names(policies, pod);
        let rules = || {
            let allowed = Allowed::by(self.population, policies, ingress_rules, Naming::Subject(&names));
            Arc::new(rules(&allowed, self.seed))
        };
        let key = (policies.iter().map(|policy| &policy.name).collect(), names.clone());
        Arc::clone(self.ingress.entry(key).or_insert_with(rules))
    }

    fn egress(&mut self, policies: &[&'a NetworkPolicy]) -> Arc<Rules> {
        let rules =
            || Arc::new(rules(&Allowed::by(self.population, policies, egress_rules, Naming::Target), self.seed));
        let key = policies.iter().map(|policy| &policy.name).collect();
        Arc::clone(self.egress.entry(key).or_insert_with(rules))
    }
}

fn ingress_rules(policy: &NetworkPolicy) -> &[PolicyRule] {
    policy.ingress.as_deref().unwrap_or_default()
}

fn egress_rules(policy: &NetworkPolicy) -> &[PolicyRule] {
    policy.egress.as_deref().unwrap_or_default()
}

fn names<'a>(policies: &[&'a NetworkPolicy], pod: &Pod) -> Names<'a> {
    let rules = policies.iter().copied().flat_map(ingress_rules);
    let named = rules.flat_map(|rule| &rule.ports).filter_map(|port| match port {
        PolicyPort::Named { protocol, name } => Some((name.as_str(), *protocol)),
        PolicyPort::Whole(_) | PolicyPort::Range { .. } => None,
    });
    named.map(|(name, protocol)| ((name, protocol), pod.named_port(name, protocol))).collect()
}

fn rules(allowed: &Allowed<'_>, seed: u64) -> Rules {
    let mut builder = RulesBuilder::new(seed).any(&ports(&allowed.any));
    for (opening, members) in &allowed.identities {
        let ports = ports(opening);
        for member in members.iter() {
            builder = builder.identity(Identity(member), &ports);
        }
    }
    for (block, opening) in &allowed.blocks {
        builder = builder.block(block.cidr, &block.except, &ports(opening));
    }
    for (address, opening) in &allowed.addresses {
        builder = builder.address(*address, &ports(opening));
    }
    builder.build()
}

fn ports(opening: &Opening) -> Ports {
    match opening {
        Opening::Everything => Ports::everything(),
        Opening::Ranges(ranges) => {
            // Every range is one: the check of policies sees to it, and a pod's port is a range of itself.
            let range =
                |&(protocol, first, last): &(Protocol, u16, u16)| PortRange::new(protocol.number(), first, last).ok();
            Ports::of(ranges.iter().filter_map(range))
        }
    }
}
