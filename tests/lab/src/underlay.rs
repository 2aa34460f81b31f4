//! The wire between the nodes of a lab, and what is beyond it.
//!
//! ```text
//! node a: uplink0 ---+
//! node b: uplink0 ---+-- bridge (_underlay) --- eth0: the outside (_outside), the nodes' router
//! ```
//!
//! The devices on the wire hand down neither super-frames nor unfinished checksums, so that the wire carries what a
//! wire carries: packets of at most 1500 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use sluice_host::{AddressSpec, LinkChange, LinkIndex, Netlink, Netns, Route, VethEnd, offload, sysctl};

use crate::error::LabError;
use crate::name::LabName;
use crate::nodes::{loopback_up, open_or_create};
use crate::topology::Topology;

/// The device by which a node is on the wire.
pub const UPLINK: &str = "uplink0";
/// MTU of the wire in bytes.
const MTU: u32 = 1500;
/// Prefix lengths of the wire's networks.
const V4_LEN: u8 = 24;
const V6_LEN: u8 = 64;
/// Addresses of a host behind the router, from the ranges for documentation (RFC 5737, RFC 3849).
pub const BEYOND_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The same for IPv6.
pub const BEYOND_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
const BRIDGE: &str = "br0";
const OUTSIDE_LINK: &str = "eth0";
const OUTSIDE_PORT: &str = "outside";

/// A lab's wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderlayRecord {
    /// Name of the namespace with the bridge.
    pub netns: String,
    /// Name of the namespace that plays the outside.
    pub outside: String,
    /// The outside's addresses on the wire: the nodes' routers. At most one of each family.
    pub routers: Vec<IpAddr>,
}

impl UnderlayRecord {
    /// The wire of these nodes.
    ///
    /// # Errors
    /// [`LabError::Topology`] naming the Node whose address is not on one network with the others, or is the router's.
    pub(crate) fn of(lab: &LabName, topology: &Topology) -> Result<Self, LabError> {
        let mut networks: Vec<IpNet> = Vec::new();
        for (name, node) in &topology.nodes {
            for address in &node.addresses {
                let network = network_of(*address);
                let other = networks.iter().find(|net| is_v4(net.addr()) == is_v4(*address) && **net != network);
                if let Some(other) = other {
                    return Err(refuse(name, format!("{address} is not in {other}, where the other nodes are")));
                }
                if router_of(network) == *address {
                    return Err(refuse(name, format!("{address} is the router's on the wire; take another")));
                }
                if !networks.contains(&network) {
                    networks.push(network);
                }
            }
        }
        let routers = networks.into_iter().map(router_of).collect();
        Ok(Self { netns: lab.underlay_netns(), outside: lab.outside_netns(), routers })
    }

    /// Addresses of a host behind the router, of the families that the wire has.
    pub fn beyond(&self) -> impl Iterator<Item = IpAddr> {
        self.routers.iter().map(|router| match router {
            IpAddr::V4(_) => IpAddr::from(BEYOND_V4),
            IpAddr::V6(_) => IpAddr::from(BEYOND_V6),
        })
    }

    /// Makes the bridge and the outside, where they are missing.
    pub(crate) fn raise(&self) -> Result<(), LabError> {
        let wire = open_or_create(&self.netns)?;
        let mut netlink = Netlink::open_in(&wire)?;
        if netlink.find_link(BRIDGE)?.is_none() {
            let bridge = netlink.create_bridge(BRIDGE)?;
            netlink.set_link(bridge, &LinkChange { mtu: Some(MTU), ..LinkChange::up() })?;
        }
        let outside = open_or_create(&self.outside)?;
        plug(&mut netlink, OUTSIDE_PORT, &outside, OUTSIDE_LINK)?;
        let mut inside = Netlink::open_in(&outside)?;
        let lo = loopback_up(&mut inside)?;
        let eth0 = inside.link_by_name(OUTSIDE_LINK)?.index;
        for router in &self.routers {
            add(&mut inside, eth0, on_wire(*router))?;
        }
        for beyond in self.beyond() {
            add(&mut inside, lo, AddressSpec::new(IpNet::from(beyond)))?;
        }
        forward(&outside)
    }

    /// Puts a node on the wire: its device, its addresses, its default routes.
    pub(crate) fn join(&self, node: &str, netns: &Netns, addresses: &[IpAddr]) -> Result<(), LabError> {
        let mut wire = Netlink::open_in(&Netns::open_named(&self.netns)?)?;
        plug(&mut wire, &port_of(node), netns, UPLINK)?;
        let mut inside = Netlink::open_in(netns)?;
        loopback_up(&mut inside)?;
        let uplink = inside.link_by_name(UPLINK)?.index;
        for address in addresses {
            add(&mut inside, uplink, on_wire(*address))?;
        }
        for router in &self.routers {
            if addresses.iter().all(|address| is_v4(*address) != is_v4(*router)) {
                continue;
            }
            let default = if is_v4(*router) { Route::default_v4() } else { Route::default_v6() };
            inside.replace_route(&Route { gateway: Some(*router), link: Some(uplink), ..default })?;
        }
        forward(netns)
    }

    /// Sets the bridge's port towards a node up or down.
    pub(crate) fn plug_port(&self, node: &str, up: bool) -> Result<(), LabError> {
        let mut wire = Netlink::open_in(&Netns::open_named(&self.netns)?)?;
        let port = wire.link_by_name(&port_of(node))?.index;
        Ok(wire.set_link(port, &LinkChange { up: Some(up), ..LinkChange::default() })?)
    }

    /// Takes addresses from a node that it no longer has.
    pub(crate) fn take(&self, netns: &Netns, surplus: &[IpAddr]) -> Result<(), LabError> {
        let mut inside = Netlink::open_in(netns)?;
        let Some(uplink) = inside.find_link(UPLINK)? else { return Ok(()) };
        for address in surplus {
            match inside.delete_address(uplink.index, on_wire(*address).net) {
                Err(error) if !error.is_absent() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A cable from the bridge to a namespace, up on both ends, without offloads on the far one.
fn plug(wire: &mut Netlink, port: &str, netns: &Netns, device: &str) -> Result<(), LabError> {
    if wire.find_link(port)?.is_none() {
        let near = VethEnd { mtu: Some(MTU), ..VethEnd::named(port) };
        let far = VethEnd { mtu: Some(MTU), netns: Some(netns), ..VethEnd::named(device) };
        wire.create_veth(&near, &far)?;
    }
    let bridge = wire.link_by_name(BRIDGE)?.index;
    let near = wire.link_by_name(port)?.index;
    wire.set_link(near, &LinkChange { master: Some(Some(bridge)), ..LinkChange::up() })?;
    let settings = [(format!("net/ipv6/conf/{device}/accept_dad"), "0")];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    sysctl::set_in(netns, &settings)?;
    let mut inside = Netlink::open_in(netns)?;
    let far = inside.link_by_name(device)?.index;
    let mut off: Vec<(offload::Feature, bool)> = offload::TCP_SEGMENTATION.map(|feature| (feature, false)).to_vec();
    off.extend([offload::TX_UDP_SEGMENTATION, offload::GSO, offload::TX_CHECKSUM].map(|feature| (feature, false)));
    offload::set(&mut inside, far, &off)?;
    inside.set_link(far, &LinkChange::up())?;
    Ok(())
}

fn add(netlink: &mut Netlink, link: LinkIndex, address: AddressSpec) -> Result<(), LabError> {
    match netlink.add_address(link, &address) {
        Err(error) if !error.is_taken() => Err(error.into()),
        _ => Ok(()),
    }
}

fn forward(netns: &Netns) -> Result<(), LabError> {
    Ok(sysctl::set_in(netns, &[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])?)
}

/// Name of a node's port of the bridge: a hash (FNV-1a), for names of nodes are longer than those of devices may be.
fn port_of(node: &str) -> String {
    let hash = node.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("node{hash:08x}")
}

fn is_v4(address: IpAddr) -> bool {
    address.is_ipv4()
}

fn network_of(address: IpAddr) -> IpNet {
    on_wire(address).net.trunc()
}

fn on_wire(address: IpAddr) -> AddressSpec {
    let net = match address {
        IpAddr::V4(v4) => Ipv4Net::new_assert(v4, V4_LEN).into(),
        IpAddr::V6(v6) => Ipv6Net::new_assert(v6, V6_LEN).into(),
    };
    AddressSpec::with_prefix_route(net)
}

/// The last address that a host can have (in IPv6 the last but one, by analogy).
fn router_of(network: IpNet) -> IpAddr {
    match network {
        IpNet::V4(net) => Ipv4Addr::from(u32::from(net.broadcast()) - 1).into(),
        IpNet::V6(net) => Ipv6Addr::from(u128::from(net.broadcast()) - 1).into(),
    }
}

fn refuse(node: &str, problem: String) -> LabError {
    LabError::Topology { object: format!("Node {node}"), problem }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::topology::Node;

    fn record(nodes: &[(&str, &[&str])]) -> Result<UnderlayRecord, LabError> {
        let node = |addresses: &[&str]| Node {
            netns: String::new(),
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
        };
        let nodes: BTreeMap<_, _> =
            nodes.iter().map(|(name, addresses)| ((*name).to_owned(), node(addresses))).collect();
        UnderlayRecord::of(&LabName::default(), &Topology { nodes, pods: BTreeMap::new() })
    }

    #[test]
    fn nodes_of_one_network_share_a_router() {
        let wire = record(&[("a", &["192.0.2.1", "2001:db8::1"]), ("b", &["192.0.2.2"])]).expect("one network");
        let routers: Vec<IpAddr> =
            ["192.0.2.254", "2001:db8::ffff:ffff:ffff:fffe"].map(|a| a.parse().expect("valid")).into();
        assert_eq!(wire.routers, routers);
        assert_eq!(wire.beyond().collect::<Vec<_>>(), [IpAddr::from(BEYOND_V4), IpAddr::from(BEYOND_V6)]);
    }

    #[test]
    fn a_node_elsewhere_or_in_the_router_s_place_is_refused_by_name() {
        let elsewhere = record(&[("a", &["192.0.2.1"]), ("b", &["192.0.3.1"])]).expect_err("two networks").to_string();
        assert!(elsewhere.contains("Node b") && elsewhere.contains("192.0.2.0/24"), "{elsewhere}");
        let router = record(&[("a", &["192.0.2.254"])]).expect_err("the router's").to_string();
        assert!(router.contains("Node a") && router.contains("router"), "{router}");
    }

    #[test]
    fn ports_of_the_bridge_fit_a_device_s_name() {
        assert_eq!(port_of(&"x".repeat(253)).len(), 12);
        assert_ne!(port_of("a"), port_of("b"));
    }
}
