//! What the policies of one pod and one direction allow together, gathered before it becomes the tables' rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::members::Members;
use super::named_ports::NamedPorts;
use super::population::{Population, Scope, SelectionId};
use crate::name::NamespaceName;
use crate::network_policy::{IpBlock, PolicyPeer, PolicyPort, PolicyRule};
use crate::protocol::Protocol;

/// Ports as a rule writes them, with names resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Opening {
    /// Every port, and protocols without ports.
    Everything,
    /// Ranges of ports, both ends included; may overlap.
    Ranges(BTreeSet<(Protocol, u16, u16)>),
}

impl Opening {
    fn nothing() -> Opening {
        Opening::Ranges(BTreeSet::new())
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Opening::Ranges(ranges) if ranges.is_empty())
    }

    fn widen(&mut self, other: &Opening) {
        match (&mut *self, other) {
            (Opening::Everything, _) => {}
            (_, Opening::Everything) => *self = Opening::Everything,
            (Opening::Ranges(ranges), Opening::Ranges(more)) => ranges.extend(more),
        }
    }
}

/// A name of a port, as a policy uses it.
pub(super) type Name = (String, Protocol);

/// A port that a pod has a name for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) identity: u32,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// How a name of a port is resolved: by the pod that is addressed.
pub(super) enum Naming<'n> {
    /// Ingress: it is the subject, whose names these are.
    Subject(&'n BTreeMap<Name, Option<u16>>),
    /// Egress: each pod that a peer means has its own.
    Target(&'n NamedPorts),
}

/// The peers of rules that open a named port on egress: of the pods that have it, those that are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Aim {
    anybody: bool,
    members: Members,
    blocks: BTreeSet<IpBlock>,
}

/// What may pass in one direction.
pub(super) struct Allowed<'a> {
    /// For anybody.
    pub(super) any: Opening,
    /// For these identities. An identity may be in several sets, and has all that they open.
    pub(super) identities: BTreeMap<Opening, Members>,
    /// For whoever has an address in these blocks.
    pub(super) blocks: BTreeMap<&'a IpBlock, Opening>,
    /// For single addresses: pods that have the port under its name.
    pub(super) addresses: BTreeMap<IpAddr, Opening>,
    /// What was selected for it, so that it has to be gathered again when that changes.
    pub(super) selections: BTreeSet<SelectionId>,
    /// The names of ports in it that pods all over the cluster have, likewise when a pod that is meant has another one.
    pub(super) aims: BTreeMap<Name, Aim>,
}

impl<'a> Allowed<'a> {
    /// Gathers rules, each with the namespace of its policy.
    pub(super) fn by(
        population: &mut Population,
        rules: impl Iterator<Item = (&'a NamespaceName, &'a PolicyRule)>,
        naming: Naming<'_>,
    ) -> Allowed<'a> {
        let mut allowed = Allowed {
            any: Opening::nothing(),
            identities: BTreeMap::new(),
            blocks: BTreeMap::new(),
            addresses: BTreeMap::new(),
            selections: BTreeSet::new(),
            aims: BTreeMap::new(),
        };
        for (namespace, rule) in rules {
            let (opening, names) = open(rule, &naming);
            let selected = allowed.selected(population, namespace, rule);
            if !opening.is_nothing() {
                allowed.add(population, rule, &selected, &opening);
            }
            for name in names {
                allowed.aims.entry(name).or_default().add(population, rule, &selected);
            }
        }
        if let Naming::Target(ports) = naming {
            allowed.add_targets(ports);
        }
        allowed
    }

    /// The identities that the peers of a rule mean.
    fn selected(&mut self, population: &mut Population, own: &NamespaceName, rule: &PolicyRule) -> Vec<SelectionId> {
        let select = |peer: &PolicyPeer| {
            let PolicyPeer::Pods { namespaces, pods } = peer else { return None };
            let scope = namespaces.clone().map_or_else(|| Scope::Own(own.clone()), Scope::Labelled);
            Some(population.select(&scope, pods))
        };
        let selected: Vec<SelectionId> = rule.peers.iter().filter_map(select).collect();
        self.selections.extend(&selected);
        selected
    }

    fn add(&mut self, population: &Population, rule: &'a PolicyRule, selected: &[SelectionId], opening: &Opening) {
        if rule.peers.is_empty() {
            self.any.widen(opening);
        }
        if !selected.is_empty() {
            let sum = self.identities.entry(opening.clone()).or_default();
            selected.iter().filter_map(|id| population.members(*id)).for_each(|members| sum.unite(members));
        }
        for block in blocks(rule) {
            self.blocks.entry(block).or_insert_with(Opening::nothing).widen(opening);
        }
    }

    fn add_targets(&mut self, ports: &NamedPorts) {
        for (name, aim) in &self.aims {
            for target in ports.targets(name).filter(|target| aim.means(target)) {
                let opening = Opening::Ranges(BTreeSet::from([(name.1, target.port, target.port)]));
                self.addresses.entry(target.address).or_insert_with(Opening::nothing).widen(&opening);
            }
        }
    }

    /// The same as [`Allowed::identities`], with each identity in one set alone. However many rules there are, what they open
    /// is united once for all identities that have the same of them.
    pub(super) fn apart(&self) -> Vec<(Opening, Vec<u32>)> {
        let openings: Vec<&Opening> = self.identities.keys().collect();
        let mut of_identity: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (number, members) in (0..).zip(self.identities.values()) {
            for identity in members.iter() {
                let has = of_identity.entry(identity).or_default();
                // The first of all is the one that opens everything, and leaves nothing to add.
                let whole =
                    has.first().is_some_and(|first| matches!(openings.get(*first as usize), Some(Opening::Everything)));
                if !whole {
                    has.push(number);
                }
            }
        }
        let mut alike: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
        for (identity, has) in of_identity {
            alike.entry(has).or_default().push(identity);
        }
        let unite = |has: Vec<u32>| {
            let mut united = Opening::nothing();
            has.iter().filter_map(|number| openings.get(*number as usize)).for_each(|opening| united.widen(opening));
            united
        };
        alike.into_iter().map(|(has, identities)| (unite(has), identities)).collect()
    }
}

impl Aim {
    /// Whether rules have anything to do with a pod's port of the name.
    pub(super) fn means(&self, target: &Target) -> bool {
        let Target { identity, address, .. } = *target;
        self.anybody || self.members.contains(identity) || self.blocks.iter().any(|block| block.holds(address))
    }

    fn add(&mut self, population: &Population, rule: &PolicyRule, selected: &[SelectionId]) {
        self.anybody |= rule.peers.is_empty();
        selected.iter().filter_map(|id| population.members(*id)).for_each(|members| self.members.unite(members));
        self.blocks.extend(blocks(rule).cloned());
    }
}

fn blocks(rule: &PolicyRule) -> impl Iterator<Item = &IpBlock> {
    rule.peers.iter().filter_map(|peer| match peer {
        PolicyPeer::Block(block) => Some(block),
        PolicyPeer::Pods { .. } => None,
    })
}

/// What a rule opens, and the names that each target resolves for itself.
fn open(rule: &PolicyRule, naming: &Naming<'_>) -> (Opening, Vec<Name>) {
    if rule.ports.is_empty() {
        return (Opening::Everything, Vec::new());
    }
    let mut ranges = BTreeSet::new();
    let mut names = Vec::new();
    for port in &rule.ports {
        match (port, naming) {
            (PolicyPort::Whole(protocol), _) => {
                ranges.insert((*protocol, 0, u16::MAX));
            }
            (PolicyPort::Range { protocol, first, last }, _) => {
                ranges.insert((*protocol, *first, *last));
            }
            (PolicyPort::Named { protocol, name }, Naming::Target(_)) => names.push((name.clone(), *protocol)),
            (PolicyPort::Named { protocol, name }, Naming::Subject(known)) => {
                let port = known.get(&(name.clone(), *protocol)).copied().flatten();
                ranges.extend(port.map(|port| (*protocol, port, port)));
            }
        }
    }
    (Opening::Ranges(ranges), names)
}
