//! From a node, a host port and attachments to a generation; what does not fit is refused by the pod's name.

use serde_json::json;
use sluice_model::raw::Raw;
use sluice_model::{Attachment, ContainerId, HostPort, Inputs, Kind, Node, Object, PodName, compile};
use sluice_tables::{PortId, PortKind, WorkerId};
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
