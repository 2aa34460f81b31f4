//! Neighbours: which hardware address an IP address on the link has.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use sluice_wire::MacAddr;

use super::link::LinkIndex;
use super::socket::Mode;
use super::{Netlink, family_of};
use crate::error::Error;

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
}

impl Netlink {
    /// Sets a permanent neighbour, in the place of what was known about that address.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`].
    pub fn add_neighbour(&mut self, link: LinkIndex, address: IpAddr, mac: MacAddr) -> Result<(), Error> {
        let mut message = message_for(link, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let object = || format!("{address} on {link}");
        self.change("add neighbour", object, RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)
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
    if message.header.state == NeighbourState::Noarp {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(ip)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(bytes).ok().map(MacAddr),
            _ => {}
        }
    }
    Some(Neighbour {
        link: LinkIndex(message.header.ifindex),
        address: address?,
        mac,
        permanent: message.header.state == NeighbourState::Permanent,
    })
}
