//! What a lab consists of and how it is.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::agent;
use crate::error::LabError;
use crate::layout::{LABS, Layout, netns_path};
use crate::name::LabName;
use crate::record::{NodeRecord, PodRecord, Record};

/// A lab as it is now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LabStatus {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// The directory of its manifests.
    pub manifests: PathBuf,
    /// Whether the last `up` came to its good end.
    pub complete: bool,
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
    /// Its pods.
    pub pods: Vec<PodStatus>,
}

impl LabStatus {
    /// True when everything was made, every agent is ready and every pod attached.
    pub fn is_whole(&self) -> bool {
        self.complete && self.nodes.iter().all(|node| node.ready) && self.pods.iter().all(|pod| pod.attached)
    }
}

/// A node as it is now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Path of its network namespace.
    pub netns: PathBuf,
    /// Its InternalIPs.
    pub addresses: Vec<IpAddr>,
    /// Process id of its agent, while that runs.
    pub pid: Option<u32>,
    /// Whether the agent answers that it is ready.
    pub ready: bool,
    /// The agent's socket.
    pub socket: PathBuf,
    /// The agent's run directory.
    pub run_dir: PathBuf,
    /// What the agent prints.
    pub log: PathBuf,
}

/// A pod as it is now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Path of its network namespace.
    pub netns: PathBuf,
    /// Whether a CNI ADD has succeeded.
    pub attached: bool,
    /// Name of its interface.
    pub interface: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// How long the CNI plugin took, in milliseconds.
    pub attach_millis: Option<f64>,
    /// CNI_CONTAINERID of its attachment.
    pub container_id: String,
}

/// Looks at the lab called `name`.
///
/// # Errors
/// [`LabError::NotUp`] when there is none, [`LabError::Record`] when its record is damaged.
pub fn status(name: &LabName) -> Result<LabStatus, LabError> {
    let layout = Layout::of(name);
    let record = record(name)?;
    Ok(LabStatus {
        name: name.to_string(),
        directory: layout.root().to_owned(),
        manifests: record.manifests.clone(),
        complete: record.complete,
        nodes: record.nodes.iter().map(|(name, node)| node_status(&layout, name, node)).collect(),
        pods: record.pods.values().map(pod_status).collect(),
    })
}

/// What the lab called `name` consists of, without asking anyone.
///
/// # Errors
/// As [`status`].
pub fn record(name: &LabName) -> Result<Record, LabError> {
    Record::load(name, &Layout::of(name))?.ok_or_else(|| LabError::NotUp { name: name.to_string() })
}

/// The status document of a node's agent, as its socket gives it.
///
/// # Errors
/// [`LabError::Client`] when it cannot be reached, [`LabError::Refused`] when it answers with an error.
pub fn agent_status(name: &LabName, node: &str) -> Result<Value, LabError> {
    agent::ask(&Layout::of(name), node)
}

/// The names of the labs that have a directory.
pub fn labs() -> Vec<LabName> {
    let entries = fs::read_dir(LABS).into_iter().flatten().flatten();
    let mut names: Vec<LabName> =
        entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names
}

fn node_status(layout: &Layout, name: &str, node: &NodeRecord) -> NodeStatus {
    let pid = node.agent.filter(|agent| agent.is_running()).map(|agent| agent.pid);
    let answer = pid.and_then(|_| agent::ask(layout, name).ok());
    NodeStatus {
        name: name.to_owned(),
        netns: netns_path(&node.netns),
        addresses: node.addresses.clone(),
        pid,
        ready: answer.is_some_and(|status| status.get("ready") != Some(&Value::Bool(false))),
        socket: layout.socket(name),
        run_dir: layout.run_dir(name),
        log: layout.log(name),
    }
}

fn pod_status(pod: &PodRecord) -> PodStatus {
    let attached = pod.attached.as_ref();
    PodStatus {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        node: pod.node.clone(),
        netns: netns_path(&pod.netns),
        attached: attached.is_some(),
        interface: attached.map(|attached| attached.interface.clone()),
        addresses: attached.map(|attached| attached.addresses.clone()).unwrap_or_default(),
        attach_millis: attached.map(|attached| attached.millis),
        container_id: pod.container_id.clone(),
    }
}
