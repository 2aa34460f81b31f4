//! Services: which one a packet is for, and which of its endpoints may get it.

use std::net::IpAddr;

use crate::cluster::{
    Cluster, Endpoint, Protocol, SERVICE_NETWORKS, Service, ServiceKind, ServicePort, is_in, node_address,
};

/// Where a packet has come to a Service.
#[derive(Clone, Copy, Debug)]
pub struct Frontend<'c> {
    /// The Service.
    pub service: &'c Service,
    /// Its port.
    pub port: &'c ServicePort,
    /// A node port, an address of a load balancer, or an external address.
    pub is_external: bool,
    /// An address of a load balancer.
    pub load_balancer: bool,
}

/// What an address and a port are to the Services.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'c> {
    /// A frontend.
    Found(Frontend<'c>),
    /// A Service's address, but no port of it.
    OtherPort {
        /// Whether it is a ClusterIP.
        cluster_ip: bool,
    },
    /// In a Service network, and no Service's.
    Unallocated,
    /// Nothing.
    Nothing,
}

/// Looks through all Services.
#[must_use]
pub fn find(cluster: &Cluster, address: IpAddr, protocol: Protocol, number: u16) -> Lookup<'_> {
    let mut other_port = None;
    for service in cluster.services.iter().filter(|service| counts(service)) {
        let cluster_ip = service.cluster_ips.contains(&address);
        let load_balancer = service.ingress.iter().any(|&(ip, proxy)| ip == address && !proxy);
        let external_ip = cluster.setup.external_ips && service.external_ips.contains(&address);
        let of_node = [true, false].iter().any(|&v4| node_address(0, v4) == address);
        for port in service.ports.iter().filter(|port| port.protocol == protocol) {
            if port.port == number && (cluster_ip || load_balancer || external_ip) {
                return Lookup::Found(Frontend { service, port, is_external: !cluster_ip, load_balancer });
            }
            let has_family = service.cluster_ips.iter().any(|ip| ip.is_ipv4() == address.is_ipv4());
            if of_node && port.node_port == Some(number) && has_family {
                return Lookup::Found(Frontend { service, port, is_external: true, load_balancer: false });
            }
        }
        if cluster_ip || load_balancer || external_ip {
            other_port = Some(Lookup::OtherPort { cluster_ip });
        }
    }
    let in_network = SERVICE_NETWORKS.iter().any(|network| is_in(network, address));
    other_port.unwrap_or(if in_network { Lookup::Unallocated } else { Lookup::Nothing })
}

/// Whether a Service is ours to serve.
fn counts(service: &Service) -> bool {
    service.kind != ServiceKind::ExternalName && !service.cluster_ips.is_empty() && !service.foreign_proxy
}

/// Address and port of the endpoints that may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usable {
    /// Under traffic policy Cluster.
    pub cluster: Vec<(IpAddr, u16)>,
    /// Under traffic policy Local.
    pub local: Vec<(IpAddr, u16)>,
}

/// The endpoints that may be chosen for a Service's port.
#[must_use]
pub fn usable(cluster: &Cluster, service: &Service, port: &ServicePort, v4: bool) -> Usable {
    let mut all: Vec<(&Endpoint, u16)> = Vec::new();
    for slice in service.slices.iter().filter(|slice| slice.v4 == v4) {
        for target in slice.ports.iter().filter(|target| name(&target.name) == name(&port.name)) {
            for endpoint in &slice.endpoints {
                if !all.iter().any(|(it, number)| (it.address, *number) == (endpoint.address, target.port)) {
                    all.push((endpoint, target.port));
                }
            }
        }
    }
    let ready: Vec<_> = all.iter().copied().filter(|(it, _)| it.ready.unwrap_or(true)).collect();
    let ending: Vec<_> =
        all.iter().copied().filter(|(it, _)| it.serving.unwrap_or(true) && it.terminating.unwrap_or(false)).collect();
    let here = |list: &[(&Endpoint, u16)]| {
        let local = list.iter().filter(|(it, _)| it.node == Some(0));
        local.map(|(it, port)| (it.address, *port)).collect::<Vec<_>>()
    };
    let chosen = if ready.is_empty() { ending.clone() } else { near(cluster, &ready) };
    let local = if here(&ready).is_empty() { here(&ending) } else { here(&ready) };
    Usable { cluster: chosen.iter().map(|(it, port)| (it.address, *port)).collect(), local }
}

fn name(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or("")
}

/// Hints count only where every ready endpoint has one and one of them is meant for us.
fn near<'c>(cluster: &Cluster, ready: &[(&'c Endpoint, u16)]) -> Vec<(&'c Endpoint, u16)> {
    let all_for_nodes = ready.iter().all(|(it, _)| !it.for_nodes.is_empty());
    let for_us: Vec<_> = ready.iter().copied().filter(|(it, _)| it.for_nodes.contains(&0)).collect();
    if all_for_nodes && !for_us.is_empty() {
        return for_us;
    }
    let all_for_zones = ready.iter().all(|(it, _)| !it.for_zones.is_empty());
    if let Some(zone) = &cluster.nodes[0].zone
        && all_for_zones
    {
        let for_zone: Vec<_> = ready.iter().copied().filter(|(it, _)| it.for_zones.contains(zone)).collect();
        if !for_zone.is_empty() {
            return for_zone;
        }
    }
    ready.to_vec()
}
