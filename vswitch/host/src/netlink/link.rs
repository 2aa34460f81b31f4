//! Devices: find, list, change, delete; bridges.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;
use sluice_wire::MacAddr;

use super::socket::Mode;
use super::{Netlink, link_name_failure};
use crate::error::{Error, ErrorKind, Failure};

/// `IFALIASZ` of `include/uapi/linux/if.h`, without the end mark.
const ALIAS_MAX: usize = 255;

/// A device's number, unique within its namespace; never 0 for a device that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkIndex(pub u32);

impl std::fmt::Display for LinkIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "device {}", self.0)
    }
}

/// What a device is, by the kernel's `rtnl_link_ops` name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair.
    Veth,
    /// A kernel bridge.
    Bridge,
    /// Any other kind made by netlink, such as `vxlan`.
    Other(String),
    /// A device that netlink did not make: loopback or hardware.
    Plain,
}

/// A device as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in this namespace.
    pub index: LinkIndex,
    /// Its name, 1 to 15 bytes.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Its hardware address, if it has one of 6 bytes.
    pub mac: Option<MacAddr>,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Whether it is set up (IFF_UP).
    pub up: bool,
    /// Whether it also has a carrier (IFF_LOWER_UP): for a veth, both ends are up.
    pub running: bool,
    /// The `ifalias` text, if set.
    pub alias: Option<String>,
    /// The bridge it is a port of.
    pub master: Option<LinkIndex>,
    /// For a veth its peer's number, **in the peer's namespace**.
    pub peer: Option<LinkIndex>,
    /// Whether `peer` is in another namespace than the device.
    pub peer_elsewhere: bool,
    /// Largest IPv6 segment the stack hands down whole, in bytes.
    pub gso_max_size: u32,
    /// Largest IPv4 segment the stack hands down whole, in bytes. 0 on kernels before 6.3.
    pub gso_ipv4_max_size: u32,
    /// Transmit queues.
    pub tx_queues: u32,
    /// Receive queues.
    pub rx_queues: u32,
    /// Name of the root queueing discipline, such as `noqueue`.
    pub qdisc: String,
}

/// Changes to a device: what is None stays. `LinkChange::default()` changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Set up or down.
    pub up: Option<bool>,
    /// Largest IP packet, in bytes.
    pub mtu: Option<u32>,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// Largest segment the stack hands down whole, in bytes. Setting it moves the IPv4 limit along (6.3+), so that is
    /// applied after it.
    pub gso_max_size: Option<u32>,
    /// Largest IPv4 segment, in bytes (kernel 6.3+).
    pub gso_ipv4_max_size: Option<u32>,
    /// The `ifalias` text, at most 255 bytes; empty removes it.
    pub alias: Option<String>,
    /// Make it a port of this bridge; `Some(None)` releases it.
    pub master: Option<Option<LinkIndex>>,
    /// A new name; most kernels want the device down for that.
    pub name: Option<String>,
}

impl LinkChange {
    /// Only sets the device up.
    pub fn up() -> Self {
        Self { up: Some(true), ..Self::default() }
    }
}

impl Netlink {
    /// The device called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NoDevice`] when there is none, [`ErrorKind::BadName`].
    pub fn link_by_name(&mut self, name: &str) -> Result<Link, Error> {
        if let Some(failure) = link_name_failure(name) {
            return Err(self.fail("find device", format!("{name:?}"), failure));
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.one_link(message, name.to_owned())
    }

    /// The device numbered `index`.
    ///
    /// # Errors
    /// [`ErrorKind::NoDevice`] when there is none.
    pub fn link_by_index(&mut self, index: LinkIndex) -> Result<Link, Error> {
        self.one_link(request_for(index), index.to_string())
    }

    /// As [`Netlink::link_by_name`], with None for a device that does not exist.
    ///
    /// # Errors
    /// Any other than [`ErrorKind::NoDevice`].
    pub fn find_link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        match self.link_by_name(name) {
            Ok(link) => Ok(Some(link)),
            Err(error) if *error.kind() == ErrorKind::NoDevice => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All devices of the namespace.
    ///
    /// # Errors
    /// When the kernel's answer cannot be had.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(without_statistics());
        let messages = self.dump("list devices", RouteNetlinkMessage::GetLink(message))?;
        Ok(messages.into_iter().filter_map(link_from).collect())
    }

    /// Changes a device. The kernel applies the parts one after the other: after an error some may have been applied.
    ///
    /// # Errors
    /// [`ErrorKind::NoDevice`], [`ErrorKind::Invalid`] for a value out of the device's range.
    pub fn set_link(&mut self, index: LinkIndex, change: &LinkChange) -> Result<(), Error> {
        let name_failure = change.name.as_deref().and_then(link_name_failure);
        if let Some(failure) = name_failure.or_else(|| change.alias.as_deref().and_then(alias_failure)) {
            return Err(self.fail("change", index.to_string(), failure));
        }
        let mut message = request_for(index);
        message.attributes.extend(attributes_of(change));
        if let Some(up) = change.up {
            set_up(&mut message, up);
        }
        self.change("change", || index.to_string(), RouteNetlinkMessage::SetLink(message), Mode::Existing)
    }

    /// Deletes a device; a veth's peer goes with it.
    ///
    /// # Errors
    /// [`ErrorKind::NoDevice`] when there is none (see [`Error::is_absent`]), [`ErrorKind::NotSupported`] for hardware.
    pub fn delete_link(&mut self, index: LinkIndex) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelLink(request_for(index));
        self.change("delete", || index.to_string(), message, Mode::Existing)
    }

    /// Makes a kernel bridge, down, without spanning tree. Ports join by [`LinkChange::master`].
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] for a taken name, [`ErrorKind::BadName`].
    pub fn create_bridge(&mut self, name: &str) -> Result<LinkIndex, Error> {
        if let Some(failure) = link_name_failure(name) {
            return Err(self.fail("create bridge", format!("{name:?}"), failure));
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.change("create bridge", || name.to_owned(), RouteNetlinkMessage::NewLink(message), Mode::Create)?;
        Ok(self.link_by_name(name)?.index)
    }

    fn one_link(&mut self, mut message: LinkMessage, object: String) -> Result<Link, Error> {
        message.attributes.push(without_statistics());
        let answer = self.route.request(RouteNetlinkMessage::GetLink(message), Mode::Existing);
        let link = answer
            .and_then(|messages| messages.into_iter().find_map(link_from).ok_or_else(|| Failure::from(Errno::ENODEV)));
        link.map_err(|failure| self.fail("find device", object, failure))
    }
}

pub(super) fn set_up(message: &mut LinkMessage, up: bool) {
    message.header.change_mask |= LinkFlags::Up;
    message.header.flags.set(LinkFlags::Up, up);
}

fn request_for(index: LinkIndex) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index.0;
    message
}

fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn alias_failure(alias: &str) -> Option<Failure> {
    (alias.len() > ALIAS_MAX || alias.contains('\0'))
        .then(|| ErrorKind::BadName("an alias has at most 255 bytes and no NUL").into())
}

fn attributes_of(change: &LinkChange) -> Vec<LinkAttribute> {
    let mut attributes = Vec::new();
    attributes.extend(change.name.clone().map(LinkAttribute::IfName));
    attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    attributes.extend(change.gso_max_size.map(LinkAttribute::GsoMaxSize));
    attributes.extend(change.gso_ipv4_max_size.map(LinkAttribute::GsoIpv4MaxSize));
    attributes.extend(change.alias.clone().map(LinkAttribute::IfAlias));
    attributes.extend(change.master.map(|master| LinkAttribute::Controller(master.map_or(0, |index| index.0))));
    attributes
}

fn link_from(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: LinkIndex(message.header.index),
        name: String::new(),
        kind: LinkKind::Plain,
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        running: message.header.flags.contains(LinkFlags::LowerUp),
        alias: None,
        master: None,
        peer: None,
        peer_elsewhere: false,
        gso_max_size: 0,
        gso_ipv4_max_size: 0,
        tx_queues: 0,
        rx_queues: 0,
        qdisc: String::new(),
    };
    for attribute in message.attributes {
        read_attribute(&mut link, attribute);
    }
    Some(link)
}

fn read_attribute(link: &mut Link, attribute: LinkAttribute) {
    match attribute {
        LinkAttribute::IfName(name) => link.name = name,
        LinkAttribute::Address(bytes) => link.mac = <[u8; 6]>::try_from(bytes).ok().map(MacAddr),
        LinkAttribute::Mtu(mtu) => link.mtu = mtu,
        LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
        LinkAttribute::Controller(index) => link.master = Some(LinkIndex(index)),
        LinkAttribute::Link(index) => link.peer = Some(LinkIndex(index)),
        LinkAttribute::LinkNetNsId(_) => link.peer_elsewhere = true,
        LinkAttribute::GsoMaxSize(size) => link.gso_max_size = size,
        LinkAttribute::GsoIpv4MaxSize(size) => link.gso_ipv4_max_size = size,
        LinkAttribute::NumTxQueues(queues) => link.tx_queues = queues,
        LinkAttribute::NumRxQueues(queues) => link.rx_queues = queues,
        LinkAttribute::Qdisc(name) => link.qdisc = name,
        LinkAttribute::LinkInfo(infos) => {
            let kind = infos.into_iter().find_map(|info| match info {
                LinkInfo::Kind(kind) => Some(kind),
                _ => None,
            });
            link.kind = match kind {
                Some(InfoKind::Veth) => LinkKind::Veth,
                Some(InfoKind::Bridge) => LinkKind::Bridge,
                Some(other) => LinkKind::Other(other.to_string()),
                None => LinkKind::Plain,
            };
        }
        _ => {}
    }
}
