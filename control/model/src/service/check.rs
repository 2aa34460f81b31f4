//! From a Service as it is written to one that can be carried out.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Service, ServiceKind, ServicePort, TargetPort, TrafficDistribution};
use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::ServiceName;
use crate::object::Kind;
use crate::raw::{self, IntOrString};

/// Seconds of affinity when none are written (API default).
const AFFINITY_DEFAULT: u32 = 10_800;
/// Most seconds of affinity (API validation).
const AFFINITY_MAX: u32 = 86_400;

/// Checks all fields. A Service with any fault is refused whole, so that it is never carried out in part.
pub(crate) fn check(raw: &raw::Service) -> Result<Service, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let spec = raw.spec.clone().unwrap_or_default();
    let mut checking = Check::new(Kind::Service, &metadata);
    let check = &mut checking;
    let name = check.full_name(&metadata, ServiceName::new);
    let labels = check.labels(&metadata);
    let created = check.created(&metadata);
    let kind = check_kind(check, &spec).unwrap_or(ServiceKind::ClusterIp);
    let cluster = check_cluster_ips(check, kind, &spec);
    let empty_allowed = kind == ServiceKind::ExternalName || matches!(cluster, Cluster::Headless);
    let ports = check_ports(check, kind, empty_allowed, &spec);
    let external_ips = check_addresses(check, "externalIPs", spec.external_ips.as_deref().unwrap_or_default());
    let source_ranges = check_source_ranges(check, &spec);
    let external_local = check_policy(check, "externalTrafficPolicy", spec.external_traffic_policy.as_deref());
    let internal_local = check_policy(check, "internalTrafficPolicy", spec.internal_traffic_policy.as_deref());
    let affinity = check_affinity(check, &spec);
    let health_check_node_port = check_health_port(check, &spec);
    let load_balancer_ips = check_ingress(check, raw.status.as_ref());
    let service = name.map(|name| Service {
        name,
        labels,
        created,
        kind,
        cluster_ips: cluster.addresses(),
        ports,
        selector: spec.selector.clone().unwrap_or_default(),
        external_ips,
        load_balancer_ips,
        source_ranges,
        external_local,
        internal_local,
        affinity,
        health_check_node_port,
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        traffic_distribution: distribution(spec.traffic_distribution.as_deref()),
    });
    checking.finish(service)
}

fn field(name: &str) -> FieldPath {
    FieldPath::of(&["spec", name])
}

fn check_kind(check: &mut Check, spec: &raw::ServiceSpec) -> Option<ServiceKind> {
    let words = [
        ("ClusterIP", ServiceKind::ClusterIp),
        ("NodePort", ServiceKind::NodePort),
        ("LoadBalancer", ServiceKind::LoadBalancer),
        ("ExternalName", ServiceKind::ExternalName),
    ];
    check.one_of(field("type"), spec.kind.as_deref(), &words, "ClusterIP, NodePort, LoadBalancer, ExternalName")
}

enum Cluster {
    /// `None` is written: clients ask DNS for the endpoints.
    Headless,
    At(Vec<IpAddr>),
}

impl Cluster {
    fn addresses(self) -> Vec<IpAddr> {
        match self {
            Cluster::Headless => Vec::new(),
            Cluster::At(addresses) => addresses,
        }
    }
}

fn check_cluster_ips(check: &mut Check, kind: ServiceKind, spec: &raw::ServiceSpec) -> Cluster {
    let single = spec.cluster_ip.as_deref().filter(|text| !text.is_empty());
    let list = spec.cluster_ips.as_deref().unwrap_or_default();
    if let (Some(value), Some(first)) = (single, list.first())
        && value != first
    {
        let problem = Problem::NotFirst { value: value.to_owned(), list: "spec.clusterIPs", first: first.clone() };
        check.fault::<()>(field("clusterIP"), problem);
    }
    if kind == ServiceKind::ExternalName {
        return Cluster::At(Vec::new());
    }
    if single == Some("None") || list.first().is_some_and(|first| first == "None") {
        return Cluster::Headless;
    }
    let written: Vec<(FieldPath, &str)> = match (single, list) {
        (Some(value), []) => vec![(field("clusterIP"), value)],
        (None, []) => {
            check.fault::<()>(field("clusterIP"), Problem::NotAllocated);
            Vec::new()
        }
        (_, list) => list.iter().enumerate().map(|(i, text)| (field("clusterIPs").index(i), text.as_str())).collect(),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (at, text) in written {
        let Some(value) = check.reachable(at.clone(), Some(text)) else { continue };
        match addresses.iter().find(|other| other.is_ipv4() == value.is_ipv4()) {
            Some(&other) => check.fault(at, Problem::SecondOfFamily { value, other }).unwrap_or_default(),
            None => addresses.push(value),
        }
    }
    Cluster::At(addresses)
}

fn check_ports(check: &mut Check, kind: ServiceKind, empty_allowed: bool, spec: &raw::ServiceSpec) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    for (index, raw) in spec.ports.iter().flatten().enumerate() {
        let at = field("ports").index(index);
        let Some(port) = check_port(check, kind, &at, raw) else { continue };
        let same = |other: &ServicePort| (other.port, other.protocol) == (port.port, port.protocol);
        if ports.iter().any(|other| other.name == port.name) {
            check.fault::<()>(at.key("name"), Problem::DuplicateOf { value: port.name.to_string() });
        } else if ports.iter().any(same) {
            let value = format!("{} {}", port.protocol, port.port);
            check.fault::<()>(at.key("port"), Problem::DuplicateOf { value });
        } else {
            ports.push(port);
        }
    }
    if spec.ports.iter().flatten().next().is_none() && !empty_allowed {
        check.fault::<()>(field("ports"), Problem::Empty);
    }
    ports
}

fn check_port(check: &mut Check, kind: ServiceKind, at: &FieldPath, raw: &raw::ServicePort) -> Option<ServicePort> {
    let protocol = check.protocol(at.clone().key("protocol"), raw.protocol.as_deref());
    let port = check.port(at.clone().key("port"), raw.port);
    let target = match &raw.target_port {
        None | Some(IntOrString::Int(0)) => port.map(TargetPort::Number),
        Some(IntOrString::Text(text)) if text.is_empty() => port.map(TargetPort::Number),
        Some(IntOrString::Int(value)) => check.port(at.clone().key("targetPort"), Some(*value)).map(TargetPort::Number),
        Some(IntOrString::Text(name)) if is_port_name(name) => Some(TargetPort::Name(name.clone())),
        Some(IntOrString::Text(value)) => {
            check.fault(at.clone().key("targetPort"), Problem::BadPortName { value: value.clone() })
        }
    };
    let at_node = at.clone().key("nodePort");
    let node_port = match raw.node_port.filter(|value| *value != 0) {
        Some(value) => Some(check.port(at_node, Some(value))?),
        // A load balancer may do without (allocateLoadBalancerNodePorts); a NodePort Service is nothing without.
        None if kind == ServiceKind::NodePort => check.fault(at_node, Problem::NotAllocated)?,
        None => None,
    };
    let has_node_ports = matches!(kind, ServiceKind::NodePort | ServiceKind::LoadBalancer);
    Some(ServicePort {
        name: raw.name.as_deref().unwrap_or_default().into(),
        protocol: protocol?,
        port: port?,
        target: target?,
        node_port: node_port.filter(|_| has_node_ports),
    })
}

/// IANA service names (RFC 6335 section 5.1), in lower case as the API has them.
pub(crate) fn is_port_name(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let hyphens = text.starts_with('-') || text.ends_with('-') || text.contains("--");
    inner && !hyphens && text.len() <= 15 && text.bytes().any(|b| b.is_ascii_lowercase())
}

fn check_addresses(check: &mut Check, name: &str, written: &[String]) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let address = check.reachable(field(name).index(index), Some(text));
        addresses.extend(address.filter(|address| !addresses.contains(address)));
    }
    addresses
}

/// An empty list is no restriction. The API lets blanks and bits behind the prefix pass, so they are cut.
fn check_source_ranges(check: &mut Check, spec: &raw::ServiceSpec) -> Option<Vec<IpNet>> {
    let written = spec.load_balancer_source_ranges.as_deref().filter(|list| !list.is_empty())?;
    let mut ranges = Vec::new();
    for (index, text) in written.iter().enumerate() {
        match text.trim().parse::<IpNet>() {
            Ok(range) => ranges.push(range.trunc()),
            Err(_) => {
                let at = field("loadBalancerSourceRanges").index(index);
                check.fault::<()>(at, Problem::NotACidr { value: text.clone() });
            }
        }
    }
    Some(ranges)
}

/// Whether the policy is `Local`.
fn check_policy(check: &mut Check, name: &str, written: Option<&str>) -> bool {
    let words = [("Cluster", false), ("Local", true)];
    check.one_of(field(name), written, &words, "Cluster, Local").unwrap_or(false)
}

fn check_affinity(check: &mut Check, spec: &raw::ServiceSpec) -> Option<u32> {
    let words = [("None", false), ("ClientIP", true)];
    if !check.one_of(field("sessionAffinity"), spec.session_affinity.as_deref(), &words, "None, ClientIP")? {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let Some(value) = config.and_then(|config| config.timeout_seconds) else { return Some(AFFINITY_DEFAULT) };
    match u32::try_from(value) {
        Ok(seconds @ 1..=AFFINITY_MAX) => Some(seconds),
        _ => {
            let at = field("sessionAffinityConfig").key("clientIP").key("timeoutSeconds");
            check.fault(at, Problem::OutOfRange { value, least: 1, most: AFFINITY_MAX.into() })
        }
    }
}

fn check_health_port(check: &mut Check, spec: &raw::ServiceSpec) -> Option<u16> {
    let written = spec.health_check_node_port.filter(|value| *value != 0)?;
    check.port(field("healthCheckNodePort"), Some(written))
}

/// Host names are for DNS, and `ipMode: Proxy` means that packets do not arrive with the address (KEP-1860).
fn check_ingress(check: &mut Check, status: Option<&raw::ServiceStatus>) -> Vec<IpAddr> {
    let ingress = status.and_then(|status| status.load_balancer.as_ref()).and_then(|status| status.ingress.as_deref());
    let mut addresses = Vec::new();
    for (index, entry) in ingress.unwrap_or_default().iter().enumerate() {
        let at = FieldPath::of(&["status", "loadBalancer", "ingress"]).index(index);
        let words = [("VIP", true), ("Proxy", false)];
        let arrives = check.one_of(at.clone().key("ipMode"), entry.ip_mode.as_deref(), &words, "VIP, Proxy");
        let Some(text) = entry.ip.as_deref().filter(|text| !text.is_empty()) else { continue };
        let address = check.reachable(at.key("ip"), Some(text)).filter(|_| arrives == Some(true));
        addresses.extend(address.filter(|address| !addresses.contains(address)));
    }
    addresses
}

/// A word that is not known is no preference, as the API asks of implementations.
fn distribution(written: Option<&str>) -> TrafficDistribution {
    match written {
        Some("PreferSameZone" | "PreferClose") => TrafficDistribution::PreferSameZone,
        Some("PreferSameNode") => TrafficDistribution::PreferSameNode,
        _ => TrafficDistribution::Any,
    }
}
