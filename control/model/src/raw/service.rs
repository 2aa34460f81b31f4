//! `v1/Service`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::raw::{IntOrString, Metadata};

/// A Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// Spec.
    pub spec: Option<ServiceSpec>,
    /// Status.
    pub status: Option<ServiceStatus>,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP` when missing.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The first cluster address, as older writers have it; `None` makes the Service headless.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// All cluster addresses, at most one a family.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Option<Vec<String>>,
    /// Its ports.
    pub ports: Option<Vec<ServicePort>>,
    /// Labels of the Pods behind it; without any, somebody else writes its EndpointSlices.
    pub selector: Option<BTreeMap<String, String>>,
    /// Addresses that somebody leads to the nodes.
    #[serde(rename = "externalIPs")]
    pub external_ips: Option<Vec<String>>,
    /// Networks from which the load balancer's addresses may be used.
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// `Cluster` (when missing) or `Local`.
    pub external_traffic_policy: Option<String>,
    /// `Cluster` (when missing) or `Local`.
    pub internal_traffic_policy: Option<String>,
    /// `None` (when missing) or `ClientIP`.
    pub session_affinity: Option<String>,
    /// How affinity works.
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// Port at which a load balancer asks whether this node has endpoints.
    pub health_check_node_port: Option<i64>,
    /// Whether endpoints count as ready before they are.
    pub publish_not_ready_addresses: Option<bool>,
    /// `PreferSameZone`, `PreferClose` (its older name), `PreferSameNode`.
    pub traffic_distribution: Option<String>,
}

/// `spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionAffinityConfig {
    /// For `ClientIP`.
    #[serde(rename = "clientIP")]
    pub client_ip: Option<ClientIpConfig>,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientIpConfig {
    /// Seconds.
    pub timeout_seconds: Option<i64>,
}

/// One of `spec.ports`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; may be missing where it is the only one.
    pub name: Option<String>,
    /// `TCP` when missing.
    pub protocol: Option<String>,
    /// The port at the Service's addresses.
    pub port: Option<i64>,
    /// The port at the Pods, by number or by name; the same number when missing.
    pub target_port: Option<IntOrString>,
    /// The port at the nodes' addresses.
    pub node_port: Option<i64>,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceStatus {
    /// What the load balancer's controller wrote.
    pub load_balancer: Option<LoadBalancerStatus>,
}

/// `status.loadBalancer`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Where the load balancer is reached.
    pub ingress: Option<Vec<LoadBalancerIngress>>,
}

/// One of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalancerIngress {
    /// An address; one that has only a host name is not for the nodes.
    pub ip: Option<String>,
    /// `VIP` (when missing): packets arrive with this destination; `Proxy`: they do not.
    pub ip_mode: Option<String>,
}
