//! The veth that joins the node's own stack to the switch: `sluice_host` on the stack's side, `sluice_port` on the
//! switch's.

mod others;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use sluice_host::{AddressSpec, Error, Link, LinkChange, LinkIndex, LinkKind, Netlink, Route, Scope, VethEnd, sysctl};
use sluice_model::Node;
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use sluice_wire::MacAddr;
use tracing::{info, warn};

use self::others::Others;
use crate::lock::{DirectoryLock, PATIENCE};
use crate::pod_link::{prepare_stack_end, silence};
use crate::shape::Shape;

/// Name of the stack's end.
pub(crate) const STACK_END: &str = "sluice_host";
/// Name of the switch's end.
pub(crate) const SWITCH_END: &str = "sluice_port";
/// `RTPROT_` of our routes, so that we find them again: a number that nobody has registered (rt_protos of iproute2).
const ROUTE_PROTOCOL: u8 = 213;
const QUEUE_LIMIT: u32 = 1000;

/// Why there is no host port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostPortError {
    /// The kernel refused.
    #[error("host port: {0}")]
    Kernel(#[from] Error),
    /// Another agent works in this network namespace.
    #[error(
        "{STACK_END} belongs to a sluiced that runs with the run directory {0}; a network namespace has room for one"
    )]
    InUse(String),
    /// A device of one of our names is there that we did not make.
    #[error("{0} is there but is no veth of sluiced's; rename or delete it")]
    Foreign(&'static str),
    /// The kernel gave the device no hardware address.
    #[error("{STACK_END} has no hardware address")]
    NoMac,
}

/// The veth, and what of the node's podCIDRs is set on it.
#[derive(Debug)]
pub(crate) struct HostPort {
    /// The switch's end, to be bound.
    pub(crate) switch_end: LinkIndex,
    /// Hardware address of the stack's end.
    pub(crate) mac: MacAddr,
    /// Its sizes.
    pub(crate) shape: Shape,
    /// The stack's end.
    pub(crate) stack_end: LinkIndex,
    /// One at a time reads what is set and sets what is missing. No request waits for it.
    following: Mutex<()>,
    /// Destinations to which the node has routes of others.
    foreign: Mutex<BTreeSet<IpNet>>,
}

impl HostPort {
    /// Makes the veth anew; one that an earlier agent left is deleted first. The run directory is written on it, so that
    /// a second agent in this namespace sees whose it is.
    pub(crate) fn create(netlink: &mut Netlink, shape: Shape, run_dir: &Path) -> Result<Self, HostPortError> {
        remove_stale(netlink, run_dir)?;
        let pair =
            netlink.create_veth(&shape.sized(VethEnd::named(SWITCH_END)), &shape.sized(VethEnd::named(STACK_END)))?;
        let made = Self::configure(netlink, pair.near, pair.far, shape, run_dir);
        if made.is_err() {
            delete(netlink, pair.near);
        }
        made
    }

    fn configure(
        netlink: &mut Netlink,
        switch_end: LinkIndex,
        stack_end: LinkIndex,
        shape: Shape,
        run_dir: &Path,
    ) -> Result<Self, HostPortError> {
        silence(SWITCH_END)?;
        prepare_stack_end(STACK_END)?;
        // What the switch gives to the node comes from anywhere, while routes to there lead elsewhere. Of this and the setting for all
        // devices the larger holds, so that 2, loose, is the only sure one (Documentation/networking/ip-sysctl.rst).
        sysctl::set(&format!("net/ipv4/conf/{STACK_END}/rp_filter"), "2")?;
        // What the node sends to a NodePort at an address of its own is answered from that address, by way of the switch, which lets
        // nobody else send under it.
        sysctl::set(&format!("net/ipv4/conf/{STACK_END}/accept_local"), "1")?;
        shape.set_offloads(netlink, stack_end)?;
        netlink.set_pfifo(switch_end, QUEUE_LIMIT)?;
        let alias = Some(run_dir.display().to_string());
        netlink.set_link(stack_end, &LinkChange { alias, ..LinkChange::up() })?;
        netlink.set_link(switch_end, &LinkChange::up())?;
        know_gateway(netlink, stack_end)?;
        let mac = netlink.link_by_index(stack_end)?.mac.ok_or(HostPortError::NoMac)?;
        Ok(Self { switch_end, mac, shape, stack_end, following: Mutex::new(()), foreign: Mutex::default() })
    }

    /// Gives up super-frames: the kernel turned out not to hand over packets of several frames.
    pub(crate) fn shrink(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        self.shape.super_frames = false;
        self.shape.resize(netlink, self.stack_end)?;
        self.shape.set_offloads(netlink, self.stack_end)?;
        self.shape.resize(netlink, self.switch_end)
    }

    /// Gives the node its addresses in its podCIDRs and routes to them and to the networks beyond, and takes away earlier ones.
    /// `latest` is asked when it is our turn, so that the latest state is what remains.
    pub(crate) fn follow(
        &self,
        netlink: &mut Netlink,
        latest: impl FnOnce() -> (Node, Vec<IpNet>),
    ) -> Result<(), Error> {
        let _turn = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let (node, beyond) = latest();
        let own = node.own_addresses();
        let wanted: Vec<IpNet> = own.iter().copied().map(IpNet::from).collect();
        let present: Vec<IpNet> =
            netlink.addresses()?.iter().filter(|a| a.link == self.stack_end).map(|a| a.net).collect();
        for net in wanted.iter().filter(|net| !present.contains(net)) {
            netlink.add_address(self.stack_end, &AddressSpec::new(*net))?;
        }
        let mut routes = self.routes(&node, &own, &beyond);
        let there = netlink.routes()?;
        let (ours, others) = Others::among(&there, self.stack_end);
        routes.retain(|route| match route.gateway.and_then(|_| others.router_in(&route.destination)) {
            Some((router, other)) => {
                self.note_router(&route.destination, router, other);
                false
            }
            None => true,
        });
        for route in &routes {
            match others.to_the_same(route) {
                // Somebody's way to there is not ours to take, nor to give back when the Service goes.
                Some(other) => self.note_foreign(&route.destination, other),
                None => netlink.replace_route(route)?,
            }
        }
        let destinations: HashSet<IpNet> = routes.iter().map(|route| route.destination).collect();
        for route in ours.into_iter().filter(|route| !destinations.contains(&route.destination)) {
            ignore_absent(netlink.delete_route(route))?;
        }
        for net in present.iter().filter(|net| !wanted.contains(net) && !is_link_local(net)) {
            ignore_absent(netlink.delete_address(self.stack_end, *net))?;
        }
        Ok(())
    }

    /// Said once for each.
    fn note_foreign(&self, destination: &IpNet, other: &Route) {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign.insert(*destination) {
            warn!(%destination, protocol = other.protocol, "the node has a route of its own to there, which stays: the node itself does not reach it through the switch");
        }
    }

    /// The same of a network that would take the way out away.
    fn note_router(&self, destination: &IpNet, router: IpAddr, other: &Route) {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign.insert(*destination) {
            warn!(%destination, %router, to = %other.destination, "a router of the node lies in this network, so it is not led into the switch: give pods and Services other networks");
        }
    }

    /// Packets into the networks beyond have an address of the node in its pod network as their source, so that answers come
    /// back through the switch.
    fn routes(&self, node: &Node, own: &[IpAddr], beyond: &[IpNet]) -> Vec<Route> {
        let of_family = |net: &IpNet| own.iter().copied().find(|address| address.is_ipv4() == net.addr().is_ipv4());
        let to = |net: &IpNet| {
            let gateway = if net.addr().is_ipv4() { IpAddr::from(GATEWAY_IPV4) } else { IpAddr::from(GATEWAY_IPV6) };
            Route {
                gateway: Some(gateway),
                link: Some(self.stack_end),
                onlink: true,
                mtu: Some(u32::from(self.shape.path_mtu)),
                advmss: Some(self.shape.advmss(gateway)),
                source: own.iter().copied().find(|address| net.contains(address)).or_else(|| of_family(net)),
                protocol: ROUTE_PROTOCOL,
                ..Route::to(*net)
            }
        };
        // Without an address of its own in a family the node cannot be answered by the switch.
        let beyond = beyond.iter().filter(|net| !node.pod_cidrs.contains(net) && of_family(net).is_some());
        // Clients that are hidden from the node's own servers stand under the gateway's address: their answers come here. (The IPv6
        // gateway is on this link anyway.)
        let gateway = Route {
            link: Some(self.stack_end),
            scope: Some(Scope::Link),
            source: own.iter().copied().find(IpAddr::is_ipv4),
            protocol: ROUTE_PROTOCOL,
            ..Route::to(IpNet::from(IpAddr::from(GATEWAY_IPV4)))
        };
        let gateway = own.iter().any(IpAddr::is_ipv4).then_some(gateway);
        node.pod_cidrs.iter().chain(beyond).map(to).chain(gateway).collect()
    }

    /// Deletes the veth; its addresses and routes go with it.
    pub(crate) fn remove(&self, netlink: &mut Netlink) -> Result<(), Error> {
        ignore_absent(netlink.delete_link(self.switch_end))
    }
}

/// The stack never has to ask for the gateway: a packet that a detour leads here and that waited for the answer would be sent to the
/// neighbour of its own route instead, and be lost.
fn know_gateway(netlink: &mut Netlink, stack_end: LinkIndex) -> Result<(), Error> {
    netlink.add_neighbour(stack_end, GATEWAY_IPV4.into(), GATEWAY_MAC)?;
    if let Err(error) = netlink.add_neighbour(stack_end, GATEWAY_IPV6.into(), GATEWAY_MAC) {
        info!(%error, "the node's stack has no IPv6 here");
    }
    Ok(())
}

fn remove_stale(netlink: &mut Netlink, run_dir: &Path) -> Result<(), HostPortError> {
    for name in [STACK_END, SWITCH_END] {
        let Some(link) = netlink.find_link(name)? else { continue };
        check_stale(&link, name, run_dir)?;
        info!(device = name, "deleting the host port that an earlier sluiced left");
        ignore_absent(netlink.delete_link(link.index))?;
    }
    Ok(())
}

/// Our own run directory is locked by us, so a device with its name on it is a dead agent's.
fn check_stale(link: &Link, name: &'static str, run_dir: &Path) -> Result<(), HostPortError> {
    if link.kind != LinkKind::Veth {
        return Err(HostPortError::Foreign(name));
    }
    match link.alias.as_deref().map(Path::new) {
        Some(other) if other != run_dir && DirectoryLock::is_held(other, PATIENCE) => {
            Err(HostPortError::InUse(other.display().to_string()))
        }
        _ => Ok(()),
    }
}

fn delete(netlink: &mut Netlink, link: LinkIndex) {
    if let Err(error) = ignore_absent(netlink.delete_link(link)) {
        warn!(%error, "cannot delete the half-made host port");
    }
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(v6) if v6.addr().is_unicast_link_local())
}

fn ignore_absent(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_absent() => Ok(()),
        result => result,
    }
}
