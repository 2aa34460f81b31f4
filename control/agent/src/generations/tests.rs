//! Generations of a node with literal objects.

use sluice_model::UplinkPort;
use sluice_tables::UnderlayBuilder;

use super::*;
use crate::config::{Config, Keys, SourceKeys};

fn network() -> Network {
    let source = SourceKeys::of_directory("/m");
    let keys = Keys { node_name: Some("n1".into()), source, ..Keys::default() };
    let around = crate::config::Surroundings { cores: vec![0], ..Default::default() };
    Config::check(keys, &around).unwrap().network
}

fn generations() -> Generations {
    let host = HostPort {
        port: PortId(0),
        worker: WorkerId(0),
        mac: MacAddr([2, 0, 0, 0, 0, 9]),
        path_mtu: 1500,
        max_l3_len: 65000,
    };
    let shape = Shape { path_mtu: 1500, super_frames: true, wire_mtu: 0 };
    Generations::new(NodeName::new("n1").unwrap(), host, shape, network())
}

fn attached(port: u16, address: &str) -> StoredAttachment {
    StoredAttachment {
        container_id: format!("c{port}"),
        ifname: "eth0".into(),
        netns: "/run/netns/x".into(),
        host_veth: "slu0".into(),
        mac: [2, 0, 0, 0, 0, 1],
        addresses: vec![address.parse().unwrap()],
        pod_namespace: "default".into(),
        pod_name: format!("p{port}"),
        pod_uid: None,
        port,
        network: "sluice".into(),
        requested: Default::default(),
    }
}

fn next(generations: &Generations, attached: &[StoredAttachment]) -> Result<Tables, GenerationError> {
    let mut made = None;
    generations.next(|| attached.to_vec(), |_| WorkerId(0), |tables| made = Some(tables))?;
    Ok(made.expect("published"))
}

#[test]
fn a_pod_has_its_port_before_the_node_object_is_known() {
    let tables = next(&generations(), &[attached(1, "10.0.0.2")]).unwrap();
    assert_eq!(tables.generation(), 1);
    assert!(tables.port(PortId(1)).is_some());
}

#[test]
fn pods_are_shut_until_the_objects_are_known() {
    let generations = generations();
    let before = next(&generations, &[attached(1, "10.0.0.2")]).unwrap();
    let shut = before.policy(PortId(1));
    let anyone = "10.0.0.9".parse().unwrap();
    for rules in [&shut.ingress, &shut.egress] {
        let rules = rules.as_ref().expect("isolated in both directions");
        assert!(!rules.allows(anyone, None, 6, 80) && !rules.allows(anyone, None, 1, 0));
    }
    generations.set_synced();
    let after = next(&generations, &[attached(1, "10.0.0.2")]).unwrap();
    assert!(after.policy(PortId(1)).ingress.is_none() && after.policy(PortId(1)).egress.is_none());
    assert_eq!(after.decisions(), 2, "what was shut is decided again");
}

#[test]
fn connections_are_decided_again_after_any_change_but_that_of_a_neighbour() {
    let generations = generations();
    let pods = [attached(1, "10.0.0.2")];
    let decisions = |pods: &[StoredAttachment]| next(&generations, pods).unwrap().decisions();
    let surroundings = |gateway: Option<&str>, mac: Option<u8>| {
        let builder = UnderlayBuilder::new(0);
        let builder = gateway.into_iter().fold(builder, |builder, gateway| {
            builder.route("0.0.0.0/0".parse().unwrap(), sluice_tables::Hop::Via(gateway.parse().unwrap()))
        });
        let builder = mac.into_iter().fold(builder, |builder, mac| {
            builder.neighbour("192.0.2.1".parse().unwrap(), MacAddr([2, 0, 0, 0, 0, mac]))
        });
        Surroundings { underlay: Arc::new(builder.build()), ..Surroundings::default() }
    };
    assert_eq!(decisions(&pods), 1);
    assert!(generations.set_surroundings(surroundings(None, Some(1))));
    assert_eq!(decisions(&pods), 1, "a neighbour came");
    assert!(generations.set_surroundings(surroundings(Some("192.0.2.1"), Some(1))));
    assert_eq!(decisions(&pods), 3, "a route came");
    assert!(generations.set_surroundings(surroundings(Some("192.0.2.1"), Some(2))));
    assert_eq!(decisions(&pods), 3, "a neighbour changed");
    assert_eq!(decisions(&[attached(1, "10.0.0.2"), attached(2, "10.0.0.3")]), 5, "a pod came");
    generations.set_node(Node { pod_cidrs: vec!["10.0.0.0/24".parse().unwrap()], ..generations.node() });
    assert_eq!(decisions(&[attached(1, "10.0.0.2"), attached(2, "10.0.0.3")]), 6, "the node changed");
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_the_number_is_not_spent() {
    let generations = generations();
    let refused = next(&generations, &[attached(1, "10.0.0.2"), attached(2, "10.0.0.2")]).unwrap_err().to_string();
    assert!(refused.contains("default/p1") && refused.contains("default/p2"), "{refused}");
    assert_eq!(generations.refused(), Some(refused));
    assert_eq!(next(&generations, &[attached(1, "10.0.0.2")]).unwrap().generation(), 1);
    assert_eq!(generations.refused(), None);
}

#[test]
fn a_change_is_measured_once_it_is_in_force_and_none_before_all_are_known() {
    let generations = generations();
    let object = |name: &str| Object::Node(Node::named(NodeName::new(name).unwrap()));
    generations.apply(object("n2"), Instant::now());
    generations.set_synced();
    next(&generations, &[]).unwrap();
    assert_eq!(generations.latencies().publication.count(), 0, "how long a list takes is not a change's");
    generations.apply(object("n3"), Instant::now());
    generations.apply(object("n3"), Instant::now());
    assert!(generations.is_stale());
    next(&generations, &[]).unwrap();
    generations.delete(&Key::Node(NodeName::new("n3").unwrap()), Instant::now());
    next(&generations, &[]).unwrap();
    assert_eq!(generations.latencies().publication.count(), 2);
    assert_eq!(generations.object_changes(), 4);
}

#[test]
fn a_node_with_the_last_good_objects_serves_by_them_until_those_of_now_are_whole() {
    let generations = generations();
    let namespace = |name: &str| {
        let name = sluice_model::NamespaceName::new(name).unwrap();
        Object::Namespace(sluice_model::Namespace { name, labels: Default::default() })
    };
    generations.serve_last_good([namespace("default")], SystemTime::UNIX_EPOCH);
    let tables = next(&generations, &[attached(1, "10.0.0.2")]).unwrap();
    assert!(tables.policy(PortId(1)).ingress.is_none(), "it is known that no policy selects it");
    assert_eq!(generations.standing(), Standing::LastGood(SystemTime::UNIX_EPOCH));
    generations.apply(namespace("other"), Instant::now());
    assert_eq!(generations.page(None, 9), [namespace("default")], "what is in force stays whole");
    generations.set_synced();
    assert_eq!(generations.page(None, 9), [namespace("other")]);
    assert_eq!(generations.standing(), Standing::Current);
}

#[test]
fn who_follows_services_and_nodes_is_not_called_for_a_change_of_endpoints() {
    let generations = generations();
    generations.set_synced();
    next(&generations, &[]).unwrap();
    let before = generations.beyond();
    let namespace = sluice_model::NamespaceName::new("default").unwrap();
    let namespace = sluice_model::Namespace { name: namespace, labels: Default::default() };
    generations.apply(Object::Namespace(namespace), Instant::now());
    next(&generations, &[]).unwrap();
    assert_eq!(generations.beyond(), before);
    let node = NodeName::new("n2").unwrap();
    generations.apply(Object::Node(Node::named(node.clone())), Instant::now());
    let with_node = generations.beyond();
    generations.delete(&Key::Node(node), Instant::now());
    let without = generations.beyond();
    next(&generations, &[attached(1, "10.0.0.2")]).unwrap();
    let with_pod = generations.beyond();
    assert!(before < with_node && with_node < without && without < with_pod);
}

#[test]
fn objects_are_in_force_whole_once_the_node_is_as_they_say() {
    let generations = generations();
    let name = NodeName::new("n1").unwrap();
    let node = Node { pod_cidrs: vec!["10.0.0.0/24".parse().unwrap()], ..Node::named(name) };
    assert!(!generations.is_whole(), "nothing is known");
    generations.apply(Object::Node(node.clone()), Instant::now());
    generations.set_synced();
    assert!(!generations.is_whole(), "its networks are not in force");
    generations.set_node(node);
    assert!(generations.is_whole());
}

#[test]
fn no_network_of_hosts_between_the_nodes_is_led_into_the_switch() {
    let keys = Keys {
        node_name: Some("n1".into()),
        source: SourceKeys::of_directory("/m"),
        uplink: crate::config::UplinkKeys { device: Some("eth1".into()) },
        ..Keys::default()
    };
    let around = crate::config::Surroundings { cores: vec![0], ..Default::default() };
    let generations = Generations { network: Config::check(keys, &around).unwrap().network, ..generations() };
    let node = |name: &str, network: &str, address: &str| {
        let (pod_cidrs, internal_ips) = (vec![network.parse().unwrap()], vec![address.parse().unwrap()]);
        Node { pod_cidrs, internal_ips, ..Node::named(NodeName::new(name).unwrap()) }
    };
    let own = node("n1", "10.1.1.0/24", "192.168.0.1");
    let uplink =
        UplinkPort { port: PortId(256), worker: WorkerId(0), mac: MacAddr([2; 6]), path_mtu: 1500, max_l3_len: 1500 };
    generations.set_surroundings(Surroundings {
        addresses: own.internal_ips.clone(),
        uplinks: vec![uplink],
        routers: vec!["203.0.113.254".parse().unwrap()],
        links: vec!["192.168.0.0/16".parse().unwrap()],
        ..Surroundings::default()
    });
    for node in [
        own.clone(),
        node("good", "10.1.2.0/24", "192.168.0.2"),
        node("on-link", "192.168.3.0/24", "192.168.0.3"),
        node("router", "203.0.113.0/24", "192.168.0.4"),
        // One of the two is wrong: nobody knows which, so pods of the first are reached by pods, and the host of the second by the node.
        node("holder", "10.1.5.0/24", "192.168.0.5"),
        node("held", "10.1.6.0/24", "10.1.5.9"),
    ] {
        generations.apply(Object::Node(node), Instant::now());
    }
    generations.set_synced();
    generations.set_node(own);
    next(&generations, &[]).unwrap();
    assert_eq!(generations.networks_beyond(), ["10.1.2.0/24".parse().unwrap()]);
    let faults: Vec<String> = generations.faults().iter().map(ToString::to_string).collect();
    let told = |what: &str| assert!(faults.iter().any(|fault| fault.contains(what)), "{what}: {faults:?}");
    told("Node on-link: spec.podCIDRs[0] 192.168.3.0/24 overlaps 192.168.0.0/16");
    told("Node router: spec.podCIDRs[0] 203.0.113.0/24 overlaps 203.0.113.254/32");
    told("Node held: status.addresses 10.1.5.9 lies in 10.1.5.0/24");
    assert_eq!(generations.counts().peers, 4, "all but the one without an address");
}

#[test]
fn no_network_of_its_own_takes_the_node_from_the_hosts_in_it() {
    let generations = generations();
    let networks = ["10.1.1.0/24", "192.168.7.0/24", "203.0.113.0/24", "172.16.0.0/16", "198.51.100.0/24"];
    let node = |name: &str, networks: &[&str], address: &str| Node {
        pod_cidrs: networks.iter().map(|network| network.parse().unwrap()).collect(),
        internal_ips: vec![address.parse().unwrap()],
        ..Node::named(NodeName::new(name).unwrap())
    };
    let own = node("n1", &networks, "198.51.100.9");
    generations.set_node(own.clone());
    let pods = || [[10, 1, 1, 2], [192, 168, 7, 2], [10, 9, 0, 2], [192, 168, 8, 2]].map(IpAddr::from);
    let led = || -> Vec<String> { generations.node_with(pods()).pod_cidrs.iter().map(ToString::to_string).collect() };
    let kept = |networks: &[&str]| led() == networks;
    assert!(kept(&[
        "10.1.1.0/24",
        "192.168.7.0/24",
        "203.0.113.0/24",
        "172.16.0.0/16",
        "10.9.0.2/32",
        "192.168.8.2/32"
    ]));
    generations.set_surroundings(Surroundings {
        routers: vec!["203.0.113.254".parse().unwrap()],
        links: vec!["192.168.0.0/16".parse().unwrap()],
        ..Surroundings::default()
    });
    assert!(kept(&["10.1.1.0/24", "172.16.0.0/16", "10.9.0.2/32"]), "what the kernel says is enough: {:?}", led());
    for object in [own, node("n2", &["10.1.2.0/24"], "172.16.0.2"), node("n3", &["10.1.3.0/24"], "172.16.0.3")] {
        generations.apply(Object::Node(object), Instant::now());
    }
    generations.set_synced();
    let tables = next(&generations, &[attached(1, "192.168.7.2"), attached(2, "10.1.1.2")]).unwrap();
    assert_eq!(tables.pod_cidrs().len(), 5, "pods keep them all");
    assert!(kept(&["10.1.1.0/24", "10.9.0.2/32"]), "{:?}", led());
    let faults: Vec<String> = generations.faults().iter().map(ToString::to_string).collect();
    for (at, network) in networks.iter().enumerate().skip(1) {
        let told = format!("Node n1: spec.podCIDRs[{at}] {network} ");
        assert!(faults.iter().any(|fault| fault.starts_with(&told)), "{told}: {faults:?}");
    }
    assert_eq!(faults.iter().filter(|fault| fault.starts_with("Node n1: ")).count(), 4, "{faults:?}");
}
