//! Services: their addresses and ports, and how their endpoints are chosen.

mod check;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::name::ServiceName;
use crate::object::Labels;
use crate::protocol::Protocol;
use crate::timestamp::Timestamp;

pub(crate) use check::check;

/// Label that gives an object to another proxy than the one that carries Services out (KEP-2447).
pub(crate) const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Label that keeps an object from every proxy.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// A checked Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: ServiceName,
    /// Its labels.
    pub labels: Labels,
    /// When it was made; manifests in a directory need not say it.
    pub created: Option<Timestamp>,
    /// Its type.
    pub kind: ServiceKind,
    /// Its cluster addresses, at most one a family; none where it is headless or an external name.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports, no two the same; none only where it is headless or an external name.
    pub ports: Vec<ServicePort>,
    /// Labels of the Pods behind it; without any, somebody else writes its EndpointSlices.
    pub selector: BTreeMap<String, String>,
    /// Addresses that somebody leads to the nodes.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of its load balancer that packets arrive with.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Networks from which those may be used; `None` is any. Bits behind a prefix are cut.
    pub source_ranges: Option<Vec<IpNet>>,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Seconds that a client stays with its endpoint, 1 to 86400; `None` without affinity.
    pub affinity: Option<u32>,
    /// Port at which a load balancer asks whether this node has endpoints.
    pub health_check_node_port: Option<u16>,
    /// Whether endpoints count as ready before they are.
    pub publish_not_ready: bool,
    /// Which endpoints a client should prefer.
    pub traffic_distribution: TrafficDistribution,
}

/// The type of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// Reached inside the cluster.
    ClusterIp,
    /// And at a port of every node.
    NodePort,
    /// And at addresses of a load balancer.
    LoadBalancer,
    /// A name elsewhere: nothing for the switch.
    ExternalName,
}

/// Which endpoints a client should prefer; whoever writes EndpointSlices turns it into hints (KEP-4444, KEP-3015).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficDistribution {
    /// No preference.
    #[default]
    Any,
    /// Those in the client's zone. `PreferClose` is its older name.
    PreferSameZone,
    /// Those on the client's node, then those in its zone.
    PreferSameNode,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where it has none.
    pub name: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number at the Service's addresses.
    pub port: u16,
    /// Its number at the Pods.
    pub target: TargetPort,
    /// Its number at the nodes' addresses.
    pub node_port: Option<u16>,
}

/// Where a Pod listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// At this port.
    Number(u16),
    /// At the port that the Pod itself calls so.
    Name(String),
}

impl Service {
    /// Whether a switch that is called `proxy_name`, or has no name of its own, carries this Service out: it has
    /// addresses, and no label gives it to another or keeps it from all.
    pub fn is_for(&self, proxy_name: Option<&str>) -> bool {
        !self.cluster_ips.is_empty() && labels_are_for(&self.labels, proxy_name)
    }

    /// Whether Pods with these labels are behind it. Without a selector none are.
    pub(crate) fn selects(&self, labels: &Labels) -> bool {
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Whether it asks load balancers to see where its endpoints are.
    pub fn has_health_check(&self) -> bool {
        self.kind == ServiceKind::LoadBalancer && self.external_local && self.health_check_node_port.is_some()
    }
}

/// As [`Service::is_for`], for Services and EndpointSlices alike.
pub(crate) fn labels_are_for(labels: &Labels, proxy_name: Option<&str>) -> bool {
    let meant = labels.get(PROXY_NAME_LABEL).is_none_or(|name| Some(name.as_str()) == proxy_name);
    meant && !labels.contains_key(HEADLESS_LABEL)
}
