//! The cluster's pods as selectors tell them apart: pods of one namespace with the same labels are one identity.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::rc::Rc;

use super::label_index::{LabelIndex, pairs};
use super::members::Members;
use super::residents::Resident;
use crate::index::Index;
use crate::name::NamespaceName;
use crate::namespace::NAME_LABEL;
use crate::object::Labels;
use crate::protocol::Protocol;
use crate::selector::Selector;

/// Which namespaces a peer's pods are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope<'a> {
    /// The policy's own.
    Own(&'a NamespaceName),
    /// Those with these labels.
    Labelled(&'a Selector),
}

/// A port that a pod has a name for.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) identity: u32,
    pub(super) addresses: &'a [IpAddr],
    pub(super) port: u16,
}

/// All pods, numbered by identity. Identities of one namespace follow each other.
pub(super) struct Population<'a> {
    identities: LabelIndex<'a>,
    namespaces: LabelIndex<'a>,
    /// Numbers of namespaces that have pods.
    numbers: BTreeMap<&'a NamespaceName, u32>,
    /// Identities of each namespace, by its number.
    ranges: Vec<Range<u32>>,
    addresses: Vec<(IpAddr, u32)>,
    targets: BTreeMap<(&'a str, Protocol), Vec<Target<'a>>>,
    selected: RefCell<BTreeMap<(Scope<'a>, &'a Selector), Rc<Members>>>,
}

impl<'a> Population<'a> {
    /// Numbers the residents, who come by namespace.
    pub(super) fn of(index: &'a Index, residents: &'a [Resident<'a>]) -> Population<'a> {
        let mut population = Population {
            identities: LabelIndex::default(),
            namespaces: LabelIndex::default(),
            numbers: BTreeMap::new(),
            ranges: Vec::new(),
            addresses: Vec::new(),
            targets: BTreeMap::new(),
            selected: RefCell::default(),
        };
        let namespace = |resident: &Resident<'a>| resident.pod.name.namespace();
        for residents in residents.chunk_by(|a, b| namespace(a) == namespace(b)) {
            population.add_namespace(index, residents);
        }
        population
    }

    fn add_namespace(&mut self, index: &'a Index, residents: &'a [Resident<'a>]) {
        let Some(first) = residents.first() else { return };
        let namespace = first.pod.name.namespace();
        let labels = index.namespace_labels(namespace);
        // The label that every Namespace has, also where the object is not known.
        let name = labels.is_none().then_some((NAME_LABEL, namespace.as_str()));
        let number = self.namespaces.push(labels.into_iter().flat_map(pairs).chain(name));
        self.numbers.insert(namespace, number);
        let start = self.identities.len() as u32;
        let mut numbered: BTreeMap<&Labels, u32> = BTreeMap::new();
        for resident in residents {
            let labels = &resident.pod.labels;
            let identity = *numbered.entry(labels).or_insert_with(|| self.identities.push(pairs(labels)));
            self.addresses.extend(resident.addresses.iter().map(|address| (*address, identity)));
            self.add_targets(resident, identity);
        }
        self.ranges.push(start..self.identities.len() as u32);
    }

    fn add_targets(&mut self, resident: &'a Resident<'a>, identity: u32) {
        let pod = resident.pod;
        for port in &pod.ports {
            // Of several ports with one name and protocol only the one that the name stands for.
            if pod.named_port(&port.name, port.protocol) == Some(port.port) {
                let target = Target { identity, addresses: &resident.addresses, port: port.port };
                self.targets.entry((&port.name, port.protocol)).or_default().push(target);
            }
        }
    }

    /// Every address of a pod, with the pod's identity.
    pub(super) fn addresses(&self) -> &[(IpAddr, u32)] {
        &self.addresses
    }

    /// The pods that have a port of this name.
    pub(super) fn targets(&self, name: &'a str, protocol: Protocol) -> &[Target<'a>] {
        self.targets.get(&(name, protocol)).map_or(&[], Vec::as_slice)
    }

    /// No identity.
    pub(super) fn nobody(&self) -> Members {
        Members::none(self.identities.len())
    }

    /// The identities that a peer means. Asked once, it is known from then on.
    pub(super) fn select(&self, scope: Scope<'a>, pods: &'a Selector) -> Rc<Members> {
        if let Some(known) = self.selected.borrow().get(&(scope, pods)) {
            return Rc::clone(known);
        }
        let members = Rc::new(self.identities.select(pods, self.in_scope(scope)));
        self.selected.borrow_mut().insert((scope, pods), Rc::clone(&members));
        members
    }

    fn in_scope(&self, scope: Scope<'_>) -> Members {
        let mut identities = self.nobody();
        let mut take = |namespace: u32| {
            self.ranges[namespace as usize].clone().for_each(|identity| identities.insert(identity));
        };
        match scope {
            Scope::Own(namespace) => self.numbers.get(namespace).into_iter().for_each(|number| take(*number)),
            Scope::Labelled(selector) => {
                self.namespaces.select(selector, self.namespaces.all()).iter().for_each(take);
            }
        }
        identities
    }
}
