//! Which Pod has which address: for this node's Pods by what is attached, for the others by their status.
//!
//! An address is one Pod's or, as far as policies select pods, nobody's: with a wrong owner it would inherit what
//! somebody else is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::attachment::Attachment;
use crate::fault::{Fault, FieldPath, Problem};
use crate::index::Index;
use crate::name::{NodeName, PodName};
use crate::network_policy::PolicyProblem;
use crate::object::Key;
use crate::pod::Pod;
use crate::timestamp::Timestamp;

/// The Pod that an attachment was made for. `None` when it is not known, or when the Pod of that name runs elsewhere or
/// in the node's own network: that is then another one of the same name, and its labels say nothing of this.
pub(super) fn pod_of<'a>(index: &'a Index, node: &NodeName, attachment: &Attachment) -> Option<&'a Pod> {
    index.pod(&attachment.pod).filter(|pod| !pod.host_network && pod.node.as_ref().is_none_or(|bound| bound == node))
}

/// Whether selectors of policies can mean the Pod at all.
pub(super) fn is_meant(pod: &Pod) -> bool {
    !pod.host_network && !pod.phase.is_over()
}

/// Pods whose status has one address: almost always one.
#[derive(Clone, Debug)]
enum Tellers {
    One(PodName),
    Several(BTreeSet<PodName>),
}

/// Everyone who has an address, or says so, and whose it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    nodes: BTreeMap<IpAddr, BTreeSet<NodeName>>,
    of_node: BTreeMap<NodeName, Vec<IpAddr>>,
    /// Pods of attachments, and whether the Pod's object is known to be of it.
    attached: BTreeMap<IpAddr, (PodName, bool)>,
    told: BTreeMap<IpAddr, Tellers>,
    owners: BTreeMap<IpAddr, PodName>,
    faults: BTreeMap<IpAddr, Vec<Fault>>,
    /// Addresses that are to be looked at again.
    open: BTreeSet<IpAddr>,
}

impl Owners {
    /// A Node has these addresses from now on, or none.
    pub(super) fn set_node(&mut self, name: &NodeName, addresses: Vec<IpAddr>) {
        let before = self.of_node.get(name).map(Vec::as_slice).unwrap_or_default();
        if before == addresses {
            return;
        }
        for address in before {
            self.open.insert(*address);
            if let Some(nodes) = self.nodes.get_mut(address) {
                nodes.remove(name);
                if nodes.is_empty() {
                    self.nodes.remove(address);
                }
            }
        }
        for address in &addresses {
            self.open.insert(*address);
            self.nodes.entry(*address).or_default().insert(name.clone());
        }
        match addresses.is_empty() {
            true => drop(self.of_node.remove(name)),
            false => drop(self.of_node.insert(name.clone(), addresses)),
        }
    }

    /// These are attached from now on.
    pub(super) fn set_attached(&mut self, index: &Index, node: &NodeName, attachments: &[Attachment]) {
        let mut attached = BTreeMap::new();
        for attachment in attachments {
            let known = pod_of(index, node, attachment).is_some();
            attached.extend(attachment.addresses.iter().map(|address| (*address, (attachment.pod.clone(), known))));
        }
        let before = std::mem::replace(&mut self.attached, attached);
        let changed = |one: &BTreeMap<_, _>, other: &BTreeMap<_, _>| -> Vec<IpAddr> {
            one.iter().filter(|(address, pod)| other.get(*address) != Some(*pod)).map(|(address, _)| *address).collect()
        };
        self.open.extend(changed(&before, &self.attached));
        self.open.extend(changed(&self.attached, &before));
    }

    /// A Pod's status had some addresses, and has others now.
    pub(super) fn set_told(&mut self, pod: &PodName, before: &[IpAddr], now: &[IpAddr]) {
        for address in before.iter().filter(|address| !now.contains(address)) {
            match self.told.get_mut(address) {
                Some(Tellers::Several(pods)) if pods.len() > 1 => drop(pods.remove(pod)),
                _ => drop(self.told.remove(address)),
            }
        }
        for address in now.iter().filter(|address| !before.contains(address)) {
            match self.told.get_mut(address) {
                None => drop(self.told.insert(*address, Tellers::One(pod.clone()))),
                Some(Tellers::Several(pods)) => drop(pods.insert(pod.clone())),
                Some(one) => {
                    let Tellers::One(other) = &*one else { continue };
                    *one = Tellers::Several(BTreeSet::from([other.clone(), pod.clone()]));
                }
            }
        }
        // Also those that stay: whose they are depends on the Pods' states.
        self.open.extend(before.iter().chain(now));
    }

    /// A Pod may have become another one, with the addresses that it has.
    pub(super) fn reopen(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.open.extend(addresses);
    }

    /// Decides whose each address is that something changed about, and returns them.
    pub(super) fn decide(&mut self, index: &Index) -> BTreeSet<IpAddr> {
        let decided = std::mem::take(&mut self.open);
        for &address in &decided {
            let (owner, faults) = self.owner_of(index, address);
            match faults.is_empty() {
                true => drop(self.faults.remove(&address)),
                false => drop(self.faults.insert(address, faults)),
            }
            match owner {
                Some(owner) => drop(self.owners.insert(address, owner)),
                None => drop(self.owners.remove(&address)),
            }
        }
        decided
    }

    /// Whose an address is.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&PodName> {
        self.owners.get(&address)
    }

    /// Addresses that several say they have.
    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.values().flatten()
    }

    fn owner_of(&self, index: &Index, address: IpAddr) -> (Option<PodName>, Vec<Fault>) {
        let tellers: Vec<&Pod> = match self.told.get(&address) {
            None => Vec::new(),
            Some(Tellers::One(pod)) => index.pod(pod).into_iter().collect(),
            Some(Tellers::Several(pods)) => pods.iter().filter_map(|pod| index.pod(pod)).collect(),
        };
        let told_of = |other: Key| tellers.iter().map(|pod| taken(pod, address, other.clone())).collect();
        if let Some((pod, known)) = self.attached.get(&address) {
            let meant = *known && index.pod(pod).is_some_and(is_meant);
            return (meant.then(|| pod.clone()), told_of(Key::Pod(pod.clone())));
        }
        if let Some(node) = self.nodes.get(&address).and_then(BTreeSet::last) {
            return (None, told_of(Key::Node(node.clone())));
        }
        newest(&tellers, address)
    }
}

/// Of Pods with one address the one whose it is. A Pod on its way out gives way: its address goes to the next as soon as its
/// sandbox has gone, which is before its object goes. Else the newest: an older one that is said to run has been lost sight
/// of. Where none is the newest, it is nobody's.
fn newest(tellers: &[&Pod], address: IpAddr) -> (Option<PodName>, Vec<Fault>) {
    let rank = |pod: &Pod| -> (bool, Option<Timestamp>) { (!pod.terminating, pod.created) };
    let Some(best) = tellers.iter().map(|pod| rank(pod)).max() else { return (None, Vec::new()) };
    let mut first = tellers.iter().filter(|pod| rank(pod) == best);
    let (winner, contested) = (first.next(), first.next().is_some());
    let Some(winner) = winner else { return (None, Vec::new()) };
    let losers = tellers.iter().filter(|pod| pod.name != winner.name && pod.terminating == winner.terminating);
    let faults = losers.map(|pod| taken(pod, address, Key::Pod(winner.name.clone()))).collect();
    ((!contested).then(|| winner.name.clone()), faults)
}

fn taken(pod: &Pod, address: IpAddr, other: Key) -> Fault {
    let position = pod.addresses.iter().position(|own| *own == address).unwrap_or_default();
    Fault {
        subject: Key::Pod(pod.name.clone()).subject(),
        field: FieldPath::of(&["status", "podIPs"]).index(position).key("ip"),
        problem: Problem::Policy(PolicyProblem::AddressTaken { address, other }),
    }
}
