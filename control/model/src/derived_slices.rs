//! EndpointSlices for a Service whose Pods are known but for which nobody wrote any, as in a directory of manifests.
//!
//! They are what Kubernetes' EndpointSlice controller would write from the same objects.

use std::collections::{BTreeMap, BTreeSet};

use sluice_tables::Family;

use crate::endpoint_slice::{AddressType, Endpoint, EndpointPort, EndpointSlice};
use crate::index::Index;
use crate::name::{EndpointSliceName, NodeName};
use crate::object::Labels;
use crate::pod::Pod;
use crate::service::{Service, ServicePort, TargetPort, TrafficDistribution};

/// The slices of a Service from the Pods that its selector finds: one for each family and each way in which Pods map
/// its ports to numbers. None for a Service without a selector.
pub(crate) fn derive(index: &Index, service: &Service) -> Vec<EndpointSlice> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let pods: Vec<&Pod> = index.pods_in(service.name.namespace()).filter(|pod| service.selects(&pod.labels)).collect();
    let families: BTreeSet<Family> = service.cluster_ips.iter().map(|address| Family::of(*address)).collect();
    families.into_iter().flat_map(|family| of_family(index, service, &pods, family)).collect()
}

/// Positions of a Service's ports and the number that each has in a Pod.
type Numbers = Vec<(usize, u16)>;

fn of_family(index: &Index, service: &Service, pods: &[&Pod], family: Family) -> Vec<EndpointSlice> {
    // A Pod that maps a named port to another number needs a slice of its own, which is rare.
    let mut groups: BTreeMap<Numbers, Vec<Endpoint>> = BTreeMap::new();
    for pod in pods {
        if let Some(endpoint) = endpoint(index, service, pod, family) {
            groups.entry(numbers(service, pod)).or_default().push(endpoint);
        }
    }
    let slice = |(number, (ports, endpoints)): (usize, (Numbers, Vec<Endpoint>))| {
        let suffix = if family == Family::V4 { "v4" } else { "v6" };
        let name = format!("{}-{suffix}-{number}", service.name.name());
        let port = |(position, number): (usize, u16)| {
            let port = service.ports.get(position)?;
            Some(EndpointPort { name: port.name.clone(), protocol: port.protocol, port: number })
        };
        Some(EndpointSlice {
            // A Service's name is a label, so this is a subdomain.
            name: EndpointSliceName::new(service.name.namespace().clone(), &name).ok()?,
            labels: Labels::new(),
            service: Some(service.name.clone()),
            address_type: AddressType::Ip(family),
            endpoints,
            ports: ports.into_iter().filter_map(port).collect(),
            changed: None,
        })
    };
    groups.into_iter().enumerate().filter_map(slice).collect()
}

/// The number of each of the Service's ports in this Pod, by position. A port that the Pod does not have is left out.
fn numbers(service: &Service, pod: &Pod) -> Numbers {
    let number = |(position, port): (usize, &ServicePort)| match &port.target {
        TargetPort::Number(number) => Some((position, *number)),
        TargetPort::Name(name) => pod.named_port(name, port.protocol).map(|number| (position, number)),
    };
    service.ports.iter().enumerate().filter_map(number).collect()
}

/// A Pod that is over has no endpoint, for its address may be another's already. A manifest seldom has a status: a Pod
/// counts as ready unless a condition says that it is not.
fn endpoint(index: &Index, service: &Service, pod: &Pod, family: Family) -> Option<Endpoint> {
    if pod.phase.is_over() {
        return None;
    }
    let address = pod.addresses.iter().copied().find(|address| Family::of(*address) == family)?;
    let serving = pod.ready.unwrap_or(true);
    let ready = service.publish_not_ready || (serving && !pod.terminating);
    let zone = pod.node.as_ref().and_then(|node| index.node(node)?.zone());
    let (node_hints, zone_hints) = hints(service.traffic_distribution, pod.node.as_ref(), zone);
    Some(Endpoint {
        address,
        ready,
        serving,
        terminating: pod.terminating,
        node: pod.node.clone(),
        zone_hints: zone_hints.map(Into::into).into_iter().collect(),
        node_hints: node_hints.cloned().into_iter().collect(),
    })
}

/// Every endpoint is hinted to where it is (KEP-3015).
fn hints<'a>(
    distribution: TrafficDistribution,
    node: Option<&'a NodeName>,
    zone: Option<&'a str>,
) -> (Option<&'a NodeName>, Option<&'a str>) {
    match distribution {
        TrafficDistribution::Any => (None, None),
        TrafficDistribution::PreferSameZone => (None, zone),
        TrafficDistribution::PreferSameNode => (node, zone),
    }
}
