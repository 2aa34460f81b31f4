//! Services put into the tables by hand.

use sluice_tables::{
    Backend, Choice, Family, FrontendKey, FrontendKind, KnownBackend, ServiceEntry, Services, ServicesBuilder,
};

use crate::cluster::{Cluster, SERVICE_NETWORKS, ServiceKind, node_address, parse_net};
use crate::expect::usable;
use crate::traffic::Content;

pub(crate) fn services(cluster: &Cluster) -> Services {
    let mut builder = ServicesBuilder::new(7);
    for network in SERVICE_NETWORKS {
        builder.service_cidr(parse_net(network));
    }
    for v4 in [true, false] {
        builder.node_port_address(node_address(0, v4));
    }
    let mut key = 0;
    for (at, service) in cluster.services.iter().enumerate() {
        if service.kind == ServiceKind::ExternalName || service.foreign_proxy {
            continue;
        }
        for port in &service.ports {
            for v4 in [true, false] {
                if !service.cluster_ips.iter().any(|ip| ip.is_ipv4() == v4) {
                    continue;
                }
                key += 1;
                let protocol = Content::Transport(port.protocol).number(v4);
                let sets = usable(cluster, service, port, v4);
                let backends = |list: &[(std::net::IpAddr, u16)]| {
                    list.iter().map(|&(address, port)| Backend { address, port }).collect::<Vec<_>>()
                };
                let slices = service.slices.iter().filter(|slice| slice.v4 == v4);
                let known = slices.flat_map(|slice| {
                    let target = slice.ports.iter().find(|it| it.name == port.name).map_or(1, |it| it.port);
                    slice.endpoints.iter().map(move |it| KnownBackend {
                        address: it.address,
                        port: target,
                        serving: it.serving.unwrap_or(true),
                    })
                });
                let entry = ServiceEntry {
                    key,
                    name: format!("svc{at}:{}", port.port).into(),
                    family: if v4 { Family::V4 } else { Family::V6 },
                    protocol,
                    cluster: backends(&sets.cluster),
                    local: backends(&sets.local),
                    known: known.collect(),
                    internal_local: service.internal_local,
                    external_local: service.external_local,
                    affinity: service.affinity,
                    source_ranges: (!service.source_ranges.is_empty()).then(|| service.source_ranges.clone().into()),
                    choice: Choice::Random,
                };
                let id = builder.service(entry).expect("a right Service");
                let mut add = |address: std::net::IpAddr, kind| {
                    if address.is_ipv4() == v4 {
                        let frontend = FrontendKey { address, port: port.port, protocol };
                        builder.frontend(frontend, kind, id).expect("a frontend of its own");
                    }
                };
                service.cluster_ips.iter().for_each(|&ip| add(ip, FrontendKind::ClusterIp));
                service.ingress.iter().filter(|it| !it.1).for_each(|&(ip, _)| add(ip, FrontendKind::LoadBalancer));
                if cluster.setup.external_ips {
                    service.external_ips.iter().for_each(|&ip| add(ip, FrontendKind::ExternalIp));
                }
                if let Some(number) = port.node_port {
                    builder.node_port(number, protocol, id).expect("a node port of its own");
                }
            }
        }
    }
    builder.build()
}
