//! The device that frames enter by: the far end of the client's. It takes `xdp_frame`s only with native XDP or with GRO.

use anyhow::{Context, Result};
use sluice_host::{LinkChange, LinkIndex, Netlink, Netns, offload};

/// Devices that take frames while this value lives, and are as before when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    opened: Vec<(Netns, LinkIndex)>,
}

impl Entry {
    /// Looks in the named namespaces that begin with `prefix` for what the device `interface` of `client` may be joined to, and has
    /// it take frames. Numbers of devices are a namespace's own, so there may be several that fit; they all are changed.
    pub(crate) fn open(prefix: &str, client: &Netns, interface: &str) -> Result<Self> {
        let near = Netlink::open_in(client)?.link_by_name(interface)?;
        let far = near.peer.with_context(|| format!("{interface} in {} is no veth", client.label()))?;
        let mut entry = Self { opened: Vec::new() };
        for name in Netns::names()?.into_iter().filter(|name| name.starts_with(prefix)) {
            let netns = Netns::open_named(&name)?;
            let mut netlink = Netlink::open_in(&netns)?;
            // A number that is not taken here is an error that tells nothing.
            let Ok(link) = netlink.link_by_index(far) else { continue };
            let fits = link.peer == Some(near.index) && netns.id()? != client.id()?;
            if fits && !offload::get(&mut netlink, far)?.is_on(offload::GRO) {
                take_frames(&mut netlink, far)?;
                entry.opened.push((netns, far));
            }
        }
        Ok(entry)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        for (netns, link) in &self.opened {
            // Where the device is gone there is nothing to set back.
            if let Ok(mut netlink) = Netlink::open_in(netns) {
                let _ = offload::set(&mut netlink, *link, &[(offload::GRO, false)]);
            }
        }
    }
}

/// GRO gives a veth the ring that frames come in by. Only of a device that is up does veth notice that it is switched on.
pub(super) fn take_frames(netlink: &mut Netlink, link: LinkIndex) -> Result<()> {
    netlink.set_link(link, &LinkChange::up())?;
    offload::set(netlink, link, &[(offload::GRO, false)])?;
    Ok(offload::set(netlink, link, &[(offload::GRO, true)])?)
}
