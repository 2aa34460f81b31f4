//! Pods: where they run and what they are called; a pod's port has the addresses of its
//! attachment; those of its status are for others to know it by.

use std::net::IpAddr;

use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::{NodeName, PodName};
use crate::object::{Kind, Labels};
use crate::protocol::Protocol;
use crate::raw;
use crate::timestamp::Timestamp;

/// A checked Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: PodName,
    /// The API server's id; manifests in a directory have none.
    pub uid: Option<String>,
    /// When it was made; manifests in a directory need not say it.
    pub created: Option<Timestamp>,
    /// Its labels.
    pub labels: Labels,
    /// The node it is bound to, once it is.
    pub node: Option<NodeName>,
    /// Whether it uses the node's own network and so has no port here.
    pub host_network: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its addresses by its status, at most one a family. With `host_network` they are the node's.
    pub addresses: Vec<IpAddr>,
    /// Ports that its containers declare, sidecars among them, in the order written.
    pub ports: Vec<PodPort>,
    /// What the `Ready` condition of its status says; `None` when it has none.
    pub ready: Option<bool>,
    /// Whether it is on its way out.
    pub terminating: bool,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPort {
    /// By which Services and policies may call it; empty when it has none.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl Pod {
    /// The number of the port that a name and a protocol stand for in this Pod. The first of several counts.
    pub fn named_port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let port = self.ports.iter().find(|port| port.name == name && port.protocol == protocol && !name.is_empty())?;
        Some(port.port)
    }
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

    let name = check.full_name(&metadata, PodName::new);
    let created = check.created(&metadata);
    let labels = check.labels(&metadata);
    let node = check_node(&mut check, spec.node_name.as_deref());
    let status = raw.status.clone().unwrap_or_default();
    let ports = check_ports(&mut check, &spec);
    let phase = check_phase(&mut check, status.phase.as_deref());
    let addresses = check_addresses(&mut check, &status);
    let ready = status.conditions.iter().flatten().find(|condition| condition.kind.as_deref() == Some("Ready"));
    let pod = name.map(|name| Pod {
        name,
        uid: metadata.uid.clone().filter(|uid| !uid.is_empty()),
        created,
        labels,
        node,
        host_network: spec.host_network.unwrap_or(false),
        phase,
        addresses,
        ports,
        ready: ready.map(|condition| condition.status.as_deref() == Some("True")),
        terminating: metadata.deletion_timestamp.is_some(),
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

/// Containers, and init containers that go on beside them (KEP-753).
fn check_ports(check: &mut Check, spec: &raw::PodSpec) -> Vec<PodPort> {
    let sidecar = |container: &raw::Container| container.restart_policy.as_deref() == Some("Always");
    let main = spec.containers.iter().flatten().enumerate().map(|one| ("containers", one));
    let init = spec.init_containers.iter().flatten().enumerate();
    let sidecars = init.filter(|(_, container)| sidecar(container)).map(|one| ("initContainers", one));
    let mut ports = Vec::new();
    for (list, (at, container)) in main.chain(sidecars) {
        for (index, raw) in container.ports.iter().flatten().enumerate() {
            let field = FieldPath::of(&["spec", list]).index(at).key("ports").index(index);
            let port = check.port(field.clone().key("containerPort"), raw.container_port);
            let protocol = check.protocol(field.key("protocol"), raw.protocol.as_deref());
            if let (Some(port), Some(protocol)) = (port, protocol) {
                ports.push(PodPort { name: raw.name.clone().unwrap_or_default(), port, protocol });
            }
        }
    }
    ports
}

/// A Pod that is not up yet has no address, or an empty one.
fn check_addresses(check: &mut Check, status: &raw::PodStatus) -> Vec<IpAddr> {
    let several = FieldPath::of(&["status", "podIPs"]);
    let mut written: Vec<(FieldPath, &str)> = Vec::new();
    for (index, entry) in status.pod_ips.iter().flatten().enumerate() {
        written.push((several.clone().index(index).key("ip"), entry.ip.as_deref().unwrap_or_default()));
    }
    if written.is_empty() {
        written.push((FieldPath::of(&["status", "podIP"]), status.pod_ip.as_deref().unwrap_or_default()));
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (field, text) in written.into_iter().filter(|(_, text)| !text.is_empty()) {
        let Some(value) = check.reachable(field.clone(), Some(text)) else { continue };
        if let Some(&other) = addresses.iter().find(|other| other.is_ipv4() == value.is_ipv4()) {
            check.fault::<()>(field, Problem::SecondOfFamily { value, other });
        } else {
            addresses.push(value);
        }
    }
    addresses
}
