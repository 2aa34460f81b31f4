//! Who is measured side by side, and what each can play.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use sluice_host::Netns;
use sluice_lab::Stop;

use super::sluice::Cluster;
use crate::args::{LabArgs, PathKind};
use crate::devices;
use crate::machine::Machine;
use crate::measure::Bench;
use crate::peers::{Cores, Family, Path, bridge, direct, vxlan};
use crate::scenario::{Encapsulation, Place, Topology};
use crate::session::Session;

/// Where and by whom a peer is brought up.
pub(crate) struct Site<'a> {
    /// What it makes bears this session's name and ends with it.
    pub(crate) session: &'a Session,
    /// Which cores there are for what.
    pub(crate) machine: &'a Machine,
    /// Pings and measures.
    pub(crate) bench: &'a Bench,
    /// What the switch's agents are told.
    pub(crate) lab: &'a LabArgs,
    /// Raised to give up.
    pub(crate) stop: &'a Stop,
}

impl Site<'_> {
    /// Who runs where on a path of this kind.
    pub(crate) fn cores(&self, kind: PathKind) -> Cores {
        Cores::of(kind, self.machine.load_core, self.machine.switch_core)
    }
}

/// Something that carries packets between two ends.
pub(crate) trait Peer: Sync {
    /// Its name in one word: in scenarios, on the command line, in the results.
    fn name(&self) -> &'static str;

    /// What it is, in one line.
    fn about(&self) -> &'static str;

    /// Whether it can play this topology.
    fn carries(&self, topology: &Topology) -> bool;

    /// Whether this measure says anything about it.
    fn suits(&self, measure: &str) -> bool {
        let _ = measure;
        true
    }

    /// What this machine has to have installed before it can be brought up, where something is missing.
    fn missing(&self) -> Option<String> {
        None
    }

    /// Brings it up and waits until it carries packets.
    ///
    /// # Errors
    /// Whatever prevents that, by name. What is there by then goes with the session.
    fn up<'s>(&self, site: &'s Site<'s>, topology: &Topology) -> Result<Box<dyn Standing + 's>>;
}

/// A peer that has been brought up; what it holds that is no namespace ends with this value.
pub(crate) trait Standing {
    /// The two ends and what is known of what is between them.
    fn path(&self) -> &Path;

    /// Where clients go instead of to the server itself, for a topology with Services.
    fn frontend(&self, family: Family) -> Option<SocketAddr> {
        let _ = family;
        None
    }

    /// Called before each of its turns.
    ///
    /// # Errors
    /// It cannot be woken.
    fn wake(&self) -> Result<()> {
        Ok(())
    }

    /// Called after each of its turns: until the next it takes no processor.
    ///
    /// # Errors
    /// It cannot be made to rest.
    fn rest(&self) -> Result<()> {
        Ok(())
    }

    /// Packets lost on the way since it was brought up, by a name that says where. Packets of others may be among them.
    ///
    /// # Errors
    /// A counter cannot be read.
    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let path = self.path();
        devices::drops(&[("client", &path.client), ("server", &path.server)])
    }

    /// The cluster that the switch serves, where it is the switch.
    fn cluster(&self) -> Option<&Cluster<'_>> {
        None
    }
}

/// The port of a Service, and that of the servers behind it.
pub(crate) const SERVICE_PORT: u16 = 80;
pub(crate) const SERVER_PORT: u16 = 8080;

/// A path through the kernel whose losses the devices count.
struct Kernel {
    path: Path,
    between: Vec<(&'static str, Netns)>,
}

impl Standing for Kernel {
    fn path(&self) -> &Path {
        &self.path
    }

    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let ends = [("client", &self.path.client), ("server", &self.path.server)];
        let between = self.between.iter().map(|(name, netns)| (*name, netns));
        devices::drops(&ends.into_iter().chain(between).collect::<Vec<_>>())
    }
}

/// A path that answers, as something that stands.
fn answering<'s>(site: &Site<'_>, path: Path, between: Vec<(&'static str, Netns)>) -> Result<Box<dyn Standing + 's>> {
    site.bench.await_path(&path)?;
    Ok(Box::new(Kernel { path, between }))
}

/// One veth pair: the calibration, since nothing is between the ends.
pub(super) struct Direct;

impl Peer for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn about(&self) -> &'static str {
        "a veth pair and nothing else: what generators and the kernel's own stack cost"
    }

    fn carries(&self, _topology: &Topology) -> bool {
        true
    }

    fn up<'s>(&self, site: &'s Site<'s>, _topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let kind = PathKind::Direct;
        answering(site, direct::make(site.session.name(), kind, site.cores(kind))?, Vec::new())
    }
}

/// The same with its ends on two cores.
pub(super) struct DirectTwoCores;

impl Peer for DirectTwoCores {
    fn name(&self) -> &'static str {
        "direct-2"
    }

    fn about(&self) -> &'static str {
        "a veth pair with its ends on two cores, so that each message wakes another core; ping-pong only"
    }

    fn carries(&self, _topology: &Topology) -> bool {
        true
    }

    fn suits(&self, measure: &str) -> bool {
        measure == "ping-pong"
    }

    fn up<'s>(&self, site: &'s Site<'s>, _topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let kind = PathKind::DirectTwoCores;
        answering(site, direct::make(site.session.name(), kind, site.cores(kind))?, Vec::new())
    }
}

/// The kernel's bridge.
pub(super) struct Bridge;

impl Peer for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn about(&self) -> &'static str {
        "the kernel's bridge between two pods: what a simple plugin makes"
    }

    fn carries(&self, topology: &Topology) -> bool {
        topology.place == Place::Node && topology.services == 0
    }

    fn up<'s>(&self, site: &'s Site<'s>, _topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let path = bridge::make(site.session.name(), site.cores(PathKind::Bridge))?;
        let node = Netns::open_named(&site.session.name().node_netns("peer.bridge.node"))?;
        answering(site, path, vec![("node", node)])
    }
}

/// Two nodes of the kernel's bridge and VXLAN.
pub(super) struct Vxlan;

impl Peer for Vxlan {
    fn name(&self) -> &'static str {
        "vxlan"
    }

    fn about(&self) -> &'static str {
        "two nodes with the kernel's bridge and VXLAN, laid out as Flannel does; a wire without offloads"
    }

    fn carries(&self, topology: &Topology) -> bool {
        topology.place == Place::Nodes && topology.services == 0 && topology.encapsulation == Encapsulation::Vxlan
    }

    fn missing(&self) -> Option<String> {
        devices::missing_programs(&[("ip", "iproute2"), ("bridge", "iproute2"), ("ethtool", "ethtool")])
    }

    fn up<'s>(&self, site: &'s Site<'s>, _topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let path = vxlan::make(site.session.name(), site.cores(PathKind::Vxlan))?;
        let open =
            |name| Ok((name, Netns::open_named(&site.session.name().node_netns(&format!("peer.vxlan.{name}")))?));
        let between = ["wire", "node1", "node2"].into_iter().map(open).collect::<Result<Vec<_>>>()?;
        answering(site, path, between)
    }
}
