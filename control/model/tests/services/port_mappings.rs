//! Ports of the node that lead to one pod.

use serde_json::{Value, json};
use sluice_model::{Compiler, PeersConfig, PodName, PortMapping, Protocol, ServicesConfig, Setting};
use sluice_tables::{Backend, Family, FrontendKind};

use crate::scene::{Outcome, SCTP, TCP, UDP, index, ip, mk_service, n1, outcome_with, shown};

fn mapping(pod: &str, at: Option<&str>, port: u16, protocol: Protocol, backend: (&str, u16)) -> PortMapping {
    PortMapping {
        pod: PodName::parse("default", pod).expect("a name"),
        at: at.map(ip),
        port,
        protocol,
        backend: Backend { address: ip(backend.0), port: backend.1 },
    }
}

fn with(port_mappings: Vec<PortMapping>) -> ServicesConfig {
    ServicesConfig { port_mappings, ..ServicesConfig::default() }
}

fn of(port_mappings: Vec<PortMapping>) -> Outcome {
    outcome_with(&with(port_mappings), [])
}

#[test]
fn a_mapped_port_leads_to_its_pod_at_every_address_of_the_node_and_keeps_clients_addresses() {
    let mappings = vec![
        mapping("web", None, 8080, Protocol::Tcp, ("10.1.1.5", 80)),
        mapping("web", None, 8080, Protocol::Tcp, ("fd00:1:1::5", 80)),
    ];
    let outcome = of(mappings).good();
    for (address, backend) in [("192.0.2.1", "10.1.1.5:80"), ("2001:db8::1", "fd00:1:1::5:80")] {
        let (service, kind) = outcome.at(address, 8080, TCP).expect("it is mapped");
        assert_eq!((shown(service.cluster()), shown(service.local())), (vec![backend.into()], vec![backend.into()]));
        assert!(kind == FrontendKind::NodePort && service.external_local());
        assert_eq!(service.known(service.cluster().all()[0].address, 80), Some(true));
        assert!(outcome.at(address, 8080, UDP).is_none() && outcome.at(address, 8081, TCP).is_none());
    }
}

#[test]
fn one_port_at_two_addresses_and_of_three_protocols_leads_to_five_pods() {
    let config = ServicesConfig {
        node_addresses: vec![ip("192.0.2.1"), ip("198.51.100.1")],
        ..with(vec![
            mapping("a", Some("192.0.2.1"), 53, Protocol::Tcp, ("10.1.1.2", 53)),
            mapping("b", Some("198.51.100.1"), 53, Protocol::Tcp, ("10.1.1.3", 53)),
            mapping("c", None, 53, Protocol::Udp, ("10.1.1.4", 53)),
            mapping("d", None, 53, Protocol::Sctp, ("10.1.1.5", 53)),
            mapping("e", Some("2001:db8::1"), 53, Protocol::Tcp, ("fd00:1:1::6", 53)),
        ])
    };
    let outcome = outcome_with(&config, []).good();
    for (address, protocol, name) in [
        ("192.0.2.1", TCP, "default/a:192.0.2.1:53"),
        ("198.51.100.1", TCP, "default/b:198.51.100.1:53"),
        ("192.0.2.1", UDP, "default/c:53"),
        ("192.0.2.1", SCTP, "default/d:53"),
        ("2001:db8::1", TCP, "default/e:2001:db8::1:53"),
    ] {
        assert_eq!(outcome.name_at(address, 53, protocol), name);
    }
}

#[test]
fn a_services_node_port_stays_the_services_and_the_pod_is_told() {
    let service = mk_service(
        "web",
        1,
        json!({"spec": {"type": "NodePort", "ports": [
        {"port": 80, "targetPort": 8080, "nodePort": 30080}]}}),
    );
    let mappings = vec![
        mapping("p", None, 30080, Protocol::Tcp, ("10.1.1.5", 80)),
        mapping("q", None, 61000, Protocol::Tcp, ("10.1.1.6", 80)),
        mapping("r", None, 80, Protocol::Tcp, ("10.1.1.7", 80)),
        mapping("s", None, 80, Protocol::Tcp, ("10.1.1.8", 80)),
    ];
    let outcome = outcome_with(&with(mappings), [service]);
    assert_eq!(outcome.name_at("192.0.2.1", 30080, TCP), "default/web:80");
    assert_eq!(outcome.name_at("192.0.2.1", 80, TCP), "default/r:80", "who comes first has it");
    assert_eq!(outcome.faults.len(), 3, "{:?}", outcome.faults);
    for (fault, words) in
        outcome.faults.iter().zip([["default/p", "default/web:80"], ["default/q", "61000"], ["default/s", "default/r"]])
    {
        assert!(words.iter().all(|word| fault.contains(word)) && fault.contains("hostPort"), "{fault}");
    }
}

#[test]
fn a_pod_that_comes_or_goes_makes_no_service_anew() {
    let mut index = index([mk_service("web", 1, Value::Null)]);
    let node = n1(&index).clone();
    let peers = PeersConfig::of(Family::V4);
    let mut compiler = Compiler::new();
    let mut compile = |services: &ServicesConfig| {
        compiler.compile(&mut index, &Setting { node: &node, attachments: &[], services, peers: &peers, seed: 7 });
        compiler.services().clone()
    };
    let before = compile(&with(Vec::new()));
    let one = mapping("p", None, 8080, Protocol::Tcp, ("10.1.1.5", 80));
    let during = compile(&with(vec![one]));
    let after = compile(&with(Vec::new()));
    assert_eq!((before.node_ports().count(), during.node_ports().count(), after.node_ports().count()), (0, 1, 0));
    let web = |services: &sluice_tables::Services| services.iter().next().expect("the Service").clone();
    assert!(
        std::sync::Arc::ptr_eq(&web(&before), &web(&during)) && std::sync::Arc::ptr_eq(&web(&before), &web(&after))
    );
}
