//! From the objects to the tables, as the agent goes: manifests are read and checked by the model, the model is compiled, and
//! what the agent knows by itself (ports, routes, neighbours) is added.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_model::{Attachment, ContainerId, Index, Kind, NodeName, PodName, raw::Raw};
use sluice_tables::{
    Hop, Masquerade, NodeEntry, Peer, Port, PortId, PortKind, Tables, TablesBuilder, Tunnel, Underlay, UnderlayBuilder,
    WorkerId, tunnel_mac,
};
use sluice_wire::MacAddr;

use crate::cluster::{
    CLUSTER_NETWORKS, Cluster, Encapsulation, ROUTER_V4, ROUTER_V6, node_address, on_link, own_address, parse_net,
    pod_network,
};

/// Virtual network of the tunnels.
pub const VNI: u32 = 4096;
/// MTU of the underlay.
pub const UNDERLAY_MTU: u16 = 1500;
/// Our node's MAC on the underlay.
pub const UPLINK_MAC: MacAddr = MacAddr([2, 0xaa, 0, 0, 0, 10]);
/// MAC of the node's end of the host port's veth.
pub const HOST_MAC: MacAddr = MacAddr([2, 0x68, 0x6f, 0x73, 0x74, 1]);
/// Bytes that a tunnel adds to an IP packet: IPv4, UDP, VXLAN or Geneve, Ethernet.
const TUNNEL_LEN: u16 = 20 + 8 + 8 + 14;
/// Largest IP packet of ports that take super-frames.
const SUPER_FRAME: u32 = 65_000;
/// Hosts on the underlay's link whose MAC is known.
const NEIGHBOURS: u8 = 100;

/// The host port.
pub const HOST_PORT: PortId = PortId(1);

/// The port of a pod.
///
/// # Panics
/// When there are thousands of pods.
#[must_use]
pub fn port_of(pod: usize) -> PortId {
    PortId(10 + u16::try_from(pod).expect("a few pods"))
}

/// The uplink's port of a worker.
///
/// # Panics
/// When there are many workers.
#[must_use]
pub fn uplink_of(worker: usize) -> PortId {
    PortId(2 + u16::try_from(worker).expect("a few workers"))
}

/// The MAC of a pod's end of its veth.
///
/// # Panics
/// When there are hundreds of pods.
#[must_use]
pub fn mac_of(pod: usize) -> MacAddr {
    MacAddr([2, 0x70, 0x6f, 0x64, 0, u8::try_from(pod).expect("a few pods")])
}

/// The MAC of a neighbour on the underlay's link.
#[must_use]
pub fn neighbour_mac(neighbour: IpAddr) -> MacAddr {
    let last = match neighbour {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    MacAddr([2, 0xaa, 0, 0, 0, last])
}

/// The UDP port of the tunnels.
#[must_use]
pub const fn tunnel_port(encapsulation: Encapsulation) -> u16 {
    match encapsulation {
        Encapsulation::Geneve => sluice_packets::tunnel::GENEVE_PORT,
        _ => sluice_packets::tunnel::VXLAN_PORT,
    }
}

/// The path MTU of a pod.
#[must_use]
pub fn pod_mtu(cluster: &Cluster) -> u16 {
    match cluster.setup.encapsulation {
        Encapsulation::None => UNDERLAY_MTU,
        _ => UNDERLAY_MTU - TUNNEL_LEN,
    }
}

/// Reads every manifest into an index.
///
/// # Panics
/// When the model refuses one: clusters are made of right objects.
#[must_use]
pub fn index(cluster: &Cluster) -> Index {
    let mut index = Index::new();
    for manifest in cluster.manifests() {
        let text = |field: &str| manifest[field].as_str().unwrap_or_default();
        let kind = Kind::of(text("apiVersion"), text("kind")).unwrap_or_else(|| panic!("not read: {manifest}"));
        let raw = Raw::deserialize(kind, &manifest).unwrap_or_else(|error| panic!("{error}: {manifest}"));
        let object = raw.check().unwrap_or_else(|faults| panic!("{faults:?}: {manifest}"));
        index.apply(object);
    }
    index
}

/// Our node's name.
///
/// # Panics
/// Never: it is a name.
#[must_use]
pub fn own_name() -> NodeName {
    NodeName::new("node0").expect("a name")
}

/// What the agent has attached: every pod of ours that has not ended.
///
/// # Panics
/// Never: the names of clusters are names.
#[must_use]
pub fn attachments(cluster: &Cluster, workers: usize) -> Vec<Attachment> {
    let attachment = |pod: usize| Attachment {
        container: ContainerId::new(&format!("container{pod}")),
        pod: PodName::parse(&format!("ns{}", cluster.pods[pod].namespace), &format!("pod{pod}")).expect("a name"),
        port: port_of(pod),
        worker: worker_of(port_of(pod), workers),
        mac: mac_of(pod),
        addresses: cluster.addresses_of(pod),
        path_mtu: pod_mtu(cluster),
        max_l3_len: SUPER_FRAME,
    };
    cluster.attached().map(attachment).collect()
}

/// The worker that polls a port: they take turns.
///
/// # Panics
/// When there are many workers.
#[must_use]
pub fn worker_of(port: PortId, workers: usize) -> WorkerId {
    WorkerId(u8::try_from(usize::from(port.0) % workers).expect("a few workers"))
}

/// A generation for our node.
///
/// # Panics
/// When the objects cannot be compiled: a bug of the model, or of the cluster's generator.
#[must_use]
pub fn tables(cluster: &Cluster, generation: u64, workers: usize) -> Tables {
    let index = index(cluster);
    let attachments = attachments(cluster, workers);
    let mut builder = TablesBuilder::new(generation, 7);
    for v4 in [true, false] {
        builder = builder.pod_cidr(pod_network(0, v4));
    }
    for attachment in &attachments {
        builder = builder.port(Port {
            id: attachment.port,
            kind: PortKind::Pod,
            worker: attachment.worker,
            mac: attachment.mac,
            addresses: attachment.addresses.clone(),
            path_mtu: attachment.path_mtu,
            max_l3_len: attachment.max_l3_len,
        });
    }
    builder = builder.port(host_port(cluster, workers));
    if cluster.setup.uplink {
        for worker in 0..workers {
            builder = builder.port(uplink(worker, workers));
        }
        builder = builder.underlay(Arc::new(underlay()));
        for node in 1..cluster.nodes.len() {
            builder = builder.peer(peer(node));
        }
        if let Some(tunnel) = tunnel(cluster) {
            builder = builder.tunnel(tunnel);
        }
    }
    let policies = sluice_model::compile_policies(&index, &own_name(), &attachments, 7);
    for (port, policy) in policies.by_port {
        builder = builder.policy(port, policy);
    }
    let services = crate::by_hand::services(cluster);
    builder
        .identities(policies.identities)
        .services(Arc::new(services))
        .node(node_entry(cluster))
        .build()
        .expect("a cluster's objects agree")
}

fn host_port(cluster: &Cluster, workers: usize) -> Port {
    Port {
        id: HOST_PORT,
        kind: PortKind::Host,
        worker: worker_of(HOST_PORT, workers),
        mac: HOST_MAC,
        addresses: [true, false].map(|v4| own_address(0, v4)).to_vec(),
        path_mtu: pod_mtu(cluster),
        max_l3_len: SUPER_FRAME,
    }
}

fn uplink(worker: usize, workers: usize) -> Port {
    let id = uplink_of(worker);
    Port {
        id,
        kind: PortKind::Uplink,
        worker: WorkerId(u8::try_from(worker % workers).expect("a few workers")),
        mac: UPLINK_MAC,
        addresses: Vec::new(),
        path_mtu: UNDERLAY_MTU,
        max_l3_len: u32::from(UNDERLAY_MTU),
    }
}

/// Routes to the link and through the router, and everybody's MAC.
#[must_use]
pub fn underlay() -> Underlay {
    let mut builder = UnderlayBuilder::new(7)
        .route(parse_net("192.0.2.0/24"), Hop::OnLink)
        .route(parse_net("2001:db8:1::/64"), Hop::OnLink)
        .route(parse_net("0.0.0.0/0"), Hop::Via(ROUTER_V4.into()))
        .route(parse_net("::/0"), Hop::Via(ROUTER_V6.into()));
    for host in 1..NEIGHBOURS {
        for v4 in [true, false] {
            let neighbour = on_link(host, v4);
            builder = builder.neighbour(neighbour, neighbour_mac(neighbour));
        }
    }
    builder.build()
}

fn peer(node: usize) -> Peer {
    let tunnel = node_address(node, true);
    Peer {
        name: format!("node{node}").into(),
        addresses: [true, false].map(|v4| node_address(node, v4)).to_vec(),
        tunnel,
        mac: tunnel_mac(tunnel),
        pod_cidrs: [true, false].map(|v4| pod_network(node, v4)).to_vec(),
    }
}

fn tunnel(cluster: &Cluster) -> Option<Tunnel> {
    use sluice_tables::Encapsulation as Kind;
    let encapsulation = match cluster.setup.encapsulation {
        Encapsulation::None => return None,
        Encapsulation::Vxlan => Kind::Vxlan,
        Encapsulation::Geneve => Kind::Geneve,
    };
    let local = node_address(0, true);
    Some(Tunnel {
        encapsulation,
        vni: VNI,
        port: tunnel_port(cluster.setup.encapsulation),
        local,
        mac: tunnel_mac(local),
        inner_mtu: pod_mtu(cluster),
    })
}

fn node_entry(cluster: &Cluster) -> NodeEntry {
    let [IpAddr::V4(v4), IpAddr::V6(v6)] = [true, false].map(|v4| node_address(0, v4)) else {
        panic!("a node has an address of each family")
    };
    let excluded = CLUSTER_NETWORKS.iter().map(|network| parse_net(network)).collect();
    NodeEntry {
        addresses: cluster.addresses_of_node(0),
        masquerade: Masquerade { v4: Some(v4), v6: Some(v6), excluded, outside: true, ..Masquerade::default() },
    }
}
