//! Being told of changes of devices, addresses, routes and neighbours.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::link::LinkIndex;
use super::socket::MessageHeader;
use crate::error::{Error, Failure};
use crate::netns::{HERE, Netns};

/// `RTNLGRP_` LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR and IPV6_ROUTE (`include/uapi/linux/rtnetlink.h`).
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];

/// Longer than any message of these groups; several may share a datagram.
const RECEIVE_BYTES: usize = 64 * 1024;

/// Bytes of messages that may wait: a burst of some thousand changes.
const WAITING_BYTES: usize = 1 << 20;

/// Datagrams taken at once, so that a storm of changes ends in an answer now and then.
const DATAGRAMS: usize = 1024;

/// A subscription to the changes of one network namespace. Its descriptor is readable when there is something to be had from
/// [`Monitor::changes`].
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    received: Vec<u8>,
    namespace: String,
}

/// What changed since the last time, however often. The new state is to be asked for: by the time of the answer it may have
/// changed again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Devices that came, went or changed.
    pub links: BTreeSet<LinkIndex>,
    /// Devices whose addresses changed.
    pub addresses: BTreeSet<LinkIndex>,
    /// Devices that routes lead to which came or went.
    pub routes: BTreeSet<LinkIndex>,
    /// Whether routes changed that lead to no single device (multipath, blackhole).
    pub other_routes: bool,
    /// Devices whose neighbours changed, be it only in state.
    pub neighbours: BTreeSet<LinkIndex>,
    /// Changes were lost, or not understood: everything is to be asked for anew.
    pub lost: bool,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Whether what is known of `link`, its addresses, routes or neighbours may be out of date.
    pub fn concern(&self, link: LinkIndex) -> bool {
        self.lost
            || self.other_routes
            || [&self.links, &self.addresses, &self.routes, &self.neighbours].iter().any(|set| set.contains(&link))
    }

    /// Takes the messages of one datagram.
    fn read(&mut self, mut bytes: &[u8]) {
        while let Some(header) = MessageHeader::read(bytes) {
            let (this, rest) = bytes.split_at(header.length);
            bytes = rest.get(header.padding()..).unwrap_or_default();
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(this).map(|message| message.payload) {
                Ok(NetlinkPayload::InnerMessage(message)) => self.note(&message),
                Ok(_) => {}
                Err(_) => self.lost = true,
            }
        }
    }

    fn note(&mut self, message: &RouteNetlinkMessage) {
        use RouteNetlinkMessage as Message;
        match message {
            Message::NewLink(link) | Message::DelLink(link) => drop(self.links.insert(LinkIndex(link.header.index))),
            Message::NewAddress(address) | Message::DelAddress(address) => {
                self.addresses.insert(LinkIndex(address.header.index));
            }
            Message::NewNeighbour(neighbour) | Message::DelNeighbour(neighbour) => {
                self.neighbours.insert(LinkIndex(neighbour.header.ifindex));
            }
            Message::NewRoute(route) | Message::DelRoute(route) => match device_of(route) {
                Some(link) => drop(self.routes.insert(link)),
                None => self.other_routes = true,
            },
            _ => {}
        }
    }
}

fn device_of(route: &RouteMessage) -> Option<LinkIndex> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(LinkIndex(*index)),
        _ => None,
    })
}

impl Monitor {
    /// Subscribes in the calling thread's namespace.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn open() -> Result<Self, Error> {
        Self::subscribe(HERE)
    }

    /// Subscribes in `netns`; the calling thread stays where it is.
    ///
    /// # Errors
    /// As [`Netns::run`].
    pub fn open_in(netns: &Netns) -> Result<Self, Error> {
        netns.run(|| Self::subscribe(netns.label()))?
    }

    fn subscribe(namespace: &str) -> Result<Self, Error> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.set_non_blocking(true)?;
            // Less than asked for is granted silently where the system's limit is lower.
            socket.set_rx_buf_sz(WAITING_BYTES as i32)?;
            GROUPS.iter().try_for_each(|group| socket.add_membership(*group))?;
            Ok(socket)
        };
        let socket = open().map_err(|e| Error::new("open", "netlink monitor", namespace, Failure::from(e)))?;
        Ok(Self { socket, received: Vec::with_capacity(RECEIVE_BYTES), namespace: namespace.to_owned() })
    }

    /// Everything that changed since the last call, without waiting.
    ///
    /// # Errors
    /// When the socket has failed for good. Changes that the kernel could not deliver are no error, but [`Changes::lost`].
    pub fn changes(&mut self) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        for _ in 0..DATAGRAMS {
            self.received.clear();
            match self.socket.recv(&mut self.received, nix::sys::socket::MsgFlags::MSG_TRUNC.bits()) {
                // Longer than the buffer: cut off.
                Ok(length) if length > self.received.len() => changes.lost = true,
                Ok(_) => changes.read(&self.received),
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EAGAIN) => break,
                    Some(Errno::EINTR) => {}
                    Some(Errno::ENOBUFS) => changes.lost = true,
                    _ => return Err(Error::new("read", "netlink monitor", &*self.namespace, error.into())),
                },
            }
        }
        Ok(changes)
    }

    /// Waits until something changed, but at most for `limit`, and returns what.
    ///
    /// # Errors
    /// As [`Monitor::changes`].
    pub fn wait(&mut self, limit: Duration) -> Result<Changes, Error> {
        let limit = Timespec::try_from(limit).ok();
        let fd = self.as_fd();
        // What happened is found by looking; a signal ends the wait early, which does no harm.
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], limit.as_ref());
        self.changes()
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkHeader;
    use netlink_packet_route::link::LinkMessage;
    use netlink_packet_route::neighbour::NeighbourMessage;

    use super::*;

    fn datagram(message: RouteNetlinkMessage) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn link(index: u32) -> Vec<u8> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        datagram(RouteNetlinkMessage::NewLink(message))
    }

    fn neighbour(index: u32) -> Vec<u8> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = index;
        datagram(RouteNetlinkMessage::DelNeighbour(message))
    }

    fn route(link: Option<u32>) -> Vec<u8> {
        let mut message = RouteMessage::default();
        message.attributes.extend(link.map(RouteAttribute::Oif));
        datagram(RouteNetlinkMessage::NewRoute(message))
    }

    fn read(bytes: &[u8]) -> Changes {
        let mut changes = Changes::default();
        changes.read(bytes);
        changes
    }

    #[test]
    fn changes_of_one_device_are_told_once() {
        let changes = read(&[link(2), link(2), neighbour(3), route(Some(4))].concat());
        assert_eq!((changes.links.len(), changes.neighbours.len(), changes.routes.len()), (1, 1, 1));
        assert!([2, 3, 4].into_iter().all(|index| changes.concern(LinkIndex(index))));
        assert!(!changes.concern(LinkIndex(5)) && !changes.is_empty());
        assert!(read(&[]).is_empty());
    }

    #[test]
    fn a_route_to_no_single_device_concerns_all() {
        assert!(read(&route(None)).concern(LinkIndex(9)));
    }

    #[test]
    fn what_is_not_understood_is_lost() {
        let mut short = link(2);
        short.truncate(20);
        short[0] = 20;
        let changes = read(&[short, neighbour(3)].concat());
        assert!(changes.lost && changes.concern(LinkIndex(9)), "everything is to be asked for");
        assert!(changes.neighbours.contains(&LinkIndex(3)), "the next message is read all the same");
    }
}
