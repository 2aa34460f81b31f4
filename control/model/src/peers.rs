//! Nodes to peers: the other ends of this node's tunnels and routes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::{Family, Peer};

use crate::disjoint::Disjoint;
use crate::fault::{Fault, FieldPath, Problem};
use crate::index::Index;
use crate::name::NodeName;
use crate::node::Node;
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
}

/// The peers of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// By name.
    pub peers: Vec<Arc<Peer>>,
    /// Nodes that are no peers, or not with all they name, and why.
    pub faults: Vec<Fault>,
}

/// Makes peers of all Nodes but this one.
///
/// A Node without podCIDRs, or without an InternalIP of the underlay's family, is no peer. What two Nodes claim is this
/// node's if it is one of them; a network is then the wider one's, an address that of the Node whose name comes first. So
/// what is wrong with one Node never keeps the others, or a whole generation, from serving.
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
    let mut networks = compiler.networks(&others);
    let mut peers = Vec::new();
    for other in others {
        if other.pod_cidrs.is_empty() {
            compiler.fault(other, FieldPath::of(&["spec", "podCIDRs"]), Problem::NoPodNetwork);
            continue;
        }
        let addresses = compiler.addresses(other);
        let Some(tunnel) = addresses.iter().copied().find(|address| Family::of(*address) == config.family) else {
            let family = config.family;
            compiler.fault(other, FieldPath::of(&["status", "addresses"]), Problem::NoInternalIp { family });
            continue;
        };
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
    Peers { peers, faults: compiler.faults }
}

struct Compiler<'a> {
    service_cidrs: &'a [IpNet],
    /// Whose pods are where.
    taken: Disjoint<NodeName>,
    /// Whose each node address is.
    owners: BTreeMap<IpAddr, NodeName>,
    faults: Vec<Fault>,
}

impl<'a> Compiler<'a> {
    fn new(index: &Index, node: &Node, config: &'a PeersConfig) -> Compiler<'a> {
        let mut taken = Disjoint::new();
        // The node's networks may be more than the object's; checked ones are disjoint.
        for network in
            node.pod_cidrs.iter().chain(index.node(&node.name).into_iter().flat_map(|known| &known.pod_cidrs))
        {
            let _ = taken.insert(*network, node.name.clone());
        }
        let own = node.all_addresses(&config.node_addresses);
        Compiler {
            service_cidrs: &config.service_cidrs,
            taken,
            owners: own.into_iter().map(|address| (address, node.name.clone())).collect(),
            faults: Vec::new(),
        }
    }

    /// The networks that each Node gets, in the order written.
    fn networks(&mut self, nodes: &[&Node]) -> BTreeMap<NodeName, Vec<IpNet>> {
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

    /// The InternalIPs that a Node gets, in the order written. Call after all networks are known.
    fn addresses(&mut self, node: &Node) -> Vec<IpAddr> {
        let mut kept: Vec<IpAddr> = Vec::new();
        for &value in &node.internal_ips {
            let field = FieldPath::of(&["status", "addresses"]);
            if !crate::node::is_reachable(value) {
                self.fault(node, field, Problem::NotUnicast { value });
            } else if let Some((network, _)) = self.taken.holder(value) {
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

    fn fault(&mut self, node: &Node, field: FieldPath, problem: Problem) {
        self.faults.push(Fault { subject: Key::Node(node.name.clone()).subject(), field, problem });
    }
}
