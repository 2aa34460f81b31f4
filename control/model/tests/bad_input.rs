//! Objects that an API server takes and that make no sense together: each told by name, and none in the others' way.

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{
    Attachment, Compiler, ContainerId, Family, Index, Kind, Node, NodeName, PeersConfig, PodName, ServicesConfig,
    Setting,
};
use sluice_tables::{FrontendLookup, PortId, WorkerId};
use sluice_wire::MacAddr;

struct Scene {
    index: Index,
    compiler: Compiler,
    attachments: Vec<Attachment>,
}

impl Scene {
    fn new() -> Scene {
        let mut scene = Scene { index: Index::new(), compiler: Compiler::new(), attachments: Vec::new() };
        for (name, byte) in [("n1", 1), ("n2", 2)] {
            scene.apply(
                Kind::Node,
                json!({"metadata": {"name": name}, "spec": {"podCIDR": format!("10.1.{byte}.0/24")},
                       "status": {"addresses": [{"type": "InternalIP", "address": format!("192.0.2.{byte}")}]}}),
            );
        }
        scene
    }

    fn apply(&mut self, kind: Kind, raw: Value) {
        self.index.apply(Raw::deserialize(kind, raw).expect("types are right").check().expect("is good alone"));
    }

    /// A pod of the other node.
    fn pod(&mut self, name: &str, address: &str, change: Value) {
        let mut raw = json!({"metadata": {"name": name}, "spec": {"nodeName": "n2"},
                             "status": {"phase": "Running", "podIP": address}});
        for (key, value) in change.as_object().into_iter().flatten() {
            raw["metadata"][key] = value.clone();
        }
        self.apply(Kind::Pod, raw);
    }

    fn attach(&mut self, name: &str) {
        let number = self.attachments.len() as u8;
        self.apply(Kind::Pod, json!({"metadata": {"name": name}, "spec": {"nodeName": "n1"}}));
        self.attachments.push(Attachment {
            container: ContainerId::new(name),
            pod: PodName::parse("default", name).expect("a name"),
            port: PortId(number.into()),
            worker: WorkerId(0),
            mac: MacAddr([2, 0, 0, 0, 0, number]),
            addresses: vec![[10, 1, 1, 2 + number].into()],
            path_mtu: 1500,
            max_l3_len: 1500,
        });
    }

    /// Compiles, and returns what is wrong.
    fn faults(&mut self) -> Vec<String> {
        let node: Node = self.index.node(&NodeName::new("n1").expect("a name")).expect("is there").clone();
        let (service_cidrs, node_addresses, underlay) = (vec![], vec![], vec![]);
        let peers = PeersConfig { family: Family::V4, service_cidrs, node_addresses, underlay, tunnel: None };
        let (node, attachments, services) = (&node, &self.attachments[..], &ServicesConfig::default());
        self.compiler.compile(&mut self.index, &Setting { node, attachments, services, peers: &peers, seed: 7 });
        self.compiler.faults().iter().map(ToString::to_string).collect()
    }

    fn is_pods(&self, address: &str) -> bool {
        self.compiler.identities().get(address.parse().expect("an address")).is_some()
    }
}

#[test]
fn an_address_used_again_is_the_newer_pods_and_the_older_one_is_named() {
    let mut scene = Scene::new();
    scene.pod("old", "10.1.2.7", json!({"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "a"}}));
    assert_eq!(scene.faults(), [] as [&str; 0]);
    scene.pod("new", "10.1.2.7", json!({"creationTimestamp": "2026-01-02T00:00:00Z", "labels": {"app": "b"}}));
    let faults = scene.faults();
    assert!(
        faults.len() == 1 && faults[0].starts_with("Pod default/old: status.podIPs[0].ip 10.1.2.7 is also"),
        "{faults:?}"
    );
    assert!(faults[0].contains("Pod default/new") && scene.is_pods("10.1.2.7"));
    scene.index.delete(&sluice_model::Key::Pod(PodName::parse("default", "old").expect("a name")));
    assert_eq!(scene.faults(), [] as [&str; 0]);
}

#[test]
fn a_pod_from_the_future_is_only_newer_than_others() {
    let mut scene = Scene::new();
    scene.pod("now", "10.1.2.7", json!({"creationTimestamp": "2026-01-01T00:00:00Z"}));
    scene.pod("then", "10.1.2.7", json!({"creationTimestamp": "9999-01-01T00:00:00Z"}));
    assert!(scene.faults()[0].starts_with("Pod default/now:"));
    assert!(scene.is_pods("10.1.2.7"));
}

#[test]
fn where_no_pod_is_newer_an_address_is_nobodys() {
    let mut scene = Scene::new();
    for name in ["a", "b"] {
        scene.pod(name, "10.1.2.7", json!({"creationTimestamp": "2026-01-01T00:00:00Z"}));
    }
    assert!(scene.faults()[0].starts_with("Pod default/b:"));
    assert!(!scene.is_pods("10.1.2.7"));
}

#[test]
fn a_node_without_pod_networks_is_told_and_no_peer() {
    let mut scene = Scene::new();
    scene.apply(Kind::Node, json!({"metadata": {"name": "n3"}}));
    let faults = scene.faults();
    assert!(faults.len() == 1 && faults[0].starts_with("Node n3: spec.podCIDRs is empty"), "{faults:?}");
    assert_eq!(scene.compiler.peers().len(), 1);
}

#[test]
fn slices_that_contradict_each_other_during_a_move_give_the_endpoint_once_as_ready() {
    let mut scene = Scene::new();
    scene.apply(
        Kind::Service,
        json!({"metadata": {"name": "web"}, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}}),
    );
    let slice = |name: &str, ready: bool| {
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
               "ports": [{"port": 8080}], "endpoints": [{"addresses": ["10.1.2.7"], "conditions": {"ready": ready}}]})
    };
    for states in [[true, false], [false, true]] {
        for (name, ready) in ["web-a", "web-b"].into_iter().zip(states) {
            scene.apply(Kind::EndpointSlice, slice(name, ready));
        }
        assert_eq!(scene.faults(), [] as [&str; 0]);
        let found = scene.compiler.services().frontend([10, 96, 0, 1].into(), 80, 6);
        let FrontendLookup::Found(service, _) = found else { panic!("{found:?}") };
        assert_eq!(service.cluster().len(), 1);
    }
}

/// That it ends in reasonable time shows in how long it takes, which asserts none.
#[test]
fn five_thousand_policies_that_select_every_pod_are_compiled_and_shared() {
    let mut scene = Scene::new();
    (0..20).for_each(|number| scene.attach(&format!("local-{number}")));
    for number in 0..500u32 {
        let labels = json!({"labels": {"app": format!("app-{number}")}});
        scene.pod(&format!("pod-{number}"), &format!("10.1.2.{}", number % 250 + 2), labels);
    }
    for number in 0..5000u32 {
        let peer = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}});
        let spec = json!({"podSelector": {}, "ingress": [{"from": [peer], "ports": [{"port": 1 + number}]}]});
        scene.apply(Kind::NetworkPolicy, json!({"metadata": {"name": format!("p{number}")}, "spec": spec}));
    }
    scene.faults();
    let policies = scene.compiler.policies();
    let first = policies[0].1.ingress.as_ref().expect("is isolated");
    assert!(
        policies
            .iter()
            .all(|(_, policy)| policy.ingress.as_ref().is_some_and(|one| std::sync::Arc::ptr_eq(one, first)))
    );
}

#[test]
fn a_pod_with_thousands_of_labels_is_a_pod_like_others() {
    let mut scene = Scene::new();
    let labels: serde_json::Map<String, Value> =
        (0..5000).map(|n| (format!("example.org/label-{n}"), json!("x"))).collect();
    scene.pod("labelled", "10.1.2.7", json!({ "labels": labels }));
    assert_eq!(scene.faults(), [] as [&str; 0]);
    assert!(scene.is_pods("10.1.2.7"));
}
