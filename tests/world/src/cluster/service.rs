//! Services and their EndpointSlices.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Protocol;

/// A Service, called `svc0` and so on by its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its namespace.
    pub namespace: usize,
    /// Its type.
    pub kind: ServiceKind,
    /// Its ClusterIPs; none for a headless one.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress` with an address, and whether its mode is `Proxy`.
    pub ingress: Vec<(IpAddr, bool)>,
    /// `loadBalancerSourceRanges`.
    pub source_ranges: Vec<IpNet>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Affinity by client, for so many seconds.
    pub affinity: Option<u32>,
    /// The label `service.kubernetes.io/service-proxy-name`: another proxy serves it.
    pub foreign_proxy: bool,
    /// Its EndpointSlices.
    pub slices: Vec<Slice>,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// Reached inside the cluster.
    ClusterIp,
    /// And at every node.
    NodePort,
    /// And at addresses that a cloud gives.
    LoadBalancer,
    /// A name elsewhere; nothing to forward.
    ExternalName,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; slices are matched by it. `None` is "".
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of the ClusterIP and of external addresses.
    pub port: u16,
    /// The port of the nodes.
    pub node_port: Option<u16>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whether its addresses are IPv4.
    pub v4: bool,
    /// Its ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One port of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Its name.
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The number in effect at the endpoints.
    pub port: u16,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// The node it is on, when it is on one.
    pub node: Option<usize>,
    /// Condition; unknown means true.
    pub ready: Option<bool>,
    /// Condition; unknown means true.
    pub serving: Option<bool>,
    /// Condition; unknown means false.
    pub terminating: Option<bool>,
    /// Zones that it is meant for.
    pub for_zones: Vec<String>,
    /// Nodes that it is meant for.
    pub for_nodes: Vec<usize>,
}
