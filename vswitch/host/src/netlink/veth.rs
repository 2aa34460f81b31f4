//! veth pairs, the cable between a pod (or the node's stack) and the switch.

use std::os::fd::AsRawFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use nix::errno::Errno;
use sluice_wire::MacAddr;

use super::link::LinkIndex;
use super::socket::Mode;
use super::{Netlink, link_name_failure};
use crate::error::{Error, ErrorKind, Failure};
use crate::netns::Netns;

/// How one end of a pair is to be. It is made down.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Its name, 1 to 15 bytes.
    pub name: &'a str,
    /// Largest IP packet in bytes, 68 to 65535; None for the kernel's 1500.
    pub mtu: Option<u32>,
    /// Its hardware address; None for a random one.
    pub mac: Option<MacAddr>,
    /// Where it is made; None for the namespace of the [`Netlink`].
    pub netns: Option<&'a Netns>,
    /// Largest segment the stack hands down whole, in bytes.
    pub gso_max_size: Option<u32>,
    /// The same for IPv4 (kernel 6.3+).
    pub gso_ipv4_max_size: Option<u32>,
}

impl<'a> VethEnd<'a> {
    /// An end called `name` with the kernel's defaults for all else.
    pub fn named(name: &'a str) -> Self {
        Self { name, mtu: None, mac: None, netns: None, gso_max_size: None, gso_ipv4_max_size: None }
    }
}

/// The numbers of a new pair, each in the namespace of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VethPair {
    /// The first end's.
    pub near: LinkIndex,
    /// The second end's.
    pub far: LinkIndex,
}

impl Netlink {
    /// Makes a veth pair, both ends down, each with one queue per direction (a port is one device and one queue).
    ///
    /// Both ends are made at once in their namespaces with all their settings: there is no moment at which a
    /// half-configured or misplaced device exists, and after an error neither end does.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] naming the end whose name is taken, [`ErrorKind::BadName`], [`ErrorKind::Invalid`] for an
    /// MTU out of range.
    pub fn create_veth(&mut self, near: &VethEnd<'_>, far: &VethEnd<'_>) -> Result<VethPair, Error> {
        for end in [near, far] {
            if let Some(failure) = link_name_failure(end.name) {
                return Err(self.fail("create veth", format!("{:?}", end.name), failure));
            }
        }
        // Opened first: what can still fail after the pair is made is to be as little as possible.
        let mut near_side = near.netns.map(Netlink::open_in).transpose()?;
        let mut message = message_for(near);
        let peer = InfoData::Veth(InfoVeth::Peer(message_for(far)));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)]));
        match self.route.request(RouteNetlinkMessage::NewLink(message), Mode::Create) {
            Ok(_) => near_side.as_mut().unwrap_or(self).read_pair(near.name),
            Err(failure) if failure.kind == ErrorKind::Exists => Err(self.taken(near, far, failure)),
            Err(failure) => Err(self.fail("create veth", both(near, far), failure)),
        }
    }

    /// The kernel does not tell the new numbers, but each end knows its peer's.
    fn read_pair(&mut self, near: &str) -> Result<VethPair, Error> {
        let link = self.link_by_name(near)?;
        match link.peer {
            Some(far) => Ok(VethPair { near: link.index, far }),
            // Between the two requests someone put another device in its place; whoever did that owns the name.
            None => Err(self.fail("create veth", near, Errno::ENODEV.into())),
        }
    }

    /// EEXIST does not say which end it is about.
    fn taken(&mut self, near: &VethEnd<'_>, far: &VethEnd<'_>, failure: Failure) -> Error {
        let found = [near, far].into_iter().find_map(|end| {
            let (link, place) = match end.netns {
                None => (self.find_link(end.name), self.namespace().to_owned()),
                Some(netns) => {
                    let inside = Netlink::open_in(netns);
                    (inside.and_then(|mut inside| inside.find_link(end.name)), netns.label().to_owned())
                }
            };
            matches!(link, Ok(Some(_))).then_some((end.name, place))
        });
        match found {
            Some((name, place)) => Error::new("create veth", name, place, failure),
            None => self.fail("create veth", both(near, far), failure),
        }
    }
}

fn both(near: &VethEnd<'_>, far: &VethEnd<'_>) -> String {
    format!("{} - {}", near.name, far.name)
}

fn message_for(end: &VethEnd<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    let attributes = &mut message.attributes;
    attributes.push(LinkAttribute::IfName(end.name.to_owned()));
    attributes.push(LinkAttribute::NumTxQueues(1));
    attributes.push(LinkAttribute::NumRxQueues(1));
    attributes.extend(end.mtu.map(LinkAttribute::Mtu));
    attributes.extend(end.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    attributes.extend(end.gso_max_size.map(LinkAttribute::GsoMaxSize));
    attributes.extend(end.gso_ipv4_max_size.map(LinkAttribute::GsoIpv4MaxSize));
    attributes.extend(end.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
    message
}
