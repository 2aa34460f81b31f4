//! What is attached, with which addresses and ports: in memory, and in the state file for the next start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use sluice_cni_protocol::{AttachmentId, NameError};
use sluice_tables::PortId;
use tracing::warn;

use crate::ipam::{Ipam, IpamError, Usage};
use crate::link_name::{host_link_name, pod_mac};
use crate::pod_identity::PodIdentity;
use crate::state::{State, StateError, StateFile, StoredAttachment};

/// The port of the node's own stack. Pods have the others.
pub(crate) const HOST_PORT: PortId = PortId(0);
/// Highest port of a pod: as many devices as the XDP program's map has places, less the host port.
const LAST_POD_PORT: u16 = (sluice_ebpf::MAX_PORTS - 1) as u16;

/// Why an attachment cannot be entered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// It is there.
    #[error("{0} is attached already; DEL it first")]
    Exists(AttachmentId),
    /// No address.
    #[error(transparent)]
    Address(#[from] IpamError),
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
    /// What was cooling before the podCIDRs are known: the ranges take it when they come.
    cooling_before: Vec<IpAddr>,
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
                Ok(id) => drop(entries.insert(id, Entry { stored, phase: Phase::Kept })),
                Err(error) => warn!(%error, "the state file has an attachment that cannot be"),
            }
        }
        let last_port = entries.values().map(|e| e.stored.port).max().unwrap_or(HOST_PORT.0);
        let inner = Inner { entries, ipam: Ipam::new(&[])?, cooling_before: state.cooling, last_port, version: 1 };
        Ok(Self { inner: Mutex::new(inner), file: Mutex::new((file, 0)) })
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
        let Wanted { attachment, netns, pod, network } = wanted;
        let mut inner = self.inner();
        if inner.entries.contains_key(&attachment) {
            return Err(LedgerError::Exists(attachment));
        }
        let port = inner.free_port().ok_or(LedgerError::NoPort)?;
        let addresses = inner.ipam.allocate(&[])?;
        inner.last_port = port;
        let stored = StoredAttachment {
            container_id: attachment.container_id.to_string(),
            ifname: attachment.ifname.to_string(),
            netns,
            host_veth: host_link_name(&attachment),
            mac: pod_mac(&attachment).0,
            addresses,
            pod_namespace: pod.name.namespace().as_str().to_owned(),
            pod_name: pod.name.name().to_owned(),
            pod_uid: pod.uid,
            port,
            network,
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
                if !inner.ipam.release(address) && inner.ipam.networks().is_empty() {
                    inner.cooling_before.push(address);
                }
            }
            inner.version += 1;
        }
    }

    /// The attachment, live or not.
    pub(crate) fn get(&self, attachment: &AttachmentId) -> Option<StoredAttachment> {
        self.inner().entries.get(attachment).map(|e| e.stored.clone())
    }

    /// Every attachment and how far it is.
    pub(crate) fn all(&self) -> Vec<(AttachmentId, StoredAttachment, Phase)> {
        self.inner().entries.iter().map(|(id, e)| (id.clone(), e.stored.clone(), e.phase)).collect()
    }

    /// The attachments that the switch serves.
    pub(crate) fn live(&self) -> Vec<StoredAttachment> {
        self.inner().stored_if(|phase| phase == Phase::Live)
    }

    /// How full the podCIDRs are.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        self.inner().ipam.usage()
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

    fn cooling(&self) -> Vec<IpAddr> {
        if self.ipam.networks().is_empty() { self.cooling_before.clone() } else { self.ipam.cooling() }
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
        self.cooling().iter().for_each(|address| ipam.cool(*address));
        self.ipam = ipam;
        Ok(())
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
mod tests {
    use super::*;

    fn wanted(container: &str) -> Wanted {
        Wanted {
            attachment: id(container),
            netns: "/run/netns/x".into(),
            pod: PodIdentity::from_args("", "pod").unwrap(),
            network: "sluice".into(),
        }
    }

    fn id(container: &str) -> AttachmentId {
        AttachmentId {
            container_id: container.to_owned().try_into().unwrap(),
            ifname: "eth0".to_owned().try_into().unwrap(),
        }
    }

    fn nets(networks: &[&str]) -> Vec<IpNet> {
        networks.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn ledger(dir: &tempfile::TempDir, networks: &[&str]) -> Ledger {
        let file = StateFile::open(dir.path()).unwrap();
        let state = file.load().unwrap().unwrap_or_default();
        let ledger = Ledger::restore(file, state).unwrap();
        ledger.set_networks(&nets(networks)).unwrap();
        ledger
    }

    #[test]
    fn an_add_under_way_is_not_stored_and_what_is_stored_keeps_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let before = ledger(&dir, &["10.0.0.0/24"]);
        before.reserve(wanted("a")).unwrap();
        let b = before.reserve(wanted("b")).unwrap();
        before.set_phase(&id("b"), Phase::Live);
        before.save().unwrap();
        let after = ledger(&dir, &["10.0.0.0/24"]);
        assert_eq!(after.all(), [(id("b"), b.clone(), Phase::Kept)]);
        assert!(after.live().is_empty());
        let c = after.reserve(wanted("c")).unwrap();
        assert_ne!(c.addresses, b.addresses);
        assert_ne!(c.port, b.port);
    }

    #[test]
    fn an_attachment_is_entered_once_and_can_be_entered_again_after() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, &["10.0.0.0/24"]);
        ledger.reserve(wanted("a")).unwrap();
        assert!(matches!(ledger.reserve(wanted("a")), Err(LedgerError::Exists(_))));
        ledger.forget(&id("a"));
        ledger.forget(&id("a"));
        ledger.reserve(wanted("a")).unwrap();
    }

    #[test]
    fn a_full_range_is_refused_and_a_release_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, &["10.0.0.0/29"]);
        for n in 0..5 {
            ledger.reserve(wanted(&format!("c{n}"))).unwrap();
        }
        assert!(matches!(ledger.reserve(wanted("x")), Err(LedgerError::Address(IpamError::Full { .. }))));
        ledger.forget(&id("c0"));
        ledger.reserve(wanted("x")).unwrap();
    }

    #[test]
    fn without_podcidrs_there_is_no_address_until_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, &[]);
        assert!(matches!(ledger.reserve(wanted("a")), Err(LedgerError::Address(IpamError::NoNetworks))));
        ledger.set_networks(&nets(&["10.0.0.0/24", "fd00::/64"])).unwrap();
        assert_eq!(ledger.reserve(wanted("a")).unwrap().addresses.len(), 2);
    }

    #[test]
    fn an_address_outside_of_changed_podcidrs_stays_with_its_pod() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, &["10.0.0.0/24"]);
        let a = ledger.reserve(wanted("a")).unwrap();
        ledger.set_networks(&nets(&["10.1.0.0/24"])).unwrap();
        assert_eq!(ledger.get(&id("a")).unwrap(), a);
        ledger.forget(&id("a"));
        assert_eq!(ledger.usage()[0].in_use, 0);
    }

    #[test]
    fn what_was_cooling_is_not_given_out_first_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let before = ledger(&dir, &["10.0.0.0/29"]);
        let a = before.reserve(wanted("a")).unwrap();
        before.forget(&id("a"));
        before.save().unwrap();
        // A start that ends before the podCIDRs are known must not forget it either.
        ledger(&dir, &[]).save().unwrap();
        let after = ledger(&dir, &["10.0.0.0/29"]);
        for n in 0..4 {
            assert_ne!(after.reserve(wanted(&format!("c{n}"))).unwrap().addresses, a.addresses);
        }
        assert_eq!(after.reserve(wanted("last")).unwrap().addresses, a.addresses);
    }

    #[test]
    fn a_save_that_has_nothing_new_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger(&dir, &["10.0.0.0/24"]);
        ledger.save().unwrap();
        std::fs::remove_file(dir.path().join("state.json")).unwrap();
        ledger.save().unwrap();
        assert!(!dir.path().join("state.json").exists());
    }
}
