//! From an index to the parts of a generation, with as little anew as its changes ask for.

use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::{Identities, Peer, PodPolicy, PortId, Services};

use crate::attachment::Attachment;
use crate::fault::Fault;
use crate::index::{Changes, Index};
use crate::node::Node;
use crate::peers::{Peers, PeersConfig, compile_peers_beside, left_over};
use crate::policy::{CompiledPolicies, Slack};
use crate::services::{CompiledServices, HealthCheck, ServicesConfig};

/// What objects are compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// This node, with all its networks.
    pub node: &'a Node,
    /// Pods' ports.
    pub attachments: &'a [Attachment],
    /// How Services are carried out here.
    pub services: &'a ServicesConfig,
    /// What is said of peers.
    pub peers: &'a PeersConfig,
    /// Seeds the hash maps; the same for all generations.
    pub seed: u64,
}

/// Compiles an index again and again. What does not change is shared between the results by `Arc`.
///
/// What one that has compiled many changes holds is what a new one would make of the same index; only identities have other
/// numbers.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    made_for: Option<MadeFor>,
    services: CompiledServices,
    policies: CompiledPolicies,
    peers: Peers,
    /// What is wrong between Nodes.
    between: Vec<Fault>,
    /// What is wrong with the addresses of attached pods.
    left_over: Vec<Fault>,
}

/// What of a [`Setting`] makes everything another thing.
#[derive(Clone, Debug, PartialEq)]
struct MadeFor {
    node: Node,
    services: ServicesConfig,
    peers: PeersConfig,
    seed: u64,
}

impl Compiler {
    /// Has compiled nothing yet.
    pub fn new() -> Compiler {
        Compiler::default()
    }

    /// One that numbers pods anew as soon as more than so many identities are no pod's, beside as many as are, and forgets what
    /// policies selected as soon as more than so many `selections` are of no use. That of [`Compiler::new`] waits for some hundreds of
    /// either, so that it seldom happens.
    pub fn with_slack(identities: usize, selections: usize) -> Compiler {
        let policies = CompiledPolicies::with_slack(Slack { identities, selections });
        Compiler { policies, ..Compiler::default() }
    }

    /// Compiles what changed in the index since it was compiled last, by whichever compiler: an index is one compiler's. Another
    /// index than last time is compiled whole.
    pub fn compile(&mut self, index: &mut Index, setting: &Setting<'_>) {
        let changes = index.take_changes();
        let index = &*index;
        let Setting { node, attachments, services, peers, seed } = *setting;
        let before = self.made_for.as_ref();
        let same = before.is_some_and(|before| {
            before.node == *node
                && before.services.makes_services_as(services)
                && before.peers == *peers
                && before.seed == seed
        });
        let same_pods = before.is_some_and(|before| before.node.name == node.name && before.seed == seed);
        let all = Changes::all();
        let or_all = |same: bool| if same { &changes } else { &all };
        self.services.update(index, or_all(same), node, services, seed);
        self.policies.update(index, or_all(same_pods), &node.name, attachments, seed);
        if !same || changes.everything || !changes.nodes.is_empty() {
            if !same || changes.everything || changes.networks {
                self.between = index.faults();
            }
            self.peers = compile_peers_beside(&self.peers, &self.between, index, node, peers);
        }
        self.left_over = left_over(attachments, node, &self.peers.peers);
        if !same {
            let (node, services, peers) = (node.clone(), services.clone(), peers.clone());
            self.made_for = Some(MadeFor { node, services, peers, seed });
        }
    }

    /// The Services of this node.
    pub fn services(&self) -> &Arc<Services> {
        self.services.services()
    }

    /// The health checks of Services that the node is to answer, the oldest Service first.
    pub fn health_checks(&self) -> &[HealthCheck] {
        self.services.health_checks()
    }

    /// Who is behind each address of the cluster's pods.
    pub fn identities(&self) -> &Arc<Identities> {
        self.policies.identities()
    }

    /// What each attachment's port enforces, in the order of the attachments.
    pub fn policies(&self) -> &[(PortId, PodPolicy)] {
        self.policies.by_port()
    }

    /// The other nodes, by name.
    pub fn peers(&self) -> &[Arc<Peer>] {
        &self.peers.peers
    }

    /// Networks of this node that its own stack must not be led to: hosts between the nodes are in them.
    pub fn networks_of_hosts(&self) -> &[IpNet] {
        &self.peers.of_hosts
    }

    /// What is wrong between the objects, and with their use on this node: Services first, then Nodes, then Pods.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = self.services.faults().to_vec();
        faults.extend(self.between.iter().chain(&self.peers.faults).chain(&self.left_over).cloned());
        faults.extend(self.policies.faults().cloned());
        faults
    }
}
