//! A node in memory: its tables, as small as a lab's or as large as a big cluster's, and the path over them.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use ipnet::IpNet;
use sluice_connections::Config;
use sluice_path::{Counts, Packet, Path, PathConfig, Shared, SharedConfig, Time};
use sluice_tables::{
    Backend, Choice, Encapsulation, Family, FrontendKey, FrontendKind, Hop, Identities, Identity, Masquerade,
    NodeEntry, Peer, PodPolicy, Port, PortId, PortKind, PortRange, Ports, RulesBuilder, ServiceEntry, Services,
    ServicesBuilder, Tables, TablesBuilder, Tunnel, UnderlayBuilder, WorkerId, tunnel_mac,
};
use sluice_wire::{MacAddr, protocol};

use super::addresses::{
    BACKEND_PORT, GENEVE_PORT, HOST_PORT, NODE, PODS, PODS_ON_A_PEER, SERVICE_PORT, Two, UPLINK_PORT, VNI, VXLAN_PORT,
    host, peer, peer_cidrs, pod, pod_cidrs, pod_of_peer, vip,
};

/// The Service whose one endpoint is a pod of this node.
pub(super) const LOCAL_SERVICE: u32 = 0;
/// The Service whose endpoints are pods of the first peer.
pub(super) const REMOTE_SERVICE: u32 = 1;
/// The pod of this node that is [`LOCAL_SERVICE`]'s endpoint, and the other end of local connections.
pub(super) const SERVER: u32 = 0;

/// Sets of labels that pods of the cluster have.
const IDENTITIES: u32 = 1000;

/// Endpoints of each Service but [`LOCAL_SERVICE`].
const ENDPOINTS: u32 = 10;

/// Virtual nanoseconds from one packet to the next: 20 million a second, so that last uses are written as often as
/// they would be.
const NANOS_A_PACKET: u64 = 50;

/// How much the tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Services, at least the two that packets are for.
    pub(super) services: u32,
    /// Other nodes.
    pub(super) peers: u32,
    /// Policies that select each pod of this node.
    pub(super) policies_a_pod: u32,
}

impl Scale {
    /// Two Services, one other node, no policy.
    pub(super) const SMALL: Self = Self { services: 2, peers: 1, policies_a_pod: 0 };
    /// The same with one policy on every pod.
    pub(super) const POLICED: Self = Self { policies_a_pod: 1, ..Self::SMALL };
    /// 10,000 Services with 100,000 endpoints on 400 nodes, and 1,000 policies, four on each of 250 pods.
    pub(super) const LARGE: Self = Self { services: 10_000, peers: 400, policies_a_pod: 4 };
}

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) scale: Scale,
    pub(super) encapsulation: Encapsulation,
    /// Capacity of the connection table.
    pub(super) connections: u32,
}

/// The node.
pub(super) struct World {
    path: Path,
    tables: Tables,
    counts: Counts,
    now: Time,
}

impl World {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let connections =
            Config { capacity: setup.connections, pod_share: setup.connections, seed: 7, ..Config::default() };
        let shared = Shared::new(SharedConfig { connections, ..SharedConfig::default() });
        let path = Path::new(PathConfig { seed: 7, ..PathConfig::default() }, Arc::new(shared));
        Ok(Self { path, tables: tables(setup)?, counts: Counts::new(), now: Time(1_000_000_000) })
    }

    /// What the path has counted since the world began.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.path.shared()
    }

    /// Runs the packets in bursts of `burst`.
    #[inline]
    pub(super) fn run(&mut self, packets: &mut [Packet<'_>], burst: usize) {
        for packets in packets.chunks_mut(burst) {
            self.now.0 += NANOS_A_PACKET * packets.len() as u64;
            self.path.run(self.now, &self.tables, &mut self.counts, packets);
        }
    }

    /// Lets so much time pass that every connection that never was answered is over, and takes all out.
    pub(super) fn forget_connections(&mut self) {
        self.now.0 += 1000 * 1_000_000_000;
        while !self.shared().connections.is_empty() {
            self.path.idle(self.now, &mut self.counts);
        }
    }
}

fn tables(setup: &Setup) -> Result<Tables> {
    let scale = setup.scale;
    let mut builder = TablesBuilder::new(1, 7);
    for cidr in pod_cidrs() {
        builder = builder.pod_cidr(cidr);
    }
    builder = builder.port(port(HOST_PORT, PortKind::Host, host().both()));
    builder = builder.port(port(UPLINK_PORT, PortKind::Uplink, Vec::new()));
    let (pods, ports) = (0..PODS, (0..PODS).map(|number| port(pod(number).port, PortKind::Pod, pod(number).both())));
    for port in ports {
        builder = builder.port(port);
    }
    if scale.policies_a_pod > 0 {
        for number in pods {
            builder = builder.policy(pod(number).port, policy(scale, number)?);
        }
    }
    for number in 0..scale.peers {
        let end = peer(number);
        builder = builder.peer(Peer {
            name: format!("node-{number}").into(),
            addresses: end.both(),
            tunnel: end.v4.into(),
            mac: tunnel_mac(end.v4.into()),
            pod_cidrs: peer_cidrs(number),
        });
    }
    let local = IpAddr::V4(NODE.v4);
    let port = if setup.encapsulation == Encapsulation::Geneve { GENEVE_PORT } else { VXLAN_PORT };
    builder
        .tunnel(Tunnel {
            encapsulation: setup.encapsulation,
            vni: VNI,
            port,
            local,
            mac: tunnel_mac(local),
            inner_mtu: 1450,
        })
        .node(NodeEntry {
            addresses: NODE.both(),
            masquerade: Masquerade {
                v4: Some(NODE.v4),
                v6: Some(NODE.v6),
                excluded: vec![net("10.0.0.0/8"), net("fd00::/8")],
                outside: true,
                ..Masquerade::default()
            },
        })
        .services(Arc::new(services(scale)?))
        .identities(Arc::new(identities(scale)))
        .underlay(Arc::new(underlay(scale)))
        .build()
        .context("the tables of the benchmark are wrong")
}

fn port(id: PortId, kind: PortKind, addresses: Vec<IpAddr>) -> Port {
    let mac = MacAddr([2, 0, 0, 0, (id.0 >> 8) as u8, id.0 as u8]);
    Port { id, kind, worker: WorkerId(0), mac, addresses, path_mtu: 1500, max_l3_len: 65_000 }
}

fn underlay(scale: Scale) -> sluice_tables::Underlay {
    let mut builder = UnderlayBuilder::new(7).route(net("192.168.0.0/16"), Hop::OnLink);
    for number in 0..scale.peers {
        let end = peer(number);
        builder = builder.neighbour(end.v4.into(), end.mac);
    }
    builder.build()
}

/// Every Service stands in both families at port 80 of an address of its own.
fn services(scale: Scale) -> Result<Services> {
    let mut builder = ServicesBuilder::new(7);
    builder.service_cidr(net("10.96.0.0/16")).service_cidr(net("fd00:96::/64"));
    for number in 0..scale.services {
        for family in [Family::V4, Family::V6] {
            let cluster: Vec<Backend> =
                endpoints(scale, number).map(|end| Backend { address: end.of(family), port: BACKEND_PORT }).collect();
            let id = builder.service(ServiceEntry {
                key: u64::from(number) * 2 + u64::from(family == Family::V6),
                name: format!("default/service-{number}:http").into(),
                family,
                protocol: protocol::TCP,
                local: if number == LOCAL_SERVICE { cluster.clone() } else { Vec::new() },
                cluster,
                known: Vec::new(),
                internal_local: false,
                external_local: false,
                affinity: None,
                source_ranges: None,
                choice: Choice::Random,
            })?;
            let key = FrontendKey { address: vip(number).of(family), port: SERVICE_PORT, protocol: protocol::TCP };
            builder.frontend(key, FrontendKind::ClusterIp, id)?;
        }
    }
    Ok(builder.build())
}

/// Pods on the peers in turn; those of [`REMOTE_SERVICE`] are all on the first.
fn endpoints(scale: Scale, service: u32) -> Box<dyn Iterator<Item = Two>> {
    match service {
        LOCAL_SERVICE => Box::new(std::iter::once(pod(SERVER))),
        REMOTE_SERVICE => Box::new((0..ENDPOINTS).map(|number| pod_of_peer(0, number))),
        _ => Box::new((0..ENDPOINTS).map(move |number| {
            let pod = service * ENDPOINTS + number;
            pod_of_peer(pod % scale.peers, pod / scale.peers % PODS_ON_A_PEER)
        })),
    }
}

/// Every pod of the cluster has one of the identities.
fn identities(scale: Scale) -> Identities {
    let mut identities = Identities::new(7);
    let local = (0..PODS).map(pod);
    let far = (0..scale.peers).flat_map(|peer| (0..PODS_ON_A_PEER).map(move |number| pod_of_peer(peer, number)));
    for (number, end) in local.chain(far).enumerate() {
        for address in end.both() {
            identities.insert(address, Identity(number as u32 % IDENTITIES));
        }
    }
    identities
}

/// Lets everything pass that is sent here, but not before all kinds of rules have been looked at: the peers' identities are
/// named with other ports only, and the block that admits them has an exception.
fn policy(scale: Scale, pod: u32) -> Result<PodPolicy> {
    let admitted = Ports::of([PortRange::new(protocol::TCP, 80, 80)?, PortRange::new(protocol::TCP, 1024, 65_535)?]);
    let other = Ports::of([PortRange::new(protocol::UDP, 53, 53)?]);
    let build = |direction: u32| {
        let mut rules = RulesBuilder::new(7);
        for number in 0..scale.policies_a_pod {
            let first = pod * 37 + number * 101 + direction * 13;
            for identity in first..first + 20 {
                rules = rules.identity(Identity(identity % IDENTITIES), &other);
            }
            rules = rules.block(net("172.16.0.0/12"), &[net("172.16.8.0/24")], &other);
        }
        rules = rules.block(net("10.64.0.0/12"), &[net("10.79.255.0/24")], &admitted);
        rules.block(net("fd00:64::/32"), &[], &admitted).build()
    };
    Ok(PodPolicy { ingress: Some(Arc::new(build(0))), egress: Some(Arc::new(build(1))) })
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a literal prefix")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_large_world_has_what_the_figures_are_said_to_be_for() {
        let large = Scale::LARGE;
        assert_eq!(large.services * ENDPOINTS, 100_000);
        assert_eq!(large.policies_a_pod * PODS, 1000);
        assert!(large.services * ENDPOINTS / large.peers <= PODS_ON_A_PEER);
    }

    #[test]
    fn a_small_world_is_sound() {
        let setup = Setup { scale: Scale::POLICED, encapsulation: Encapsulation::Geneve, connections: 100 };
        let world = World::new(&setup).expect("good tables");
        assert_eq!(world.counts().received, 0);
        assert_eq!(vip(REMOTE_SERVICE).v4, Ipv4Addr::new(10, 96, 0, 2));
        assert_eq!(vip(REMOTE_SERVICE).v6, Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 2));
    }
}
