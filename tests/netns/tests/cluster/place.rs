//! A network namespace with addresses: where clients and servers of a test are.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use ipnet::IpNet;
use sluice_host::{Netlink, Netns, Route};

/// A pod, a node's own network, or the outside.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) netns: Netns,
    /// Its IPv4 address, then its IPv6 address.
    pub(crate) addresses: [IpAddr; 2],
}

impl Place {
    pub(crate) fn new(name: &str, netns: &str, addresses: &[IpAddr]) -> Self {
        let of =
            |v4: bool| *addresses.iter().find(|address| address.is_ipv4() == v4).expect("an address of each family");
        let netns = Netns::open_named(netns).unwrap_or_else(|error| panic!("{error}"));
        Self { name: name.to_owned(), netns, addresses: [of(true), of(false)] }
    }

    /// Its addresses with a port.
    pub(crate) fn at(&self, port: u16) -> [SocketAddr; 2] {
        self.addresses.map(|address| SocketAddr::new(address, port))
    }

    /// Its address of the family that `other` is of.
    pub(crate) fn like(&self, other: SocketAddr) -> IpAddr {
        self.addresses[usize::from(other.is_ipv6())]
    }

    /// Makes a socket, or anything else, inside; a socket stays there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.run(work).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether every one of `count` echo requests is answered.
    pub(crate) fn pings(&self, to: IpAddr, count: u32) -> bool {
        self.ping(to, count, "10").contains(&format!("{count} received"))
    }

    /// Whether one is, for those who go on asking: it may be lost.
    pub(crate) fn is_answered(&self, to: IpAddr) -> bool {
        self.ping(to, 1, "2").contains("1 received")
    }

    /// Whether an echo request that nobody is to answer remains without an answer.
    pub(crate) fn pings_in_vain(&self, to: IpAddr) -> bool {
        self.ping(to, 1, "0.25").contains("0 received")
    }

    fn ping(&self, to: IpAddr, count: u32, patience: &str) -> String {
        let mut ping = Command::new("ping");
        ping.args(["-q", "-i", "0.05", "-W", patience, "-c"]).arg(count.to_string()).arg(to.to_string());
        let output = self.netns.output(&mut ping).unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Routes a network by a gateway.
    pub(crate) fn route(&self, network: IpNet, gateway: IpAddr) {
        let mut netlink = Netlink::open_in(&self.netns).unwrap_or_else(|error| panic!("{error}"));
        let route = Route { gateway: Some(gateway), ..Route::to(network) };
        netlink.replace_route(&route).unwrap_or_else(|error| panic!("{error}"));
    }
}
