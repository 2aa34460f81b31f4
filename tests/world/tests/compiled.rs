//! What the model compiles against what the objects say, without a packet in between: whom policies let through, and what stands behind
//! a Service's frontends.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;
use sluice_tables::{Backends, FrontendKind, FrontendLookup, PodPolicy, Rules, Tables};
use sluice_world::cluster::generate::{NAMED_PORTS, clusters};
use sluice_world::cluster::{Cluster, Protocol, node_address, on_link, own_address};
use sluice_world::expect::{Lookup, find, permits, usable};
use sluice_world::traffic::{Content, Flow, From, outsider};
use sluice_world::wiring;

/// Every address that a policy may be asked about: pods, running or not, nodes, others.
fn addresses(cluster: &Cluster) -> Vec<IpAddr> {
    let pods = (0..cluster.pods.len()).flat_map(|pod| cluster.addresses_of(pod));
    let others = [true, false].into_iter().flat_map(|v4| {
        let nodes = (1..cluster.nodes.len()).map(move |node| node_address(node, v4));
        nodes.chain([9, 12, 20, 209].map(|host| outsider(host, v4))).chain([on_link(61, v4)])
    });
    pods.chain(others).collect()
}

fn contents() -> Vec<(Content, u16)> {
    let transports = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(Content::Transport);
    let mut ports: Vec<u16> = NAMED_PORTS.iter().map(|it| it.1).chain([80, 1023, 1024, 5000, 65_535]).collect();
    ports.dedup();
    let ported = transports.into_iter().flat_map(|content| ports.clone().into_iter().map(move |port| (content, port)));
    ported.chain([(Content::Echo, 0), (Content::Other, 0)]).collect()
}

fn allows(tables: &Tables, rules: Option<&Rules>, peer: IpAddr, content: Content, port: u16) -> bool {
    let number = content.number(peer.is_ipv4());
    rules.is_none_or(|rules| rules.allows(peer, tables.identity(peer), number, port))
}

fn check_policies(cluster: &Cluster) {
    let tables = wiring::tables(cluster, 1, 1);
    for pod in cluster.attached() {
        let PodPolicy { ingress, egress } = tables.policy(wiring::port_of(pod));
        for own in cluster.addresses_of(pod) {
            let same_family = |other: &IpAddr| other.is_ipv4() == own.is_ipv4();
            for other in addresses(cluster).into_iter().filter(same_family).filter(|other| *other != own) {
                if cluster.addresses_of_node(0).contains(&other) {
                    continue;
                }
                for (content, port) in contents() {
                    let flow = |from, source, destination| Flow {
                        from,
                        source,
                        destination,
                        content,
                        source_port: 1,
                        destination_port: port,
                    };
                    let out = flow(From::Pod(pod), own, other);
                    let said = permits(cluster, &out, other, port) != Err("policy_egress");
                    assert_eq!(allows(&tables, egress.as_deref(), other, content, port), said, "{out:?}");
                    let into = flow(From::Outside, other, own);
                    let said = permits(cluster, &into, own, port) != Err("policy_ingress");
                    assert_eq!(allows(&tables, ingress.as_deref(), other, content, port), said, "{into:?}");
                }
            }
        }
    }
}

fn check_services(cluster: &Cluster) {
    let tables = wiring::tables(cluster, 1, 1);
    let addresses = cluster.services.iter().flat_map(|it| {
        let ingress = it.ingress.iter().map(|it| it.0);
        it.cluster_ips.iter().chain(&it.external_ips).copied().chain(ingress)
    });
    let nodes = [true, false].map(|v4| node_address(0, v4));
    let all: Vec<IpAddr> = addresses.chain(nodes).chain([own_address(0, true)]).collect();
    let ports = cluster.services.iter().flat_map(|it| it.ports.iter().flat_map(|it| [Some(it.port), it.node_port]));
    let mut ports: Vec<u16> = ports.flatten().chain([443]).collect();
    ports.sort_unstable();
    ports.dedup();
    for address in all {
        for &port in &ports {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                let number = Content::Transport(protocol).number(address.is_ipv4());
                let compiled = tables.frontend(address, port, number);
                let said = find(cluster, address, protocol, port);
                let at = format!("{address} {port} {protocol:?}: {compiled:?}, said {said:?}");
                match (compiled, said) {
                    (FrontendLookup::Found(found, kind), Lookup::Found(frontend)) => {
                        assert_eq!(kind.is_external(), frontend.is_external, "{at}");
                        assert_eq!(kind == FrontendKind::LoadBalancer, frontend.load_balancer, "{at}");
                        let usable = usable(cluster, frontend.service, frontend.port, address.is_ipv4());
                        let set = |list: &[(IpAddr, u16)]| list.iter().copied().collect::<BTreeSet<_>>();
                        let backends =
                            |it: &Backends| it.all().iter().map(|it| (it.address, it.port)).collect::<BTreeSet<_>>();
                        assert_eq!(backends(found.cluster()), set(&usable.cluster), "{at}");
                        assert_eq!(backends(found.local()), set(&usable.local), "{at}");
                        assert_eq!(found.affinity(), frontend.service.affinity, "{at}");
                    }
                    (FrontendLookup::UndefinedPort, Lookup::OtherPort { cluster_ip: true }) => {}
                    (FrontendLookup::None, Lookup::OtherPort { cluster_ip: false } | Lookup::Nothing) => {}
                    (FrontendLookup::Unallocated, Lookup::Unallocated) => {}
                    _ => panic!("{at}"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn compiled_policies_let_through_whom_the_objects_say(cluster in clusters()) {
        check_policies(&cluster);
    }

    #[test]
    fn compiled_services_have_the_frontends_and_backends_that_the_objects_say(cluster in clusters()) {
        check_services(&cluster);
    }
}
