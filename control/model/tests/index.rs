//! The index answers as the objects say, after any sequence of changes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Applied, Index, Key, Kind, NamespaceName, NodeName, Object, PodName, ServiceName};

fn object(kind: Kind, value: Value) -> Object {
    Raw::deserialize(kind, value).unwrap().check().unwrap()
}

fn pod(namespace: &str, name: &str, node: &str) -> Object {
    object(Kind::Pod, json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"nodeName": node}}))
}

fn node(name: &str, networks: &[&str]) -> Object {
    object(Kind::Node, json!({"metadata": {"name": name}, "spec": {"podCIDRs": networks}}))
}

fn pods_of(index: &Index, node: &str) -> Vec<String> {
    index.pods_of_node(&NodeName::new(node).unwrap()).map(|pod| pod.name.to_string()).collect()
}

#[test]
fn apply_tells_what_changed_and_delete_returns_the_object() {
    let mut index = Index::new();
    let first = node("n1", &["10.0.0.0/24"]);
    assert_eq!(index.apply(first.clone()), Applied::Added);
    assert_eq!(index.apply(first.clone()), Applied::Unchanged);
    let second = node("n1", &["10.0.1.0/24"]);
    assert_eq!(index.apply(second.clone()), Applied::Changed);
    assert_eq!(index.count(Kind::Node), 1);
    assert_eq!(index.delete(&second.key()), Some(second.clone()));
    assert_eq!(index.delete(&second.key()), None);
    assert_eq!(index, Index::new());
}

#[test]
fn a_pod_moves_between_nodes() {
    let mut index = Index::new();
    index.apply(pod("a", "web", "n1"));
    index.apply(pod("b", "web", "n1"));
    assert_eq!(pods_of(&index, "n1"), ["a/web", "b/web"]);
    index.apply(pod("a", "web", "n2"));
    assert_eq!(pods_of(&index, "n1"), ["b/web"]);
    assert_eq!(pods_of(&index, "n2"), ["a/web"]);
    index.apply(pod("a", "web", ""));
    assert!(pods_of(&index, "n2").is_empty());
}

#[test]
fn namespace_labels_are_answered_by_name() {
    let mut index = Index::new();
    index.apply(object(Kind::Namespace, json!({"metadata": {"name": "shop", "labels": {"team": "blue"}}})));
    let name = |text| NamespaceName::new(text).unwrap();
    assert_eq!(index.namespace_labels(&name("shop")).unwrap()["team"], "blue");
    assert_eq!(index.namespace_labels(&name("other")), None);
}

#[test]
fn networks_that_two_nodes_share_are_a_fault_of_the_later() {
    let mut index = Index::new();
    index.apply(node("n1", &["10.0.0.0/16", "fd00:1::/64"]));
    index.apply(node("n2", &["10.1.0.0/24", "fd00:1::/64"]));
    index.apply(node("n3", &["10.0.0.0/24"]));
    index.apply(node("n4", &["10.0.9.0/24"]));
    let told: Vec<String> = index.faults().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "Node n3: spec.podCIDRs[0] 10.0.0.0/24 overlaps 10.0.0.0/16 of node n1; give each node its own",
            "Node n4: spec.podCIDRs[0] 10.0.9.0/24 overlaps 10.0.0.0/16 of node n1; give each node its own",
            "Node n2: spec.podCIDRs[1] fd00:1::/64 overlaps fd00:1::/64 of node n1; give each node its own",
        ]
    );
    index.delete(&Key::Node(NodeName::new("n1").unwrap()));
    assert_eq!(index.faults(), []);
}

fn slice(name: &str, service: Option<&str>) -> Object {
    let labels = service.map(|service| json!({"kubernetes.io/service-name": service}));
    object(Kind::EndpointSlice, json!({"metadata": {"name": name, "labels": labels}, "addressType": "IPv4"}))
}

#[test]
fn a_slice_moves_between_services() {
    let slices_of = |index: &Index, service: &str| -> Vec<String> {
        let service = ServiceName::parse("default", service).expect("is a name");
        index.slices_of(&service).map(|slice| slice.name.name().to_owned()).collect()
    };
    let mut index = Index::new();
    index.apply(slice("s1", Some("a")));
    index.apply(slice("s2", Some("a")));
    assert_eq!(slices_of(&index, "a"), ["s1", "s2"]);
    index.apply(slice("s1", Some("b")));
    assert_eq!((slices_of(&index, "a"), slices_of(&index, "b")), (vec!["s2".to_owned()], vec!["s1".to_owned()]));
    index.apply(slice("s1", None));
    assert!(slices_of(&index, "b").is_empty());
    for name in ["s1", "s2"] {
        let key = slice(name, None).key();
        assert!(index.delete(&key).is_some());
    }
    assert_eq!(index, Index::new());
}

#[test]
fn what_lies_in_a_namespace_is_found_without_its_neighbours() {
    let mut index = Index::new();
    for namespace in ["a", "a-b", "b"] {
        index.apply(pod(namespace, "web", ""));
        let metadata = json!({"namespace": namespace, "name": "deny"});
        index.apply(object(Kind::NetworkPolicy, json!({"metadata": metadata, "spec": {"podSelector": {}}})));
    }
    let namespace = NamespaceName::new("a").expect("is a name");
    let pods: Vec<String> = index.pods_in(&namespace).map(|pod| pod.name.to_string()).collect();
    let policies: Vec<String> = index.network_policies_of(&namespace).map(|policy| policy.name.to_string()).collect();
    assert_eq!((pods, policies), (vec!["a/web".to_owned()], vec!["a/deny".to_owned()]));
}

proptest! {
    /// Against the plainest oracle: a map of pods, searched anew for every question.
    #[test]
    fn pods_of_a_node_are_those_that_name_it(
        steps in proptest::collection::vec((0u8..6, proptest::option::of(0u8..3)), 0..60)
    ) {
        let mut index = Index::new();
        let mut oracle: BTreeMap<PodName, Option<u8>> = BTreeMap::new();
        for (name, bound) in steps {
            let pod_name = PodName::parse("default", &format!("p{name}")).unwrap();
            // One value stands for a delete, so that both happen often.
            match bound {
                Some(2) => {
                    let had = index.delete(&Key::Pod(pod_name.clone())).is_some();
                    prop_assert_eq!(had, oracle.remove(&pod_name).is_some());
                }
                bound => {
                    let node = bound.map(|n| format!("n{n}")).unwrap_or_default();
                    index.apply(pod("default", pod_name.name(), &node));
                    oracle.insert(pod_name, bound);
                }
            }
            for n in 0..2u8 {
                let expected: Vec<String> =
                    oracle.iter().filter(|(_, at)| **at == Some(n)).map(|(name, _)| name.to_string()).collect();
                prop_assert_eq!(pods_of(&index, &format!("n{n}")), expected);
            }
        }
    }
}
