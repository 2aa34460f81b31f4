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

/// A Pod that policies can mean, with the addresses that lead to it.
#[derive(Debug)]
pub(super) struct Resident<'a> {
    pub(super) pod: &'a Pod,
    /// At least one.
    pub(super) addresses: Vec<IpAddr>,
}

/// The Pod that an attachment was made for. `None` when it is not known, or when the Pod of that name runs elsewhere or
/// in the node's own network: that is then another one of the same name, and its labels say nothing of this.
pub(super) fn pod_of<'a>(index: &'a Index, node: &NodeName, attachment: &Attachment) -> Option<&'a Pod> {
    index.pod(&attachment.pod).filter(|pod| !pod.host_network && pod.node.as_ref().is_none_or(|bound| bound == node))
}

/// Who has an address.
enum Holder<'a> {
    /// A Node.
    Node(&'a NodeName),
    /// An attachment, and the Pod it was made for where that is known.
    Attached(&'a PodName, Option<&'a Pod>),
    /// The Pod whose status says so.
    Told(&'a Pod),
    /// Several Pods, one of them this, and so none.
    Contested(&'a PodName),
}

/// All Pods with addresses, by namespace and name, without those in a node's own network and those that have ended; and
/// what is wrong with the addresses that Pods claim.
pub(super) fn residents<'a>(
    index: &'a Index,
    node: &NodeName,
    attachments: &'a [Attachment],
) -> (Vec<Resident<'a>>, Vec<Fault>) {
    let mut holders = BTreeMap::new();
    for node in index.nodes() {
        let addresses = node.internal_ips.iter().copied().chain(node.own_addresses());
        holders.extend(addresses.map(|address| (address, Holder::Node(&node.name))));
    }
    let mut here = BTreeSet::new();
    for attachment in attachments {
        let pod = pod_of(index, node, attachment);
        here.extend(pod.map(|pod| &pod.name));
        let held = |address: &IpAddr| (*address, Holder::Attached(&attachment.pod, pod));
        holders.extend(attachment.addresses.iter().map(held));
    }
    let mut faults = Vec::new();
    // What this node's Pods claim beside their attachments is old: they have been detached, or are not attached yet.
    let elsewhere = |pod: &&Pod| pod.node.as_ref() != Some(node) && !here.contains(&pod.name);
    for pod in index.pods().filter(is_meant).filter(elsewhere) {
        for (position, &address) in pod.addresses.iter().enumerate() {
            faults.extend(claim(&mut holders, pod, address).map(|other| taken(pod, position, address, other)));
        }
    }
    (by_pod(holders), faults)
}

/// Whether selectors of policies can mean the Pod at all.
fn is_meant(pod: &&Pod) -> bool {
    !pod.host_network && !pod.phase.is_over()
}

/// Gives an address to the Pod whose status has it, or returns who else has it.
fn claim<'a>(holders: &mut BTreeMap<IpAddr, Holder<'a>>, pod: &'a Pod, address: IpAddr) -> Option<Key> {
    let (holder, other) = match holders.get(&address) {
        None => (Holder::Told(pod), None),
        // The address of a Pod on its way out is given to the next as soon as its sandbox has gone, which is before the
        // object goes.
        Some(Holder::Told(other)) if other.terminating && !pod.terminating => (Holder::Told(pod), None),
        Some(Holder::Told(other)) if pod.terminating && !other.terminating => return None,
        Some(Holder::Told(other)) => (Holder::Contested(&other.name), Some(Key::Pod(other.name.clone()))),
        Some(Holder::Contested(other)) => (Holder::Contested(other), Some(Key::Pod((*other).clone()))),
        Some(Holder::Attached(other, _)) => return Some(Key::Pod((*other).clone())),
        Some(Holder::Node(other)) => return Some(Key::Node((*other).clone())),
    };
    holders.insert(address, holder);
    other
}

fn taken(pod: &Pod, position: usize, address: IpAddr, other: Key) -> Fault {
    Fault {
        subject: Key::Pod(pod.name.clone()).subject(),
        field: FieldPath::of(&["status", "podIPs"]).index(position).key("ip"),
        problem: Problem::Policy(PolicyProblem::AddressTaken { address, other }),
    }
}

fn by_pod(holders: BTreeMap<IpAddr, Holder<'_>>) -> Vec<Resident<'_>> {
    let mut residents: BTreeMap<&PodName, Resident<'_>> = BTreeMap::new();
    for (address, holder) in holders {
        let pod = match holder {
            Holder::Told(pod) | Holder::Attached(_, Some(pod)) => pod,
            Holder::Attached(_, None) | Holder::Contested(_) | Holder::Node(_) => continue,
        };
        if is_meant(&pod) {
            let resident = residents.entry(&pod.name).or_insert_with(|| Resident { pod, addresses: Vec::new() });
            resident.addresses.push(address);
        }
    }
    residents.into_values().collect()
}
