//! CHECK: whether a pod still has what its ADD gave it, and whether the switch still serves it.

mod compare;

use std::path::Path;

use sluice_cni_protocol::{AddResult, AttachmentId, CniError, CniRequest, RuntimeConfig, code};
use sluice_host::{Error, Link, Netlink, Netns};
use sluice_tables::PortId;

use self::compare::{Inside, differences};
use crate::agent::Agent;
use crate::bandwidth;
use crate::ledger::Phase;
use crate::state::StoredAttachment;

/// What is not as it should be; the runtime gives the pod up or calls CHECK again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Nothing is known of it: a DEL is due all the same, for other plugins of the chain.
    #[error("{0} is not attached; its ADD never was, or a DEL or GC removed it")]
    NotAttached(AttachmentId),
    /// The namespace cannot be looked into.
    #[error("CNI_NETNS: {0}")]
    Netns(Error),
    /// The kernel did not tell.
    #[error(transparent)]
    Kernel(#[from] Error),
    /// What was found is another thing than what was told.
    #[error("{attachment} is not as its ADD left it: {}", .found.join("; "))]
    Differs {
        /// Which.
        attachment: AttachmentId,
        /// All that differs.
        found: Vec<String>,
    },
}

impl From<CheckError> for CniError {
    fn from(error: CheckError) -> Self {
        CniError::new(code::CHECK_FAILED, error.to_string())
    }
}

impl Agent {
    /// Compares. One call at a time for an attachment.
    pub(crate) fn check_pod(
        &self,
        request: &CniRequest,
        network: &str,
        told: &AddResult,
        asked: &RuntimeConfig,
    ) -> Result<(), CheckError> {
        let id = &request.attachment;
        let (stored, phase) = self.ledger.find(id).ok_or_else(|| CheckError::NotAttached(id.clone()))?;
        let path = request.netns.as_deref().unwrap_or(&stored.netns);
        let netns = Netns::open(path).map_err(CheckError::Netns)?;
        let inside = look_inside(&netns, &stored.ifname)?;
        let mut found = differences(told, &stored, &inside, self.shape);
        found.extend(self.not_served(&stored, phase, &inside)?);
        let held = self.dataplane.port_limits(PortId(stored.port));
        found.extend(bandwidth::differences(stored.requested.bandwidth, held, asked.bandwidth));
        if stored.network != network {
            found.push(format!("it is attached to network {} and not to {network}", stored.network));
        }
        if !is_same(path, &netns, &stored.netns) {
            found.push(format!("it is attached in {} and not in {}", stored.netns.display(), path.display()));
        }
        if found.is_empty() { Ok(()) } else { Err(CheckError::Differs { attachment: id.clone(), found }) }
    }

    /// What the switch lacks of it.
    fn not_served(&self, stored: &StoredAttachment, phase: Phase, inside: &Inside) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let node_side = Netlink::open()?.find_link(&stored.host_veth)?;
        let peer = inside.link.as_ref().and_then(|link| link.peer);
        match node_side {
            None => found.push(format!("{} is gone from the node", stored.host_veth)),
            Some(link) if Some(link.index) != peer => {
                found.push(format!("{} on the node is not the other end of {}", stored.host_veth, stored.ifname));
            }
            Some(Link { up: false, .. }) => found.push(format!("{} on the node is down", stored.host_veth)),
            Some(_) => {}
        }
        let port = PortId(stored.port);
        if phase != Phase::Live || !self.dataplane.has_port(port) {
            found.push(format!("the switch does not serve it on port {}", stored.port));
        }
        let tables = self.dataplane.tables();
        let lost = stored.addresses.iter().filter(|it| tables.owner(**it).map(|owner| owner.id) != Some(port));
        found.extend(lost.map(|address| format!("the switch does not know {address} as its own")));
        Ok(found)
    }
}

fn look_inside(netns: &Netns, ifname: &str) -> Result<Inside, Error> {
    let mut netlink = Netlink::open_in(netns)?;
    let Some(link) = netlink.find_link(ifname)? else { return Ok(Inside::default()) };
    let addresses = netlink.addresses_of(link.index)?.into_iter().map(|address| address.net).collect();
    let mut routes = netlink.routes()?;
    routes.retain(|route| route.link == Some(link.index));
    Ok(Inside { link: Some(link), addresses, routes })
}

/// Whether two paths lead to one namespace. The one of ADD may be gone while the other lives.
fn is_same(path: &Path, netns: &Netns, of_add: &Path) -> bool {
    path == of_add || matches!((netns.id(), Netns::open(of_add).and_then(|it| it.id())), (Ok(a), Ok(b)) if a == b)
}
