//! Which endpoints of a Service's port are usable on this node now.
//!
//! A port of kube-proxy's `CategorizeEndpoints` (Kubernetes `pkg/proxy/topology.go`), so that a cluster with both kinds
//! of node behaves as one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sluice_tables::{Backend, Family, KnownBackend};

use crate::endpoint_slice::{AddressType, Endpoint, EndpointSlice};
use crate::name::NodeName;
use crate::service::ServicePort;

/// One endpoint at the port it has for the Service's port in question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// Its number there.
    pub(crate) port: u16,
    /// The endpoint.
    pub(crate) endpoint: &'a Endpoint,
}

/// Where the switch stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The node.
    pub(crate) node: &'a NodeName,
    /// Its zone, where it has one.
    pub(crate) zone: Option<&'a str>,
}

/// What a Service's port leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usable {
    /// Under policy Cluster.
    pub(crate) cluster: Vec<Backend>,
    /// Under policy Local.
    pub(crate) local: Vec<Backend>,
    /// All, usable or not.
    pub(crate) known: Vec<KnownBackend>,
}

/// All endpoints of one family that slices give for a port, each address and port once, ordered by them.
///
/// Ports are matched by name and protocol, and the number is the slice's: a name at the Service may stand for another
/// number in each Pod. An endpoint that is moving between slices is in two for a while; the state in which it is most
/// usable counts, and of equals that of the slice whose name comes first.
pub(crate) fn candidates<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    port: &ServicePort,
    family: Family,
) -> Vec<Candidate<'a>> {
    let mut all: BTreeMap<(IpAddr, u16), &Endpoint> = BTreeMap::new();
    for slice in slices.into_iter().filter(|slice| slice.address_type == AddressType::Ip(family)) {
        let named = slice.ports.iter().filter(|own| own.name == port.name && own.protocol == port.protocol);
        for number in named.map(|own| own.port) {
            for endpoint in &slice.endpoints {
                let known = all.entry((endpoint.address, number)).or_insert(endpoint);
                if rank(endpoint) > rank(known) {
                    *known = endpoint;
                }
            }
        }
    }
    all.into_iter().map(|((_, port), endpoint)| Candidate { port, endpoint }).collect()
}

fn rank(endpoint: &Endpoint) -> (bool, bool) {
    (endpoint.ready, endpoint.serving)
}

/// Sorts candidates into the two sets, which are decided independently of each other.
///
/// Cluster: the ready ones that the topology prefers; none ready anywhere, then all that still serve while they
/// terminate, wherever they are. Local: the ready ones on this node; none, then its terminating ones that still serve.
pub(crate) fn usable(candidates: &[Candidate<'_>], place: Place<'_>) -> Usable {
    let ready: Vec<Candidate<'_>> = candidates.iter().filter(|one| one.endpoint.ready).copied().collect();
    let prefers = preference(&ready, place);
    let mut cluster: Vec<Candidate<'_>> =
        ready.iter().filter(|one| prefers.takes(one.endpoint, place)).copied().collect();
    if cluster.is_empty() {
        cluster.extend(candidates.iter().filter(|one| goes_on(one.endpoint)));
    }
    let here = |one: &&Candidate<'_>| one.endpoint.node.as_ref() == Some(place.node);
    let mut local: Vec<Candidate<'_>> = ready.iter().filter(here).copied().collect();
    if local.is_empty() {
        local.extend(candidates.iter().filter(here).filter(|one| goes_on(one.endpoint)));
    }
    let known = candidates.iter().map(|one| KnownBackend {
        address: one.endpoint.address,
        port: one.port,
        serving: one.endpoint.ready || one.endpoint.serving,
    });
    Usable { cluster: backends(&cluster), local: backends(&local), known: known.collect() }
}

/// On its way out, but still able to answer.
fn goes_on(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating
}

fn backends(candidates: &[Candidate<'_>]) -> Vec<Backend> {
    candidates.iter().map(|one| Backend { address: one.endpoint.address, port: one.port }).collect()
}

/// How near a ready endpoint has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preference {
    Anywhere,
    Zone,
    Node,
}

impl Preference {
    fn takes(self, endpoint: &Endpoint, place: Place<'_>) -> bool {
        match self {
            Preference::Anywhere => true,
            Preference::Zone => hinted_zone(endpoint, place),
            Preference::Node => endpoint.node_hints.contains(place.node),
        }
    }
}

/// Hints count only when every ready endpoint has one, else some would have no client, and only when one of them names
/// this place, else it would have no endpoint. A hint for the node goes before one for its zone.
fn preference(ready: &[Candidate<'_>], place: Place<'_>) -> Preference {
    let endpoints = || ready.iter().map(|one| one.endpoint);
    let by_node = endpoints().all(|endpoint| !endpoint.node_hints.is_empty());
    if by_node && endpoints().any(|endpoint| Preference::Node.takes(endpoint, place)) {
        return Preference::Node;
    }
    let by_zone = endpoints().all(|endpoint| !endpoint.zone_hints.is_empty());
    if by_zone && endpoints().any(|endpoint| Preference::Zone.takes(endpoint, place)) {
        return Preference::Zone;
    }
    Preference::Anywhere
}

fn hinted_zone(endpoint: &Endpoint, place: Place<'_>) -> bool {
    place.zone.is_some_and(|zone| endpoint.zone_hints.iter().any(|hint| **hint == *zone))
}

#[cfg(test)]
mod tests;
