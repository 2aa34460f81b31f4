//! The cluster's pods as selectors tell them apart: pods of one namespace with the same labels are one identity.
//!
//! Identities are numbered as they come and keep their numbers, so that rules that speak of them stay as they are. One that no
//! pod has any more harms nobody, for no address leads to it; when most are such, the population is made anew
//! ([`Population::is_worn`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::label_index::LabelIndex;
use super::members::Members;
use super::selectors::Selectors;
use crate::index::Index;
use crate::name::NamespaceName;
use crate::namespace::NAME_LABEL;
use crate::object::Labels;
use crate::selector::Selector;

/// Which namespaces a peer's pods are in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The policy's own.
    Own(NamespaceName),
    /// Those with these labels.
    Labelled(Selector),
}

/// Position of a selection in its population.
pub(super) type SelectionId = usize;

/// Identities that a peer of a rule means.
#[derive(Clone, Debug)]
struct Selection {
    scope: Scope,
    pods: Selector,
    members: Members,
}

/// A namespace that has or had pods.
#[derive(Clone, Debug)]
struct Space {
    name: NamespaceName,
    labels: Labels,
    /// Its identities, by labels.
    identities: BTreeMap<Arc<Labels>, u32>,
    members: Members,
}

/// All pods, numbered by identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Population {
    identities: LabelIndex,
    /// Pods of each identity.
    pods: Vec<usize>,
    /// How many identities have any.
    inhabited: usize,
    namespaces: LabelIndex,
    numbers: BTreeMap<NamespaceName, u32>,
    spaces: Vec<Space>,
    selections: Vec<Selection>,
    known: BTreeMap<(Scope, Selector), SelectionId>,
    /// The pods' selectors of selections, by their ids.
    selectors: Selectors,
    /// Selections that mean more than before.
    grown: BTreeSet<SelectionId>,
}

impl Population {
    /// Takes a pod, and returns its identity.
    pub(super) fn enter(&mut self, index: &Index, namespace: &NamespaceName, labels: &Labels) -> u32 {
        let number = self.number(index, namespace);
        let Some(space) = self.spaces.get_mut(number as usize) else { return u32::MAX };
        let identity = match space.identities.get(labels) {
            Some(identity) => *identity,
            None => {
                let identity = self.identities.push(labels);
                self.pods.push(0);
                space.identities.insert(Arc::new(labels.clone()), identity);
                space.members.insert(identity);
                for id in self.selectors.candidates(labels) {
                    let id = id as SelectionId;
                    let Some(selection) = self.selections.get_mut(id) else { continue };
                    if selection.scope.holds(space) && selection.pods.matches(labels) {
                        selection.members.insert(identity);
                        self.grown.insert(id);
                    }
                }
                identity
            }
        };
        if let Some(pods) = self.pods.get_mut(identity as usize) {
            self.inhabited += usize::from(*pods == 0);
            *pods += 1;
        }
        identity
    }

    /// Gives a pod up.
    pub(super) fn leave(&mut self, identity: u32) {
        if let Some(pods) = self.pods.get_mut(identity as usize).filter(|pods| **pods > 0) {
            *pods -= 1;
            self.inhabited -= usize::from(*pods == 0);
        }
    }

    /// Whether so many identities have no pod, `slack` of them being of no account, that it is time to number them anew.
    pub(super) fn is_worn(&self, slack: usize) -> bool {
        self.pods.len() > 2 * self.inhabited + slack
    }

    /// Whether a namespace has other labels now than those it is known by.
    pub(super) fn is_relabelled(&self, index: &Index, namespace: &NamespaceName) -> bool {
        let space = self.numbers.get(namespace).and_then(|number| self.spaces.get(*number as usize));
        space.is_some_and(|space| space.labels != labels_of(index, namespace))
    }

    fn number(&mut self, index: &Index, namespace: &NamespaceName) -> u32 {
        if let Some(number) = self.numbers.get(namespace) {
            return *number;
        }
        let labels = labels_of(index, namespace);
        let number = self.namespaces.push(&labels);
        self.numbers.insert(namespace.clone(), number);
        let (identities, members) = (BTreeMap::new(), Members::default());
        self.spaces.push(Space { name: namespace.clone(), labels, identities, members });
        number
    }

    /// The identities that a peer means. Asked once, it is known from then on.
    pub(super) fn select(&mut self, scope: &Scope, pods: &Selector) -> SelectionId {
        let key = (scope.clone(), pods.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let members = self.identities.select(pods, self.in_scope(scope));
        let id = self.selections.len();
        self.selections.push(Selection { scope: key.0.clone(), pods: key.1.clone(), members });
        self.selectors.insert(id as u64, pods);
        self.known.insert(key, id);
        id
    }

    /// What was selected.
    pub(super) fn members(&self, id: SelectionId) -> Option<&Members> {
        self.selections.get(id).map(|selection| &selection.members)
    }

    /// Selections that mean more than when this was asked last.
    pub(super) fn take_grown(&mut self) -> BTreeSet<SelectionId> {
        std::mem::take(&mut self.grown)
    }

    /// Forgets all selections but these, and returns where each of them is then.
    pub(super) fn keep_selections(&mut self, used: &BTreeSet<SelectionId>) -> BTreeMap<SelectionId, SelectionId> {
        let all = std::mem::take(&mut self.selections).into_iter().enumerate();
        let kept: Vec<(SelectionId, Selection)> = all.filter(|(id, _)| used.contains(id)).collect();
        let moved = kept.iter().enumerate().map(|(now, (before, _))| (*before, now)).collect();
        self.selections = kept.into_iter().map(|(_, selection)| selection).collect();
        let key = |(id, one): (usize, &Selection)| ((one.scope.clone(), one.pods.clone()), id);
        self.known = self.selections.iter().enumerate().map(key).collect();
        self.selectors = Selectors::default();
        self.selections.iter().enumerate().for_each(|(id, one)| self.selectors.insert(id as u64, &one.pods));
        moved
    }

    /// How many selections are known.
    pub(super) fn selections(&self) -> usize {
        self.selections.len()
    }

    fn in_scope(&self, scope: &Scope) -> Members {
        match scope {
            Scope::Own(namespace) => {
                let space = self.numbers.get(namespace).and_then(|number| self.spaces.get(*number as usize));
                space.map(|space| space.members.clone()).unwrap_or_default()
            }
            Scope::Labelled(selector) if selector.requirements().is_empty() => self.identities.all(),
            Scope::Labelled(selector) => {
                let mut identities = Members::default();
                for number in self.namespaces.select(selector, self.namespaces.all()).iter() {
                    self.spaces.get(number as usize).iter().for_each(|space| identities.unite(&space.members));
                }
                identities
            }
        }
    }
}

impl Scope {
    fn holds(&self, space: &Space) -> bool {
        match self {
            Scope::Own(namespace) => *namespace == space.name,
            Scope::Labelled(selector) => selector.matches(&space.labels),
        }
    }
}

/// The labels of a namespace; of one without an object the one that every Namespace has.
fn labels_of(index: &Index, namespace: &NamespaceName) -> Labels {
    let unknown = || Labels::from([(NAME_LABEL.to_owned(), namespace.as_str().to_owned())]);
    index.namespace_labels(namespace).cloned().unwrap_or_else(unknown)
}
