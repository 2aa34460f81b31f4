//! One generation of the tables, as the path reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;

use crate::districts::Districts;
use crate::hash::Seeded;
use crate::policy::NOT_ISOLATED;
use crate::prefixes::Prefixes;
use crate::wrapping::Reach;
use crate::{
    District, Face, FrontendLookup, Gateway, Identities, Identity, NextHop, NodeEntry, Peer, PeerId, PodPolicy, Port,
    PortId, Services, Tunnel, Underlay, Wrapping,
};

/// Position of a port in `Tables::ports`. At most 65 536 ports exist, so `u16` holds every position.
pub(crate) type Slot = u16;

/// One immutable generation. Made by [`crate::TablesBuilder`] alone, so whoever holds one may rely on what the builder
/// checked: unique ids and addresses, at most one host port, every pod address inside a podCIDR.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) generation: u64,
    pub(crate) decisions: u64,
    pub(crate) gateway: Gateway,
    pub(crate) ports: Vec<Port>,
    /// Slot by port id; `None` where no port has that id.
    pub(crate) by_id: Vec<Option<Slot>>,
    pub(crate) by_v4: HashMap<Ipv4Addr, Slot, Seeded>,
    pub(crate) by_v6: HashMap<Ipv6Addr, Slot, Seeded>,
    pub(crate) pod_cidrs: Vec<IpNet>,
    pub(crate) host: Option<Slot>,
    pub(crate) uplinks: Vec<Slot>,
    pub(crate) services: Arc<Services>,
    pub(crate) identities: Arc<Identities>,
    /// By slot of the port.
    pub(crate) policies: Vec<PodPolicy>,
    pub(crate) node: NodeEntry,
    pub(crate) node_addresses: HashSet<IpAddr, Seeded>,
    pub(crate) peers: Vec<Arc<Peer>>,
    pub(crate) peers_by_pod: Prefixes<PeerId>,
    pub(crate) peers_by_address: HashMap<IpAddr, PeerId, Seeded>,
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) underlay: Arc<Underlay>,
    pub(crate) answers_return: bool,
    pub(crate) districts: Districts,
    /// By port id; `None` where no port has that id.
    pub(crate) faces: Vec<Option<Face>>,
    /// By peer id.
    pub(crate) reaches: Vec<Reach>,
}

impl Tables {
    /// Under equal numbers the same is decided about a connection: it changes with everything but the underlay's neighbours.
    #[must_use]
    #[inline]
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Whether what the node's own endpoints answer to clients from outside comes to the host port.
    #[must_use]
    #[inline]
    pub fn answers_return(&self) -> bool {
        self.answers_return
    }

    /// The number that the control side gave this generation. Who keeps something between bursts that follows from the tables tells them
    /// apart by it: others need another.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the switch answers for.
    #[must_use]
    #[inline]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The port called `id`.
    #[must_use]
    #[inline]
    pub fn port(&self, id: PortId) -> Option<&Port> {
        let slot = *self.by_id.get(usize::from(id.0))?;
        self.ports.get(usize::from(slot?))
    }

    /// The port called `id` as whole words.
    #[must_use]
    #[inline]
    pub fn face(&self, id: PortId) -> Option<&Face> {
        self.faces.get(usize::from(id.0))?.as_ref()
    }

    /// Every port, ordered by id.
    pub fn ports(&self) -> impl ExactSizeIterator<Item = &Port> {
        self.ports.iter()
    }

    /// The port that `address` is reached through, be it a pod's or the host's.
    #[must_use]
    #[inline]
    pub fn owner(&self, address: IpAddr) -> Option<&Port> {
        let slot = match address {
            IpAddr::V4(v4) => self.by_v4.get(&v4)?,
            IpAddr::V6(v6) => self.by_v6.get(&v6)?,
        };
        self.ports.get(usize::from(*slot))
    }

    /// Whose an IPv4 address is, if it is a pod's.
    #[must_use]
    #[inline]
    pub fn district(&self, address: Ipv4Addr) -> District {
        self.districts.get(address)
    }

    /// Whether `address` lies in one of the node's podCIDRs, with a pod or without.
    #[must_use]
    #[inline]
    pub fn in_pod_cidr(&self, address: IpAddr) -> bool {
        self.pod_cidrs.iter().any(|cidr| cidr.contains(&address))
    }

    /// The node's podCIDRs, in the order they were given.
    #[must_use]
    pub fn pod_cidrs(&self) -> &[IpNet] {
        &self.pod_cidrs
    }

    /// The port that leads to the node's own stack, if there is one.
    #[must_use]
    #[inline]
    pub fn host_port(&self) -> Option<&Port> {
        self.ports.get(usize::from(self.host?))
    }

    /// The first of the uplink's ports, by which its device is known; what leaves may leave by any.
    #[must_use]
    #[inline]
    pub fn uplink(&self) -> Option<&Port> {
        self.ports.get(usize::from(*self.uplinks.first()?))
    }

    /// The uplink's ports, one a queue of its device, ordered by id.
    pub fn uplinks(&self) -> impl Iterator<Item = &Port> {
        self.uplinks.iter().filter_map(|slot| self.ports.get(usize::from(*slot)))
    }

    /// The Services.
    #[must_use]
    #[inline]
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// What Service stands at `address`, `port` and `protocol`.
    #[must_use]
    #[inline]
    pub fn frontend(&self, address: IpAddr, port: u16, protocol: u8) -> FrontendLookup<'_> {
        self.services.frontend(address, port, protocol)
    }

    /// What the pod behind `port` may do; a port that no policy was given for is not isolated.
    #[must_use]
    #[inline]
    pub fn policy(&self, port: PortId) -> &PodPolicy {
        let slot = self.by_id.get(usize::from(port.0)).copied().flatten();
        slot.and_then(|slot| self.policies.get(usize::from(slot))).unwrap_or(&NOT_ISOLATED)
    }

    /// The identity of the pod that has `address`, on this node or another.
    #[must_use]
    #[inline]
    pub fn identity(&self, address: IpAddr) -> Option<Identity> {
        self.identities.get(address)
    }

    /// Loads where [`Tables::identity`] begins to look for an IPv4 address, so that a burst's packets wait for memory together. What is
    /// returned means nothing; it is there to be kept.
    #[must_use]
    #[inline]
    pub fn touch_identity(&self, address: Ipv4Addr) -> u64 {
        self.identities.touch(address)
    }

    /// This node.
    #[must_use]
    #[inline]
    pub fn node(&self) -> &NodeEntry {
        &self.node
    }

    /// Whether `address` is one of the node's own and not a Service's inside the cluster.
    #[must_use]
    #[inline]
    pub fn is_node_address(&self, address: IpAddr) -> bool {
        self.node_addresses.contains(&address)
    }

    /// This node's end of the tunnels; `None` where packets between nodes are not encapsulated.
    #[must_use]
    #[inline]
    pub fn tunnel(&self) -> Option<&Tunnel> {
        self.tunnel.as_ref()
    }

    /// The peer called `id`.
    #[must_use]
    #[inline]
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(usize::from(id.0)).map(AsRef::as_ref)
    }

    /// Every peer, ordered by id.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = (PeerId, &Peer)> {
        let numbered = |(position, peer): (usize, _)| (PeerId(u16::try_from(position).unwrap_or(u16::MAX)), peer);
        self.peers.iter().map(AsRef::as_ref).enumerate().map(numbered)
    }

    /// The peer in whose podCIDRs the pod address `address` lies.
    #[must_use]
    #[inline]
    pub fn peer_of(&self, address: IpAddr) -> Option<(PeerId, &Peer)> {
        let id = *self.peers_by_pod.get(address)?;
        Some((id, self.peer(id)?))
    }

    /// The peer whose own address `address` is, be it a node address or its end of the tunnel.
    #[must_use]
    #[inline]
    pub fn peer_at(&self, address: IpAddr) -> Option<(PeerId, &Peer)> {
        let id = *self.peers_by_address.get(&address)?;
        Some((id, self.peer(id)?))
    }

    /// Routes and neighbours of the uplink.
    #[must_use]
    #[inline]
    pub fn underlay(&self) -> &Arc<Underlay> {
        &self.underlay
    }

    /// How to reach a peer's end of the tunnels: what [`Underlay::next_hop`] says of it.
    #[must_use]
    #[inline]
    pub fn next_hop_to(&self, id: PeerId) -> NextHop {
        self.reaches.get(usize::from(id.0)).map_or(NextHop::NoRoute, |reach| reach.next_hop)
    }

    /// What is written around IPv4 packets to a peer; `None` where tunnels are IPv6 or there are none, or the next hop is not
    /// known. From the first of the uplink's MACs.
    #[must_use]
    #[inline]
    pub fn wrapping(&self, id: PeerId) -> Option<&Wrapping> {
        self.reaches.get(usize::from(id.0))?.wrapping.as_ref()
    }
}
