//! Peers that are programs of others: Open vSwitch, nftables, and the floor for whoever looks at packets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use sluice_ebpf::traffic::Redirect as Program;
use sluice_host::Netns;
use sluice_lab::Layout;

use super::manifests::{SERVICE_RANGES, service_addresses};
use super::peer::{Peer, SERVER_PORT, SERVICE_PORT, Site, Standing};
use crate::args::PathKind;
use crate::devices;
use crate::peers::openvswitch::OpenVSwitch as Made;
use crate::peers::services::Services;
use crate::peers::{Family, Path, nftables, openvswitch, redirect};
use crate::scenario::{Place, Topology};

/// The Services of a topology, as the switch has them.
fn services(topology: &Topology) -> Services {
    Services {
        count: topology.services,
        addresses: service_addresses,
        ranges: SERVICE_RANGES,
        port: SERVICE_PORT,
        server_port: SERVER_PORT,
    }
}

/// What devices at the ends and between dropped.
fn device_drops(path: &Path, node: &Netns) -> Result<BTreeMap<String, u64>> {
    devices::drops(&[("client", &path.client), ("node", node), ("server", &path.server)])
}

/// Open vSwitch's userspace datapath with AF_XDP ports.
pub(super) struct OpenVSwitch;

impl Peer for OpenVSwitch {
    fn name(&self) -> &'static str {
        "openvswitch"
    }

    fn about(&self) -> &'static str {
        "Open vSwitch, userspace datapath, AF_XDP ports, one polling core; Services by ct(nat)"
    }

    fn carries(&self, topology: &Topology) -> bool {
        topology.place == Place::Node && topology.policies == 0 && topology.pods == 2
    }

    fn missing(&self) -> Option<String> {
        devices::missing_programs(openvswitch::PROGRAMS)
    }

    fn up<'s>(&self, site: &'s Site<'s>, topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let lab = site.session.name();
        // In the lab's own directory, so that it goes with it.
        let directory = Layout::of(lab).root().join("openvswitch");
        let services = services(topology);
        let made = Made::make(lab, directory, site.cores(PathKind::OpenVSwitch), &services)?;
        site.bench.await_path(made.path())?;
        let node = Netns::open_named(&lab.node_netns("peer.openvswitch.node"))?;
        Ok(Box::new(Polling { made, node, services }))
    }
}

struct Polling {
    made: Made,
    node: Netns,
    services: Services,
}

impl Standing for Polling {
    fn path(&self) -> &Path {
        self.made.path()
    }

    fn frontend(&self, family: Family) -> Option<SocketAddr> {
        self.services.frontend(family)
    }

    fn wake(&self) -> Result<()> {
        self.made.rest(false)
    }

    fn rest(&self) -> Result<()> {
        self.made.rest(true)
    }

    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let mut drops = device_drops(self.made.path(), &self.node)?;
        drops.extend(self.made.drops()?);
        Ok(drops)
    }
}

/// The kernel as a router, with Service rules in kube-proxy's shape.
pub(super) struct Nftables;

impl Peer for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    fn about(&self) -> &'static str {
        "the kernel routes between two pods, with nftables rules as kube-proxy's nftables mode lays them out"
    }

    fn carries(&self, topology: &Topology) -> bool {
        topology.place == Place::Node && topology.policies == 0 && topology.pods == 2
    }

    fn missing(&self) -> Option<String> {
        devices::missing_programs(nftables::PROGRAMS)
    }

    fn up<'s>(&self, site: &'s Site<'s>, topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let lab = site.session.name();
        let services = services(topology);
        let path = nftables::make(lab, site.cores(PathKind::Nftables), &services)?;
        site.bench.await_path(&path)?;
        let node = Netns::open_named(&lab.node_netns("peer.nftables.node"))?;
        Ok(Box::new(Kernel { path, node, services, _program: None }))
    }
}

/// Nothing but a redirection.
pub(super) struct Redirect;

impl Peer for Redirect {
    fn name(&self) -> &'static str {
        "redirect"
    }

    fn about(&self) -> &'static str {
        "a program that hands each packet from one veth to the other's far end: the floor, with nothing looked at"
    }

    fn carries(&self, topology: &Topology) -> bool {
        topology.place == Place::Node && topology.services == 0 && topology.policies == 0
    }

    fn up<'s>(&self, site: &'s Site<'s>, topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let lab = site.session.name();
        let (path, program) = redirect::make(lab, site.cores(PathKind::Redirect))?;
        site.bench.await_path(&path)?;
        let node = Netns::open_named(&lab.node_netns("peer.redirect.node"))?;
        Ok(Box::new(Kernel { path, node, services: services(topology), _program: Some(program) }))
    }
}

/// A way through the kernel that polls nothing.
struct Kernel {
    path: Path,
    node: Netns,
    services: Services,
    /// Taken off with this value.
    _program: Option<Program>,
}

impl Standing for Kernel {
    fn path(&self) -> &Path {
        &self.path
    }

    fn frontend(&self, family: Family) -> Option<SocketAddr> {
        self.services.frontend(family)
    }

    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        device_drops(&self.path, &self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Encapsulation;

    fn topology(place: Place, services: u32) -> Topology {
        Topology { place, encapsulation: Encapsulation::Vxlan, services, policies: 0, pods: 2 }
    }

    #[test]
    fn rivals_play_one_node_and_those_that_can_its_services() {
        for peer in [&OpenVSwitch as &dyn Peer, &Nftables, &Redirect] {
            assert!(peer.carries(&topology(Place::Node, 0)), "{}", peer.name());
            assert!(!peer.carries(&topology(Place::Nodes, 0)), "{}", peer.name());
            assert_eq!(peer.carries(&topology(Place::Node, 10_000)), peer.name() != "redirect");
        }
    }

    #[test]
    fn what_is_not_installed_is_named_with_its_package() {
        for (programs, package) in [(openvswitch::PROGRAMS, "openvswitch-switch"), (nftables::PROGRAMS, "nftables")] {
            let nowhere: Vec<(String, &str)> =
                programs.iter().map(|(program, package)| (format!("no-such-{program}"), *package)).collect();
            let nowhere: Vec<(&str, &str)> =
                nowhere.iter().map(|(program, package)| (program.as_str(), *package)).collect();
            let said = devices::missing_programs(&nowhere).expect("nothing is there");
            assert!(said.contains(&format!("(package {package})")), "{said}");
        }
    }
}
