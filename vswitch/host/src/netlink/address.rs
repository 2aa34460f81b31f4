//! Addresses of devices.

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};

use super::link::LinkIndex;
use super::socket::Mode;
use super::{Netlink, family_of};
use crate::error::Error;

/// An address to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressSpec {
    /// Address and prefix length; host bits are kept.
    pub net: IpNet,
    /// Whether the kernel adds a route to the whole prefix (without IFA_F_NOPREFIXROUTE).
    pub prefix_route: bool,
    /// Whether IPv6 duplicate address detection runs, during which the address cannot be used (without IFA_F_NODAD).
    pub duplicate_detection: bool,
}

impl AddressSpec {
    /// Usable at once and without a route of its own: what a pod gets.
    pub fn new(net: IpNet) -> Self {
        Self { net, prefix_route: false, duplicate_detection: false }
    }

    /// With the kernel's route to the prefix: what an ordinary host's device has.
    pub fn with_prefix_route(net: IpNet) -> Self {
        Self { prefix_route: true, ..Self::new(net) }
    }
}

/// An address the kernel reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Its device.
    pub link: LinkIndex,
    /// Address and prefix length.
    pub net: IpNet,
    /// Whether the kernel added a route to the prefix.
    pub prefix_route: bool,
    /// Whether it cannot be used yet, as duplicate address detection runs.
    pub tentative: bool,
    /// Whether it has no lifetime; link-local and configured addresses have none.
    pub permanent: bool,
}

impl Netlink {
    /// Sets an address on a device.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Exists`] when the device has it, [`crate::ErrorKind::NoDevice`].
    pub fn add_address(&mut self, link: LinkIndex, spec: &AddressSpec) -> Result<(), Error> {
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Noprefixroute, !spec.prefix_route);
        flags.set(AddressFlags::Nodad, !spec.duplicate_detection);
        let mut message = message_for(link, spec.net);
        message.attributes.push(AddressAttribute::Flags(flags));
        let object = || format!("{} on {link}", spec.net);
        self.change("add address", object, RouteNetlinkMessage::NewAddress(message), Mode::Create)
    }

    /// Removes an address from a device.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when the device does not have it, [`crate::ErrorKind::NoDevice`].
    pub fn delete_address(&mut self, link: LinkIndex, net: IpNet) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelAddress(message_for(link, net));
        self.change("delete address", || format!("{net} on {link}"), message, Mode::Existing)
    }

    /// All addresses of the namespace, IPv4 and IPv6.
    ///
    /// # Errors
    /// When the kernel's answer cannot be had.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        Ok(self.dump("list addresses", message)?.into_iter().filter_map(address_from).collect())
    }

    /// The addresses of one device; none when it does not exist.
    ///
    /// # Errors
    /// As [`Netlink::addresses`].
    pub fn addresses_of(&mut self, link: LinkIndex) -> Result<Vec<Address>, Error> {
        let mut addresses = self.addresses()?;
        addresses.retain(|address| address.link == link);
        Ok(addresses)
    }
}

fn message_for(link: LinkIndex, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family_of(net.addr());
    message.header.prefix_len = net.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = link.0;
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message.attributes.push(AddressAttribute::Address(net.addr()));
    message
}

fn address_from(message: RouteNetlinkMessage) -> Option<Address> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let mut address = None;
    let mut local = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in message.attributes {
        match attribute {
            // On a point-to-point device IFA_ADDRESS is the peer's; IFA_LOCAL, where there is one, is always ours.
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Address(ip) => address = Some(ip),
            AddressAttribute::Flags(all) => flags = all,
            _ => {}
        }
    }
    Some(Address {
        link: LinkIndex(message.header.index),
        net: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        prefix_route: !flags.contains(AddressFlags::Noprefixroute),
        tentative: flags.contains(AddressFlags::Tentative),
        permanent: flags.contains(AddressFlags::Permanent),
    })
}
