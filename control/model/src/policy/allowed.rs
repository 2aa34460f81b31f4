//! What the policies of one pod and one direction allow together, gathered before it becomes the tables' rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::members::Members;
use super::population::{Population, Scope};
use crate::name::NamespaceName;
use crate::network_policy::{IpBlock, NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule};
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

/// How a name of a port is resolved: by the pod that is addressed.
#[derive(Clone, Copy)]
pub(super) enum Naming<'n> {
    /// Ingress: it is the subject, whose names these are.
    Subject(&'n BTreeMap<(&'n str, Protocol), Option<u16>>),
    /// Egress: each pod that a peer means has its own.
    Target,
}

/// The peers of rules that open a named port on egress.
struct Aim<'a> {
    anybody: bool,
    members: Members,
    blocks: BTreeSet<&'a IpBlock>,
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
}

impl<'a> Allowed<'a> {
    /// Gathers the rules that `side` takes from each policy.
    pub(super) fn by(
        population: &Population<'a>,
        policies: &[&'a NetworkPolicy],
        side: impl Fn(&'a NetworkPolicy) -> &'a [PolicyRule],
        naming: Naming<'_>,
    ) -> Allowed<'a> {
        let mut allowed = Allowed {
            any: Opening::nothing(),
            identities: BTreeMap::new(),
            blocks: BTreeMap::new(),
            addresses: BTreeMap::new(),
        };
        let mut aims = BTreeMap::new();
        for policy in policies {
            let namespace = policy.name.namespace();
            for rule in side(policy) {
                let (opening, names) = open(rule, naming);
                if !opening.is_nothing() {
                    allowed.add(population, namespace, rule, &opening);
                }
                for name in names {
                    let nobody = || Aim { anybody: false, members: population.nobody(), blocks: BTreeSet::new() };
                    aims.entry(name).or_insert_with(nobody).add(population, namespace, rule);
                }
            }
        }
        for ((name, protocol), aim) in aims {
            allowed.add_targets(population, name, protocol, &aim);
        }
        allowed
    }

    fn add(&mut self, population: &Population<'a>, own: &'a NamespaceName, rule: &'a PolicyRule, opening: &Opening) {
        if rule.peers.is_empty() {
            self.any.widen(opening);
        }
        for peer in &rule.peers {
            match peer {
                PolicyPeer::Pods { .. } => {
                    let members = selected(population, own, peer);
                    let sum = self.identities.entry(opening.clone()).or_insert_with(|| population.nobody());
                    members.iter().for_each(|members| sum.unite(members));
                }
                PolicyPeer::Block(block) => {
                    self.blocks.entry(block).or_insert_with(Opening::nothing).widen(opening);
                }
            }
        }
    }

    fn add_targets(&mut self, population: &Population<'a>, name: &'a str, protocol: Protocol, aim: &Aim<'a>) {
        for target in population.targets(name, protocol) {
            let opening = Opening::Ranges(BTreeSet::from([(protocol, target.port, target.port)]));
            let whole = aim.anybody || aim.members.contains(target.identity);
            for address in target.addresses {
                if whole || aim.blocks.iter().any(|block| block.holds(*address)) {
                    self.addresses.entry(*address).or_insert_with(Opening::nothing).widen(&opening);
                }
            }
        }
    }
}

impl<'a> Aim<'a> {
    fn add(&mut self, population: &Population<'a>, own: &'a NamespaceName, rule: &'a PolicyRule) {
        self.anybody |= rule.peers.is_empty();
        for peer in &rule.peers {
            selected(population, own, peer).iter().for_each(|members| self.members.unite(members));
            if let PolicyPeer::Block(block) = peer {
                self.blocks.insert(block);
            }
        }
    }
}

fn selected<'a>(population: &Population<'a>, own: &'a NamespaceName, peer: &'a PolicyPeer) -> Option<Rc<Members>> {
    let PolicyPeer::Pods { namespaces, pods } = peer else { return None };
    let scope = namespaces.as_ref().map_or(Scope::Own(own), Scope::Labelled);
    Some(population.select(scope, pods))
}

/// What a rule opens, and the names that each target resolves for itself.
fn open<'a>(rule: &'a PolicyRule, naming: Naming<'_>) -> (Opening, Vec<(&'a str, Protocol)>) {
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
            (PolicyPort::Named { protocol, name }, Naming::Target) => names.push((name.as_str(), *protocol)),
            (PolicyPort::Named { protocol, name }, Naming::Subject(known)) => {
                let port = known.get(&(name.as_str(), *protocol)).copied().flatten();
                ranges.extend(port.map(|port| (*protocol, port, port)));
            }
        }
    }
    (Opening::Ranges(ranges), names)
}
