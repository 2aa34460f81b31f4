//! What was compiled of the objects, and how.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_model::{
    Attachment, Fault, HealthCheck, Index, KnownServices, Node, Policies, compile_peers, compile_policies,
    health_checks,
};
use sluice_tables::{Peer, Services};

use crate::config::Network;

/// Compiles the objects, and keeps what does not change from one generation to the next.
#[derive(Debug, Default)]
pub(super) struct Compilation {
    /// Services as they were made last: those that do not change are made once.
    known: KnownServices,
    /// What was compiled; `None` once the objects, the node or its addresses have changed.
    compiled: Option<Compiled>,
}

/// What was compiled of the objects.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The node's networks, for which they were compiled.
    networks: Vec<IpNet>,
    pub(super) services: Arc<Services>,
    pub(super) peers: Vec<Arc<Peer>>,
    pub(super) health_checks: Vec<HealthCheck>,
    /// For the attachments that they were compiled for.
    policies: Option<(Vec<Attachment>, Policies)>,
    faults: Vec<Fault>,
}

/// What the objects are compiled for.
pub(super) struct For<'a> {
    pub(super) node: &'a Node,
    /// All addresses of the node's stack.
    pub(super) addresses: &'a [IpAddr],
    pub(super) attachments: &'a [Attachment],
    pub(super) network: &'a Network,
    /// Seeds the hash maps.
    pub(super) seed: u64,
}

impl Compilation {
    /// What was compiled does not hold any more.
    pub(super) fn forget(&mut self) {
        self.compiled = None;
    }

    /// What was compiled last, where it still holds.
    pub(super) fn compiled(&self) -> Option<&Compiled> {
        self.compiled.as_ref()
    }

    /// Compiles what is not compiled yet.
    pub(super) fn compile(&mut self, index: &Index, wanted: &For<'_>) {
        let Self { known, compiled } = self;
        let For { node, addresses, attachments, network, seed } = *wanted;
        // Pods' networks are part of what the others must not claim.
        if compiled.as_ref().is_some_and(|compiled| compiled.networks != node.pod_cidrs) {
            *compiled = None;
        }
        let compiled = compiled.get_or_insert_with(|| {
            let config = network.services(addresses);
            let (services, mut faults) = known.compile(index, node, &config, seed);
            let peers = compile_peers(index, node, &network.peers(node, addresses));
            faults.extend(peers.faults);
            let health_checks = health_checks(index, node, &config);
            let networks = node.pod_cidrs.clone();
            let services = Arc::new(services);
            Compiled { networks, services, peers: peers.peers, health_checks, policies: None, faults }
        });
        if compiled.policies.as_ref().is_none_or(|(of, _)| of != attachments) {
            let policies = compile_policies(index, &node.name, attachments, seed);
            compiled.policies = Some((attachments.to_vec(), policies));
        }
    }
}

impl Compiled {
    /// The policies and identities, once they are compiled.
    pub(super) fn policies(&self) -> Option<&Policies> {
        self.policies.as_ref().map(|(_, policies)| policies)
    }

    /// What is wrong with the use of the objects on this node.
    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().chain(self.policies().into_iter().flat_map(|policies| &policies.faults))
    }
}
