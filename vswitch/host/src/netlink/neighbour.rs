//! Neighbours: which hardware address an IP address on the link has.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState as KernelState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use sluice_wire::MacAddr;

use super::link::LinkIndex;
use super::socket::Mode;
use super::{Netlink, family_of};
use crate::error::Error;

/// How sure the kernel is of a neighbour (`NUD_` of `include/uapi/linux/neighbour.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourState {
    /// It is being asked for, and nothing is known yet.
    Incomplete,
    /// It has answered lately.
    Reachable,
    /// It has not been heard of for a while.
    Stale,
    /// It has been used while stale, and is about to be asked.
    Delay,
    /// It is being asked again.
    Probe,
    /// It did not answer.
    Failed,
    /// It was set by hand and is never asked.
    Permanent,
    /// Nothing was asked yet, or a combination.
    Other(u16),
}

impl NeighbourState {
    /// Whether the hardware address may be used (`NUD_VALID`).
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Reachable | Self::Stale | Self::Delay | Self::Probe | Self::Permanent)
    }
}

impl From<KernelState> for NeighbourState {
    fn from(state: KernelState) -> Self {
        match state {
            KernelState::Incomplete => Self::Incomplete,
            KernelState::Reachable => Self::Reachable,
            KernelState::Stale => Self::Stale,
            KernelState::Delay => Self::Delay,
            KernelState::Probe => Self::Probe,
            KernelState::Failed => Self::Failed,
            KernelState::Permanent => Self::Permanent,
            other => Self::Other(other.into()),
        }
    }
}

/// An entry of a device's ARP or ND table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The device.
    pub link: LinkIndex,
    /// Whose hardware address it is.
    pub address: IpAddr,
    /// The hardware address; None while it is being asked for.
    pub mac: Option<MacAddr>,
    /// Whether it is never asked for again.
    pub permanent: bool,
    /// How sure the kernel is of it.
    pub state: NeighbourState,
    /// Whether the kernel keeps it resolved by itself: see [`Netlink::keep_neighbour`].
    pub managed: bool,
}

impl Netlink {
    /// Sets a permanent neighbour, in the place of what was known about that address.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`].
    pub fn add_neighbour(&mut self, link: LinkIndex, address: IpAddr, mac: MacAddr) -> Result<(), Error> {
        let mut message = message_for(link, address);
        message.header.state = KernelState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let object = || format!("{address} on {link}");
        self.change("add neighbour", object, RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)
    }

    /// Has the kernel ask for a neighbour now, if it is not sure of it (NTF_USE), as if it had a packet for it. The answer is
    /// seen by [`super::monitor::Monitor`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`].
    pub fn resolve_neighbour(&mut self, link: LinkIndex, address: IpAddr) -> Result<(), Error> {
        let mut message = message_for(link, address);
        message.header.state = KernelState::None;
        message.header.flags = NeighbourFlags::Use;
        let object = || format!("{address} on {link}");
        self.change("resolve neighbour", object, RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)
    }

    /// Has the kernel resolve a neighbour and ask for it again before it grows stale, for as long as it is in the table
    /// (NTF_EXT_MANAGED, kernel 5.16): the switch's packets do not pass the kernel, which would otherwise take the neighbour for
    /// unused. Returns false on an older kernel, which asks for it once: [`Netlink::resolve_neighbour`] is to be repeated there.
    /// [`Netlink::delete_neighbour`] ends it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`].
    pub fn keep_neighbour(&mut self, link: LinkIndex, address: IpAddr) -> Result<bool, Error> {
        if !has_managed_neighbours(&rustix::system::uname().release().to_string_lossy()) {
            self.resolve_neighbour(link, address)?;
            return Ok(false);
        }
        let mut message = message_for(link, address);
        message.header.state = KernelState::None;
        message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        let object = || format!("{address} on {link}");
        self.change("keep neighbour", object, RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)?;
        Ok(true)
    }

    /// Forgets a neighbour.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none.
    pub fn delete_neighbour(&mut self, link: LinkIndex, address: IpAddr) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelNeighbour(message_for(link, address));
        self.change("delete neighbour", || format!("{address} on {link}"), message, Mode::Existing)
    }

    /// All neighbours of the namespace, IPv4 and IPv6, without multicast ones.
    ///
    /// # Errors
    /// When the kernel's answer cannot be had.
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, Error> {
        let mut neighbours = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = NeighbourMessage::default();
            message.header.family = family;
            let messages = self.dump("list neighbours", RouteNetlinkMessage::GetNeighbour(message))?;
            neighbours.extend(messages.into_iter().filter_map(neighbour_from));
        }
        Ok(neighbours)
    }
}

fn message_for(link: LinkIndex, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family_of(address);
    message.header.ifindex = link.0;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

fn neighbour_from(message: RouteNetlinkMessage) -> Option<Neighbour> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    // Entries that need no resolution (loopback, multicast).
    if message.header.state == KernelState::Noarp {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    let mut managed = false;
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(ip)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(bytes).ok().map(MacAddr),
            NeighbourAttribute::ExtFlags(flags) => managed = flags.contains(NeighbourExtFlags::Managed),
            _ => {}
        }
    }
    Some(Neighbour {
        link: LinkIndex(message.header.ifindex),
        address: address?,
        mac,
        permanent: message.header.state == KernelState::Permanent,
        state: message.header.state.into(),
        managed,
    })
}

/// Whether a kernel of this release knows NTF_EXT_MANAGED: since 5.16 (commit 7482e3841d52). An older one takes the request and
/// forgets the flag.
fn has_managed_neighbours(release: &str) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= (5, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_neighbours_came_with_5_16() {
        assert!(["5.16.0", "6.1.0-18-amd64", "10.0"].into_iter().all(has_managed_neighbours));
        assert!(!["5.15.160", "4.19.0+", "linux", ""].into_iter().any(has_managed_neighbours));
    }
}
