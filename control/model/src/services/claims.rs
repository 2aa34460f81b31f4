//! Which Service has which frontend.

use std::net::IpAddr;

use sluice_tables::{Family, FrontendKey, FrontendKind, ServicesBuilder, ServicesError};

use super::{Entry, ServicesConfig, fault, ports_field};
use crate::fault::{Fault, FieldPath, Problem};

/// Gives frontends out, the kinds in the order of how hard they are to come by: anyone may write an address into
/// `externalIPs`, a load balancer's is its controller's to give, a ClusterIP the API server's. `entries` are the oldest
/// first, and the first to ask has it.
pub(super) fn claim(
    builder: &mut ServicesBuilder,
    entries: &[Entry<'_>],
    config: &ServicesConfig,
    faults: &mut Vec<Fault>,
) {
    for kind in [FrontendKind::ClusterIp, FrontendKind::NodePort, FrontendKind::LoadBalancer, FrontendKind::ExternalIp]
    {
        for entry in entries {
            match kind {
                FrontendKind::NodePort => claim_node_port(builder, entry, faults),
                FrontendKind::ExternalIp if !config.external_ips => {}
                _ => claim_addresses(builder, entry, kind, faults),
            }
        }
    }
}

fn claim_node_port(builder: &mut ServicesBuilder, entry: &Entry<'_>, faults: &mut Vec<Fault>) {
    let Some(port) = entry.port.node_port else { return };
    let protocol = entry.port.protocol.number();
    if let Err(reason) = builder.node_port(port, protocol, entry.id) {
        faults.push(fault(entry.service, ports_field(entry.position).key("nodePort"), explain(reason)));
    }
}

fn claim_addresses(builder: &mut ServicesBuilder, entry: &Entry<'_>, kind: FrontendKind, faults: &mut Vec<Fault>) {
    let (field, addresses): (&[&str], &[IpAddr]) = match kind {
        FrontendKind::LoadBalancer => (&["status", "loadBalancer", "ingress"], &entry.service.load_balancer_ips),
        FrontendKind::ExternalIp => (&["spec", "externalIPs"], &entry.service.external_ips),
        FrontendKind::ClusterIp | FrontendKind::NodePort => (&["spec", "clusterIPs"], &entry.service.cluster_ips),
    };
    let other_kinds =
        |address: &IpAddr| kind == FrontendKind::ExternalIp && entry.service.load_balancer_ips.contains(address);
    for &address in addresses.iter().filter(|address| Family::of(**address) == entry.family && !other_kinds(address)) {
        let key = FrontendKey { address, port: entry.port.port, protocol: entry.port.protocol.number() };
        if let Err(reason) = builder.frontend(key, kind, entry.id) {
            faults.push(fault(entry.service, FieldPath::of(field), explain(reason)));
        }
    }
}

fn explain(reason: ServicesError) -> Problem {
    match reason {
        ServicesError::FrontendTaken { key, first, .. } => Problem::Taken { what: key.to_string(), by: first },
        ServicesError::NodePortTaken { port, first, .. } => Problem::Taken { what: port.to_string(), by: first },
        reason => Problem::Refused { reason },
    }
}
