//! The paths that are measured side by side.

pub(crate) mod bridge;
pub(crate) mod direct;
pub(crate) mod sluice;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use sluice_host::{AddressSpec, LinkChange, LinkIndex, Netlink, Netns};

/// Two pods and what is between them.
#[derive(Debug)]
pub(crate) struct Path {
    /// What is between them, in one word.
    pub(crate) name: &'static str,
    /// The client's namespace.
    pub(crate) client: Netns,
    /// The server's namespace.
    pub(crate) server: Netns,
    /// The client's interface.
    pub(crate) interface: &'static str,
    /// The server's IPv4 address.
    pub(crate) server_v4: IpAddr,
    /// The server's IPv6 address.
    pub(crate) server_v6: IpAddr,
}

/// The interface of a pod.
const INTERFACE: &str = "eth0";

/// Addresses of a pair whose two ends share a subnet: 192.0.2.0/24 and 2001:db8::/64 are for documentation, nobody's.
fn addresses(host: u8) -> (IpAddr, IpAddr) {
    let v4 = Ipv4Addr::new(192, 0, 2, host);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host));
    (v4.into(), v6.into())
}

/// Sets one end of a pair up: loopback, addresses, link.
fn furnish(netlink: &mut Netlink, link: LinkIndex, host: u8) -> Result<()> {
    let lo = netlink.link_by_name("lo")?.index;
    netlink.set_link(lo, &LinkChange::up())?;
    let (v4, v6) = addresses(host);
    for net in [IpNet::new(v4, 24)?, IpNet::new(v6, 64)?] {
        netlink.add_address(link, &AddressSpec::with_prefix_route(net))?;
    }
    netlink.set_link(link, &LinkChange::up())?;
    Ok(())
}
