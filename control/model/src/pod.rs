//! Pods: where they run and what they are called; their addresses come from attachments, not from here.

use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::{NodeName, PodName};
use crate::object::{Kind, Labels};
use crate::raw;

/// A checked Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: PodName,
    /// The API server's id; manifests in a directory have none.
    pub uid: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// The node it is bound to, once it is.
    pub node: Option<NodeName>,
    /// Whether it uses the node's own network and so has no port here.
    pub host_network: bool,
    /// Where it is in its life.
    pub phase: Phase,
}

/// Where a Pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not all containers run. Also what a manifest without a status means.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one badly.
    Failed,
    /// The node has not been heard of.
    Unknown,
}

impl Phase {
    /// Whether the Pod has ended for good, so that its address may already belong to another.
    pub fn is_over(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

pub(crate) fn check(raw: &raw::Pod) -> Result<Pod, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let spec = raw.spec.clone().unwrap_or_default();
    let mut check = Check::new(Kind::Pod, &metadata);

    let namespace = check.namespace(&metadata);
    // The name is checked even where the namespace is bad, so that both faults are told at once.
    let name = match namespace {
        Some(namespace) => check.name(&metadata, |name| PodName::new(namespace, name)),
        None => {
            check.name(&metadata, crate::name::check_subdomain);
            None
        }
    };
    let labels = check.labels(&metadata);
    let node = check_node(&mut check, spec.node_name.as_deref());
    let phase = check_phase(&mut check, raw.status.as_ref().and_then(|status| status.phase.as_deref()));
    let pod = name.map(|name| Pod {
        name,
        uid: metadata.uid.clone().filter(|uid| !uid.is_empty()),
        labels,
        node,
        host_network: spec.host_network.unwrap_or(false),
        phase,
    });
    check.finish(pod)
}

/// An empty `nodeName` means that the Pod is bound to no node yet, as the API has it.
fn check_node(check: &mut Check, written: Option<&str>) -> Option<NodeName> {
    let written = written.filter(|name| !name.is_empty())?;
    check.text(FieldPath::of(&["spec", "nodeName"]), Some(written), NodeName::new)
}

fn check_phase(check: &mut Check, written: Option<&str>) -> Phase {
    match written {
        None | Some("" | "Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some("Unknown") => Phase::Unknown,
        Some(other) => {
            let allowed = "Pending, Running, Succeeded, Failed, Unknown";
            let problem = Problem::NotOneOf { value: other.to_owned(), allowed };
            check.fault(FieldPath::of(&["status", "phase"]), problem).unwrap_or_default()
        }
    }
}
