//! What load balancers are told: whether this node has endpoints of a Service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{ServicesConfig, oldest_first, slices};
use crate::index::Index;
use crate::name::ServiceName;
use crate::node::Node;
use crate::service::Service;

/// One Service's health check on this node. The answer is good where there is a ready endpoint and the switch is well;
/// endpoints that terminate do not count, though traffic still flows to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port at which it is asked for.
    pub node_port: u16,
    /// The Service.
    pub service: ServiceName,
    /// Addresses of ready endpoints on this node.
    pub local_ready_endpoints: usize,
}

/// The health checks that this node answers: those of load balancers under policy Local, the oldest Service first.
pub fn health_checks(index: &Index, node: &Node, config: &ServicesConfig) -> Vec<HealthCheck> {
    oldest_first(index, config).into_iter().filter_map(|service| health_check(index, node, config, service)).collect()
}

/// That of one Service, where it has one.
pub(super) fn health_check(
    index: &Index,
    node: &Node,
    config: &ServicesConfig,
    service: &Service,
) -> Option<HealthCheck> {
    let node_port = service.health_check_node_port.filter(|_| service.has_health_check())?;
    let slices = slices(index, service, config.proxy_name.as_deref());
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let local = endpoints.filter(|one| one.ready && one.node.as_ref() == Some(&node.name));
    let addresses: BTreeSet<IpAddr> = local.map(|one| one.address).collect();
    Some(HealthCheck { node_port, service: service.name.clone(), local_ready_endpoints: addresses.len() })
}
