//! GC: removes what a network has here and the runtime does not know any more.

use std::collections::BTreeSet;

use sluice_cni_protocol::{AttachmentId, CniError, GcRequest, code};
use sluice_host::{Error, Link, LinkKind, Netlink};
use tracing::info;

use crate::agent::Agent;
use crate::attach::delete_link;
use crate::link_name::is_host_link_name;

/// What could not be removed. Everything else was.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be removed: {}", .failures.len(), .failures.join("; "))]
pub(crate) struct GarbageError {
    failures: Vec<String>,
}

impl From<GarbageError> for CniError {
    fn from(error: GarbageError) -> Self {
        CniError::new(code::GC_FAILED, error.to_string()).with_details("everything else was removed; call GC again")
    }
}

impl Agent {
    /// Detaches what the network has here beyond `valid`, and deletes pods' devices that belong to no attachment at all, of
    /// whichever network they were. A failure does not stop the rest.
    pub(crate) fn remove_all_but(&self, GcRequest { network, valid }: &GcRequest) -> Result<(), GarbageError> {
        let mut failures = Vec::new();
        for id in garbage(self.ledger.of_network(network), valid) {
            info!(attachment = %id, network, "removing an attachment that the runtime does not know any more");
            if let Err(error) = self.serial.run(&id, || self.detach(&id)) {
                failures.push(format!("{id}: {error}"));
            }
        }
        if let Err(error) = self.delete_strays(&mut failures) {
            failures.push(error.to_string());
        }
        if failures.is_empty() { Ok(()) } else { Err(GarbageError { failures }) }
    }

    /// Whoever attaches enters the device's name before it makes the device, so one that is listed and has no owner afterwards
    /// belongs to nobody.
    fn delete_strays(&self, failures: &mut Vec<String>) -> Result<(), Error> {
        let links = Netlink::open()?.links()?;
        let is_pods = |link: &&Link| link.kind == LinkKind::Veth && is_host_link_name(&link.name);
        for link in links.iter().filter(is_pods) {
            if self.ledger.owner_of_link(&link.name).is_some() {
                continue;
            }
            info!(device = link.name, "deleting a device that belongs to no attachment");
            if let Err(error) = delete_link(link.index) {
                failures.push(format!("{}: {error}", link.name));
            }
        }
        Ok(())
    }
}

fn garbage(there: Vec<AttachmentId>, valid: &[AttachmentId]) -> Vec<AttachmentId> {
    let valid: BTreeSet<&AttachmentId> = valid.iter().collect();
    there.into_iter().filter(|id| !valid.contains(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(container: &str, ifname: &str) -> AttachmentId {
        let (container_id, ifname) = (container.to_owned().try_into(), ifname.to_owned().try_into());
        AttachmentId { container_id: container_id.expect("a name"), ifname: ifname.expect("a name") }
    }

    #[test]
    fn garbage_is_what_is_not_valid_by_container_and_interface() {
        let there = vec![id("a", "eth0"), id("a", "net1"), id("b", "eth0")];
        assert_eq!(garbage(there.clone(), &[id("a", "eth0"), id("c", "eth0")]), [id("a", "net1"), id("b", "eth0")]);
        assert_eq!(garbage(there.clone(), &[]), there, "with an empty list all of it goes");
    }

    #[test]
    fn every_failure_is_told() {
        let error = CniError::from(GarbageError { failures: vec!["a/eth0: stuck".into(), "b/eth0: busy".into()] });
        assert!(error.code == 106 && error.msg.contains("stuck") && error.msg.contains("busy"), "{error}");
    }
}
