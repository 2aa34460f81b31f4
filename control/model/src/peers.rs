//! Nodes to peers: the other ends of this node's tunnels and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::{Encapsulation, Family, Peer};

use crate::attachment::Attachment;
use crate::disjoint::Disjoint;
use crate::fault::{Fault, FieldPath, Problem};
use crate::index::Index;
use crate::name::NodeName;
use crate::node::{Node, encapsulation_name};
use crate::object::Key;

/// What is said of peers as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersConfig {
    /// Family of the underlay: that of the InternalIPs between which packets travel.
    pub family: Family,
    /// Ranges that ClusterIPs are taken from; no pod can be in them.
    pub service_cidrs: Vec<IpNet>,
    /// All addresses that this node's own stack has; no other node can have them.
    pub node_addresses: Vec<IpAddr>,
    /// What this node reaches by its uplink without a tunnel: the networks on link there, and its routers. No pod can be in them.
    pub underlay: Vec<IpNet>,
    /// How this node tunnels, to be compared with what the others say; `None`: it is not.
    pub tunnel: Option<TunnelConfig>,
}

impl PeersConfig {
    /// Nothing that other nodes are to be compared with, and no tunnel.
    #[must_use]
    pub fn of(family: Family) -> Self {
        Self { family, service_cidrs: Vec::new(), node_addresses: Vec::new(), underlay: Vec::new(), tunnel: None }
    }
}

/// How packets travel between nodes, the same on all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    /// What is written around a packet.
    pub encapsulation: Encapsulation,
    /// UDP destination port.
    pub port: u16,
    /// Virtual network.
    pub vni: u32,
}

/// The peers of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// By name.
    pub peers: Vec<Arc<Peer>>,
    /// Nodes that are no peers, or not with all they name, and why; this node among them, for its networks.
    pub faults: Vec<Fault>,
    /// This node's own networks that hosts between the nodes are in: its pods keep them, but its own stack must not be led to
    /// them, or it would reach those hosts no more.
    pub of_hosts: Vec<IpNet>,
}

/// Makes peers of all Nodes but this one.
///
/// The other end of a tunnel is the address that the Node's annotations name, else its InternalIP. A Node that tunnels in
/// another way than this one is a peer, so that it is reached as soon as it tunnels alike, and has a fault.
///
/// A Node without podCIDRs, or without an InternalIP of the underlay's family, is no peer. What two Nodes claim is this
/// node's if it is one of them; a network is then the wider one's, an address that of the Node whose name comes first. So
/// what is wrong with one Node never keeps the others, or a whole generation, from serving. A single address among this node's
/// networks is that of a pod left over from other networks: it takes nothing but itself from the Node whose network it lies in now.
///
/// A network that hosts between the nodes are in is nobody's: packets to them, of this node itself too, would be taken for
/// pods'. It is known by this node's addresses, by what the uplink reaches, by the InternalIP of its own Node, or by those of two
/// Nodes and more; with a single one of another Node it is the address that is taken to be wrong. One of this node's own networks
/// stays its pods', and is told.
pub fn compile_peers(index: &Index, node: &Node, config: &PeersConfig) -> Peers {
    compile_peers_beside(&Peers::default(), &index.faults(), index, node, config)
}

/// The same where those of `before` that have not changed are shared. `told` is what the index tells of itself.
pub(crate) fn compile_peers_beside(
    before: &Peers,
    told: &[Fault],
    index: &Index,
    node: &Node,
    config: &PeersConfig,
) -> Peers {
    let mut compiler = Compiler::new(index, node, config);
    let others: Vec<&Node> = index.nodes().filter(|other| other.name != node.name).collect();
    let hosts = hosts(&others);
    let mut networks = compiler.networks(&others, &hosts);
    let of_hosts = compiler.own_networks(index, node, &hosts);
    // What Nodes say of themselves in annotations takes no address from another's status.
    let mut addresses: BTreeMap<&NodeName, Vec<IpAddr>> = BTreeMap::new();
    for other in others.iter().filter(|other| !other.pod_cidrs.is_empty()) {
        addresses.insert(&other.name, compiler.addresses(other));
    }
    let mut peers = Vec::new();
    for other in others {
        let Some(mut addresses) = addresses.remove(&other.name) else {
            compiler.fault(other, FieldPath::of(&["spec", "podCIDRs"]), Problem::NoPodNetwork);
            continue;
        };
        let internal = addresses.iter().copied().find(|address| Family::of(*address) == config.family);
        let Some(tunnel) = compiler.tunnel(other, config.family, &mut addresses).or(internal) else {
            let family = config.family;
            compiler.fault(other, FieldPath::of(&["status", "addresses"]), Problem::NoInternalIp { family });
            continue;
        };
        compiler.compare(other, config.tunnel);
        let peer = Peer {
            name: other.name.as_str().into(),
            addresses,
            tunnel,
            mac: other.tunnel_mac_at(tunnel),
            pod_cidrs: networks.remove(&other.name).unwrap_or_default(),
        };
        let known = before.peers.binary_search_by(|known| known.name.as_ref().cmp(other.name.as_str()));
        let known = known.ok().and_then(|position| before.peers.get(position)).filter(|known| ***known == peer);
        peers.push(known.cloned().unwrap_or_else(|| Arc::new(peer)));
    }
    // What is wrong between Nodes is told by the index already.
    compiler.faults.retain(|fault| !told.contains(fault));
    compiler.faults.sort_by(|one, other| one.subject.cmp(&other.subject));
    Peers { peers, faults: compiler.faults, of_hosts }
}

/// Pods whose addresses are left over from networks that this node does not have any more and another one has. They are reached
/// from here, and by nobody else.
pub(crate) fn left_over(attachments: &[Attachment], node: &Node, peers: &[Arc<Peer>]) -> Vec<Fault> {
    let single: BTreeSet<IpAddr> = node.pod_cidrs.iter().filter(|it| is_single(it)).map(IpNet::addr).collect();
    let mut faults = Vec::new();
    for attachment in attachments {
        for &value in attachment.addresses.iter().filter(|address| single.contains(address)) {
            let mut networks = peers.iter().flat_map(|peer| peer.pod_cidrs.iter().map(move |network| (peer, *network)));
            let Some((peer, network)) = networks.find(|(_, network)| network.contains(&value)) else { continue };
            let problem = Problem::InNetworkOf { value, network, node: Arc::clone(&peer.name) };
            let field = FieldPath::of(&["status", "podIPs"]);
            faults.push(Fault { subject: Key::Pod(attachment.pod.clone()).subject(), field, problem });
        }
    }
    faults
}

/// The InternalIPs of other Nodes, in order.
fn hosts<'n>(nodes: &[&'n Node]) -> Vec<(IpAddr, &'n NodeName)> {
    let all = nodes.iter().flat_map(|node| node.internal_ips.iter().map(move |address| (*address, &node.name)));
    let mut hosts: Vec<(IpAddr, &NodeName)> = all.filter(|(address, _)| crate::node::is_reachable(*address)).collect();
    hosts.sort_unstable();
    hosts
}

/// Whether a network is a single address, as none is that a Node is given.
fn is_single(network: &IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

struct Compiler<'a> {
    service_cidrs: &'a [IpNet],
    /// What the uplink reaches without a tunnel.
    underlay: Disjoint<()>,
    /// Whose pods are where.
    taken: Disjoint<NodeName>,
    /// Addresses of this node's pods that are left over from other networks.
    left_over: BTreeSet<IpAddr>,
    /// Whose each node address is.
    owners: BTreeMap<IpAddr, NodeName>,
    faults: Vec<Fault>,
}

impl<'a> Compiler<'a> {
    fn new(index: &Index, node: &Node, config: &'a PeersConfig) -> Compiler<'a> {
        let mut taken = Disjoint::new();
        // The node's networks may be more than the object's; checked ones are disjoint.
        let own = node.pod_cidrs.iter().chain(index.node(&node.name).into_iter().flat_map(|known| &known.pod_cidrs));
        for network in own.filter(|network| !is_single(network)) {
            let _ = taken.insert(*network, node.name.clone());
        }
        let left_over = node.pod_cidrs.iter().filter(|network| is_single(network)).map(IpNet::addr).collect();
        // The wider first: a router on link is in the network there.
        let mut reached = config.underlay.clone();
        reached.sort_unstable_by_key(IpNet::prefix_len);
        let mut underlay = Disjoint::new();
        for network in reached {
            let _ = underlay.insert(network, ());
        }
        let own = node.all_addresses(&config.node_addresses);
        Compiler {
            service_cidrs: &config.service_cidrs,
            underlay,
            taken,
            left_over,
            owners: own.into_iter().map(|address| (address, node.name.clone())).collect(),
            faults: Vec::new(),
        }
    }

    /// The networks that each Node gets, in the order written.
    fn networks(&mut self, nodes: &[&Node], hosts: &[(IpAddr, &NodeName)]) -> BTreeMap<NodeName, Vec<IpNet>> {
        let mut all: Vec<(IpNet, usize, &Node)> = nodes
            .iter()
            .flat_map(|node| node.pod_cidrs.iter().enumerate().map(move |(position, net)| (*net, position, *node)))
            .collect();
        // The wider first, as the index tells of them.
        all.sort_by_key(|(net, _, node)| (net.network(), net.prefix_len(), &node.name));
        let mut kept: BTreeMap<NodeName, Vec<(usize, IpNet)>> = BTreeMap::new();
        for (value, position, node) in all {
            let field = FieldPath::of(&["spec", "podCIDRs"]).index(position);
            let range = self.service_cidrs.iter().find(|range| range.contains(&value) || value.contains(*range));
            if let Some(&range) = range {
                self.fault(node, field, Problem::InServiceRange { value, range });
                continue;
            }
            if self.taken.overlapping(&value).is_none()
                && let Some(problem) = self.of_hosts(value, &node.name, hosts)
            {
                self.fault(node, field, problem);
                continue;
            }
            let taken = self.taken.insert(value, node.name.clone());
            match taken.map_err(|(other, owner)| (other, owner.clone())) {
                Ok(()) => kept.entry(node.name.clone()).or_default().push((position, value)),
                Err((other, owner)) => self.fault(node, field, Problem::OverlapsNode { value, other, node: owner }),
            }
        }
        let ordered = |mut networks: Vec<(usize, IpNet)>| {
            networks.sort_unstable();
            networks.into_iter().map(|(_, network)| network).collect()
        };
        kept.into_iter().map(|(name, networks)| (name, ordered(networks))).collect()
    }

    /// Why a network of `owner` is one of the hosts between the nodes, if it is: `hosts` are the InternalIPs of the other Nodes, in
    /// order.
    fn of_hosts(&self, value: IpNet, owner: &NodeName, hosts: &[(IpAddr, &NodeName)]) -> Option<Problem> {
        let (first, last) = (value.network(), value.broadcast());
        if let Some((&address, node)) = self.owners.range(first..=last).next() {
            return Some(Problem::HoldsNode { value, address, node: node.clone() });
        }
        self.of_others(value, owner, hosts)
    }

    /// The same but for this node's addresses.
    fn of_others(&self, value: IpNet, owner: &NodeName, hosts: &[(IpAddr, &NodeName)]) -> Option<Problem> {
        let (first, last) = (value.network(), value.broadcast());
        if let Some((link, ())) = self.underlay.overlapping(&value) {
            return Some(Problem::OverlapsUnderlay { value, link });
        }
        let from = hosts.partition_point(|(address, _)| *address < first);
        let to = hosts.partition_point(|(address, _)| *address <= last);
        let inside = hosts.get(from..to)?;
        let own = inside.iter().find(|(_, node)| *node == owner);
        let second = || inside.iter().find(|(_, node)| inside.first().is_some_and(|(_, first)| first != node));
        let (address, node) = own.or_else(second)?;
        Some(Problem::HoldsNode { value, address: *address, node: (*node).clone() })
    }

    /// The networks of this node that hosts between the nodes are in. Of its own addresses only the InternalIPs tell: it has others
    /// in its networks.
    fn own_networks(&mut self, index: &Index, node: &Node, hosts: &[(IpAddr, &NodeName)]) -> Vec<IpNet> {
        let known = index.node(&node.name);
        let mut own: Vec<IpNet> = node.pod_cidrs.iter().filter(|network| !is_single(network)).copied().collect();
        own.extend(known.into_iter().flat_map(|known| &known.pod_cidrs));
        own.sort_unstable();
        own.dedup();
        let mut of_hosts = Vec::new();
        for value in own {
            let mut internal = node.internal_ips.iter().filter(|address| value.contains(*address));
            let problem = match internal.next() {
                Some(&address) => Some(Problem::HoldsNode { value, address, node: node.name.clone() }),
                None => self.of_others(value, &node.name, hosts),
            };
            let Some(problem) = problem else { continue };
            of_hosts.push(value);
            let written = |known: &Node| known.pod_cidrs.iter().position(|network| *network == value);
            if let Some(position) = known.and_then(written) {
                self.fault(node, FieldPath::of(&["spec", "podCIDRs"]).index(position), problem);
            }
        }
        of_hosts
    }

    /// The network of pods that an address lies in.
    fn pods_at(&self, value: IpAddr) -> Option<IpNet> {
        let left_over = || self.left_over.contains(&value).then(|| IpNet::from(value));
        self.taken.holder(value).map(|(network, _)| network).or_else(left_over)
    }

    /// The InternalIPs that a Node gets, in the order written. Call after all networks are known.
    fn addresses(&mut self, node: &Node) -> Vec<IpAddr> {
        let mut kept: Vec<IpAddr> = Vec::new();
        for &value in &node.internal_ips {
            let field = FieldPath::of(&["status", "addresses"]);
            if !crate::node::is_reachable(value) {
                self.fault(node, field, Problem::NotUnicast { value });
            } else if let Some(network) = self.pods_at(value) {
                self.fault(node, field, Problem::InPodNetwork { value, network });
            } else if let Some(owner) = self.owners.get(&value).filter(|owner| **owner != node.name).cloned() {
                self.fault(node, field, Problem::AddressOfNode { value, node: owner });
            } else if !kept.contains(&value) {
                self.owners.insert(value, node.name.clone());
                kept.push(value);
            }
        }
        kept
    }

    /// The address of its end of the tunnels that a Node's annotations name, where it can have it. It is then one of its
    /// `addresses`.
    fn tunnel(&mut self, node: &Node, family: Family, addresses: &mut Vec<IpAddr>) -> Option<IpAddr> {
        let value = node.tunnel_end.address(family)?;
        let field = FieldPath::of(&["metadata", "annotations"]).key("sluice.io/tunnel-address");
        if let Some(network) = self.pods_at(value) {
            self.fault(node, field, Problem::InPodNetwork { value, network });
            return None;
        }
        if let Some(owner) = self.owners.get(&value).filter(|owner| **owner != node.name).cloned() {
            self.fault(node, field, Problem::AddressOfNode { value, node: owner });
            return None;
        }
        if !addresses.contains(&value) {
            self.owners.insert(value, node.name.clone());
            addresses.push(value);
        }
        Some(value)
    }

    /// Tells where a Node says that it tunnels in another way. Where nothing is encapsulated, port and network are of no matter.
    fn compare(&mut self, node: &Node, own: Option<TunnelConfig>) {
        let Some(own) = own else { return };
        let theirs = &node.tunnel_end;
        let mut differ = |key: &str, theirs: Option<String>, ours: String| {
            let Some(theirs) = theirs.filter(|theirs| *theirs != ours) else { return false };
            let field = FieldPath::of(&["metadata", "annotations"]).key(key);
            self.fault(node, field, Problem::OtherTunnel { theirs, ours });
            true
        };
        let said = theirs.encapsulation.map(|one| encapsulation_name(one).to_owned());
        let other = differ("sluice.io/encapsulation", said, encapsulation_name(own.encapsulation).to_owned());
        if !other && own.encapsulation != Encapsulation::None {
            differ("sluice.io/tunnel-port", theirs.port.map(|port| port.to_string()), own.port.to_string());
            differ("sluice.io/vni", theirs.vni.map(|vni| vni.to_string()), own.vni.to_string());
        }
    }

    fn fault(&mut self, node: &Node, field: FieldPath, problem: Problem) {
        self.faults.push(Fault { subject: Key::Node(node.name.clone()).subject(), field, problem });
    }
}
