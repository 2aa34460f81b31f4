//! The way into [`Tables`]: everything is collected, then checked as a whole.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;

use crate::checks::{check_pod_cidrs, check_policies, check_port, check_whole};
use crate::districts::Districts;
use crate::generation::Slot;
use crate::hash::seeded;
use crate::policy::NOT_ISOLATED;
use crate::prefixes::Prefixes;
use crate::wrapping::Reach;
use crate::{
    Encapsulation, Face, Gateway, Identities, NodeEntry, Peer, PeerId, PodPolicy, Port, PortId, PortKind, Services,
    Tables, TablesError, Tunnel, Underlay,
};

/// Smallest path MTU of a port in bytes: the least that IPv6 asks of a link (RFC 8200 section 5).
pub const MIN_PATH_MTU: u16 = 1280;

/// As many as [`PeerId`] can name.
const MAX_PEERS: usize = 1 << 16;

/// Collects a generation.
#[derive(Clone, Debug)]
pub struct TablesBuilder {
    generation: u64,
    decisions: u64,
    seed: u64,
    gateway: Gateway,
    ports: Vec<Port>,
    pod_cidrs: Vec<IpNet>,
    services: Arc<Services>,
    identities: Arc<Identities>,
    policies: Vec<(PortId, PodPolicy)>,
    node: NodeEntry,
    peers: Vec<Arc<Peer>>,
    tunnel: Option<Tunnel>,
    underlay: Arc<Underlay>,
    answers_return: bool,
}

impl TablesBuilder {
    /// An empty generation called `generation`, whose maps hash under `seed`.
    #[must_use]
    pub fn new(generation: u64, seed: u64) -> Self {
        Self {
            generation,
            decisions: generation,
            seed,
            gateway: Gateway::default(),
            ports: Vec::new(),
            pod_cidrs: Vec::new(),
            services: Arc::default(),
            identities: Arc::default(),
            policies: Vec::new(),
            node: NodeEntry::default(),
            peers: Vec::new(),
            tunnel: None,
            underlay: Arc::default(),
            answers_return: false,
        }
    }

    /// Adds a port.
    #[must_use]
    pub fn port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Adds one of the node's podCIDRs. Bits below the prefix length are ignored.
    #[must_use]
    pub fn pod_cidr(mut self, cidr: IpNet) -> Self {
        self.pod_cidrs.push(cidr.trunc());
        self
    }

    /// The Services, built apart.
    #[must_use]
    pub fn services(mut self, services: Arc<Services>) -> Self {
        self.services = services;
        self
    }

    /// The identities of the cluster's pods.
    #[must_use]
    pub fn identities(mut self, identities: Arc<Identities>) -> Self {
        self.identities = identities;
        self
    }

    /// What the pod behind `port` may do. A pod that none is given for is not isolated.
    #[must_use]
    pub fn policy(mut self, port: PortId, policy: PodPolicy) -> Self {
        self.policies.push((port, policy));
        self
    }

    /// This node.
    #[must_use]
    pub fn node(mut self, node: NodeEntry) -> Self {
        self.node = node;
        self
    }

    /// Adds a peer; the first is [`PeerId`] 0.
    #[must_use]
    pub fn peer(mut self, peer: impl Into<Arc<Peer>>) -> Self {
        self.peers.push(peer.into());
        self
    }

    /// This node's end of the tunnels.
    #[must_use]
    pub fn tunnel(mut self, tunnel: Tunnel) -> Self {
        self.tunnel = Some(tunnel);
        self
    }

    /// Routes and neighbours of the uplink.
    #[must_use]
    pub fn underlay(mut self, underlay: Arc<Underlay>) -> Self {
        self.underlay = underlay;
        self
    }

    /// Whether what the node's own endpoints answer to clients from outside comes to the host port, by [`crate::Detours`]. Else it goes
    /// past the switch, and such clients are hidden from them.
    #[must_use]
    pub fn answers_return(mut self, answers_return: bool) -> Self {
        self.answers_return = answers_return;
        self
    }

    /// The generation since which nothing changed that what is decided about a connection depends on; without this call this one
    /// itself. Of what the tables hold only the underlay's neighbours are no part of any decision.
    #[must_use]
    pub fn decisions(mut self, decisions: u64) -> Self {
        self.decisions = decisions;
        self
    }

    /// Checks the whole and makes it a generation.
    ///
    /// # Errors
    /// [`TablesError`] names an object that does not fit: ports first, in order of id, then node, tunnel, peers, Services.
    pub fn build(self) -> Result<Tables, TablesError> {
        let Self { generation, decisions, seed, gateway, mut ports, pod_cidrs, services, identities, policies, .. } =
            self;
        let Self { node, peers, tunnel, underlay, answers_return, .. } = self;
        check_pod_cidrs(&pod_cidrs)?;
        ports.sort_by_key(|port| port.id);
        if let Some(pair) = ports.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(TablesError::DuplicatePort(pair[0].id));
        }
        for port in &ports {
            check_port(port, &gateway, &pod_cidrs)?;
        }
        check_policies(&ports, &policies)?;
        if peers.len() > MAX_PEERS {
            return Err(TablesError::TooManyPeers(peers.len()));
        }
        let host = host_slot(&ports)?;
        let mut tables = Tables {
            generation,
            decisions,
            gateway,
            by_id: slots_by_id(&ports),
            by_v4: HashMap::with_capacity_and_hasher(ports.len(), seeded(seed)),
            by_v6: HashMap::with_capacity_and_hasher(ports.len(), seeded(seed)),
            policies: policies_by_slot(&ports, policies),
            uplinks: slots_of(&ports, PortKind::Uplink).collect(),
            ports,
            pod_cidrs,
            host,
            services,
            identities,
            node_addresses: HashSet::with_capacity_and_hasher(node.addresses.len(), seeded(seed)),
            node,
            peers_by_pod: peers_by_pod(&peers),
            peers_by_address: HashMap::with_capacity_and_hasher(peers.len() * 2, seeded(seed)),
            peers,
            tunnel: tunnel.filter(|tunnel| tunnel.encapsulation != Encapsulation::None),
            underlay,
            answers_return,
            districts: Districts::default(),
            faces: Vec::new(),
            reaches: Vec::new(),
        };
        index_addresses(&mut tables)?;
        let of_node = |address: &&IpAddr| !tables.services.is_internal(**address);
        tables.node_addresses.extend(tables.node.addresses.iter().filter(of_node).copied());
        index_peers(&mut tables)?;
        check_whole(&tables, tunnel.as_ref())?;
        prepare(&mut tables);
        Ok(tables)
    }
}

fn host_slot(ports: &[Port]) -> Result<Option<Slot>, TablesError> {
    let mut hosts = ports.iter().enumerate().filter(|(_, port)| port.kind == PortKind::Host);
    let Some((position, first)) = hosts.next() else {
        return Ok(None);
    };
    match hosts.next() {
        Some((_, second)) => Err(TablesError::TwoHostPorts { first: first.id, second: second.id }),
        None => Ok(Some(slot(position))),
    }
}

/// Ids are unique `u16`, so there are at most 65 536 ports and the last position is 65 535.
fn slot(position: usize) -> Slot {
    Slot::try_from(position).unwrap_or(Slot::MAX)
}

fn slots_by_id(ports: &[Port]) -> Vec<Option<Slot>> {
    let highest = ports.last().map_or(0, |port| usize::from(port.id.0) + 1);
    let mut by_id = vec![None; highest];
    for (position, port) in ports.iter().enumerate() {
        by_id[usize::from(port.id.0)] = Some(slot(position));
    }
    by_id
}

fn index_addresses(tables: &mut Tables) -> Result<(), TablesError> {
    for (position, port) in tables.ports.iter().enumerate() {
        for &address in &port.addresses {
            let earlier = match address {
                IpAddr::V4(v4) => tables.by_v4.insert(v4, slot(position)),
                IpAddr::V6(v6) => tables.by_v6.insert(v6, slot(position)),
            };
            if let Some(earlier) = earlier {
                let first = tables.ports[usize::from(earlier)].id;
                return Err(TablesError::DuplicateAddress { address, first, second: port.id });
            }
        }
    }
    Ok(())
}

/// Works out what follows from the rest, so that the path need not for every packet.
fn prepare(tables: &mut Tables) {
    tables.districts = Districts::of(tables);
    let ports = &tables.ports;
    let face = |slot: &Slot| ports.get(usize::from(*slot)).map(|port| Face::of(port, &tables.gateway));
    tables.faces = tables.by_id.iter().map(|slot| face(slot.as_ref()?)).collect();
    let (underlay, tunnel, uplink) = (&tables.underlay, tables.tunnel(), tables.uplink());
    tables.reaches = tables.peers.iter().map(|peer| Reach::of(underlay, tunnel, uplink, peer)).collect();
}

fn slots_of(ports: &[Port], kind: PortKind) -> impl Iterator<Item = Slot> {
    let of_kind = ports.iter().enumerate().filter(move |(_, port)| port.kind == kind);
    of_kind.map(|(position, _)| slot(position))
}

fn policies_by_slot(ports: &[Port], policies: Vec<(PortId, PodPolicy)>) -> Vec<PodPolicy> {
    let mut by_slot = vec![NOT_ISOLATED.clone(); ports.len()];
    for (id, policy) in policies {
        if let Ok(position) = ports.binary_search_by_key(&id, |port| port.id) {
            by_slot[position] = policy;
        }
    }
    by_slot
}

fn peers_by_pod(peers: &[Arc<Peer>]) -> Prefixes<PeerId> {
    let cidrs = peers
        .iter()
        .enumerate()
        .flat_map(|(position, peer)| peer.pod_cidrs.iter().map(move |cidr| (cidr.trunc(), peer_id(position))));
    Prefixes::longest(cidrs)
}

/// A peer's end of the tunnel is mostly one of its addresses too.
fn index_peers(tables: &mut Tables) -> Result<(), TablesError> {
    for (position, peer) in tables.peers.iter().enumerate() {
        for &address in peer.addresses.iter().chain([&peer.tunnel]) {
            let earlier = tables.peers_by_address.insert(address, peer_id(position));
            let Some(earlier) = earlier.map(|id| usize::from(id.0)).filter(|earlier| *earlier != position) else {
                continue;
            };
            let first = Arc::clone(&tables.peers[earlier].name);
            return Err(TablesError::DuplicatePeerAddress { address, first, second: Arc::clone(&peer.name) });
        }
    }
    Ok(())
}

/// [`MAX_PEERS`] keeps it within `u16`.
fn peer_id(position: usize) -> PeerId {
    PeerId(u16::try_from(position).unwrap_or(u16::MAX))
}
