//! What a compilation comes to, in a form in which two can be compared: identities have other numbers in each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sluice_model::{
    Attachment, Compiler, Family, HealthCheck, HostPort, Index, Inputs, Node, NodePortAddresses, PeersConfig,
    ServicesConfig, Setting, TunnelConfig, UplinkPort, compile as generation, masquerade,
};
use sluice_tables::{
    Choice, Claims, Detours, Encapsulation, Front, FrontendKey, FrontendKind, Peer, PortId, Rules, Service, Services,
    WorkerId,
};
use sluice_wire::MacAddr;

use crate::objects::{ADDRESSES, FRONTENDS};

/// What an operator says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Config {
    /// Whether NodePorts are served at the node's other addresses too.
    pub(crate) all_addresses: bool,
    pub(crate) maglev: bool,
    /// Whether Services for another proxy are this switch's.
    pub(crate) named: bool,
    pub(crate) external_ips: bool,
    pub(crate) tunnels: bool,
}

/// Each IPv4 frontend that a pod can ask for, and what it is given: nothing, what is not plain, or backends.
type Fronts = Vec<((Ipv4Addr, u16, u8), Option<Option<Vec<u64>>>)>;

#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    services: BTreeMap<u64, Service>,
    frontends: BTreeMap<FrontendKey, (FrontendKind, u64)>,
    fronts: Fronts,
    node_ports: BTreeSet<(String, u16, u8, u64)>,
    node_port_addresses: BTreeSet<IpAddr>,
    health_checks: Vec<HealthCheck>,
    peers: Vec<Arc<Peer>>,
    /// Of a generation that is made of it, or why there is none.
    around: Result<(Claims, Detours), String>,
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
    config: Config,
) -> Outcome {
    let node_port_addresses = if config.all_addresses { NodePortAddresses::All } else { NodePortAddresses::Primary };
    let network = |text: &str| text.parse().expect("a network");
    let services = ServicesConfig {
        service_cidrs: vec![network("10.96.0.0/16"), network("fd00:96::/112")],
        external_ips: config.external_ips,
        node_port_addresses,
        node_addresses: vec![IpAddr::from([203, 0, 113, 5])],
        proxy_name: config.named.then(|| "other".to_owned()),
        choice: if config.maglev { Choice::Maglev } else { Choice::Random },
        ..ServicesConfig::default()
    };
    let tunnel = TunnelConfig { encapsulation: Encapsulation::Vxlan, port: 4789, vni: 1 };
    let peers = PeersConfig {
        family: Family::V4,
        service_cidrs: services.service_cidrs.clone(),
        node_addresses: services.node_addresses.clone(),
        underlay: vec![network("192.0.2.0/24")],
        tunnel: config.tunnels.then_some(tunnel),
    };
    compiler.compile(index, &Setting { node, attachments, services: &services, peers: &peers, seed: 7 });
    let around = around(compiler, node, attachments, &services);
    Outcome { around, ..outcome(compiler) }
}

fn around(
    compiler: &Compiler,
    node: &Node,
    attachments: &[Attachment],
    config: &ServicesConfig,
) -> Result<(Claims, Detours), String> {
    let (mac, worker) = (MacAddr([2, 0, 0, 0, 0, 9]), WorkerId(0));
    let host = HostPort { port: PortId(100), worker, mac, path_mtu: 1500, max_l3_len: 1500 };
    let uplink = UplinkPort { port: PortId(101), worker, mac, path_mtu: 1500, max_l3_len: 1500 };
    let inputs = Inputs {
        host: Some(&host),
        attachments,
        uplinks: &[uplink],
        node_addresses: &config.node_addresses,
        masquerade: masquerade(node, config.masquerade_ports, Vec::new(), true),
        services: Arc::clone(compiler.services()),
        identities: Arc::clone(compiler.identities()),
        policies: compiler.policies(),
        peers: compiler.peers(),
        ..Inputs::new(1, 7, node)
    };
    let tables = generation(&inputs).map_err(|error| error.to_string())?;
    Ok((tables.claims(), tables.detours()))
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
        fronts: fronts(services),
        node_ports: node_ports.collect(),
        node_port_addresses: services.node_port_addresses().collect(),
        health_checks: compiler.health_checks().to_vec(),
        peers: compiler.peers().to_vec(),
        around: Err(String::new()),
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

fn fronts(services: &Services) -> Fronts {
    let ports = [(80, 6), (81, 6), (53, 17)];
    let keys =
        FRONTENDS.iter().flat_map(|address| ports.map(|(port, protocol)| (Ipv4Addr::from(*address), port, protocol)));
    let given = |(address, port, protocol): (Ipv4Addr, u16, u8)| match services.front(address.to_bits(), port, protocol)
    {
        Front::None => None,
        Front::Special => Some(None),
        Front::Plain(backends) => Some(Some(backends.to_vec())),
    };
    keys.map(|key| (key, given(key))).collect()
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
