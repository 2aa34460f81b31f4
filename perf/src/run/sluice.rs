//! The switch as a peer: a lab of one or two nodes with the objects of a scenario.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sluice_host::Netns;
use sluice_lab::{Layout, PodRecord, Record};

use super::manifests::{self, CLIENT, NODES, SERVER, SERVICE_RANGES, service_addresses};
use super::peer::{Peer, SERVER_PORT, SERVICE_PORT, Site, Standing};
use crate::args::{LabArgs, PathKind};
use crate::peers::{Family, Path, sluice};
use crate::scenario::{Place, Topology};
use crate::{devices, metrics};

/// How long objects may take to be in force, and between two tries.
const IN_FORCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Milliseconds after which a try counts as silent.
const PATIENCE: u64 = 250;

/// The switch.
pub(super) struct Sluice;

impl Peer for Sluice {
    fn name(&self) -> &'static str {
        "sluice"
    }

    fn about(&self) -> &'static str {
        "the switch, with real daemons on the nodes and pods attached by the real plugin"
    }

    fn carries(&self, _topology: &Topology) -> bool {
        true
    }

    fn up<'s>(&self, site: &'s Site<'s>, topology: &Topology) -> Result<Box<dyn Standing + 's>> {
        let cluster = Cluster::raise(site, topology)?;
        let path = cluster.path()?;
        site.bench.await_path(&path)?;
        let standing = Switched { cluster, path };
        standing.await_service()?;
        Ok(Box::new(standing))
    }
}

/// A lab with the objects of a topology.
pub(crate) struct Cluster<'s> {
    site: &'s Site<'s>,
    topology: Topology,
    directory: PathBuf,
    record: RefCell<Record>,
}

impl<'s> Cluster<'s> {
    fn raise(site: &'s Site<'s>, topology: &Topology) -> Result<Self> {
        // In the lab's own directory, so that they go with it.
        let directory = Layout::of(site.session.name()).root().join("manifests");
        let record = raise(site, topology, &directory, topology.pods)?;
        Ok(Self { site, topology: topology.clone(), directory, record: RefCell::new(record) })
    }

    /// Brings the lab to so many pods on the first node, the ends among them, and every agent to running.
    ///
    /// # Errors
    /// The lab's.
    pub(crate) fn bring_to(&self, pods: u32) -> Result<()> {
        let record = raise(self.site, &self.topology, &self.directory, pods)?;
        self.record.replace(record);
        Ok(())
    }

    /// What the lab consists of now.
    pub(crate) fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// The nodes' names.
    fn nodes(&self) -> &'static [&'static str] {
        if self.topology.place == Place::Nodes { &NODES } else { &NODES[..1] }
    }

    fn netns(&self, node: &str) -> Result<Netns> {
        let record = self.record.borrow();
        let node = record.nodes.get(node).with_context(|| format!("the lab has no node {node}"))?;
        Ok(Netns::open_named(&node.netns)?)
    }

    fn path(&self) -> Result<Path> {
        let record = self.record.borrow();
        let pod = |name: &str| -> Result<&PodRecord> {
            record.pods.values().find(|pod| pod.name == name).with_context(|| format!("the lab has no pod {name}"))
        };
        let cores = self.site.cores(PathKind::Sluice);
        let server = pod(SERVER)?;
        if self.topology.place == Place::Host {
            let path = sluice::between(server, server, cores)?;
            return Ok(Path { client: self.netns(NODES[0])?, ..path });
        }
        sluice::between(pod(CLIENT)?, server, cores)
    }

    /// What the agents dropped so far, and the kernel before them, by node and name.
    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let mut drops = BTreeMap::new();
        for node in self.nodes() {
            let status = self.site.session.agent_status(node)?;
            for (reason, count) in status["drops"].as_object().into_iter().flatten() {
                drops.insert(format!("{node} {reason}"), count.as_u64().unwrap_or(0));
            }
            for (counter, count) in metrics::kernel_losses(&self.netns(node)?)? {
                // Times, not packets: those are among `rx_dropped`.
                if counter == "fill_ring_empty" {
                    continue;
                }
                drops.insert(format!("{node} kernel {counter}"), count);
            }
        }
        Ok(drops)
    }

    /// The agents' status documents, by node.
    ///
    /// # Errors
    /// An agent does not answer.
    pub(crate) fn status(&self) -> Result<BTreeMap<String, Value>> {
        let status = |node: &&str| Ok(((*node).to_owned(), self.site.session.agent_status(node)?));
        self.nodes().iter().map(status).collect()
    }
}

fn raise(site: &Site<'_>, topology: &Topology, directory: &std::path::Path, pods: u32) -> Result<Record> {
    manifests::write(directory, topology, pods)?;
    // Without a wire agents know no more pods than those attached to them, and no Services at all.
    let wire = topology.place == Place::Nodes || topology.services > 0 || topology.policies > 0;
    if !wire {
        return site.session.raise_lab(directory, site.lab, site.machine, site.stop);
    }
    let mut set = vec![format!("tunnel.encapsulation={}", topology.encapsulation.name())];
    set.extend(site.lab.set.iter().cloned());
    let args = LabArgs { set, ..site.lab.clone() };
    site.session.raise_cluster(directory, &SERVICE_RANGES, &args, site.machine, site.stop)
}

/// The switch, standing.
struct Switched<'s> {
    cluster: Cluster<'s>,
    path: Path,
}

impl Switched<'_> {
    /// Waits until the last of the Services leads to the server, in both families.
    fn await_service(&self) -> Result<()> {
        let bench = self.cluster.site.bench;
        let addresses = [self.path.server_v4, self.path.server_v6];
        let server = bench.answer(&self.path.server, SERVER, &addresses, SERVER_PORT)?;
        for family in [Family::V4, Family::V6] {
            let direct = SocketAddr::new(self.path.server_address(family), SERVER_PORT);
            let to = self.frontend(family).unwrap_or(direct);
            let start = Instant::now();
            while bench.call(&self.path.client, to, 1, PATIENCE)?.answered.is_empty() {
                if start.elapsed() > IN_FORCE {
                    bail!("{to} does not answer within {IN_FORCE:?}; dropped so far: {:?}", self.cluster.drops()?);
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        drop(server);
        Ok(())
    }
}

impl Standing for Switched<'_> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn frontend(&self, family: Family) -> Option<SocketAddr> {
        let last = self.cluster.topology.services.checked_sub(1)?;
        let [v4, v6] = service_addresses(last);
        let address = if family == Family::V4 { v4 } else { v6 };
        Some(SocketAddr::new(address, SERVICE_PORT))
    }

    fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let mut drops = self.cluster.drops()?;
        drops.extend(devices::drops(&[("client", &self.path.client), ("server", &self.path.server)])?);
        Ok(drops)
    }

    fn cluster(&self) -> Option<&Cluster<'_>> {
        Some(&self.cluster)
    }
}
