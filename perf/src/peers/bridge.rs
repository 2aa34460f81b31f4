//! The kernel's bridge between two pods, in a namespace of its own that plays the node.

use anyhow::Result;
use sluice_host::{LinkChange, Netlink, Netns, VethEnd};
use sluice_lab::LabName;

use super::{Cores, INTERFACE, Path, addresses, furnish};
use crate::args::PathKind;

/// Makes node and pods; their namespaces bear the lab's name and go with it.
pub(crate) fn make(lab: &LabName, cores: Cores) -> Result<Path> {
    let node = Netns::create(&lab.node_netns("peer.bridge.node"))?;
    let client = Netns::create(&lab.node_netns("peer.bridge.client"))?;
    let server = Netns::create(&lab.node_netns("peer.bridge.server"))?;
    let mut netlink = Netlink::open_in(&node)?;
    let bridge = netlink.create_bridge("bridge")?;
    netlink.set_link(bridge, &LinkChange::up())?;
    for (port, pod, host) in [("port1", &client, 1), ("port2", &server, 2)] {
        let pair =
            netlink.create_veth(&VethEnd::named(port), &VethEnd { netns: Some(pod), ..VethEnd::named(INTERFACE) })?;
        netlink.set_link(pair.near, &LinkChange { master: Some(Some(bridge)), ..LinkChange::up() })?;
        furnish(&mut Netlink::open_in(pod)?, pair.far, host)?;
    }
    let (server_v4, server_v6) = addresses(2);
    Ok(Path { kind: PathKind::Bridge, cores, client, server, interface: INTERFACE, server_v4, server_v6 })
}
