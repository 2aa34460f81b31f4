//! What is attached, with which addresses and ports: in memory, and in the state file for the next start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ipnet::IpNet;
use sluice_cni_protocol::{AttachmentId, NameError, PortMapping};
use sluice_tables::PortId;
use tracing::warn;

use crate::ipam::{COOLING, Ipam, IpamError, Usage};
use crate::link_name::{host_link_name, is_host_link_name, pod_mac};
use crate::pod_identity::PodIdentity;
use crate::state::{State, StateError, StateFile, StoredAttachment};
use crate::wishes::Wishes;

/// The port of the node's own stack. Pods have the others.
pub(crate) const HOST_PORT: PortId = PortId(0);
/// Highest port of a pod: as many devices as the XDP program's map has places, less the host port.
const LAST_POD_PORT: u16 = (sluice_ebpf::MAX_PORTS - 1) as u16;

/// Released addresses of no podCIDR that are remembered, the latest ones.
const ELSEWHERE_LIMIT: usize = 1024;

/// Why an attachment cannot be entered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// It is there.
    #[error("{0} is attached already; DEL it first")]
    Exists(AttachmentId),
    /// No address.
    #[error(transparent)]
    Address(#[from] IpamError),
    /// The hash in the device's name is another attachment's too.
    #[error("device {link} is that of {owner} already: their names are of one hash; recreate the container")]
    LinkTaken {
        /// The node's end.
        link: String,
        /// Who has it.
        owner: AttachmentId,
    },
    /// Another pod has the node's port.
    #[error(
        "host port {mapping} is that of {owner} until that is detached; the pod has to wait, or go to another node"
    )]
    HostPortTaken {
        /// What was asked for.
        mapping: PortMapping,
        /// Who has it.
        owner: AttachmentId,
    },
    /// No port.
    #[error("all {LAST_POD_PORT} ports of the switch are in use; delete pods")]
    NoPort,
}

/// What an ADD says of the attachment to be made.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) attachment: AttachmentId,
    pub(crate) netns: PathBuf,
    pub(crate) pod: PodIdentity,
    pub(crate) network: String,
    pub(crate) wishes: Wishes,
}

/// All attachments of the node. The lock is held for lookups only, never over a call into the kernel.
#[derive(Debug)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
    /// The file and the version of the entries that it holds. Held while writing, so that writes do not overtake.
    file: Mutex<(StateFile, u64)>,
}

#[derive(Debug)]
struct Inner {
    entries: BTreeMap<AttachmentId, Entry>,
    ipam: Ipam,
    /// What was released and is in no podCIDR, as before these are known: the ranges take it when they come.
    released_elsewhere: Vec<(IpAddr, Instant)>,
    last_port: u16,
    /// Counts changes that the file should know of.
    version: u64,
}

#[derive(Debug)]
struct Entry {
    stored: StoredAttachment,
    phase: Phase,
}

/// How far an attachment is. In each it holds its addresses and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An ADD or DEL is under way: neither in the tables nor in the file, so that a crash now is a rollback.
    Pending,
    /// The switch serves it: in the tables and in the file.
    Live,
    /// It could not be taken over: in the file only, for the next start to try again.
    Kept,
}

impl Ledger {
    /// A ledger with the attachments of `state`, all [`Phase::Kept`]. Those with names that no ADD can have brought are left
    /// out.
    pub(crate) fn restore(file: StateFile, state: State) -> Result<Self, IpamError> {
        let mut entries = BTreeMap::new();
        for stored in state.attachments {
            match id_of(&stored) {
                Ok(_) if !is_host_link_name(&stored.host_veth) => {
                    warn!(
                        device = stored.host_veth,
                        "the state file has an attachment with a device that cannot be ours"
                    );
                }
                Ok(id) => drop(entries.insert(id, Entry { stored, phase: Phase::Kept })),
                Err(error) => warn!(%error, "the state file has an attachment that cannot be"),
            }
        }
        let last_port = entries.values().map(|e| e.stored.port).max().unwrap_or(HOST_PORT.0);
        // How long they have cooled is not stored: they begin anew.
        let now = Instant::now();
        let released_elsewhere = state.cooling.into_iter().map(|address| (address, now)).collect();
        let mut inner = Inner { entries, ipam: Ipam::new(&[])?, released_elsewhere, last_port, version: 1 };
        inner.renumber();
        Ok(Self { inner: Mutex::new(inner), file: Mutex::new((file, 0)) })
    }

    /// Whether pods get their addresses from these podCIDRs.
    pub(crate) fn has_networks(&self, networks: &[IpNet]) -> bool {
        self.inner().ipam.networks() == networks
    }

    /// Follows a change of the node's podCIDRs. Addresses in use stay in use.
    pub(crate) fn set_networks(&self, networks: &[IpNet]) -> Result<(), IpamError> {
        let mut inner = self.inner();
        if inner.ipam.networks() == networks {
            return Ok(());
        }
        inner.set_networks(networks)
    }

    /// Enters an attachment, [`Phase::Pending`], with addresses and a port of its own.
    pub(crate) fn reserve(&self, wanted: Wanted) -> Result<StoredAttachment, LedgerError> {
        let Wanted { attachment, netns, pod, network, wishes: Wishes { addresses, mac, requested } } = wanted;
        let mut inner = self.inner();
        if inner.entries.contains_key(&attachment) {
            return Err(LedgerError::Exists(attachment));
        }
        let host_veth = host_link_name(&attachment);
        if let Some(owner) = inner.owner_of_link(&host_veth) {
            return Err(LedgerError::LinkTaken { link: host_veth, owner });
        }
        if let Some((mapping, owner)) = inner.owner_of_host_port(&requested.port_mappings) {
            return Err(LedgerError::HostPortTaken { mapping, owner });
        }
        let port = inner.free_port().ok_or(LedgerError::NoPort)?;
        let early = inner.ipam.early();
        let addresses = inner.ipam.allocate(&addresses, Instant::now())?;
        if inner.ipam.early() > early {
            warn!(pod = %pod.name, ?addresses, "of the pod's addresses one has been free for less than {} s: no other is left", COOLING.as_secs());
        }
        inner.last_port = port;
        let stored = StoredAttachment {
            container_id: attachment.container_id.to_string(),
            ifname: attachment.ifname.to_string(),
            netns,
            host_veth,
            mac: mac.unwrap_or(pod_mac(&attachment).0),
            addresses,
            pod_namespace: pod.name.namespace().as_str().to_owned(),
            pod_name: pod.name.name().to_owned(),
            pod_uid: pod.uid,
            port,
            network,
            requested,
        };
        inner.entries.insert(attachment, Entry { stored: stored.clone(), phase: Phase::Pending });
        Ok(stored)
    }

    /// Notes how far an attachment is.
    pub(crate) fn set_phase(&self, attachment: &AttachmentId, phase: Phase) {
        let mut inner = self.inner();
        if let Some(entry) = inner.entries.get_mut(attachment) {
            entry.phase = phase;
            inner.version += 1;
        }
    }

    /// Removes an attachment and takes its addresses back.
    pub(crate) fn forget(&self, attachment: &AttachmentId) {
        let mut inner = self.inner();
        if let Some(entry) = inner.entries.remove(attachment) {
            for address in entry.stored.addresses {
                inner.release(address, Instant::now());
            }
            inner.version += 1;
        }
    }

    /// The attachment, live or not.
    pub(crate) fn get(&self, attachment: &AttachmentId) -> Option<StoredAttachment> {
        self.inner().entries.get(attachment).map(|e| e.stored.clone())
    }

    /// The attachment and how far it is.
    pub(crate) fn find(&self, attachment: &AttachmentId) -> Option<(StoredAttachment, Phase)> {
        self.inner().entries.get(attachment).map(|entry| (entry.stored.clone(), entry.phase))
    }

    /// The attachments of a network.
    pub(crate) fn of_network(&self, network: &str) -> Vec<AttachmentId> {
        let inner = self.inner();
        let of_network = inner.entries.iter().filter(|(_, entry)| entry.stored.network == network);
        of_network.map(|(id, _)| id.clone()).collect()
    }

    /// Whether a port is left for one more pod.
    pub(crate) fn has_free_port(&self) -> bool {
        self.inner().free_port().is_some()
    }

    /// Whose the node's end of this name is.
    pub(crate) fn owner_of_link(&self, name: &str) -> Option<AttachmentId> {
        self.inner().owner_of_link(name)
    }

    /// The attachments that the switch does not serve although it should.
    pub(crate) fn kept(&self) -> Vec<(AttachmentId, StoredAttachment)> {
        let inner = self.inner();
        let kept = inner.entries.iter().filter(|(_, entry)| entry.phase == Phase::Kept);
        kept.map(|(id, entry)| (id.clone(), entry.stored.clone())).collect()
    }

    /// Every attachment and how far it is.
    pub(crate) fn all(&self) -> Vec<(AttachmentId, StoredAttachment, Phase)> {
        self.inner().entries.iter().map(|(id, e)| (id.clone(), e.stored.clone(), e.phase)).collect()
    }

    /// The attachments that the switch serves.
    pub(crate) fn live(&self) -> Vec<StoredAttachment> {
        self.inner().stored_if(|phase| phase == Phase::Live)
    }

    /// The addresses of all attachments.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.inner().entries.values().flat_map(|entry| entry.stored.addresses.iter().copied()).collect()
    }

    /// How full the podCIDRs are.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        self.inner().ipam.usage(Instant::now())
    }

    /// Addresses given before they had cooled off, for want of others.
    pub(crate) fn early(&self) -> u64 {
        self.inner().ipam.early()
    }

    /// What the next pod would be refused with, for each family without a free address.
    pub(crate) fn exhausted(&self) -> Vec<IpamError> {
        self.inner().ipam.exhausted()
    }

    /// Addresses that pods have and that are in none of the node's podCIDRs, once it has some.
    pub(crate) fn outside(&self) -> Vec<(IpAddr, String)> {
        let inner = self.inner();
        let networks = inner.ipam.networks();
        let pods = inner.entries.values().map(|entry| &entry.stored);
        let all = pods.flat_map(|pod| pod.addresses.iter().map(move |address| (*address, pod)));
        let outside =
            all.filter(|(address, _)| !networks.is_empty() && !networks.iter().any(|net| net.contains(address)));
        outside.map(|(address, pod)| (address, format!("{}/{}", pod.pod_namespace, pod.pod_name))).collect()
    }

    /// Brings the attachments to the disk, unless the file has them. Concurrent changes may be in it too.
    pub(crate) fn save(&self) -> Result<(), StateError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, version) = {
            let inner = self.inner();
            let attachments = inner.stored_if(|phase| phase != Phase::Pending);
            (State { attachments, cooling: inner.cooling() }, inner.version)
        };
        if version != file.1 {
            file.0.save(&state)?;
            file.1 = version;
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn stored_if(&self, wanted: impl Fn(Phase) -> bool) -> Vec<StoredAttachment> {
        self.entries.values().filter(|e| wanted(e.phase)).map(|e| e.stored.clone()).collect()
    }

    /// For the state file, the longest released first.
    fn cooling(&self) -> Vec<IpAddr> {
        self.released_elsewhere.iter().map(|(address, _)| *address).chain(self.ipam.cooling()).collect()
    }

    fn release(&mut self, address: IpAddr, now: Instant) {
        if !self.ipam.release(address, now) {
            self.released_elsewhere.push((address, now));
            let surplus = self.released_elsewhere.len().saturating_sub(ELSEWHERE_LIMIT);
            self.released_elsewhere.drain(..surplus);
        }
    }

    fn set_networks(&mut self, networks: &[IpNet]) -> Result<(), IpamError> {
        let mut ipam = Ipam::new(networks)?;
        for entry in self.entries.values() {
            for address in &entry.stored.addresses {
                // One that is outside of the new podCIDRs cannot be given out again, and its pod keeps it.
                if let Err(error) = ipam.restore(*address) {
                    warn!(pod = %entry.stored.pod_name, %error, "a pod keeps an address that it would not be given now");
                }
            }
        }
        let mut released = std::mem::take(&mut self.released_elsewhere);
        released.extend(self.ipam.released());
        released.sort_by_key(|(_, since)| *since);
        // What is in none of the podCIDRs now may be in one again later.
        released.retain(|(address, since)| !ipam.cool(*address, *since) && !ipam.holds(*address));
        let surplus = released.len().saturating_sub(ELSEWHERE_LIMIT);
        released.drain(..surplus);
        ipam.count_early(self.ipam.early());
        (self.ipam, self.released_elsewhere) = (ipam, released);
        Ok(())
    }

    /// Gives ports to attachments that have one that no pod can have, as after a change of how many there are. A number is
    /// of this process alone.
    fn renumber(&mut self) {
        let cannot_be = |entry: &Entry| !(HOST_PORT.0 + 1..=LAST_POD_PORT).contains(&entry.stored.port);
        let ids: Vec<AttachmentId> =
            self.entries.iter().filter(|(_, e)| cannot_be(e)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let (Some(port), Some(entry)) = (self.free_port(), self.entries.get_mut(&id)) {
                entry.stored.port = port;
            } else {
                warn!(attachment = %id, "there are more attachments than ports; this one is given up");
                self.entries.remove(&id);
            }
        }
    }

    fn owner_of_link(&self, name: &str) -> Option<AttachmentId> {
        self.entries.iter().find(|(_, entry)| entry.stored.host_veth == name).map(|(id, _)| id.clone())
    }

    /// The first of `mappings` that another attachment has, and which.
    fn owner_of_host_port(&self, mappings: &[PortMapping]) -> Option<(PortMapping, AttachmentId)> {
        let taken = |mapping: &PortMapping| {
            let mut owners = self.entries.iter();
            owners.find(|(_, entry)| entry.stored.requested.port_mappings.iter().any(|other| other.overlaps(mapping)))
        };
        mappings.iter().find_map(|mapping| Some((mapping.clone(), taken(mapping)?.0.clone())))
    }

    /// The next port in turn, so that the number of a removed port comes back late.
    fn free_port(&self) -> Option<u16> {
        let taken: std::collections::HashSet<u16> = self.entries.values().map(|e| e.stored.port).collect();
        let after = self.last_port.saturating_add(1)..=LAST_POD_PORT;
        after.chain(HOST_PORT.0 + 1..=LAST_POD_PORT).find(|port| !taken.contains(port))
    }
}

fn id_of(stored: &StoredAttachment) -> Result<AttachmentId, NameError> {
    Ok(AttachmentId {
        container_id: stored.container_id.clone().try_into()?,
        ifname: stored.ifname.clone().try_into()?,
    })
}

#[cfg(test)]
mod tests;
