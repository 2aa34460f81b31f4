//! DEL, now or from the journal: nothing of the attachment is left, whatever was left of it before.

use sluice_cni_protocol::{AttachmentId, CniError, code};
use sluice_host::{Error, Netlink};
use sluice_tables::PortId;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::attach::delete_link;
use crate::dataplane::DataplaneError;
use crate::ledger::Phase;
use crate::link_name::host_link_name;
use crate::state::StateError;

/// Why something is left. The addresses stay taken, and DEL may be called again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DetachError {
    /// The switch did not let go of the port.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
    /// The device cannot be deleted.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// The state file cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<DetachError> for CniError {
    fn from(error: DetachError) -> Self {
        let code = if matches!(error, DetachError::State(_)) { code::IO_FAILURE } else { code::DETACH_FAILED };
        CniError::new(code, error.to_string()).with_details("DEL may be called again")
    }
}

impl Agent {
    /// Detaches. One call at a time for an attachment. It looks at no namespace, so it does not matter whether that is
    /// still there.
    pub(crate) fn detach(&self, id: &AttachmentId) -> Result<(), DetachError> {
        let known = self.ledger.get(id);
        if let Some(stored) = &known {
            // Out of the tables first: then nobody sends to a port that is going.
            self.ledger.set_phase(id, Phase::Pending);
            if let Err(error) = self.publish() {
                error!(%error, "cannot publish tables without a pod that is going");
            }
            self.dataplane.remove_port(PortId(stored.port))?;
        }
        self.delete_device(id)?;
        if let Some(stored) = &known {
            // No worker has it any more, and no other pod has its port yet.
            self.dataplane.forget_connections(PortId(stored.port), &stored.addresses);
        }
        self.ledger.forget(id);
        // Also for one that is not known: an earlier DEL may have failed to write the file.
        self.ledger.save()?;
        if let Some(stored) = known {
            info!(attachment = %id, "detached");
            let networks = self.generations.node().pod_cidrs;
            if stored.addresses.iter().any(|address| !networks.iter().any(|net| net.contains(address))) {
                // It had a route of its own, for its address is of earlier podCIDRs.
                self.set_up_host_port();
            }
        }
        Ok(())
    }

    /// By its name, for there may be one that nothing remembers.
    fn delete_device(&self, id: &AttachmentId) -> Result<(), Error> {
        let name = host_link_name(id);
        if self.ledger.owner_of_link(&name).is_some_and(|owner| owner != *id) {
            return Ok(());
        }
        match Netlink::open()?.find_link(&name)? {
            Some(link) => delete_link(link.index),
            None => Ok(()),
        }
    }

    /// Does what DELs left in the journal while no agent answered.
    pub(crate) fn replay_journal(&self) {
        let entries = match self.journal.entries() {
            Ok(entries) => entries,
            Err(error) => return warn!(%error, "cannot read the journal of DELs"),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.serial.run(&entry.attachment, || self.replay(&entry.attachment)),
                Err(error) => {
                    error!(%error, "an entry of the journal of DELs is of no use and is set aside");
                    self.journal.set_aside(&error);
                }
            }
        }
    }

    /// Carries out the journal's DEL of `id`, if there is one. A failed one stays for the next time.
    pub(crate) fn replay(&self, id: &AttachmentId) {
        if !self.journal.holds(id) {
            return;
        }
        info!(attachment = %id, "carrying out a DEL from the journal");
        if let Err(error) = self.detach(id) {
            return error!(attachment = %id, %error, "cannot carry out a DEL from the journal");
        }
        if let Err(error) = self.journal.remove(id) {
            warn!(%error, "a DEL that was carried out stays in the journal");
        }
    }
}
