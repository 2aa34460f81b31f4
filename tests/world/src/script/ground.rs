//! The node that scripts are played on: a cluster with something of everything, before and after a change to its objects.

use std::net::IpAddr;
use std::sync::OnceLock;

use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, Tables};

use crate::cluster::{
    Cluster, Encapsulation, Endpoint, Labels, Namespace, Node, Peer, Policy, PolicyPort, PortName, Protocol, Rule,
    Selector, Service, ServiceKind, Setup, Way, node_address, on_link, own_address, parse_net, pod_address,
};
use crate::small::{OUTER, address, pod, service, shut};
use crate::traffic::outsider;
use crate::wiring::tables;

/// How often the objects change: once to others and once back.
pub(super) const STAGES: usize = 3;
const WAYS: [Encapsulation; 3] = [Encapsulation::Vxlan, Encapsulation::Geneve, Encapsulation::None];

/// A cluster and what follows from it.
pub struct Ground {
    /// The objects as they are at first.
    pub cluster: Cluster,
    /// The tables of each stage.
    pub tables: [Tables; STAGES],
    /// Whatever is worth being addressed, IPv4 and IPv6.
    pub(super) addresses: [Vec<IpAddr>; 2],
}

/// The ground with this encapsulation, for one worker or two. Made once.
pub(super) fn ground(encapsulation: Encapsulation, workers: usize) -> &'static Ground {
    static GROUNDS: [OnceLock<Ground>; 6] = [const { OnceLock::new() }; 6];
    let kind = WAYS.iter().position(|it| *it == encapsulation).unwrap_or_default();
    GROUNDS[kind * 2 + (workers - 1)].get_or_init(|| {
        let [cluster, other] = [false, true].map(|changed| objects(encapsulation, changed));
        let stages = [&cluster, &other, &cluster];
        let tables = core::array::from_fn(|stage| tables(stages[stage], stage as u64 + 1, workers));
        let addresses = [true, false].map(|v4| addresses(&cluster, v4));
        Ground { cluster, tables, addresses }
    })
}

/// ```text
/// node0 (ours)                 node1               node2
///   pod0  10.7.0.2  ns0          pod2  ns1           pod5  ns2
///   pod1  10.7.0.3  ns0, app=a   pod3  ns1           pod6  on the host's network
///   pod4  10.7.0.6  ns2
/// ```
fn objects(encapsulation: Encapsulation, changed: bool) -> Cluster {
    let labels: Labels = [("app".to_owned(), "a".to_owned())].into();
    let mut labelled = pod(0, 0, 3);
    labelled.labels = labels.clone();
    let mut on_host = pod(1, 2, 8);
    on_host.host_network = true;
    let mut policies = vec![shut(2, Way::Ingress), narrow_egress(2)];
    if changed {
        let subject = Selector { labels, ..Selector::default() };
        policies.push(Policy { subject, ..shut(0, Way::Ingress) });
    }
    Cluster {
        nodes: vec![Node::default(); 3],
        namespaces: vec![Namespace::default(); 3],
        pods: vec![pod(0, 0, 2), labelled, pod(1, 1, 4), pod(1, 1, 5), pod(2, 0, 6), pod(2, 2, 7), on_host],
        services: services(changed),
        policies,
        setup: Setup { encapsulation, uplink: true, external_ips: true },
    }
}

/// To DNS, and to a part of the outside.
fn narrow_egress(namespace: usize) -> Policy {
    let dns = PolicyPort { protocol: Some(Protocol::Udp), port: Some(PortName::Range(53, 5353)) };
    let block = Peer::Block { cidr: parse_net("198.51.100.0/24"), except: vec![parse_net("198.51.100.128/25")] };
    let rules = vec![Rule { peers: Vec::new(), ports: vec![dns] }, Rule { peers: vec![block], ports: Vec::new() }];
    Policy { egress: Some(rules), ..shut(namespace, Way::Egress) }
}

/// One for every port and address; one with affinity; one without endpoints; one for local endpoints only.
fn services(changed: bool) -> Vec<Service> {
    let everywhere: &[(usize, u8)] = if changed { &[(1, 4)] } else { &[(0, 3), (1, 4)] };
    let mut first = service(everywhere);
    first.kind = ServiceKind::LoadBalancer;
    first.ingress = OUTER.map(|ip| (address(ip), false)).to_vec();
    first.external_ips = ["203.0.113.7", "2001:db8:2::7"].map(address).to_vec();
    let mut sticky = numbered(&[(0, 2), (1, 5)], 1);
    sticky.affinity = Some(60);
    let empty = numbered(&[], 2);
    let mut local = numbered(&[(0, 2), (2, 7)], 3);
    local.external_local = true;
    local.internal_local = true;
    let mut leaving = numbered(&[(0, 6), (2, 7)], 4);
    let ending = |endpoint: &mut Endpoint| {
        (endpoint.ready, endpoint.serving, endpoint.terminating) = (Some(false), Some(!changed), Some(true));
    };
    leaving.slices.iter_mut().flat_map(|slice| &mut slice.endpoints).for_each(ending);
    vec![first, sticky, empty, local, leaving]
}

fn numbered(pods: &[(usize, u8)], number: u8) -> Service {
    let mut service = service(pods);
    let [v4, v6] = [format!("10.96.0.{}", 10 + number), format!("fd00:96::{:x}", 10 + number)];
    service.cluster_ips = vec![address(&v4), address(&v6)];
    for port in &mut service.ports {
        port.node_port = port.node_port.map(|port| port + 10 * u16::from(number));
    }
    service
}

fn addresses(cluster: &Cluster, v4: bool) -> Vec<IpAddr> {
    let pods = (0..cluster.pods.len()).flat_map(|pod| cluster.addresses_of(pod));
    let vips = cluster.services.iter().flat_map(|service| {
        let ingress = service.ingress.iter().map(|(address, _)| *address);
        service.cluster_ips.iter().chain(&service.external_ips).copied().chain(ingress)
    });
    let nodes = (0..3).flat_map(|node| [node_address(node, v4), own_address(node, v4)]);
    let outside = [outsider(20, v4), outsider(200, v4), on_link(61, v4), on_link(1, v4), on_link(150, v4)];
    let nobody = [pod_address(0, 199, v4), address(if v4 { "10.96.200.1" } else { "fd00:96::c8c8" })];
    let gateway = [IpAddr::V4(GATEWAY_IPV4), IpAddr::V6(GATEWAY_IPV6)];
    let odd = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "::", "ff02::1", "::1", "::ffff:10.7.0.2"];
    let mut all: Vec<IpAddr> =
        pods.chain(vips).chain(nodes).chain(outside).chain(nobody).chain(gateway).chain(odd.map(address)).collect();
    all.retain(|address| address.is_ipv4() == v4);
    all
}
