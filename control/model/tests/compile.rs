//! From a node, a host port and attachments to a generation; what does not fit is refused by the pod's name.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;
use sluice_model::raw::Raw;
use sluice_model::{
    Attachment, ContainerId, HostPort, Inputs, Kind, Node, Object, PodName, UplinkPort, compile, masquerade,
};
use sluice_tables::{
    DEFAULT_MASQUERADE_PORTS, Encapsulation, Masquerade, Peer, PodPolicy, PortId, PortKind, RulesBuilder, Tunnel,
    WorkerId,
};
use sluice_wire::MacAddr;

fn node() -> Node {
    let raw = json!({"metadata": {"name": "n1"}, "spec": {"podCIDRs": ["10.1.0.0/24", "fd00:1::/64"]}});
    match Raw::deserialize(Kind::Node, raw).unwrap().check().unwrap() {
        Object::Node(node) => node,
        other => panic!("{other:?}"),
    }
}

fn host() -> HostPort {
    HostPort {
        port: PortId(0),
        worker: WorkerId(0),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        path_mtu: 1500,
        max_l3_len: 1500,
    }
}

fn attachment(port: u16, addresses: &[&str]) -> Attachment {
    Attachment {
        container: ContainerId::new(&format!("c{port}")),
        pod: PodName::parse("default", &format!("p{port}")).unwrap(),
        port: PortId(port),
        worker: WorkerId(1),
        mac: MacAddr([2, 0, 0, 0, 1, port as u8]),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        path_mtu: 1500,
        max_l3_len: 65000,
    }
}

fn refusal(host: Option<&HostPort>, attachments: &[Attachment]) -> String {
    compile(&Inputs { host, attachments, ..Inputs::new(1, 0, &node()) }).expect_err("must be refused").to_string()
}

#[test]
fn pods_and_the_host_port_are_in_the_tables() {
    let pods = [attachment(1, &["10.1.0.2", "fd00:1::2"]), attachment(2, &["10.1.0.3"])];
    let (node, host) = (node(), host());
    let inputs = Inputs { host: Some(&host), attachments: &pods, ..Inputs::new(7, 1, &node) };
    let tables = compile(&inputs).expect("compiles");
    assert_eq!(tables.generation(), 7);
    let pod = tables.port(PortId(1)).unwrap();
    assert_eq!((pod.kind, pod.worker, pod.path_mtu, pod.max_l3_len), (PortKind::Pod, WorkerId(1), 1500, 65000));
    assert_eq!(pod.mac, pods[0].mac);
    assert_eq!(pod.addresses, pods[0].addresses);
    let host = tables.port(PortId(0)).unwrap();
    assert_eq!(host.kind, PortKind::Host);
    assert_eq!(host.addresses, node.own_addresses());
}

#[test]
fn a_node_with_nothing_attached_compiles() {
    assert!(compile(&Inputs::new(1, 0, &node())).is_ok());
}

#[test]
fn an_address_in_use_twice_names_both_pods() {
    let said = refusal(None, &[attachment(1, &["10.1.0.2"]), attachment(2, &["10.1.0.2"])]);
    assert!(said.contains("default/p1") && said.contains("default/p2") && said.contains("10.1.0.2"), "{said}");
}

#[test]
fn a_port_in_use_twice_names_pod_and_host() {
    let said = refusal(Some(&host()), &[attachment(0, &["10.1.0.2"])]);
    assert!(said.contains("the host port") && said.contains("default/p0"), "{said}");
}

#[test]
fn an_address_outside_the_pod_networks_names_the_pod() {
    let said = refusal(None, &[attachment(1, &["10.2.0.2"])]);
    assert!(said.contains("default/p1 (container c1)") && said.contains("10.2.0.2"), "{said}");
}

#[test]
fn the_nodes_own_address_is_not_for_a_pod() {
    let said = refusal(None, &[attachment(1, &["10.1.0.1"])]);
    assert!(said.contains("default/p1") && said.contains("node's own address"), "{said}");
}

#[test]
fn a_pod_without_addresses_is_refused() {
    assert!(refusal(None, &[attachment(1, &[])]).contains("has no address"));
}

#[test]
fn services_peers_policies_uplink_and_tunnel_are_in_the_tables() {
    let node = Node { internal_ips: vec!["192.0.2.1".parse().expect("is an address")], ..node() };
    let pods = [attachment(1, &["10.1.0.2"])];
    let mac = MacAddr([2, 0, 0, 0, 0, 7]);
    let uplinks = [UplinkPort { port: PortId(9), worker: WorkerId(0), mac, path_mtu: 1500, max_l3_len: 1500 }];
    let live = ["198.51.100.1".parse().expect("is an address")];
    let tunnel = Tunnel {
        encapsulation: Encapsulation::Vxlan,
        vni: 1,
        port: 4789,
        local: node.internal_ips[0],
        mac: node.tunnel_mac_at(node.internal_ips[0]),
        inner_mtu: 1450,
    };
    let peer = Peer {
        name: "n2".into(),
        addresses: vec!["192.0.2.2".parse().expect("is an address")],
        tunnel: "192.0.2.2".parse().expect("is an address"),
        mac,
        pod_cidrs: vec!["10.2.0.0/24".parse().expect("is a network")],
    };
    let shut = PodPolicy { ingress: Some(Arc::new(RulesBuilder::new(0).build())), egress: None };
    let inputs = Inputs {
        attachments: &pods,
        uplinks: &uplinks,
        node_addresses: &live,
        masquerade: masquerade(&node, DEFAULT_MASQUERADE_PORTS, Vec::new(), true),
        policies: &[(PortId(1), shut.clone())],
        peers: &[Arc::new(peer)],
        tunnel: Some(tunnel),
        ..Inputs::new(1, 0, &node)
    };
    let tables = compile(&inputs).expect("compiles");
    assert_eq!(tables.uplink().map(|port| (port.id, port.kind)), Some((PortId(9), PortKind::Uplink)));
    assert_eq!(tables.tunnel(), Some(&tunnel));
    assert_eq!(*tables.policy(PortId(1)), shut);
    let pod_elsewhere = "10.2.0.9".parse().expect("is an address");
    assert_eq!(tables.peer_of(pod_elsewhere).map(|(_, peer)| peer.name.as_ref()), Some("n2"));
    assert_eq!(tables.node().masquerade.v4.map(IpAddr::V4), Some(node.internal_ips[0]));
    for address in [live[0], node.internal_ips[0], "10.1.0.1".parse().expect("is an address")] {
        assert!(tables.is_node_address(address), "{address}");
    }
}

#[test]
fn what_is_wrong_with_the_uplink_or_the_node_is_told_by_its_name() {
    let node = node();
    let mac = MacAddr([0; 6]);
    let uplinks = [UplinkPort { port: PortId(9), worker: WorkerId(0), mac, path_mtu: 1500, max_l3_len: 1500 }];
    let said = |inputs: Inputs<'_>| compile(&inputs).expect_err("must be refused").to_string();
    let uplink = said(Inputs { uplinks: &uplinks, ..Inputs::new(1, 0, &node) });
    assert!(uplink.starts_with("the uplink: "), "{uplink}");
    let foreign = Masquerade { v4: Some([203, 0, 113, 1].into()), ..Masquerade::default() };
    let masquerade = said(Inputs { masquerade: foreign, ..Inputs::new(1, 0, &node) });
    assert!(masquerade.starts_with("Node n1: ") && masquerade.contains("203.0.113.1"), "{masquerade}");
}
