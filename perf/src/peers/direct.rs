//! No switch at all: one veth pair between two pods. What the kernel's own stack costs.

use anyhow::Result;
use sluice_host::{Netlink, Netns, VethEnd};
use sluice_lab::LabName;

use super::{Cores, INTERFACE, Path, addresses, furnish};
use crate::args::PathKind;

/// Makes the two pods; their namespaces bear the names of lab and path and go with the lab.
pub(crate) fn make(lab: &LabName, kind: PathKind, cores: Cores) -> Result<Path> {
    let client = Netns::create(&lab.node_netns(&format!("peer.{}.client", kind.name())))?;
    let server = Netns::create(&lab.node_netns(&format!("peer.{}.server", kind.name())))?;
    let mut netlink = Netlink::open_in(&client)?;
    let near = VethEnd::named(INTERFACE);
    let pair = netlink.create_veth(&near, &VethEnd { netns: Some(&server), ..near })?;
    furnish(&mut netlink, pair.near, 1)?;
    furnish(&mut Netlink::open_in(&server)?, pair.far, 2)?;
    let (server_v4, server_v6) = addresses(2);
    Ok(Path { kind, cores, client, server, interface: INTERFACE, server_v4, server_v6 })
}
