//! Making a lab, or bringing one that is there to what its manifests say now.

use std::fmt;
use std::path::PathBuf;

use crate::agent::AgentSettings;
use crate::binaries::Binaries;
use crate::error::LabError;
use crate::layout::Layout;
use crate::lock::LabLock;
use crate::name::LabName;
use crate::record::{PodAttachment, Record};
use crate::stop::Stop;
use crate::topology::Topology;
use crate::underlay::UnderlayRecord;
use crate::{nodes, objects, pods};

/// What lab to make.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Its name.
    pub name: LabName,
    /// The directory of its manifests.
    pub manifests: PathBuf,
    /// The programs to run.
    pub binaries: Binaries,
    /// Joins the nodes by a wire, with an outside behind it; each agent is told its device. Without it a node has no device but
    /// its pods' and holds its addresses on its loopback.
    pub underlay: bool,
    /// What the agents are told.
    pub agent: AgentSettings,
    /// Raised to stop between two steps.
    pub stop: Stop,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An agent was started and got ready.
    AgentStarted {
        /// Its node.
        node: String,
        /// True when one was running with another configuration.
        again: bool,
        /// From its start to its readiness.
        millis: f64,
    },
    /// A pod was attached.
    PodAttached {
        /// The pod, as `namespace/name`.
        pod: String,
        /// What the plugin answered.
        attachment: PodAttachment,
    },
    /// A pod that the manifests no longer have was removed.
    PodRemoved {
        /// The pod, as `namespace/name`.
        pod: String,
    },
    /// A node that the manifests no longer have was removed.
    NodeRemoved {
        /// The node.
        node: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentStarted { node, again, millis } => {
                let word = if *again { "restarted with its new configuration" } else { "started" };
                write!(f, "node {node}: sluiced {word}, ready after {millis:.0} ms")
            }
            Self::PodAttached { pod, attachment } => {
                let addresses = attachment.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                write!(f, "pod {pod}: attached in {:.1} ms, {addresses}", attachment.millis)
            }
            Self::PodRemoved { pod } => write!(f, "pod {pod}: removed"),
            Self::NodeRemoved { node } => write!(f, "node {node}: removed"),
        }
    }
}

/// A lab while it is being changed.
pub(crate) struct Running<'a> {
    pub(crate) options: &'a UpOptions,
    pub(crate) layout: &'a Layout,
    pub(crate) record: Record,
    changes: Vec<Change>,
    progress: &'a mut dyn FnMut(&Change),
}

impl Running<'_> {
    /// Writes the record; called before a thing is made and after it is known.
    pub(crate) fn save(&self) -> Result<(), LabError> {
        self.options.stop.check()?;
        self.record.save(self.layout)
    }

    /// Tells that something was done.
    pub(crate) fn report(&mut self, change: Change) {
        (self.progress)(&change);
        self.changes.push(change);
    }
}

/// Makes the lab, or brings the one of this name to what the manifests say: what is right stays untouched, so a second
/// call changes nothing and returns no changes. `progress` hears of each change when it is done.
///
/// A call that fails leaves what it has made, for a look at the logs; call it again or call [`crate::down`].
///
/// # Errors
/// Everything about input ([`LabError::Topology`], [`LabError::NoBinary`], ...) before anything is made.
pub fn up(options: &UpOptions, progress: &mut dyn FnMut(&Change)) -> Result<Vec<Change>, LabError> {
    let layout = Layout::of(&options.name);
    let (topology, _lock, record) = plan(options, &layout)?;
    let mut running = Running { options, layout: &layout, record, changes: Vec::new(), progress };
    running.save()?;
    remove_surplus(&mut running, &topology)?;
    if let Some(underlay) = &running.record.underlay {
        underlay.raise()?;
        objects::publish(&layout, &running.record)?;
    }
    for (name, node) in &topology.nodes {
        nodes::raise(&mut running, name, node)?;
    }
    for (key, pod) in &topology.pods {
        pods::raise(&mut running, key, pod)?;
    }
    if running.record.underlay.is_some() {
        objects::publish(&layout, &running.record)?;
    }
    running.record.complete = true;
    running.save()?;
    Ok(running.changes)
}

/// Reads and checks what the lab is to be, before anything is made; locks it, and gives the record to go on from.
pub(crate) fn plan(options: &UpOptions, layout: &Layout) -> Result<(Topology, LabLock, Record), LabError> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    let directory = &options.manifests;
    let manifests = directory
        .canonicalize()
        .map_err(|source| LabError::ManifestDirectory { directory: directory.clone(), source })?;
    let topology = Topology::load(&options.name, &manifests)?;

    let lock = LabLock::create(&options.name, layout)?;
    let mut record = Record::load(&options.name, layout)?.unwrap_or_else(|| Record::new(manifests.clone()));
    let wire = options.underlay.then(|| UnderlayRecord::of(&options.name, &topology)).transpose()?;
    if !record.nodes.is_empty() && record.underlay.is_some() != wire.is_some() {
        return Err(LabError::OtherWire { name: options.name.to_string() });
    }
    record.underlay = wire;
    record.manifests = manifests;
    record.complete = false;
    Ok((topology, lock, record))
}

/// Removes pods and nodes that are not wanted any more; a pod that moved to another node is made anew there.
fn remove_surplus(running: &mut Running<'_>, topology: &Topology) -> Result<(), LabError> {
    let wanted_here = |key: &String, node: &String| topology.pods.get(key).is_some_and(|pod| pod.node == *node);
    let pods: Vec<String> = running
        .record
        .pods
        .iter()
        .filter(|(key, pod)| !wanted_here(key, &pod.node))
        .map(|(key, _)| key.clone())
        .collect();
    for key in pods {
        pods::remove(running, &key)?;
    }
    let nodes: Vec<String> =
        running.record.nodes.keys().filter(|name| !topology.nodes.contains_key(*name)).cloned().collect();
    for name in nodes {
        nodes::remove(running, &name)?;
    }
    Ok(())
}
