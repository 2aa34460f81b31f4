//! `v1/Pod`.

use serde::{Deserialize, Serialize};

use crate::raw::Metadata;

/// A Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// Spec.
    pub spec: Option<PodSpec>,
    /// Status.
    pub status: Option<PodStatus>,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node it is bound to.
    pub node_name: Option<String>,
    /// Whether it uses the node's own network.
    pub host_network: Option<bool>,
    /// Its containers.
    pub containers: Option<Vec<Container>>,
    /// Containers that start before those; some of them go on beside them.
    pub init_containers: Option<Vec<Container>>,
}

/// One of `spec.containers` or `spec.initContainers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Ports it listens on.
    pub ports: Option<Vec<ContainerPort>>,
    /// `Always` makes an init container one that goes on beside the others (a sidecar).
    pub restart_policy: Option<String>,
}

/// One of a container's `ports`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    /// The name by which Services and policies call it.
    pub name: Option<String>,
    /// Its number.
    pub container_port: Option<i64>,
    /// `TCP` when missing.
    pub protocol: Option<String>,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodStatus {
    /// Where it is in its life.
    pub phase: Option<String>,
    /// Its first address, as older writers have it.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// All its addresses.
    #[serde(rename = "podIPs")]
    pub pod_ips: Option<Vec<PodIp>>,
    /// What holds of it.
    pub conditions: Option<Vec<PodCondition>>,
}

/// One of `status.podIPs`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: Option<String>,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodCondition {
    /// `Ready` and others.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `True`, `False` or `Unknown`.
    pub status: Option<String>,
}
