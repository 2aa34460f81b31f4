//! Services and EndpointSlices to what the switch looks up: frontends, and the backends behind them on this node.

mod claims;
mod compiled;
mod config;
mod health_check;
mod port_mappings;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::{Family, ServiceEntry, ServiceId, Services};

pub(crate) use compiled::CompiledServices;
pub use config::{NodePortAddresses, ServicesConfig};
pub use health_check::{HealthCheck, health_checks};
pub use port_mappings::PortMapping;

use crate::derived_slices::derive;
use crate::endpoint_slice::EndpointSlice;
use crate::endpoints::{Place, candidates, usable};
use crate::fault::{Fault, FieldPath, Problem};
use crate::index::{Changes, Index};
use crate::node::Node;
use crate::object::Key;
use crate::service::{Service, ServicePort, labels_are_for};

/// One port of a Service in one family, as the builder knows it.
struct Entry<'a> {
    service: &'a Service,
    /// Position among the Service's ports.
    position: usize,
    port: &'a ServicePort,
    family: Family,
    id: ServiceId,
}

/// Makes the Services of this node from all objects. `seed` seeds their hash maps.
///
/// Two Services that claim one frontend: it goes to a Service whose ClusterIP it is, then to one whose load balancer has
/// the address, then to one that names it in `externalIPs`; among equals to the older one (`creationTimestamp`; one
/// without comes last), then to the one whose namespace and name come first. The other one has all its other frontends
/// and a [`Fault`].
///
/// [`crate::Compiler`] does the same and keeps what does not change from one call to the next.
pub fn compile_services(index: &Index, node: &Node, config: &ServicesConfig, seed: u64) -> (Services, Vec<Fault>) {
    let mut compiled = CompiledServices::default();
    compiled.update(index, &Changes::all(), node, config, seed);
    (Services::clone(compiled.services()), compiled.faults().to_vec())
}

/// The Services that this switch carries out.
fn oldest_first<'a>(index: &'a Index, config: &ServicesConfig) -> Vec<&'a Service> {
    let proxy_name = config.proxy_name.as_deref();
    let mut services: Vec<&Service> = index.services().filter(|service| service.is_for(proxy_name)).collect();
    services.sort_by_key(|service| (service.created.is_none(), service.created, &service.name));
    services
}

/// What each port of a Service is in each family, with its position.
fn service_entries<'a>(
    index: &Index,
    node: &Node,
    config: &ServicesConfig,
    service: &'a Service,
) -> Vec<(usize, &'a ServicePort, ServiceEntry)> {
    let slices = slices(index, service, config.proxy_name.as_deref());
    let families: BTreeSet<Family> = service.cluster_ips.iter().map(|address| Family::of(*address)).collect();
    let mut entries = Vec::new();
    for family in families {
        let source_ranges = source_ranges(service, node, family);
        for (position, port) in service.ports.iter().enumerate() {
            let candidates = candidates(slices.iter().map(AsRef::as_ref), port, family);
            let usable = usable(&candidates, Place { node: &node.name, zone: node.zone() });
            let entry = ServiceEntry {
                key: stable_key(service, port, family),
                name: display_name(service, port),
                family,
                protocol: port.protocol.number(),
                cluster: usable.cluster,
                local: usable.local,
                known: usable.known,
                internal_local: service.internal_local,
                external_local: service.external_local,
                affinity: service.affinity,
                source_ranges: source_ranges.clone(),
                choice: config.choice,
            };
            entries.push((position, port, entry));
        }
    }
    entries
}

/// What slices say of a Service: those written for it, or, when there is none and it has a selector, those that its Pods
/// amount to.
fn slices<'a>(index: &'a Index, service: &Service, proxy_name: Option<&str>) -> Vec<Cow<'a, EndpointSlice>> {
    let mut written = index.slices_of(&service.name).peekable();
    if written.peek().is_none() {
        return derive(index, service).into_iter().map(Cow::Owned).collect();
    }
    written.filter(|slice| labels_are_for(&slice.labels, proxy_name)).map(Cow::Borrowed).collect()
}

/// Networks from which the load balancer's addresses of one family may be used. One whose ranges are all of the other
/// family may be used from nowhere. Where a range holds an address of this node, so may the addresses themselves: the
/// node's own packets to them can have them as their source, too.
fn source_ranges(service: &Service, node: &Node, family: Family) -> Option<Arc<[IpNet]>> {
    let written = service.source_ranges.as_ref()?;
    let of_family = |address: &IpAddr| Family::of(*address) == family;
    let mut ranges: Vec<IpNet> = written.iter().filter(|range| of_family(&range.addr())).copied().collect();
    let node_allowed = node.addresses().any(|address| ranges.iter().any(|range| range.contains(&address)));
    if node_allowed {
        ranges.extend(service.load_balancer_ips.iter().filter(|address| of_family(address)).map(|ip| IpNet::from(*ip)));
    }
    Some(ranges.into())
}

/// Names a port of a Service in one family alike in every generation and every run: by names, not by numbers, so that a
/// client keeps its endpoint when the port's number changes. FNV-1a, with a mixer behind it that spreads its bits. Two
/// that meet in one key are told, and the older one is carried out.
fn stable_key(service: &Service, port: &ServicePort, family: Family) -> u64 {
    // No name holds a slash, so no two write the same.
    let text = format!("{}/{}/{}/{family}", service.name, port.name, port.protocol);
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// `namespace/name:port`.
fn display_name(service: &Service, port: &ServicePort) -> Arc<str> {
    let Service { name, .. } = service;
    if port.name.is_empty() { format!("{name}:{}", port.port) } else { format!("{name}:{}", port.name) }.into()
}

fn ports_field(position: usize) -> FieldPath {
    FieldPath::of(&["spec", "ports"]).index(position)
}

fn fault(service: &Service, field: FieldPath, problem: Problem) -> Fault {
    Fault { subject: Key::Service(service.name.clone()).subject(), field, problem }
}
