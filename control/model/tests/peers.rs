//! Nodes to peers, and what is wrong with a Node told by its name while the others go on.

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{
    Attachment, Compiler, ContainerId, Index, Inputs, Kind, NodeName, Object, Peers, PeersConfig, PodName,
    ServicesConfig, Setting, TunnelConfig, compile, compile_peers,
};
use sluice_tables::{Destination, District, Encapsulation, Family, PeerId, PortId, WorkerId};
use sluice_wire::MacAddr;

fn node(name: &str, networks: &[&str], addresses: &[&str]) -> Object {
    let addresses: Vec<Value> =
        addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
    let raw = json!({
        "metadata": {"name": name}, "spec": {"podCIDRs": networks}, "status": {"addresses": addresses}
    });
    Raw::deserialize(Kind::Node, raw).expect("types are right").check().expect("is good")
}

fn config(family: Family) -> PeersConfig {
    PeersConfig {
        family,
        service_cidrs: vec!["10.96.0.0/16".parse().expect("is a network")],
        node_addresses: vec!["198.51.100.1".parse().expect("is an address")],
        underlay: vec!["192.0.2.0/24".parse().expect("is a network"), "203.0.113.9/32".parse().expect("is a network")],
        tunnel: Some(TunnelConfig { encapsulation: Encapsulation::Vxlan, port: 4789, vni: 1 }),
    }
}

/// Peers of node `n1`, and that a generation can be made of them.
fn peers(family: Family, others: impl IntoIterator<Item = Object>) -> Peers {
    let mut index = Index::new();
    index.apply(node("n1", &["10.1.1.0/24", "fd00:1:1::/64"], &["192.0.2.1", "2001:db8::1"]));
    for other in others {
        index.apply(other);
    }
    let config = config(family);
    let own = index.node(&NodeName::new("n1").expect("is a name")).expect("is in the index");
    let peers = compile_peers(&index, own, &config);
    let inputs = Inputs { peers: &peers.peers, node_addresses: &config.node_addresses, ..Inputs::new(1, 0, own) };
    compile(&inputs).expect("whatever is wrong with a Node, there is a generation");
    peers
}

fn names(peers: &Peers) -> Vec<&str> {
    peers.peers.iter().map(|peer| peer.name.as_ref()).collect()
}

/// The only fault, of which the rest is good.
fn fault(peers: &Peers) -> String {
    assert_eq!(peers.faults.len(), 1, "{:?}", peers.faults);
    peers.faults[0].to_string()
}

fn n2() -> Object {
    node("n2", &["10.1.2.0/24", "fd00:1:2::/64"], &["192.0.2.2", "2001:db8::2"])
}

#[test]
fn every_other_node_is_a_peer() {
    let peers = peers(Family::V4, [n2(), node("n3", &["10.1.3.0/24"], &["192.0.2.3"])]);
    assert_eq!(names(&peers), ["n2", "n3"]);
    assert!(peers.faults.is_empty(), "{:?}", peers.faults);
    let peer = &peers.peers[0];
    assert_eq!(peer.tunnel.to_string(), "192.0.2.2");
    assert_eq!(peer.mac.to_string(), "02:53:c0:00:02:02");
    assert_eq!((peer.addresses.len(), peer.pod_cidrs.len()), (2, 2));
}

#[test]
fn the_tunnel_is_at_the_address_of_the_underlays_family() {
    let peers = peers(Family::V6, [n2()]);
    assert_eq!(peers.peers[0].tunnel.to_string(), "2001:db8::2");
}

#[test]
fn a_node_without_networks_is_told_and_no_peer() {
    let peers = peers(Family::V4, [n2(), node("n3", &[], &["192.0.2.3"])]);
    assert_eq!(names(&peers), ["n2"]);
    assert_eq!(fault(&peers), "Node n3: spec.podCIDRs is empty; nothing reaches pods of this node until it has one");
}

#[test]
fn a_node_without_an_address_of_the_family_is_told_and_no_peer() {
    let peers = peers(Family::V4, [n2(), node("n3", &["10.1.3.0/24"], &["2001:db8::3"])]);
    assert_eq!(names(&peers), ["n2"]);
    assert!(
        fault(&peers).starts_with("Node n3: status.addresses has no InternalIP that is IPv4"),
        "{:?}",
        peers.faults
    );
}

#[test]
fn a_network_that_is_this_nodes_stays_this_nodes() {
    let peers = peers(Family::V4, [n2(), node("n0", &["10.1.0.0/16", "10.2.0.0/24"], &["192.0.2.3"])]);
    let kept: Vec<String> = peers.peers[0].pod_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!((names(&peers), kept), (vec!["n0", "n2"], vec!["10.2.0.0/24".to_owned()]));
    let told = fault(&peers);
    assert_eq!(told, "Node n0: spec.podCIDRs[0] 10.1.0.0/16 overlaps 10.1.1.0/24 of node n1; give each node its own");
}

#[test]
fn a_network_of_two_others_is_the_wider_ones_and_told_by_the_index() {
    let peers = peers(Family::V4, [n2(), node("n3", &["10.1.2.128/25", "10.1.3.0/24"], &["192.0.2.3"])]);
    let kept = |at: usize| peers.peers[at].pod_cidrs.len();
    assert_eq!((kept(0), kept(1)), (2, 1));
    assert!(peers.faults.is_empty(), "{:?}", peers.faults);
}

#[test]
fn a_pod_left_over_from_other_networks_takes_nothing_but_its_address_from_the_node_that_has_them_now() {
    let mut index = Index::new();
    index.apply(node("n1", &["10.1.1.0/24"], &["192.0.2.1"]));
    for other in [n2(), node("n3", &["10.1.3.0/24"], &["192.0.2.3"]), node("n4", &["10.1.4.0/24"], &["10.1.2.9"])] {
        index.apply(other);
    }
    let mut own = index.node(&NodeName::new("n1").expect("is a name")).expect("is in the index").clone();
    // As an agent has it whose pod has an address of earlier networks.
    own.pod_cidrs.push("10.1.2.7/32".parse().expect("is a network"));
    own.pod_cidrs.push("10.7.0.1/32".parse().expect("is a network"));
    let attachment = |name: &str, port: u16, address: [u8; 4]| Attachment {
        container: ContainerId::new("c"),
        pod: PodName::parse("blue", name).expect("is a name"),
        port: PortId(port),
        worker: WorkerId(0),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        addresses: vec![address.into()],
        path_mtu: 1500,
        max_l3_len: 1500,
    };
    let attachments = [
        attachment("new", 1, [10, 1, 1, 2]),
        attachment("old", 2, [10, 1, 2, 7]),
        attachment("lone", 3, [10, 7, 0, 1]),
    ];
    let (config, services) = (config(Family::V4), ServicesConfig::default());
    let mut compiler = Compiler::new();
    let setting = Setting { node: &own, attachments: &attachments, services: &services, peers: &config, seed: 7 };
    compiler.compile(&mut index, &setting);
    let names: Vec<&str> = compiler.peers().iter().map(|peer| peer.name.as_ref()).collect();
    assert_eq!(names, ["n2", "n3"]);
    let kept: Vec<String> = compiler.peers()[0].pod_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(kept, ["10.1.2.0/24", "fd00:1:2::/64"], "all that the Node has");
    let told: Vec<String> = compiler.faults().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("Node n4: status.addresses 10.1.2.9 lies in 10.1.2.0/24"), "{told:?}");
    assert!(
        told[2].starts_with("Pod blue/old: status.podIPs 10.1.2.7 lies in 10.1.2.0/24, which is node n2's"),
        "{told:?}"
    );
    let inputs = Inputs {
        peers: compiler.peers(),
        attachments: &attachments,
        node_addresses: &config.node_addresses,
        ..Inputs::new(1, 0, &own)
    };
    let tables = compile(&inputs).expect("what is left over fits");
    let whose = |address: [u8; 4]| match tables.destination(address.into()) {
        Destination::Port(port) => port.id.to_string(),
        Destination::PeerPod(_, peer) => peer.name.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!((whose([10, 1, 2, 7]), whose([10, 1, 2, 8])), ("port 2".to_owned(), "n2".to_owned()));
    let districts = [[10, 1, 2, 7], [10, 1, 2, 8]].map(|address| tables.district(address.into()));
    assert_eq!(districts, [District::Pod(PortId(2)), District::PeerPod(PeerId(0))]);
}

#[test]
fn no_node_has_the_address_of_a_pod_that_is_left_over() {
    let mut index = Index::new();
    index.apply(node("n1", &["10.1.1.0/24"], &["192.0.2.1"]));
    index.apply(node("n2", &["10.1.2.0/24"], &["10.7.0.1"]));
    let mut own = index.node(&NodeName::new("n1").expect("is a name")).expect("is in the index").clone();
    own.pod_cidrs.push("10.7.0.1/32".parse().expect("is a network"));
    let peers = compile_peers(&index, &own, &config(Family::V4));
    assert!(peers.peers.is_empty());
    assert!(peers.faults[0].to_string().starts_with("Node n2: status.addresses 10.7.0.1 lies in 10.7.0.1/32"));
}

#[test]
fn a_network_among_cluster_ips_is_told_and_not_taken() {
    let peers = peers(Family::V4, [node("n2", &["10.96.5.0/24", "10.1.2.0/24"], &["192.0.2.2"])]);
    assert_eq!(peers.peers[0].pod_cidrs.len(), 1);
    assert!(
        fault(&peers).starts_with("Node n2: spec.podCIDRs[0] 10.96.5.0/24 overlaps the Service range 10.96.0.0/16")
    );
}

#[test]
fn an_address_of_two_nodes_is_the_first_ones_and_this_nodes_before_all() {
    let peers = peers(
        Family::V4,
        [
            node("n2", &["10.1.2.0/24"], &["192.0.2.2"]),
            node("n3", &["10.1.3.0/24"], &["192.0.2.2", "192.0.2.3"]),
            node("n0", &["10.1.0.0/24"], &["198.51.100.1"]),
        ],
    );
    assert_eq!(names(&peers), ["n2", "n3"]);
    assert_eq!(peers.peers[1].tunnel.to_string(), "192.0.2.3");
    let told: Vec<String> = peers.faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("Node n0: status.addresses 198.51.100.1 is also node n1's"), "{told:?}");
    assert!(told[1].starts_with("Node n0: status.addresses has no InternalIP"), "{told:?}");
    assert!(told[2].starts_with("Node n3: status.addresses 192.0.2.2 is also node n2's"), "{told:?}");
}

#[test]
fn an_address_among_pods_is_told_and_not_taken() {
    let peers = peers(Family::V4, [n2(), node("n3", &["10.1.3.0/24"], &["10.1.2.9"])]);
    assert_eq!(names(&peers), ["n2"]);
    assert!(peers.faults[0].to_string().starts_with("Node n3: status.addresses 10.1.2.9 lies in 10.1.2.0/24"));
}

#[test]
fn a_network_with_hosts_between_the_nodes_in_it_is_told_and_nobodys() {
    for (network, told) in [
        ("198.51.100.0/25", "198.51.100.0/25 has 198.51.100.1 of node n1 in it"),
        ("192.0.2.64/26", "192.0.2.64/26 overlaps 192.0.2.0/24, where this node reaches hosts by its uplink"),
        ("192.0.0.0/16", "192.0.0.0/16 has 192.0.2.1 of node n1 in it"),
        ("203.0.113.0/24", "203.0.113.0/24 overlaps 203.0.113.9/32"),
        ("172.16.0.0/12", "172.16.0.0/12 has 172.30.4.1 of node n0 in it"),
        ("172.30.4.0/24", "172.30.4.0/24 has 172.30.4.1 of node n0 in it"),
    ] {
        let n0 = node("n0", &[network, "10.1.9.0/24"], &["192.0.2.10", "172.30.4.1"]);
        let n3 = node("n3", &["10.1.3.0/24"], &["172.16.3.1", "192.0.2.3"]);
        let n4 = node("n4", &["10.1.4.0/24"], &["172.16.4.1"]);
        let peers = peers(Family::V4, [n2(), n3, n4, n0]);
        assert_eq!(names(&peers), ["n0", "n2", "n3", "n4"], "{network}: {:?}", peers.faults);
        let kept: Vec<String> = peers.peers[0].pod_cidrs.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["10.1.9.0/24"], "the rest of its networks stays");
        assert!(fault(&peers).contains(&format!("Node n0: spec.podCIDRs[0] {told}")), "{}", fault(&peers));
    }
}

#[test]
fn a_network_with_two_other_nodes_in_it_keeps_neither_from_being_reached() {
    let n3 = node("n3", &["10.1.3.0/24"], &["172.16.3.1"]);
    let n4 = node("n4", &["10.1.4.0/24"], &["172.16.4.1"]);
    let peers = peers(Family::V4, [n2(), n3, n4, node("n0", &["172.16.0.0/16"], &["192.0.2.10"])]);
    assert_eq!(names(&peers), ["n0", "n2", "n3", "n4"]);
    assert!(peers.peers[0].pod_cidrs.is_empty());
    assert!(fault(&peers).starts_with("Node n0: spec.podCIDRs[0] 172.16.0.0/16 has 172.16.4.1 of node n4 in it"));
}

#[test]
fn a_network_of_this_node_with_hosts_between_the_nodes_in_it_stays_its_pods_and_is_told() {
    for (network, told) in [
        ("192.0.2.64/26", Some("overlaps 192.0.2.0/24, where this node reaches hosts by its uplink")),
        ("192.0.0.0/16", Some("has 192.0.2.1 of node n1 in it")),
        ("203.0.113.0/24", Some("overlaps 203.0.113.9/32")),
        ("172.16.0.0/16", Some("has 172.16.4.1 of node n4 in it")),
        ("172.16.3.0/24", None),
        ("198.51.100.0/24", None),
    ] {
        let mut index = Index::new();
        let n3 = node("n3", &["10.1.3.0/24"], &["172.16.3.1"]);
        let n4 = node("n4", &["10.1.4.0/24"], &["172.16.4.1"]);
        for object in [node("n1", &["10.1.1.0/24", network], &["192.0.2.1"]), n2(), n3, n4] {
            index.apply(object);
        }
        let own = index.node(&NodeName::new("n1").expect("is a name")).expect("is in the index");
        let peers = compile_peers(&index, own, &config(Family::V4));
        let faults: Vec<String> = peers.faults.iter().map(ToString::to_string).collect();
        let of_own: Vec<&String> = faults.iter().filter(|fault| fault.starts_with("Node n1: ")).collect();
        let Some(told) = told else {
            assert!(of_own.is_empty() && peers.of_hosts.is_empty(), "{network}: {of_own:?}");
            continue;
        };
        assert_eq!(peers.of_hosts, [network.parse().expect("is a network")]);
        assert!(of_own.len() == 1 && of_own[0].contains(told), "{network}: {faults:?}");
        assert!(of_own[0].starts_with("Node n1: spec.podCIDRs[1] "), "{of_own:?}");
        let inputs = Inputs { peers: &peers.peers, ..Inputs::new(1, 0, own) };
        assert_eq!(compile(&inputs).expect("is a generation").pod_cidrs().len(), 2, "pods keep it");
    }
}

fn annotated(name: &str, byte: u8, annotations: Value) -> Object {
    let raw = json!({
        "metadata": {"name": name, "annotations": annotations}, "spec": {"podCIDRs": [format!("10.1.{byte}.0/24")]},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("192.0.2.{byte}")}]}
    });
    Raw::deserialize(Kind::Node, raw).expect("types are right").check().expect("is good")
}

#[test]
fn a_tunnel_ends_where_the_node_says() {
    let says = json!({"sluice.io/tunnel-address": "203.0.113.2, 2001:db8:1::2", "sluice.io/encapsulation": "vxlan",
                      "sluice.io/tunnel-port": "4789", "sluice.io/vni": "1", "sluice.io/mtu": "1450"});
    let peers = peers(Family::V4, [annotated("n2", 2, says)]);
    assert!(peers.faults.is_empty(), "{:?}", peers.faults);
    let peer = &peers.peers[0];
    assert_eq!((peer.tunnel.to_string(), peer.addresses.len()), ("203.0.113.2".to_owned(), 2));
    assert_eq!(peer.mac, sluice_tables::tunnel_mac(peer.tunnel), "as the node itself works it out");
}

#[test]
fn no_annotation_takes_an_address_from_another_nodes_status_or_from_pods() {
    for (address, told) in [("192.0.2.3", "is also node n3's"), ("10.1.3.7", "is for pods"), ("192.0.2.1", "node n1's")]
    {
        let n2 = annotated("n2", 2, json!({"sluice.io/tunnel-address": address}));
        let peers = peers(Family::V4, [n2, annotated("n3", 3, Value::Null)]);
        assert!(fault(&peers).contains(told), "{}", fault(&peers));
        assert_eq!(names(&peers), ["n2", "n3"]);
        assert_eq!(peers.peers[0].tunnel.to_string(), "192.0.2.2", "its InternalIP");
    }
}

#[test]
fn a_node_that_tunnels_in_another_way_is_told_of_and_stays_a_peer() {
    for (key, value, told) in [
        ("sluice.io/encapsulation", "geneve", "is geneve and this node's is vxlan"),
        ("sluice.io/tunnel-port", "8472", "is 8472 and this node's is 4789"),
        ("sluice.io/vni", "7", "is 7 and this node's is 1"),
    ] {
        let peers = peers(Family::V4, [annotated("n2", 2, json!({ key: value }))]);
        let text = fault(&peers);
        assert!(text.starts_with(&format!("Node n2: metadata.annotations[\"{key}\"] {told}")), "{text}");
        assert_eq!(names(&peers), ["n2"]);
    }
}

#[test]
fn annotations_that_say_nothing_possible_are_refused_by_field() {
    for (key, value) in [
        ("sluice.io/tunnel-address", "nowhere"),
        ("sluice.io/tunnel-address", "127.0.0.1"),
        ("sluice.io/tunnel-address", "192.0.2.1,192.0.2.2"),
        ("sluice.io/encapsulation", "gre"),
        ("sluice.io/tunnel-port", "0"),
        ("sluice.io/tunnel-port", "many"),
        ("sluice.io/vni", "16777216"),
        ("sluice.io/mtu", "-1"),
    ] {
        let raw = json!({"metadata": {"name": "n2", "annotations": {key: value}}});
        let faults = Raw::deserialize(Kind::Node, raw).expect("types are right").check().expect_err("must be refused");
        assert!(faults.len() == 1 && faults[0].to_string().contains(key), "{value}: {faults:?}");
    }
}
