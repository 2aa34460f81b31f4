//! A small cluster for examples: few enough objects that what must happen can be read off.
//!
//! ```text
//! node0 (ours)                    node1
//!   pod0  10.7.0.2  ns0             pod2  10.7.1.4  ns1
//!   pod1  10.7.0.3  ns0, app=a      pod3  10.7.1.5  ns1
//!
//! svc0: 10.96.0.10 and fd00:96::a, ports 80/TCP and 53/UDP and 5060/SCTP, node ports 30000 to 30002;
//!       pod1 and pod2 behind it at 8080, 5353 and 9060
//! ```

use std::net::IpAddr;

use sluice_path::DropReason;

use crate::cluster::{
    Cluster, Endpoint, Labels, Namespace, Node, Pod, Policy, Protocol, Selector, Service, ServiceKind, ServicePort,
    Slice, SlicePort, Way, pod_address,
};
use crate::cluster_switch::{ClusterSwitch, Seen};
use crate::conversation::first_packet;
use crate::datagram::Datagram;
use crate::expect::To;
use crate::traffic::{Content, Flow, From};

/// The Service's ports: name, protocol, port, node port, port of the endpoints.
pub const PORTS: [(&str, Protocol, u16, u16, u16); 3] = [
    ("web", Protocol::Tcp, 80, 30_000, 8080),
    ("dns", Protocol::Udp, 53, 30_001, 5353),
    ("call", Protocol::Sctp, 5060, 30_002, 9060),
];
/// The Service's load balancer addresses, for those that are given them.
pub const OUTER: [&str; 2] = ["203.0.113.100", "2001:db8:2::64"];

/// The cluster above.
#[must_use]
pub fn cluster() -> Cluster {
    let named: Labels = [("app".to_owned(), "a".to_owned())].into();
    let labelled = Pod { labels: named, ..pod(0, 0, 3) };
    Cluster {
        nodes: vec![Node::default(); 2],
        namespaces: vec![Namespace::default(); 2],
        pods: vec![pod(0, 0, 2), labelled, pod(1, 1, 4), pod(1, 1, 5)],
        services: vec![service(&[(0, 3), (1, 4)])],
        ..Cluster::default()
    }
}

/// A pod without labels.
#[must_use]
pub fn pod(namespace: usize, node: usize, number: u8) -> Pod {
    Pod {
        namespace,
        labels: Labels::new(),
        node,
        number,
        v4: true,
        v6: true,
        host_network: false,
        ports: Vec::new(),
        over: false,
    }
}

/// The Service above, with these pods (node and number) behind it.
#[must_use]
pub fn service(pods: &[(usize, u8)]) -> Service {
    let ports = PORTS.map(|(name, protocol, port, node_port, _)| ServicePort {
        name: Some(name.to_owned()),
        protocol,
        port,
        node_port: Some(node_port),
    });
    let targets = PORTS.map(|(name, protocol, _, _, port)| SlicePort { name: Some(name.to_owned()), protocol, port });
    let slice = |v4| Slice {
        v4,
        ports: targets.to_vec(),
        endpoints: pods.iter().map(|&(node, number)| endpoint(node, number, v4)).collect(),
    };
    Service {
        namespace: 0,
        kind: ServiceKind::NodePort,
        cluster_ips: ["10.96.0.10", "fd00:96::a"].map(address).to_vec(),
        ports: ports.to_vec(),
        external_ips: Vec::new(),
        ingress: Vec::new(),
        source_ranges: Vec::new(),
        internal_local: false,
        external_local: false,
        affinity: None,
        foreign_proxy: false,
        slices: vec![slice(true), slice(false)],
    }
}

/// A pod as an endpoint, ready.
#[must_use]
pub fn endpoint(node: usize, number: u8, v4: bool) -> Endpoint {
    Endpoint {
        address: pod_address(node, number, v4),
        node: Some(node),
        ready: None,
        serving: None,
        terminating: None,
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
    }
}

/// A policy that shuts the pods of a namespace in one direction.
#[must_use]
pub fn shut(namespace: usize, way: Way) -> Policy {
    Policy { namespace, subject: Selector::default(), types: Some(vec![way]), ingress: None, egress: None }
}

/// The address `text` says.
///
/// # Panics
/// When it is none: a mistake in the test.
#[must_use]
pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A flow from a pod of ours, from port 40000.
///
/// # Panics
/// When the pod has no address of the destination's family.
#[must_use]
pub fn from_pod(cluster: &Cluster, pod: usize, destination: &str, protocol: Protocol, port: u16) -> Flow {
    let destination = address(destination);
    let own = cluster.addresses_of(pod).into_iter().find(|own| own.is_ipv4() == destination.is_ipv4());
    flow(From::Pod(pod), own.expect("an address of the family"), destination, protocol, port)
}

/// A flow from anywhere, from port 40000.
#[must_use]
pub fn flow(from: From, source: IpAddr, destination: IpAddr, protocol: Protocol, port: u16) -> Flow {
    let content = Content::Transport(protocol);
    Flow { from, source, destination, content, source_port: 40_000, destination_port: port }
}

/// Sends one packet of a flow; what became of it.
pub fn send(switch: &mut ClusterSwitch, from: From, datagram: &Datagram) -> Seen {
    let port = switch.entry(from, 0);
    let frame = switch.frame(from, datagram);
    switch.send(port, &frame).remove(0)
}

/// Sends the first packet of a flow; where it arrives, and as what.
///
/// # Panics
/// When it does not arrive.
pub fn arrive(switch: &mut ClusterSwitch, flow: &Flow) -> (To, Datagram) {
    arrived(send(switch, flow.from, &first_packet(flow)))
}

/// Where a packet arrived, and as what.
///
/// # Panics
/// When it did not arrive.
pub fn arrived(seen: Seen) -> (To, Datagram) {
    match seen {
        Seen::Left { to, frame } => (to, Datagram::read(&frame).unwrap_or_else(|error| panic!("what left {error}"))),
        other => panic!("did not arrive: {other:?}"),
    }
}

/// Why a packet did not arrive.
///
/// # Panics
/// When it did.
#[must_use]
pub fn dropped(seen: Seen) -> DropReason {
    match seen {
        Seen::Dropped(reason) | Seen::Answered { reason, .. } => reason,
        other => panic!("was not dropped: {other:?}"),
    }
}
