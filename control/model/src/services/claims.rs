//! Which Service has which frontend.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_tables::{Family, FrontendKey, FrontendKind, ServicesBuilder, ServicesError};

use super::{Entry, ServicesConfig, fault, ports_field};
use crate::disjoint::Disjoint;
use crate::fault::{Fault, FieldPath, Problem};
use crate::index::Index;
use crate::node::Node;

/// Hands frontends out.
pub(super) struct Claims<'a> {
    config: &'a ServicesConfig,
    /// Networks that are for pods, on whichever node.
    pods: Disjoint<()>,
    /// Every address of this node.
    own: BTreeSet<IpAddr>,
    /// Those of them by which others know it.
    vital: BTreeSet<IpAddr>,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(
        index: &Index,
        node: &Node,
        config: &'a ServicesConfig,
        faults: &'a mut Vec<Fault>,
    ) -> Claims<'a> {
        let networks = index.nodes().chain([node]).flat_map(|node| node.pod_cidrs.iter().copied());
        let mut pods = Disjoint::new();
        for network in IpNet::aggregate(&networks.collect()) {
            // Aggregated, so none is refused.
            let _ = pods.insert(network, ());
        }
        let own = node.all_addresses(&config.node_addresses);
        Claims { config, pods, own, vital: node.addresses().collect(), faults }
    }

    /// Gives frontends out, the kinds in the order of how hard they are to come by: anyone may write an address into
    /// `externalIPs`, a load balancer's is its controller's to give, a ClusterIP the API server's. `entries` are the
    /// oldest first, and the first to ask has it.
    pub(super) fn claim(&mut self, builder: &mut ServicesBuilder, entries: &[Entry<'_>]) {
        use FrontendKind::{ClusterIp, ExternalIp, LoadBalancer, NodePort};
        for kind in [ClusterIp, NodePort, LoadBalancer, ExternalIp] {
            for entry in entries {
                match kind {
                    NodePort => self.node_port(builder, entry),
                    ExternalIp if !self.config.external_ips => {}
                    _ => self.addresses(builder, entry, kind),
                }
            }
        }
    }

    fn node_port(&mut self, builder: &mut ServicesBuilder, entry: &Entry<'_>) {
        let Some(port) = entry.port.node_port else { return };
        let field = ports_field(entry.position).key("nodePort");
        if self.config.reserves(port, entry.port.protocol) {
            self.faults.push(fault(entry.service, field, Problem::ReservedPort { port }));
        } else if let Err(reason) = builder.node_port(port, entry.port.protocol.number(), entry.id) {
            self.faults.push(fault(entry.service, field, explain(reason)));
        }
    }

    fn addresses(&mut self, builder: &mut ServicesBuilder, entry: &Entry<'_>, kind: FrontendKind) {
        let service = entry.service;
        let (field, addresses): (&[&str], &[IpAddr]) = match kind {
            FrontendKind::LoadBalancer => (&["status", "loadBalancer", "ingress"], &service.load_balancer_ips),
            FrontendKind::ExternalIp => (&["spec", "externalIPs"], &service.external_ips),
            FrontendKind::ClusterIp | FrontendKind::NodePort => (&["spec", "clusterIPs"], &service.cluster_ips),
        };
        for &address in addresses.iter().filter(|address| Family::of(**address) == entry.family) {
            // Its own already, by another field that asks for as much.
            if kind == FrontendKind::ExternalIp && service.load_balancer_ips.contains(&address) {
                continue;
            }
            let key = FrontendKey { address, port: entry.port.port, protocol: entry.port.protocol.number() };
            let refused = self.refusal(address, entry, kind);
            let claimed = refused.map_or_else(|| builder.frontend(key, kind, entry.id).map_err(explain), Err);
            if let Err(problem) = claimed {
                self.faults.push(fault(service, FieldPath::of(field), problem));
            }
        }
    }

    /// Why nobody can have a frontend here: the address is for pods, or the node would be cut off from the address by which
    /// others know it, or the switch itself from a port there. A ClusterIP that the node's stack merely has, too, stays the
    /// Service's: node-local DNS and IPVS bind such.
    fn refusal(&self, value: IpAddr, entry: &Entry<'_>, kind: FrontendKind) -> Option<Problem> {
        let port = entry.port.port;
        if let Some((network, ())) = self.pods.holder(value) {
            return Some(Problem::InPodNetwork { value, network });
        }
        match kind {
            FrontendKind::ClusterIp => self.vital.contains(&value).then_some(Problem::OfThisNode { value }),
            _ if !self.own.contains(&value) => None,
            _ => self.config.reserves(port, entry.port.protocol).then_some(Problem::ReservedPort { port }),
        }
    }
}

pub(super) fn explain(reason: ServicesError) -> Problem {
    match reason {
        ServicesError::FrontendTaken { key, first, .. } => Problem::Taken { what: key.to_string(), by: first },
        ServicesError::NodePortTaken { port, first, .. } => Problem::Taken { what: port.to_string(), by: first },
        reason => Problem::Refused { reason },
    }
}
