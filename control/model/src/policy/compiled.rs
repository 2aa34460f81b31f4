//! Policies as they were compiled last, and what a change makes of them.
//!
//! A pod that comes or goes changes whose an address is; one with labels that no pod of its namespace had is one identity more,
//! and the rules that select it are made anew. A policy changes the rules of the local pods it selects. A namespace with other
//! labels, which is rare, begins it all anew.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_tables::{Identities, Identity, PodPolicy, PortId, Rules, RulesBuilder};

use super::Slack;
use super::allowed::{Allowed, Name, Naming};
use super::known_rules::{Key, KnownRules, Side};
use super::named_ports::NamedPorts;
use super::owners::{Owners, is_meant, pod_of};
use super::population::Population;
use super::selectors::Selectors;
use crate::attachment::Attachment;
use crate::fault::Fault;
use crate::index::{Changes, Index};
use crate::name::{NamespaceName, NetworkPolicyName, NodeName, PodName};
use crate::network_policy::{NetworkPolicy, PolicyPort, PolicyRule};
use crate::object::Labels;
use crate::pod::{Pod, PodPort};
use crate::selector::Selector;
use crate::spare::Spare;

/// What the policies mean for one node, and what they were made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompiledPolicies {
    attachments: Vec<Attachment>,
    population: Population,
    owners: Owners,
    /// Pods that policies can mean.
    pods: BTreeMap<PodName, Known>,
    named_ports: NamedPorts,
    identities: Arc<Identities>,
    spare: Spare<Identities>,
    versions: Versions,
    /// Which policies select local pods with these labels.
    subjects: BTreeMap<(NamespaceName, Labels), Subject>,
    rules: KnownRules,
    by_port: Vec<(PortId, PodPolicy)>,
    slack: Slack,
}

/// A pod as it is known.
#[derive(Clone, Debug)]
struct Known {
    /// Addresses that its status says, unless it is a pod of this node.
    told: Vec<IpAddr>,
    identity: u32,
}

/// Numbers of policies, another one whenever a policy changes.
#[derive(Clone, Debug, Default)]
struct Versions {
    last: u64,
    by_name: BTreeMap<NetworkPolicyName, u64>,
    /// Each with what it selects.
    names: BTreeMap<u64, (NetworkPolicyName, Selector)>,
    subjects: BTreeMap<NamespaceName, Selectors>,
}

/// What selects a local pod.
#[derive(Clone, Debug)]
struct Subject {
    /// Those that are about the direction; empty: it is not isolated in it.
    ingress: Arc<[u64]>,
    egress: Arc<[u64]>,
    /// Names of ports in the ingress rules.
    names: BTreeSet<Name>,
}

impl CompiledPolicies {
    /// Ones that keep so much of what nothing uses any more.
    pub(crate) fn with_slack(slack: Slack) -> CompiledPolicies {
        CompiledPolicies { slack, ..CompiledPolicies::default() }
    }

    /// Who is behind each address of the cluster's pods.
    pub(crate) fn identities(&self) -> &Arc<Identities> {
        &self.identities
    }

    /// What each attachment's port enforces, in the order of the attachments.
    pub(crate) fn by_port(&self) -> &[(PortId, PodPolicy)] {
        &self.by_port
    }

    /// Addresses that several claim.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.owners.faults()
    }

    /// Brings them up to date with an index of which `changes` are all that changed. With another `node` or `seed` than
    /// before, those are to be everything.
    pub(crate) fn update(
        &mut self,
        index: &Index,
        changes: &Changes,
        node: &NodeName,
        attachments: &[Attachment],
        seed: u64,
    ) {
        let relabelled = |namespace: &NamespaceName| self.population.is_relabelled(index, namespace);
        let anew = changes.everything
            || self.population.is_worn(self.slack.identities)
            || changes.namespaces.iter().any(relabelled);
        if anew {
            let identities = Arc::new(Identities::new(seed));
            *self = CompiledPolicies { identities, ..CompiledPolicies::with_slack(self.slack) };
        }
        let attached_changed = anew || self.attachments != attachments;
        let local = self.take_pods(index, changes, anew, node, attachments);
        self.decide(index);
        let policies = self.take_policies(index, changes, anew);
        let grown = self.population.take_grown();
        let forgotten = self.rules.forget(&grown, &self.named_ports.take_changed());
        let concerned = |attachment: &Attachment| policies.contains(attachment.pod.namespace());
        if attached_changed || local || forgotten || attachments.iter().any(concerned) {
            self.assign(index, node, attachments, seed);
            self.rules.sweep(&mut self.population, self.slack.selections);
        }
        if attached_changed {
            self.attachments = attachments.to_vec();
        }
    }

    /// Takes the pods that changed, and whose addresses did. Returns whether one of them is of an attachment, and policies may see
    /// another pod in it.
    fn take_pods(
        &mut self,
        index: &Index,
        changes: &Changes,
        anew: bool,
        node: &NodeName,
        attachments: &[Attachment],
    ) -> bool {
        let mut pods: BTreeSet<&PodName> = changes.pods.keys().collect();
        if anew {
            index.nodes().for_each(|node| self.take_node(index, &node.name));
            pods = index.pods().map(|pod| &pod.name).collect();
        } else {
            changes.nodes.iter().for_each(|node| self.take_node(index, node));
        }
        let before = std::mem::take(&mut self.attachments);
        if before != attachments {
            pods.extend(before.iter().chain(attachments).map(|attachment| &attachment.pod));
        }
        let other =
            |name: &PodName| changes.pods.get(name).is_some_and(|old| is_other(old.as_deref(), index.pod(name)));
        let local = attachments.iter().any(|attachment| other(&attachment.pod));
        let known = attachments.iter().filter(|attachment| pod_of(index, node, attachment).is_some());
        let mut here: BTreeMap<&PodName, Vec<IpAddr>> = BTreeMap::new();
        known.for_each(|attachment| here.entry(&attachment.pod).or_default().extend(&attachment.addresses));
        if before != attachments || local {
            self.owners.set_attached(index, node, attachments);
        }
        for name in pods {
            self.take_pod(index, node, name, here.get(name));
        }
        self.attachments = before;
        local
    }

    fn take_node(&mut self, index: &Index, name: &NodeName) {
        let addresses =
            index.node(name).map(|node| node.internal_ips.iter().copied().chain(node.own_addresses()).collect());
        self.owners.set_node(name, addresses.unwrap_or_default());
    }

    /// `here`: the addresses of its attachments, if it has any.
    fn take_pod(&mut self, index: &Index, node: &NodeName, name: &PodName, here: Option<&Vec<IpAddr>>) {
        let pod = index.pod(name).filter(|pod| is_meant(pod));
        // What this node's Pods claim beside their attachments is old: they have been detached, or are not attached yet.
        let elsewhere = pod.filter(|pod| pod.node.as_ref() != Some(node) && here.is_none());
        let told = elsewhere.map(|pod| pod.addresses.clone()).unwrap_or_default();
        let before = self.pods.remove(name);
        self.owners.set_told(name, before.as_ref().map_or(&[], |known| &known.told), &told);
        self.owners.reopen(here.into_iter().flatten().copied());
        if let Some(pod) = pod.filter(|_| here.is_some() || !told.is_empty()) {
            let identity = self.population.enter(index, name.namespace(), &pod.labels);
            self.pods.insert(name.clone(), Known { told, identity });
        }
        if let Some(known) = before {
            self.population.leave(known.identity);
        }
    }

    /// Brings identities and named ports up to date with whose the addresses are now.
    fn decide(&mut self, index: &Index) {
        let mut changed = Vec::new();
        for address in self.owners.decide(index) {
            let owner = self.owners.owner(address).and_then(|pod| Some((self.pods.get(pod)?.identity, pod)));
            let identity = owner.map(|(identity, _)| Identity(identity));
            if self.identities.get(address) != identity {
                changed.push((address, identity));
            }
            self.named_ports.set(address, owner.and_then(|(identity, pod)| Some((identity, index.pod(pod)?))));
        }
        if !changed.is_empty() {
            self.replace_identities(changed);
        }
    }

    fn replace_identities(&mut self, changed: Vec<(IpAddr, Option<Identity>)>) {
        let mut identities = self.spare.take();
        identities.copy_from(&self.identities);
        for (address, identity) in changed {
            match identity {
                Some(identity) => identities.insert(address, identity),
                None => identities.remove(address),
            };
        }
        let before = std::mem::replace(&mut self.identities, Arc::new(identities));
        self.spare.keep(before);
    }

    /// Takes the policies that changed. Returns the namespaces they are of.
    fn take_policies(&mut self, index: &Index, changes: &Changes, anew: bool) -> BTreeSet<NamespaceName> {
        let mut namespaces = BTreeSet::new();
        let all = anew.then(|| index.network_policies().map(|policy| &policy.name)).into_iter().flatten();
        for name in changes.policies.iter().chain(all) {
            self.versions.renew(name, index.network_policy(name));
            namespaces.insert(name.namespace().clone());
        }
        self.subjects.retain(|(namespace, _), _| !namespaces.contains(namespace));
        namespaces
    }

    /// Gives each port what its pod enforces.
    fn assign(&mut self, index: &Index, node: &NodeName, attachments: &[Attachment], seed: u64) {
        let shut = Arc::new(RulesBuilder::new(seed).build());
        let mut before = std::mem::take(&mut self.subjects);
        let mut by_port = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let namespace = attachment.pod.namespace();
            let policy = match pod_of(index, node, attachment) {
                Some(pod) => {
                    let key = (namespace.clone(), pod.labels.clone());
                    let known = self.subjects.remove(&key).or_else(|| before.remove(&key));
                    let subject = known.unwrap_or_else(|| self.versions.subject(index, namespace, &pod.labels));
                    let policy = self.policy(index, pod, &subject, seed);
                    self.subjects.insert(key, subject);
                    policy
                }
                None if index.network_policies_of(namespace).next().is_some() => {
                    PodPolicy { ingress: Some(Arc::clone(&shut)), egress: Some(Arc::clone(&shut)) }
                }
                None => PodPolicy::default(),
            };
            by_port.push((attachment.port, policy));
        }
        self.by_port = by_port;
    }

    /// What a pod enforces. Without a policy that is about a direction, it is not isolated in it.
    fn policy(&mut self, index: &Index, pod: &Pod, subject: &Subject, seed: u64) -> PodPolicy {
        let ingress = (!subject.ingress.is_empty()).then(|| {
            let port = |name: &Name| (name.clone(), pod.named_port(&name.0, name.1));
            let key = (Side::Ingress, Arc::clone(&subject.ingress), subject.names.iter().map(port).collect());
            self.rules_of(index, key, seed)
        });
        let egress = (!subject.egress.is_empty())
            .then(|| self.rules_of(index, (Side::Egress, Arc::clone(&subject.egress), BTreeMap::new()), seed));
        PodPolicy { ingress, egress }
    }

    fn rules_of(&mut self, index: &Index, key: Key, seed: u64) -> Arc<Rules> {
        let Self { population, versions, named_ports, rules, .. } = self;
        rules.get(key, seed, |(side, versions_of, names)| {
            let policies =
                versions_of.iter().filter_map(|version| index.network_policy(&versions.names.get(version)?.0));
            let rules = policies.flat_map(|policy| {
                let rules = match side {
                    Side::Ingress => ingress_rules(policy),
                    Side::Egress => policy.egress.as_deref().unwrap_or_default(),
                };
                rules.iter().map(|rule| (policy.name.namespace(), rule))
            });
            let naming = match side {
                Side::Ingress => Naming::Subject(names),
                Side::Egress => Naming::Target(named_ports),
            };
            Allowed::by(population, rules, naming)
        })
    }
}

impl Versions {
    /// A policy is this one now, or none.
    fn renew(&mut self, name: &NetworkPolicyName, policy: Option<&NetworkPolicy>) {
        if let Some(before) = self.by_name.remove(name)
            && let Some((_, selector)) = self.names.remove(&before)
            && let Some(subjects) = self.subjects.get_mut(name.namespace())
        {
            subjects.remove(before, &selector);
            if subjects.is_empty() {
                self.subjects.remove(name.namespace());
            }
        }
        if let Some(policy) = policy {
            self.last += 1;
            self.by_name.insert(name.clone(), self.last);
            self.names.insert(self.last, (name.clone(), policy.subjects.clone()));
            self.subjects.entry(name.namespace().clone()).or_default().insert(self.last, &policy.subjects);
        }
    }

    /// The policies of a namespace that select pods with these labels.
    fn subject(&self, index: &Index, namespace: &NamespaceName, labels: &Labels) -> Subject {
        let candidates = self.subjects.get(namespace).map(|subjects| subjects.candidates(labels)).unwrap_or_default();
        let policy = |number: u64| Some((number, index.network_policy(&self.names.get(&number)?.0)?));
        let selecting: Vec<(u64, &NetworkPolicy)> =
            candidates.into_iter().filter_map(policy).filter(|(_, policy)| policy.subjects.matches(labels)).collect();
        let about = |side: fn(&NetworkPolicy) -> &Option<Vec<PolicyRule>>| -> Arc<[u64]> {
            selecting.iter().filter(|(_, policy)| side(policy).is_some()).map(|(number, _)| *number).collect()
        };
        let ports = selecting.iter().flat_map(|(_, policy)| ingress_rules(policy)).flat_map(|rule| &rule.ports);
        let names = ports.filter_map(|port| match port {
            PolicyPort::Named { protocol, name } => Some((name.clone(), *protocol)),
            PolicyPort::Whole(_) | PolicyPort::Range { .. } => None,
        });
        Subject {
            ingress: about(|policy| &policy.ingress),
            egress: about(|policy| &policy.egress),
            names: names.collect(),
        }
    }
}

fn ingress_rules(policy: &NetworkPolicy) -> &[PolicyRule] {
    policy.ingress.as_deref().unwrap_or_default()
}

/// Whether policies may see another pod than before.
fn is_other(old: Option<&Pod>, new: Option<&Pod>) -> bool {
    fn seen(pod: &Pod) -> (&Labels, &[PodPort], &Option<NodeName>, bool) {
        (&pod.labels, &pod.ports, &pod.node, pod.host_network)
    }
    old.map(seen) != new.map(seen)
}
