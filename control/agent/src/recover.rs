//! The start after an earlier agent: looks at what is there, and carries out the plan of [`crate::repair`].

use std::path::Path;

use anyhow::Context;
use sluice_cni_protocol::AttachmentId;
use sluice_host::{Error, LinkIndex, LinkKind, Netlink, Netns};
use sluice_tables::PortId;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::attach::{AttachError, delete_link};
use crate::bandwidth::limits;
use crate::generations::GenerationError;
use crate::ledger::Phase;
use crate::repair::{Action, Remembered, Sandbox, plan};
use crate::state::{State, StateFile, StoredAttachment};
use crate::undo::Undo;

/// The state file's content. One that can never be read is set aside: pods of it lose their devices, which is better
/// than an address given twice.
pub(crate) fn load_state(file: &StateFile) -> anyhow::Result<State> {
    match file.load() {
        Ok(state) => Ok(state.unwrap_or_default()),
        Err(refused) if refused.is_refusal() => {
            let aside = file.set_aside()?;
            error!(%refused, aside = %aside.display(), "starting without attachments");
            Ok(State::default())
        }
        Err(error) => Err(error).context("reading the state file"),
    }
}

impl Agent {
    /// Takes over, makes again, releases and deletes, so that devices, ledger, switch and state file agree. What fails
    /// for one pod is logged and does not stop the others.
    pub(crate) fn recover(&self) -> anyhow::Result<()> {
        let remembered: Vec<Remembered> =
            self.ledger.all().into_iter().map(|(id, stored, _)| look_at(id, &stored)).collect();
        let links = Netlink::open()?.links()?;
        for action in plan(&remembered, &links) {
            self.carry_out(action);
        }
        self.replay_journal();
        let surroundings = crate::uplink::surroundings(self, &mut Netlink::open()?)?;
        self.generations.set_surroundings(surroundings);
        self.publish_for_node()?;
        self.ledger.save()?;
        Ok(())
    }

    /// Publishes tables of this node as its object says, at once where that is known, so that all objects are compiled once. If that
    /// cannot be, it is put in force when it can.
    fn publish_for_node(&self) -> Result<(), GenerationError> {
        let told = self.generations.node_object(&self.config.node_name).filter(|node| !node.pod_cidrs.is_empty());
        if let Some(node) = told {
            let known = self.generations.node();
            self.generations.set_node(node);
            match self.publish() {
                Ok(()) => return Ok(()),
                Err(error) => warn!(%error, "the node's podCIDRs cannot be used yet"),
            }
            self.generations.set_node(known);
        }
        self.publish()
    }

    /// Looks again at what could not be taken over at the start, as when a killed agent's sockets were still closing.
    pub(crate) fn serve_kept(&self) -> anyhow::Result<()> {
        let kept = self.ledger.kept();
        for (id, _) in &kept {
            self.serial.run(id, || self.serve_again(id))?;
        }
        if !kept.is_empty() {
            self.publish()?;
            self.ledger.save()?;
        }
        Ok(())
    }

    /// One call at a time for an attachment.
    fn serve_again(&self, id: &AttachmentId) -> anyhow::Result<()> {
        // A DEL may have been first.
        let Some((_, stored)) = self.ledger.kept().into_iter().find(|(kept, _)| kept == id) else { return Ok(()) };
        let link = Netlink::open()?.find_link(&stored.host_veth)?;
        for action in plan(&[look_at(id.clone(), &stored)], link.as_slice()) {
            self.carry_out(action);
        }
        Ok(())
    }

    fn carry_out(&self, action: Action) {
        match action {
            Action::DeleteLink(link, name) => {
                info!(device = name, "deleting a device that belongs to no attachment");
                if let Err(error) = delete_link(link) {
                    error!(device = name, %error, "cannot delete a device that belongs to no attachment");
                }
            }
            Action::Release(id) => {
                info!(attachment = %id, "releasing an attachment whose pod is gone");
                if let Some(stored) = self.ledger.get(&id) {
                    self.dataplane.forget_connections(PortId(stored.port), &stored.addresses);
                }
                self.ledger.forget(&id);
            }
            Action::Leave(id, reason) => {
                warn!(attachment = %id, reason, "cannot look at a pod; it keeps its addresses but is not served");
            }
            Action::TakeOver(id, link) => self.resume(&id, |stored| self.take_over(stored, link)),
            Action::Remake(id) => self.resume(&id, |stored| self.remake(stored)),
        }
    }

    fn resume(&self, id: &AttachmentId, how: impl FnOnce(&StoredAttachment) -> Result<(), AttachError>) {
        let Some(stored) = self.ledger.get(id) else { return };
        match how(&stored) {
            Ok(()) => {
                info!(attachment = %id, addresses = ?stored.addresses, "serving a pod again");
                self.ledger.set_phase(id, Phase::Live);
            }
            Err(error) => error!(attachment = %id, %error, "cannot serve a pod again; it keeps its addresses"),
        }
    }

    /// The device is there and wired; only the switch's socket is new. Settings follow the configuration of today.
    fn take_over(&self, stored: &StoredAttachment, link: LinkIndex) -> Result<(), AttachError> {
        let netns = Netns::open(&stored.netns)?;
        let alias = format!("{}/{}", stored.container_id, stored.ifname);
        self.pod_link(stored, &netns, &alias).configure(&mut Netlink::open()?, link)?;
        Ok(self.dataplane.add_port(PortId(stored.port), link, limits(stored.requested.bandwidth))?)
    }

    fn remake(&self, stored: &StoredAttachment) -> Result<(), AttachError> {
        let netns = Netns::open(&stored.netns)?;
        let mut undo = Undo::default();
        self.wire_up(stored, &netns, &mut undo)?;
        undo.keep();
        Ok(())
    }
}

fn look_at(attachment: AttachmentId, stored: &StoredAttachment) -> Remembered {
    let sandbox =
        look_into(&stored.netns, &stored.ifname).unwrap_or_else(|error| Sandbox::Unreadable(error.to_string()));
    Remembered { attachment, host_link: stored.host_veth.clone(), sandbox }
}

fn look_into(path: &Path, ifname: &str) -> Result<Sandbox, Error> {
    let netns = match Netns::open(path) {
        Ok(netns) => netns,
        // A file that is no namespace (any more): the runtime unmounts before it removes.
        Err(error) if error.is_absent() || *error.kind() == sluice_host::ErrorKind::NotANamespace => {
            return Ok(Sandbox::Gone);
        }
        Err(error) => return Err(error),
    };
    Ok(match Netlink::open_in(&netns)?.find_link(ifname)? {
        None => Sandbox::Empty,
        Some(link) => match link.peer {
            Some(peer) if link.kind == LinkKind::Veth => Sandbox::Wired(peer),
            _ => Sandbox::Foreign,
        },
    })
}
