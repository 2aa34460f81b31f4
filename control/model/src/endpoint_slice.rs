//! EndpointSlices: where the backends of a Service are.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_tables::Family;

use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::{EndpointSliceName, NodeName, ServiceName};
use crate::object::{Kind, Labels};
use crate::protocol::Protocol;
use crate::raw;
use crate::timestamp::Timestamp;

/// Label with the Service that a slice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Annotation with the time of the change that the slice tells of, to measure how long it takes to be in force.
pub(crate) const CHANGE_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// A checked EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name.
    pub name: EndpointSliceName,
    /// Its labels.
    pub labels: Labels,
    /// The Service it belongs to.
    pub service: Option<ServiceName>,
    /// What its endpoints have for addresses.
    pub address_type: AddressType,
    /// Its endpoints, in the order written; none where they are host names.
    pub endpoints: Vec<Endpoint>,
    /// Ports that each of them has.
    pub ports: Vec<EndpointPort>,
    /// When what it tells of happened.
    pub changed: Option<Timestamp>,
}

/// What the endpoints of a slice have for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressType {
    /// Addresses of one family.
    Ip(Family),
    /// Host names, which no proxy resolves.
    Fqdn,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address. Of several in one endpoint the first counts, as the API asks of consumers.
    pub address: IpAddr,
    /// Whether it takes new connections.
    pub ready: bool,
    /// Whether it can answer.
    pub serving: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// The node it is on.
    pub node: Option<NodeName>,
    /// Zones whose clients should use it; empty without a hint.
    pub zone_hints: Vec<Arc<str>>,
    /// Nodes whose clients should use it; empty without a hint.
    pub node_hints: Vec<NodeName>,
}

/// A port of every endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name of the Service's port; empty where it has none.
    pub name: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// Checks all fields. A slice with any fault is refused whole.
pub(crate) fn check(raw: &raw::EndpointSlice) -> Result<EndpointSlice, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let mut checking = Check::new(Kind::EndpointSlice, &metadata);
    let check = &mut checking;
    let name = check.full_name(&metadata, EndpointSliceName::new);
    let labels = check.labels(&metadata);
    let changed = metadata.annotations.as_ref().and_then(|all| all.get(CHANGE_ANNOTATION)?.as_deref());
    let service = match (labels.get(SERVICE_LABEL), &name) {
        (Some(service), Some(name)) if !service.is_empty() => {
            let field = FieldPath::of(&["metadata", "labels"]).key(SERVICE_LABEL);
            check.text(field, Some(service), |service| ServiceName::new(name.namespace().clone(), service))
        }
        _ => None,
    };
    let address_type = check_address_type(check, raw.address_type.as_deref());
    let endpoints = match address_type {
        Some(AddressType::Ip(family)) => check_endpoints(check, family, raw.endpoints.as_deref().unwrap_or_default()),
        Some(AddressType::Fqdn) | None => Vec::new(),
    };
    let ports = check_ports(check, raw.ports.as_deref().unwrap_or_default());
    let slice = name.zip(address_type).map(|(name, address_type)| EndpointSlice {
        name,
        labels,
        service,
        address_type,
        endpoints,
        ports,
        // Only measured, so a bad one harms nobody.
        changed: changed.and_then(Timestamp::parse),
    });
    checking.finish(slice)
}

fn check_address_type(check: &mut Check, written: Option<&str>) -> Option<AddressType> {
    let field = FieldPath::of(&["addressType"]);
    let Some(written) = written else { return check.fault(field, Problem::Missing) };
    let words =
        [("IPv4", AddressType::Ip(Family::V4)), ("IPv6", AddressType::Ip(Family::V6)), ("FQDN", AddressType::Fqdn)];
    check.one_of(field, Some(written), &words, "IPv4, IPv6, FQDN")
}

fn check_endpoints(check: &mut Check, family: Family, raw: &[raw::Endpoint]) -> Vec<Endpoint> {
    let mut endpoints = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let at = FieldPath::of(&["endpoints"]).index(index);
        let address = check_endpoint_address(check, family, &at, raw.addresses.as_deref().unwrap_or_default());
        let node = raw.node_name.as_deref().filter(|name| !name.is_empty());
        let node = node.and_then(|name| check.text(at.clone().key("nodeName"), Some(name), NodeName::new));
        let hints = raw.hints.clone().unwrap_or_default();
        let names = |hints: Option<Vec<raw::Hint>>| hints.into_iter().flatten().filter_map(|hint| hint.name);
        let conditions = raw.conditions.clone().unwrap_or_default();
        let Some(address) = address else { continue };
        endpoints.push(Endpoint {
            address,
            ready: conditions.ready.unwrap_or(true),
            serving: conditions.serving.unwrap_or(true),
            terminating: conditions.terminating.unwrap_or(false),
            node,
            zone_hints: names(hints.for_zones).map(Into::into).collect(),
            // A hint for a node that cannot be helps nobody and harms nobody.
            node_hints: names(hints.for_nodes).filter_map(|name| NodeName::new(&name).ok()).collect(),
        });
    }
    endpoints
}

/// Every address is checked; the first is taken.
fn check_endpoint_address(check: &mut Check, family: Family, at: &FieldPath, written: &[String]) -> Option<IpAddr> {
    let field = at.clone().key("addresses");
    if written.is_empty() {
        return check.fault(field, Problem::Empty);
    }
    let mut first = None;
    for (index, text) in written.iter().enumerate().rev() {
        let field = field.clone().index(index);
        first = check.reachable(field.clone(), Some(text));
        if let Some(value) = first.filter(|address| Family::of(*address) != family) {
            first = check.fault(field, Problem::OtherFamily { value });
        }
    }
    first
}

/// A port without a number means every port, which no Service can use (the API leaves it to other consumers).
fn check_ports(check: &mut Check, raw: &[raw::EndpointPort]) -> Vec<EndpointPort> {
    let mut ports = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let at = FieldPath::of(&["ports"]).index(index);
        let protocol = check.protocol(at.clone().key("protocol"), raw.protocol.as_deref());
        let port = raw.port.and_then(|port| check.port(at.key("port"), Some(port)));
        if let (Some(protocol), Some(port)) = (protocol, port) {
            ports.push(EndpointPort { name: raw.name.as_deref().unwrap_or_default().into(), protocol, port });
        }
    }
    ports
}
