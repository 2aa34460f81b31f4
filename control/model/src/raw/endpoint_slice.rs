//! `discovery.k8s.io/v1/EndpointSlice`.

use serde::{Deserialize, Serialize};

use crate::raw::Metadata;

/// An EndpointSlice.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: Option<String>,
    /// The endpoints.
    pub endpoints: Option<Vec<Endpoint>>,
    /// Ports that each of them has.
    pub ports: Option<Vec<EndpointPort>>,
}

/// One of `endpoints`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// Its addresses.
    pub addresses: Option<Vec<String>>,
    /// What holds of it.
    pub conditions: Option<EndpointConditions>,
    /// The node it is on.
    pub node_name: Option<String>,
    /// The zone it is in.
    pub zone: Option<String>,
    /// Who should use it.
    pub hints: Option<EndpointHints>,
}

/// `conditions` of an endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Takes new connections; true when missing.
    pub ready: Option<bool>,
    /// Can answer; true when missing.
    pub serving: Option<bool>,
    /// Is on its way out; false when missing.
    pub terminating: Option<bool>,
}

/// `hints` of an endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointHints {
    /// Zones that should use it.
    pub for_zones: Option<Vec<Hint>>,
    /// Nodes that should use it.
    pub for_nodes: Option<Vec<Hint>>,
}

/// One of `hints.forZones` or `hints.forNodes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hint {
    /// The zone or the node.
    pub name: Option<String>,
}

/// One of `ports`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The name of the Service's port; missing is the empty one.
    pub name: Option<String>,
    /// `TCP` when missing.
    pub protocol: Option<String>,
    /// The number; missing means all ports, which no Service can use.
    pub port: Option<i64>,
}
