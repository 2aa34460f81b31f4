//! The objects in force, and the questions asked of them. Synchronous and in memory: one apply or delete at a time.

mod pages;

mod changes;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::endpoint_slice::EndpointSlice;
use crate::fault::{Fault, FieldPath, Problem, Subject};
use crate::name::{EndpointSliceName, NamespaceName, NetworkPolicyName, NodeName, PodName, ServiceName};
use crate::namespace::Namespace;
use crate::network_policy::NetworkPolicy;
use crate::node::Node;
use crate::object::{Key, Kind, Labels, Object};
use crate::pod::Pod;
use crate::pod_cidr::overlap;
use crate::service::Service;
pub(crate) use changes::Changes;

/// What an [`Index::apply`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The object is new.
    Added,
    /// The object was there and is different now.
    Changed,
    /// The object was there and is the same.
    Unchanged,
}

/// All objects in force, by name. Two are equal that hold the same objects.
#[derive(Clone, Debug, Default)]
pub struct Index {
    nodes: BTreeMap<NodeName, Node>,
    pods: BTreeMap<PodName, Pod>,
    namespaces: BTreeMap<NamespaceName, Namespace>,
    services: BTreeMap<ServiceName, Service>,
    endpoint_slices: BTreeMap<EndpointSliceName, EndpointSlice>,
    network_policies: BTreeMap<NetworkPolicyName, NetworkPolicy>,
    /// Pods that name a node, by that node: always what `pods` says.
    pods_of_node: BTreeMap<NodeName, BTreeSet<PodName>>,
    /// EndpointSlices that name a Service, by that Service: always what `endpoint_slices` says.
    slices_of_service: BTreeMap<ServiceName, BTreeSet<EndpointSliceName>>,
    /// Services with a selector that no slice names, so that their Pods alone tell their endpoints: always what `services` and
    /// `slices_of_service` say.
    without_slices: BTreeSet<ServiceName>,
    changes: Changes,
}

impl PartialEq for Index {
    fn eq(&self, other: &Index) -> bool {
        // The rest follows from these, or is of no object.
        self.nodes == other.nodes
            && self.pods == other.pods
            && self.namespaces == other.namespaces
            && self.services == other.services
            && self.endpoint_slices == other.endpoint_slices
            && self.network_policies == other.network_policies
    }
}

impl Eq for Index {}

impl Index {
    /// An index with no objects.
    pub fn new() -> Index {
        Index::default()
    }

    /// Takes an object, new or in place of the one of its name.
    pub fn apply(&mut self, object: Object) -> Applied {
        let applied = match object {
            Object::Node(node) => {
                let (name, networks, zone) =
                    (node.name.clone(), node.pod_cidrs.clone(), node.zone().map(str::to_owned));
                let (applied, old) = put(&mut self.nodes, name.clone(), node);
                let known = old.as_ref().filter(|_| applied != Applied::Unchanged);
                if known.is_some_and(|old| old.pod_cidrs == networks && old.zone() == zone.as_deref()) {
                    self.changes.nodes.insert(name);
                } else if applied != Applied::Unchanged {
                    self.note_node(name);
                }
                applied
            }
            Object::Namespace(namespace) => {
                let name = namespace.name.clone();
                let (applied, _) = put(&mut self.namespaces, name.clone(), namespace);
                if applied != Applied::Unchanged {
                    self.changes.namespaces.insert(name);
                }
                applied
            }
            Object::Service(service) => {
                let name = service.name.clone();
                let (applied, _) = put(&mut self.services, name.clone(), *service);
                if applied != Applied::Unchanged {
                    self.changes.services.insert(name.clone());
                    self.note_slices(&name);
                }
                applied
            }
            Object::EndpointSlice(slice) => self.apply_slice(slice),
            Object::NetworkPolicy(policy) => {
                let name = policy.name.clone();
                let (applied, _) = put(&mut self.network_policies, name.clone(), policy);
                if applied != Applied::Unchanged {
                    self.changes.policies.insert(name);
                }
                applied
            }
            Object::Pod(pod) => self.apply_pod(pod),
        };
        // Nothing single is worth telling of what was never compiled.
        if self.changes.everything {
            self.changes = Changes::all();
        }
        applied
    }

    fn apply_slice(&mut self, slice: EndpointSlice) -> Applied {
        let (name, service) = (slice.name.clone(), slice.service.clone());
        let (applied, old) = put(&mut self.endpoint_slices, name.clone(), slice);
        let before = old.and_then(|old| old.service);
        if applied == Applied::Unchanged {
            return applied;
        }
        if before != service {
            unlink(&mut self.slices_of_service, &name, before.as_ref());
            if let Some(service) = &service {
                self.slices_of_service.entry(service.clone()).or_default().insert(name);
            }
        }
        for service in before.into_iter().chain(service) {
            self.note_slices(&service);
            self.changes.endpoints.insert(service);
        }
        applied
    }

    fn apply_pod(&mut self, pod: Pod) -> Applied {
        let (name, node) = (pod.name.clone(), pod.node.clone());
        let (applied, old) = put(&mut self.pods, name.clone(), pod);
        if applied == Applied::Unchanged {
            return applied;
        }
        let before = old.as_ref().and_then(|old| old.node.clone());
        if before != node {
            unlink(&mut self.pods_of_node, &name, before.as_ref());
            if let Some(node) = node {
                self.pods_of_node.entry(node).or_default().insert(name.clone());
            }
        }
        self.note_pod(name, old);
        applied
    }

    /// Forgets an object. Returns it, or `None` when there was none.
    pub fn delete(&mut self, key: &Key) -> Option<Object> {
        let deleted = match key {
            Key::Node(name) => {
                let node = self.nodes.remove(name)?;
                self.note_node(name.clone());
                Object::Node(node)
            }
            Key::Namespace(name) => {
                let namespace = self.namespaces.remove(name)?;
                self.changes.namespaces.insert(name.clone());
                Object::Namespace(namespace)
            }
            Key::Service(name) => {
                let service = self.services.remove(name)?;
                self.changes.services.insert(name.clone());
                self.note_slices(name);
                Object::Service(Box::new(service))
            }
            Key::EndpointSlice(name) => {
                let slice = self.endpoint_slices.remove(name)?;
                unlink(&mut self.slices_of_service, name, slice.service.as_ref());
                if let Some(service) = &slice.service {
                    self.note_slices(service);
                    self.changes.endpoints.insert(service.clone());
                }
                Object::EndpointSlice(slice)
            }
            Key::NetworkPolicy(name) => {
                let policy = self.network_policies.remove(name)?;
                self.changes.policies.insert(name.clone());
                Object::NetworkPolicy(policy)
            }
            Key::Pod(name) => {
                let pod = self.pods.remove(name)?;
                unlink(&mut self.pods_of_node, name, pod.node.as_ref());
                self.note_pod(name.clone(), Some(pod.clone()));
                Object::Pod(pod)
            }
        };
        if self.changes.everything {
            self.changes = Changes::all();
        }
        Some(deleted)
    }

    /// What changed since this was asked last; at first everything.
    pub(crate) fn take_changes(&mut self) -> Changes {
        self.changes.take()
    }

    /// A node that came or went, or has other networks or another zone: endpoints made of Pods are hinted to zones.
    fn note_node(&mut self, name: NodeName) {
        self.changes.nodes.insert(name);
        self.changes.networks = true;
        self.changes.endpoints.extend(self.without_slices.iter().cloned());
    }

    /// Brings up to date whether a Service has its endpoints from its Pods alone.
    fn note_slices(&mut self, name: &ServiceName) {
        let of_pods = self.services.get(name).is_some_and(|service| !service.selector.is_empty());
        if of_pods && !self.slices_of_service.contains_key(name) {
            self.without_slices.insert(name.clone());
        } else {
            self.without_slices.remove(name);
        }
    }

    /// A Pod that changed, with the Services whose endpoints follow from it.
    fn note_pod(&mut self, name: PodName, old: Option<Pod>) {
        if self.changes.everything {
            return;
        }
        let new = self.pods.get(&name);
        let from = ServiceName::before_all_of(name.namespace());
        let made_of_pods = self.without_slices.range(from..).take_while(|one| one.namespace() == name.namespace());
        for service in made_of_pods.filter_map(|one| self.services.get(one)) {
            if old.as_ref().into_iter().chain(new).any(|pod| service.selects(&pod.labels)) {
                self.changes.endpoints.insert(service.name.clone());
            }
        }
        // What it was when it was compiled last counts.
        self.changes.pods.entry(name).or_insert_with(|| old.map(Box::new));
    }

    /// The Node of this name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// All Nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The Pod of this name.
    pub fn pod(&self, name: &PodName) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// All Pods, by namespace and name.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// The Pods bound to a node, by namespace and name, whether or not the Node itself is known.
    pub fn pods_of_node(&self, node: &NodeName) -> impl Iterator<Item = &Pod> {
        self.pods_of_node.get(node).into_iter().flatten().filter_map(|name| self.pods.get(name))
    }

    /// The Pods of a namespace, by name, whether or not the Namespace itself is known.
    pub fn pods_in(&self, namespace: &NamespaceName) -> impl Iterator<Item = &Pod> {
        let from = PodName::before_all_of(namespace);
        let namespace = namespace.clone();
        self.pods.range(from..).map(|(_, pod)| pod).take_while(move |pod| *pod.name.namespace() == namespace)
    }

    /// The Namespace of this name.
    pub fn namespace(&self, name: &NamespaceName) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The labels of a Namespace, or `None` when it is not known.
    pub fn namespace_labels(&self, name: &NamespaceName) -> Option<&Labels> {
        self.namespaces.get(name).map(|namespace| &namespace.labels)
    }

    /// All Namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// The Service of this name.
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.get(name)
    }

    /// All Services, by namespace and name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// All EndpointSlices, by namespace and name.
    pub fn endpoint_slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.endpoint_slices.values()
    }

    /// The EndpointSlices that name a Service, by name, whether or not the Service itself is known.
    pub fn slices_of(&self, service: &ServiceName) -> impl Iterator<Item = &EndpointSlice> {
        self.slices_of_service.get(service).into_iter().flatten().filter_map(|name| self.endpoint_slices.get(name))
    }

    /// The NetworkPolicy of this name.
    pub fn network_policy(&self, name: &NetworkPolicyName) -> Option<&NetworkPolicy> {
        self.network_policies.get(name)
    }

    /// All NetworkPolicies, by namespace and name.
    pub fn network_policies(&self) -> impl Iterator<Item = &NetworkPolicy> {
        self.network_policies.values()
    }

    /// The NetworkPolicies of a namespace, by name, whether or not the Namespace itself is known.
    pub fn network_policies_of(&self, namespace: &NamespaceName) -> impl Iterator<Item = &NetworkPolicy> {
        let from = NetworkPolicyName::before_all_of(namespace);
        let namespace = namespace.clone();
        self.network_policies
            .range(from..)
            .map(|(_, policy)| policy)
            .take_while(move |policy| *policy.name.namespace() == namespace)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Node => self.nodes.len(),
            Kind::Pod => self.pods.len(),
            Kind::Namespace => self.namespaces.len(),
            Kind::Service => self.services.len(),
            Kind::EndpointSlice => self.endpoint_slices.len(),
            Kind::NetworkPolicy => self.network_policies.len(),
        }
    }

    /// What is wrong between objects that are each good alone: pod networks that two Nodes share. The fault is of the
    /// network that comes later in the order of addresses, the shorter prefix first, then of names.
    pub fn faults(&self) -> Vec<Fault> {
        let networks = |node: &Node| node.pod_cidrs.clone().into_iter().enumerate();
        let mut all: Vec<(IpNet, &NodeName, usize)> =
            self.nodes.values().flat_map(|node| networks(node).map(|(i, net)| (net, &node.name, i))).collect();
        // Networks nest or lie apart, so in this order every holder of a network is on the stack when it comes.
        all.sort_by_key(|(net, name, _)| (net.network(), net.prefix_len(), *name));
        let mut open: Vec<(IpNet, &NodeName)> = Vec::new();
        let mut faults = Vec::new();
        for (value, name, index) in all {
            while open.last().is_some_and(|(holder, _)| !overlap(holder, &value)) {
                open.pop();
            }
            if let Some((other, node)) = open.last() {
                faults.push(Fault {
                    subject: Subject { kind: Kind::Node, namespace: None, name: Some(name.as_str().to_owned()) },
                    field: FieldPath::of(&["spec", "podCIDRs"]).index(index),
                    problem: Problem::OverlapsNode { value, other: *other, node: (*node).clone() },
                });
            }
            open.push((value, name));
        }
        faults
    }
}

/// Takes a name from those of its group, and the group away with its last name.
fn unlink<G: Ord, N: Ord>(groups: &mut BTreeMap<G, BTreeSet<N>>, name: &N, group: Option<&G>) {
    let Some(group) = group else { return };
    if let Some(names) = groups.get_mut(group) {
        names.remove(name);
        if names.is_empty() {
            groups.remove(group);
        }
    }
}

fn put<K: Ord, V: PartialEq + Clone>(map: &mut BTreeMap<K, V>, key: K, value: V) -> (Applied, Option<V>) {
    let same = map.get(&key) == Some(&value);
    match map.insert(key, value) {
        None => (Applied::Added, None),
        Some(old) if same => (Applied::Unchanged, Some(old)),
        Some(old) => (Applied::Changed, Some(old)),
    }
}
