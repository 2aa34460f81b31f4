//! The paths that are measured side by side.

pub(crate) mod bridge;
pub(crate) mod direct;
pub(crate) mod nftables;
pub(crate) mod openvswitch;
pub(crate) mod redirect;
pub(crate) mod services;
pub(crate) mod sluice;
pub(crate) mod vxlan;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sluice_host::{AddressSpec, LinkChange, LinkIndex, Netlink, Netns};

use crate::args::PathKind;

/// Two pods and what is between them.
#[derive(Debug)]
pub(crate) struct Path {
    /// What is between them.
    pub(crate) kind: PathKind,
    /// Who runs where.
    pub(crate) cores: Cores,
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

impl Path {
    /// The server's address of one IP version.
    pub(crate) fn server_address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.server_v4,
            Family::V6 => self.server_v6,
        }
    }
}

/// An IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The cores that the ends of a path run on, and that of the switch where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cores {
    pub(crate) client: usize,
    pub(crate) server: usize,
    pub(crate) switch: Option<usize>,
}

impl Cores {
    /// Both ends on the load core, so that the switch's core is its own; only a direct pair on two cores uses it
    /// otherwise.
    pub(crate) fn of(kind: PathKind, load: usize, switch: usize) -> Self {
        let both = Self { client: load, server: load, switch: None };
        match kind {
            PathKind::Direct | PathKind::Bridge | PathKind::Vxlan | PathKind::Nftables | PathKind::Redirect => both,
            PathKind::DirectTwoCores => Self { server: switch, ..both },
            PathKind::OpenVSwitch | PathKind::Sluice => Self { switch: Some(switch), ..both },
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, server, switch } = self;
        write!(f, "client {client}, server {server}")?;
        switch.map_or(Ok(()), |switch| write!(f, ", switch {switch}"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_share_a_core_but_on_the_path_that_shows_what_another_core_costs() {
        let text = |kind| Cores::of(kind, 0, 1).to_string();
        assert_eq!(text(PathKind::Direct), "client 0, server 0");
        assert_eq!(text(PathKind::DirectTwoCores), "client 0, server 1");
        assert_eq!(text(PathKind::Bridge), "client 0, server 0");
        assert_eq!(text(PathKind::Sluice), "client 0, server 0, switch 1");
    }
}
