//! What a compilation comes to, in a form in which two can be compared: identities have other numbers in each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_model::{
    Attachment, Compiler, Family, HealthCheck, Index, Node, NodePortAddresses, PeersConfig, ServicesConfig, Setting,
};
use sluice_tables::{FrontendKey, FrontendKind, Peer, Rules, Service};

use crate::objects::ADDRESSES;

#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    services: BTreeMap<u64, Service>,
    frontends: BTreeMap<FrontendKey, (FrontendKind, u64)>,
    node_ports: BTreeSet<(String, u16, u8, u64)>,
    node_port_addresses: BTreeSet<IpAddr>,
    health_checks: Vec<HealthCheck>,
    peers: Vec<Arc<Peer>>,
    /// Addresses that are a pod's.
    pods: BTreeSet<IpAddr>,
    /// For each port and direction: not isolated, or the answers for every address and some ports.
    answers: Vec<(u16, [Option<Vec<bool>>; 2])>,
    faults: Vec<String>,
}

pub(crate) fn compile(
    compiler: &mut Compiler,
    index: &mut Index,
    node: &Node,
    attachments: &[Attachment],
    all_addresses: bool,
) -> Outcome {
    let node_port_addresses = if all_addresses { NodePortAddresses::All } else { NodePortAddresses::Primary };
    let services = ServicesConfig {
        service_cidrs: vec!["10.96.0.0/16".parse().expect("a network")],
        external_ips: true,
        node_port_addresses,
        node_addresses: vec![IpAddr::from([203, 0, 113, 5])],
        ..ServicesConfig::default()
    };
    let service_cidrs = services.service_cidrs.clone();
    let peers = PeersConfig {
        family: Family::V4,
        service_cidrs,
        node_addresses: services.node_addresses.clone(),
        underlay: Vec::new(),
        tunnel: None,
    };
    compiler.compile(index, &Setting { node, attachments, services: &services, peers: &peers, seed: 7 });
    outcome(compiler)
}

fn outcome(compiler: &Compiler) -> Outcome {
    let services = compiler.services();
    let frontends = services.frontends().map(|(key, kind, service)| (key, (kind, service.key())));
    let node_ports = services
        .node_ports()
        .map(|(family, port, protocol, service)| (family.to_string(), port, protocol, service.key()));
    let identities = compiler.identities();
    Outcome {
        services: services.iter().map(|service| (service.key(), Service::clone(service))).collect(),
        frontends: frontends.collect(),
        node_ports: node_ports.collect(),
        node_port_addresses: services.node_port_addresses().collect(),
        health_checks: compiler.health_checks().to_vec(),
        peers: compiler.peers().to_vec(),
        pods: addresses().filter(|address| identities.get(*address).is_some()).collect(),
        answers: compiler
            .policies()
            .iter()
            .map(|(port, policy)| {
                (port.0, [&policy.ingress, &policy.egress].map(|rules| answers(compiler, rules.as_ref())))
            })
            .collect(),
        faults: compiler.faults().iter().map(ToString::to_string).collect(),
    }
}

fn answers(compiler: &Compiler, rules: Option<&Arc<Rules>>) -> Option<Vec<bool>> {
    let rules = rules?;
    let asked = |address: IpAddr| {
        let identity = compiler.identities().get(address);
        [(6, 80), (6, 81), (17, 80), (1, 0)].map(|(protocol, port)| rules.allows(address, identity, protocol, port))
    };
    Some(addresses().flat_map(asked).collect())
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    let more = (2..6).map(|last| IpAddr::from([10, 1, 1, last])).chain([IpAddr::from([198, 51, 100, 1])]);
    ADDRESSES.iter().map(|text| text.parse().expect("an address")).chain(more)
}
