//! The objects in force, and the questions asked of them. Synchronous and in memory: one apply or delete at a time.

mod pages;

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

/// All objects in force, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

impl Index {
    /// An index with no objects.
    pub fn new() -> Index {
        Index::default()
    }

    /// Takes an object, new or in place of the one of its name.
    pub fn apply(&mut self, object: Object) -> Applied {
        match object {
            Object::Node(node) => put(&mut self.nodes, node.name.clone(), node).0,
            Object::Namespace(namespace) => put(&mut self.namespaces, namespace.name.clone(), namespace).0,
            Object::Service(service) => put(&mut self.services, service.name.clone(), *service).0,
            Object::EndpointSlice(slice) => {
                let (name, service) = (slice.name.clone(), slice.service.clone());
                let (applied, old) = put(&mut self.endpoint_slices, name.clone(), slice);
                unlink(&mut self.slices_of_service, &name, old.and_then(|old| old.service));
                if let Some(service) = service {
                    self.slices_of_service.entry(service).or_default().insert(name);
                }
                applied
            }
            Object::NetworkPolicy(policy) => put(&mut self.network_policies, policy.name.clone(), policy).0,
            Object::Pod(pod) => {
                let (name, node) = (pod.name.clone(), pod.node.clone());
                let (applied, old) = put(&mut self.pods, name.clone(), pod);
                unlink(&mut self.pods_of_node, &name, old.and_then(|old| old.node));
                if let Some(node) = node {
                    self.pods_of_node.entry(node).or_default().insert(name);
                }
                applied
            }
        }
    }

    /// Forgets an object. Returns it, or `None` when there was none.
    pub fn delete(&mut self, key: &Key) -> Option<Object> {
        match key {
            Key::Node(name) => self.nodes.remove(name).map(Object::Node),
            Key::Namespace(name) => self.namespaces.remove(name).map(Object::Namespace),
            Key::Service(name) => self.services.remove(name).map(Box::new).map(Object::Service),
            Key::EndpointSlice(name) => {
                let slice = self.endpoint_slices.remove(name)?;
                unlink(&mut self.slices_of_service, name, slice.service.clone());
                Some(Object::EndpointSlice(slice))
            }
            Key::NetworkPolicy(name) => self.network_policies.remove(name).map(Object::NetworkPolicy),
            Key::Pod(name) => {
                let pod = self.pods.remove(name)?;
                unlink(&mut self.pods_of_node, name, pod.node.clone());
                Some(Object::Pod(pod))
            }
        }
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
fn unlink<G: Ord, N: Ord>(groups: &mut BTreeMap<G, BTreeSet<N>>, name: &N, group: Option<G>) {
    let Some(group) = group else { return };
    if let Some(names) = groups.get_mut(&group) {
        names.remove(name);
        if names.is_empty() {
            groups.remove(&group);
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
