//! Rules that were made before, and what each depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluice_tables::{Identity, PortRange, Ports, Rules, RulesBuilder};

use super::allowed::{Aim, Allowed, Name, Opening, Target};
use super::population::{Population, SelectionId};
use crate::protocol::Protocol;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Ingress,
    Egress,
}

/// What rules are made of: versions of policies, and the ports that a subject has for the names in them.
pub(super) type Key = (Side, Arc<[u64]>, BTreeMap<Name, Option<u16>>);

/// All rules in use, each made once for all pods that have the same policies.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownRules {
    made: BTreeMap<Key, Made>,
}

#[derive(Clone, Debug)]
struct Made {
    rules: Arc<Rules>,
    selections: BTreeSet<SelectionId>,
    aims: BTreeMap<Name, Aim>,
    /// Whether they were asked for since the last sweep.
    asked: bool,
}

impl KnownRules {
    /// The rules of a key, gathered if they are not known.
    pub(super) fn get<'a>(&mut self, key: Key, seed: u64, gather: impl FnOnce(&Key) -> Allowed<'a>) -> Arc<Rules> {
        if let Some(made) = self.made.get_mut(&key) {
            made.asked = true;
            return Arc::clone(&made.rules);
        }
        let allowed = gather(&key);
        let rules = Arc::new(rules(&allowed, seed));
        let Allowed { selections, aims, .. } = allowed;
        self.made.insert(key, Made { rules: Arc::clone(&rules), selections, aims, asked: true });
        rules
    }

    /// Forgets what depends on any of these selections, or means one of these ports. Returns whether there was such.
    pub(super) fn forget(&mut self, selections: &BTreeSet<SelectionId>, ports: &[(Arc<Name>, Target)]) -> bool {
        let before = self.made.len();
        if !selections.is_empty() || !ports.is_empty() {
            self.made.retain(|_, made| made.selections.is_disjoint(selections) && !made.means(ports));
        }
        self.made.len() < before
    }

    /// Forgets what was not asked for since this was called last, and what was selected for it but for `slack` selections.
    pub(super) fn sweep(&mut self, population: &mut Population, slack: usize) {
        self.made.retain(|_, made| std::mem::take(&mut made.asked));
        let used: BTreeSet<SelectionId> = self.made.values().flat_map(|made| made.selections.iter().copied()).collect();
        if population.selections() <= 2 * used.len() + slack {
            return;
        }
        let moved = population.keep_selections(&used);
        for made in self.made.values_mut() {
            made.selections = made.selections.iter().filter_map(|id| moved.get(id).copied()).collect();
        }
    }
}

impl Made {
    fn means(&self, ports: &[(Arc<Name>, Target)]) -> bool {
        let meant = |(name, target): &(Arc<Name>, Target)| self.aims.get(&**name).is_some_and(|aim| aim.means(target));
        !self.aims.is_empty() && ports.iter().any(meant)
    }
}

fn rules(allowed: &Allowed<'_>, seed: u64) -> Rules {
    let mut builder = RulesBuilder::new(seed).any(&ports(&allowed.any));
    for (opening, identities) in allowed.apart() {
        builder = builder.identities(identities.into_iter().map(Identity), &ports(&opening));
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
