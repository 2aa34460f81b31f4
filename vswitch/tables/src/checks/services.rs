//! Services against the rest: their addresses are nobody else's, their ports on the node are free.

use std::sync::Arc;

use ipnet::IpNet;
use sluice_wire::protocol::UDP;

use super::overlap;
use crate::prefixes::Prefixes;
use crate::{Family, FrontendKey, Service, Tables, TablesError};

pub(super) fn check(tables: &Tables) -> Result<(), TablesError> {
    let cidrs: Vec<IpNet> =
        tables.pod_cidrs.iter().chain(tables.peers.iter().flat_map(|peer| &peer.pod_cidrs)).copied().collect();
    for range in tables.services.service_cidrs() {
        if let Some(cidr) = cidrs.iter().find(|cidr| overlap(cidr, range)) {
            return Err(TablesError::ServiceRangeOfPods { range: *range, cidr: *cidr });
        }
    }
    let pods = Prefixes::longest(cidrs.into_iter().map(|cidr| (cidr, cidr)));
    // The maps have no order, and an error must not change from run to run.
    let faults = tables
        .services
        .frontends()
        .filter_map(|(key, _, service)| Some((key, check_frontend(tables, &pods, key, service).err()?)));
    if let Some((_, fault)) = faults.min_by_key(|(key, _)| *key) {
        return Err(fault);
    }
    check_node_ports(tables)
}

fn check_frontend(
    tables: &Tables,
    pods: &Prefixes<IpNet>,
    key: FrontendKey,
    service: &Service,
) -> Result<(), TablesError> {
    if let Some(cidr) = pods.get(key.address) {
        return Err(TablesError::FrontendInPodCidr { key, service: Arc::clone(service.name()), cidr: *cidr });
    }
    if !tables.is_node_address(key.address) {
        return Ok(());
    }
    check_port_on_node(tables, Family::of(key.address), key.port, key.protocol, service)
}

fn check_node_ports(tables: &Tables) -> Result<(), TablesError> {
    if let Some(address) = tables.services.node_port_addresses().filter(|it| !tables.is_node_address(*it)).min() {
        return Err(TablesError::NodePortAddress(address));
    }
    let faults = tables.services.node_ports().filter_map(|(family, port, protocol, service)| {
        Some((port, check_port_on_node(tables, family, port, protocol, service).err()?))
    });
    faults.min_by_key(|(port, _)| *port).map_or(Ok(()), |(_, fault)| Err(fault))
}

fn check_port_on_node(
    tables: &Tables,
    family: Family,
    port: u16,
    protocol: u8,
    service: &Service,
) -> Result<(), TablesError> {
    let masquerade = &tables.node.masquerade;
    let (first, last) = masquerade.ports;
    let masqueraded = masquerade.address(family).is_some() && (first..=last).contains(&port);
    let mut tunnel = tables.tunnel.iter();
    let tunnelled = tunnel.any(|it| protocol == UDP && it.port == port && Family::of(it.local) == family);
    if masqueraded || tunnelled {
        return Err(TablesError::ServicePortTaken { service: Arc::clone(service.name()), port });
    }
    Ok(())
}
