//! From the objects to the tables, as the agent goes: manifests are read and checked by the model, the model is compiled, and
//! what the agent knows by itself (ports, routes, neighbours) is added.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_model::{
    Attachment, ContainerId, HostPort, Index, Inputs, Kind, NodeName, PeersConfig, PodName, ServicesConfig, UplinkPort,
    raw::Raw,
};
use sluice_tables::{
    DEFAULT_MASQUERADE_PORTS, Family, Hop, PortId, Tables, Tunnel, Underlay, UnderlayBuilder, WorkerId, tunnel_mac,
};
use sluice_wire::MacAddr;

use crate::cluster::{
    CLUSTER_NETWORKS, Cluster, Encapsulation, ROUTER_V4, ROUTER_V6, SERVICE_NETWORKS, node_address, on_link, parse_net,
};

/// Virtual network of the tunnels.
pub const VNI: u32 = 4096;
/// What all hash maps are seeded with.
const SEED: u64 = 7;
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
/// When the objects cannot be compiled, or the model finds fault with them: a bug of the model, or of the cluster's generator.
#[must_use]
pub fn tables(cluster: &Cluster, generation: u64, workers: usize) -> Tables {
    let index = index(cluster);
    let node = index.node(&own_name()).expect("our Node is among the objects");
    let attachments = attachments(cluster, workers);
    let service_cidrs = SERVICE_NETWORKS.map(parse_net).to_vec();
    let config = ServicesConfig {
        service_cidrs: service_cidrs.clone(),
        external_ips: cluster.setup.external_ips,
        ..ServicesConfig::default()
    };
    let (services, faults) = sluice_model::compile_services(&index, node, &config, SEED);
    assert!(faults.is_empty(), "{faults:?}");
    let policies = sluice_model::compile_policies(&index, &own_name(), &attachments, SEED);
    assert!(policies.faults.is_empty(), "{:?}", policies.faults);
    let node_addresses = cluster.addresses_of_node(0);
    let peers = PeersConfig { service_cidrs, node_addresses: node_addresses.clone(), ..PeersConfig::of(Family::V4) };
    let peers = sluice_model::compile_peers(&index, node, &peers);
    assert!(peers.faults.is_empty(), "{:?}", peers.faults);
    let excluded = CLUSTER_NETWORKS.map(parse_net).to_vec();
    let uplinks: Vec<UplinkPort> = (0..workers).map(|worker| uplink(worker, workers)).collect();
    let mut inputs = Inputs {
        host: Some(&host_port(cluster, workers)),
        attachments: &attachments,
        node_addresses: &node_addresses,
        masquerade: sluice_model::masquerade(node, DEFAULT_MASQUERADE_PORTS, excluded, true),
        services: Arc::new(services),
        identities: policies.identities,
        policies: &policies.by_port,
        ..Inputs::new(generation, SEED, node)
    };
    if cluster.setup.uplink {
        inputs.uplinks = &uplinks;
        inputs.peers = &peers.peers;
        inputs.tunnel = tunnel(cluster);
        inputs.underlay = Arc::new(underlay());
    }
    sluice_model::compile(&inputs).expect("a cluster's objects agree")
}

fn host_port(cluster: &Cluster, workers: usize) -> HostPort {
    HostPort {
        port: HOST_PORT,
        worker: worker_of(HOST_PORT, workers),
        mac: HOST_MAC,
        path_mtu: pod_mtu(cluster),
        max_l3_len: SUPER_FRAME,
    }
}

fn uplink(worker: usize, workers: usize) -> UplinkPort {
    UplinkPort {
        port: uplink_of(worker),
        worker: WorkerId(u8::try_from(worker % workers).expect("a few workers")),
        mac: UPLINK_MAC,
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
