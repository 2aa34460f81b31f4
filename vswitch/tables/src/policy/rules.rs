//! What one direction of one pod allows.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::blocks::{Block, resolve};
use super::{Identity, Ports};
use crate::hash::{Seeded, seeded};
use crate::prefixes::Prefixes;
use crate::words::Words;

/// The union of all rules of all policies that select a pod, in one direction. Rules that allow nothing are a pod that
/// is shut.
///
/// What a first packet's look-up reads of it lies in two cache lines.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Rules {
    any: Ports,
    by_identity: Words,
    /// The sets of ports that the maps speak of, each once, ordered. A pod may know thousands of identities but few sets, and
    /// each pod has maps of its own: they are to be small, as every first packet meets others.
    sets: Box<[Ports]>,
    /// `None` where no address is named, as it nearly always is.
    by_address: Option<Box<HashMap<IpAddr, Set, Seeded>>>,
    by_block: Prefixes<Ports>,
}

/// Position of a set of ports in `Rules::sets`.
type Set = u32;

impl Eq for Rules {}

impl Rules {
    /// Whether a connection with `peer` at `port` of `protocol` is allowed. `identity` is the peer's if it is a pod's;
    /// `port` is the destination's, whichever end the pod is.
    #[must_use]
    #[inline]
    pub fn allows(&self, peer: IpAddr, identity: Option<Identity>, protocol: u8, port: u16) -> bool {
        self.any.allow(protocol, port)
            || identity
                .and_then(|identity| self.by_identity.get(identity.0))
                .is_some_and(|set| self.set_allows(set, protocol, port))
            || self
                .by_address
                .as_deref()
                .is_some_and(|by_address| self.address_allows(by_address, peer, protocol, port))
            || self.by_block.get(peer).is_some_and(|ports| ports.allow(protocol, port))
    }

    /// Loads the rules themselves. What this and [`Rules::touch_peer`] return means nothing; it is there to be kept.
    #[must_use]
    #[inline]
    pub fn touch(&self) -> u64 {
        self.by_identity.len() as u64 ^ self.sets.len() as u64
    }

    /// Loads what [`Rules::allows`] will read of an IPv4 peer with this identity.
    #[must_use]
    #[inline]
    pub fn touch_peer(&self, identity: Option<Identity>) -> u64 {
        let by_identity = identity.map_or(0, |identity| self.by_identity.touch(identity.0));
        by_identity ^ self.by_block.touch_v4()
    }

    #[inline(never)]
    fn address_allows(&self, by_address: &HashMap<IpAddr, Set, Seeded>, peer: IpAddr, protocol: u8, port: u16) -> bool {
        by_address.get(&peer).is_some_and(|set| self.set_allows(*set, protocol, port))
    }

    #[inline]
    fn set_allows(&self, set: Set, protocol: u8, port: u16) -> bool {
        self.sets.get(set as usize).is_some_and(|ports| ports.allow(protocol, port))
    }

    /// Whether nothing at all is allowed.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.any.is_none() && self.by_identity.is_empty() && self.by_address.is_none() && self.by_block.is_empty()
    }
}

/// Collects rules. What is given for one peer twice is united.
#[derive(Clone, Debug)]
pub struct RulesBuilder {
    any: Ports,
    by_identity: HashMap<Identity, Ports, Seeded>,
    /// Each of them allowed one set of ports, as far as nothing else is said of them.
    alike: Vec<(Vec<Identity>, Ports)>,
    by_address: HashMap<IpAddr, Ports, Seeded>,
    blocks: Vec<Block>,
}

impl RulesBuilder {
    /// Rules that allow nothing yet; maps hash under `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            any: Ports::none(),
            by_identity: HashMap::with_hasher(seeded(seed)),
            alike: Vec::new(),
            by_address: HashMap::with_hasher(seeded(seed)),
            blocks: Vec::new(),
        }
    }

    /// Allows `ports` with every peer.
    #[must_use]
    pub fn any(mut self, ports: &Ports) -> Self {
        self.any = self.any.union(ports);
        self
    }

    /// Allows `ports` with the pods of `identity`.
    #[must_use]
    pub fn identity(mut self, identity: Identity, ports: &Ports) -> Self {
        add(&mut self.by_identity, identity, ports);
        self
    }

    /// Allows `ports` with the pods of all of `identities`. Costs less than to give them one by one.
    #[must_use]
    pub fn identities(mut self, identities: impl IntoIterator<Item = Identity>, ports: &Ports) -> Self {
        if !ports.is_none() {
            self.alike.push((identities.into_iter().collect(), ports.clone()));
        }
        self
    }

    /// Allows `ports` with one address: named ports that pods of one identity map each in their own way.
    #[must_use]
    pub fn address(mut self, address: IpAddr, ports: &Ports) -> Self {
        add(&mut self.by_address, address, ports);
        self
    }

    /// Allows `ports` with the addresses of `cidr` that are in no prefix of `except`, whoever owns them.
    #[must_use]
    pub fn block(mut self, cidr: IpNet, except: &[IpNet], ports: &Ports) -> Self {
        self.blocks.push(Block { cidr, except: except.to_vec(), ports: ports.clone() });
        self
    }

    /// Makes them rules.
    #[must_use]
    pub fn build(self) -> Rules {
        let Self { any, mut by_identity, alike, by_address, blocks } = self;
        let alike = apart(alike, &mut by_identity);
        let given = by_identity.values().chain(by_address.values()).chain(alike.iter().map(|(_, ports)| ports));
        let distinct: BTreeSet<&Ports> = given.collect();
        let sets: Vec<Ports> = distinct.into_iter().cloned().collect();
        let by_address = (!by_address.is_empty()).then(|| Box::new(by_set(by_address, &sets)));
        let all = by_identity.len() + alike.iter().map(|(identities, _)| identities.len()).sum::<usize>();
        let mut words = Words::with_room(all, 0);
        for (identity, ports) in &by_identity {
            position(&sets, ports).and_then(|set| words.insert(identity.0, set));
        }
        for (identities, ports) in alike {
            let Some(set) = position(&sets, &ports) else { continue };
            for identity in identities {
                words.insert(identity.0, set);
            }
        }
        Rules { any, sets: sets.into(), by_identity: words, by_address, by_block: resolve(&blocks) }
    }
}

/// Those of `alike` whose identities are in no other and not in `by_identity`; the others go there.
fn apart(
    alike: Vec<(Vec<Identity>, Ports)>,
    by_identity: &mut HashMap<Identity, Ports, Seeded>,
) -> Vec<(Vec<Identity>, Ports)> {
    let mut all: Vec<Identity> = alike.iter().flat_map(|(identities, _)| identities.iter().copied()).collect();
    all.extend(by_identity.keys());
    let given = all.len();
    all.sort_unstable();
    all.dedup();
    if all.len() == given {
        return alike;
    }
    for (identities, ports) in alike {
        identities.into_iter().for_each(|identity| add(by_identity, identity, &ports));
    }
    Vec::new()
}

fn position(sets: &[Ports], ports: &Ports) -> Option<Set> {
    sets.binary_search(ports).ok().and_then(|position| Set::try_from(position).ok())
}

/// The same map with the position of each value in `sets`, which has them all. More than 2^32 would not fit in memory.
fn by_set<K: core::hash::Hash + Eq>(map: HashMap<K, Ports, Seeded>, sets: &[Ports]) -> HashMap<K, Set, Seeded> {
    let hasher = *map.hasher();
    let mut by_set = HashMap::with_capacity_and_hasher(map.len(), hasher);
    by_set.extend(map.into_iter().filter_map(|(key, ports)| Some((key, position(sets, &ports)?))));
    by_set
}

/// A key that is allowed nothing is left out, so that rules are equal if they allow the same in the same way.
fn add<K: core::hash::Hash + Eq>(map: &mut HashMap<K, Ports, Seeded>, key: K, ports: &Ports) {
    if !ports.is_none() {
        let entry = map.entry(key).or_default();
        *entry = entry.union(ports);
    }
}
