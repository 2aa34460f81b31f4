//! Two pods joined by a program that hands each packet from one veth to the other's far end (`bpf_redirect_peer`): the floor for
//! everything that looks at packets. Not by mirred, which many kernels lack.

use anyhow::{Context, Result};
use sluice_ebpf::traffic::Redirect;
use sluice_host::{LinkChange, Netlink, Netns, VethEnd};
use sluice_lab::LabName;

use super::{Cores, INTERFACE, Path, addresses, furnish};
use crate::args::PathKind;

/// The two devices, in the namespace that plays the node.
const PORTS: [&str; 2] = ["port1", "port2"];

/// Makes node and pods; their namespaces bear the lab's name and go with it. The program goes with the second value.
pub(crate) fn make(lab: &LabName, cores: Cores) -> Result<(Path, Redirect)> {
    let name = |of: &str| lab.node_netns(&format!("peer.redirect.{of}"));
    let node = Netns::create(&name("node"))?;
    let (client, server) = (Netns::create(&name("client"))?, Netns::create(&name("server"))?);
    let mut netlink = Netlink::open_in(&node)?;
    let mut indices = [0; 2];
    for (((port, index), pod), host) in PORTS.into_iter().zip(&mut indices).zip([&client, &server]).zip(1..) {
        let far = VethEnd { netns: Some(pod), ..VethEnd::named(INTERFACE) };
        let pair = netlink.create_veth(&VethEnd::named(port), &far)?;
        netlink.set_link(pair.near, &LinkChange::up())?;
        furnish(&mut Netlink::open_in(pod)?, pair.far, host)?;
        *index = pair.near.0;
    }
    let devices = [(PORTS[0], indices[0]), (PORTS[1], indices[1])];
    let redirect = node.run(|| Redirect::between(devices))?.context("cannot join the two devices")?;
    let (server_v4, server_v6) = addresses(2);
    let kind = PathKind::Redirect;
    Ok((Path { kind, cores, client, server, interface: INTERFACE, server_v4, server_v6 }, redirect))
}
