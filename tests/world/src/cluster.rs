//! A cluster as plain data: the objects a user would write, and what the node finds around it.
//!
//! ```text
//!             +--manifests()--> JSON as the API has it --> sluice-model --> tables --> the real path
//! Cluster ----+
//!             +--oracle::answer(cluster, flow)--> what must happen
//! ```
//!
//! Kept apart from the types of `sluice-model`, so that neither what the model reads nor how it checks is taken for granted.

mod addresses;
pub mod generate;
mod manifest;
mod policy;
mod service;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use addresses::{
    CLUSTER_NETWORKS, ROUTER_V4, ROUTER_V6, SERVICE_NETWORKS, is_in, node_address, on_link, own_address, parse_net,
    pod_address, pod_network,
};
pub use policy::{Expression, Operator, Peer, Policy, PolicyPort, PortName, Rule, Selector, Way};
pub use service::{Endpoint, Service, ServiceKind, ServicePort, Slice, SlicePort};

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// Everything that exists. Objects name each other by their position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Nodes; the first is ours.
    pub nodes: Vec<Node>,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Pods. Those of our node that are not on the host's network are attached.
    pub pods: Vec<Pod>,
    /// Services with their EndpointSlices.
    pub services: Vec<Service>,
    /// NetworkPolicies.
    pub policies: Vec<Policy>,
    /// How our node is set up.
    pub setup: Setup,
}

/// How our node is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// How packets go between nodes.
    pub encapsulation: Encapsulation,
    /// Whether the node's uplink is used. Without, everything beyond the node goes to the host.
    pub uplink: bool,
    /// Whether `externalIPs` of Services are served.
    pub external_ips: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { encapsulation: Encapsulation::Vxlan, uplink: true, external_ips: true }
    }
}

/// How packets go between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// As they are; the underlay knows the way.
    None,
    /// In VXLAN.
    Vxlan,
    /// In Geneve.
    Geneve,
}

/// A Node. Its addresses and pod networks follow from its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its zone, if it is labelled with one.
    pub zone: Option<String>,
}

/// A Namespace, called `ns0` and so on by its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels, without the one the API server adds.
    pub labels: Labels,
}

/// A Pod, called `pod0` and so on by its position in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: usize,
    /// Its labels.
    pub labels: Labels,
    /// The node it runs on.
    pub node: usize,
    /// Its number in the node's pod networks (2 to 254): its addresses follow.
    pub number: u8,
    /// Whether it has an IPv4 address.
    pub v4: bool,
    /// Whether it has an IPv6 address.
    pub v6: bool,
    /// Whether it uses the node's network, and so has the node's addresses.
    pub host_network: bool,
    /// Ports that its containers name.
    pub ports: Vec<ContainerPort>,
    /// Whether it has ended; its address may then belong to another.
    pub over: bool,
}

/// A port that a container names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// What a Service or a policy can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As objects write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl Cluster {
    /// The addresses of a pod.
    #[must_use]
    pub fn addresses_of(&self, pod: usize) -> Vec<IpAddr> {
        let pod = &self.pods[pod];
        let mut addresses = Vec::new();
        for v4 in [true, false] {
            if if v4 { pod.v4 } else { pod.v6 } {
                addresses.push(if pod.host_network {
                    node_address(pod.node, v4)
                } else {
                    pod_address(pod.node, pod.number, v4)
                });
            }
        }
        addresses
    }

    /// The pod that has this address as its own: not one on the host's network, not one that has ended.
    #[must_use]
    pub fn pod_at(&self, address: IpAddr) -> Option<usize> {
        (0..self.pods.len()).find(|&pod| {
            let it = &self.pods[pod];
            !it.host_network && !it.over && self.addresses_of(pod).contains(&address)
        })
    }

    /// Whether the pod has a port of our switch.
    #[must_use]
    pub fn is_attached(&self, pod: usize) -> bool {
        let pod = &self.pods[pod];
        pod.node == 0 && !pod.host_network && !pod.over
    }

    /// The pods with a port.
    pub fn attached(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.pods.len()).filter(|&pod| self.is_attached(pod))
    }

    /// Every address of a node: the one others know it by, and its own in the pod network.
    #[must_use]
    pub fn addresses_of_node(&self, node: usize) -> Vec<IpAddr> {
        [true, false].iter().flat_map(|&v4| [node_address(node, v4), own_address(node, v4)]).collect()
    }
}
