//! From JSON as the API writes it to checked objects, and every fault on the way.

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Fault, Kind, Object, Phase};

fn check(kind: Kind, value: Value) -> Result<Object, Vec<Fault>> {
    Raw::deserialize(kind, value).expect("types are right").check()
}

fn faults(kind: Kind, value: Value) -> Vec<String> {
    check(kind, value).expect_err("must be refused").iter().map(Fault::to_string).collect()
}

fn one_fault(kind: Kind, value: Value) -> String {
    let all = faults(kind, value);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

#[test]
fn a_node_is_read_whole_and_unknown_fields_are_ignored() {
    let object = check(
        Kind::Node,
        json!({
            "apiVersion": "v1", "kind": "Node", "surprise": {"deep": [1, 2]},
            "metadata": {"name": "n1", "labels": {"zone": "a", "empty": null}, "annotations": {"x": "y"}},
            "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00:1::/64"], "taints": []},
            "status": {"addresses": [
                {"type": "Hostname", "address": "n1"},
                {"type": "InternalIP", "address": "192.0.2.1"},
                {"type": "InternalIP", "address": "2001:db8::1"}
            ]}
        }),
    );
    let Ok(Object::Node(node)) = object else { panic!("{object:?}") };
    assert_eq!(node.name.as_str(), "n1");
    assert_eq!(node.pod_cidrs, ["10.1.0.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()]);
    assert_eq!(node.internal_ips, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert_eq!(node.labels["zone"], "a");
    assert_eq!(node.labels["empty"], "");
    let own: Vec<String> = node.own_addresses().iter().map(ToString::to_string).collect();
    assert_eq!(own, ["10.1.0.1", "fd00:1::1"]);
}

#[test]
fn a_node_may_have_only_the_older_field_or_no_network_yet() {
    let node = |spec: Value| match check(Kind::Node, json!({"metadata": {"name": "n"}, "spec": spec})) {
        Ok(Object::Node(node)) => node.pod_cidrs,
        other => panic!("{other:?}"),
    };
    assert_eq!(node(json!({"podCIDR": "10.0.0.0/24"})), ["10.0.0.0/24".parse().unwrap()]);
    assert_eq!(node(json!({"podCIDR": "", "podCIDRs": []})), []);
    assert_eq!(node(json!(null)), []);
}

#[test]
fn every_fault_of_a_node_is_told_at_once() {
    let all = faults(
        Kind::Node,
        json!({
            "metadata": {"name": "N1"},
            "spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.0.0.5/24", "10.1.0.0/24", "10.1.0.128/25", "x"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "1.2.3"}, {"type": "InternalIP"},
                                     {"type": "InternalIP", "address": "127.0.0.1"}]}
        }),
    );
    let fields: Vec<&str> = all.iter().map(|text| text.split(' ').nth(2).unwrap()).collect();
    assert_eq!(
        fields,
        [
            "metadata.name",
            "spec.podCIDR",
            "spec.podCIDRs[0]",
            "spec.podCIDRs[2]",
            "spec.podCIDRs[3]",
            "status.addresses[0].address",
            "status.addresses[1].address",
            "status.addresses[2].address",
        ],
        "{all:#?}"
    );
    assert!(all[2].contains("write 10.0.0.0/24"), "{}", all[2]);
    assert!(all[3].contains("overlaps 10.1.0.0/24"), "{}", all[3]);
}

#[test]
fn a_pod_is_read_with_the_defaults_of_the_api() {
    let minimal = check(Kind::Pod, json!({"metadata": {"name": "web"}}));
    let Ok(Object::Pod(pod)) = minimal else { panic!("{minimal:?}") };
    assert_eq!(pod.name.to_string(), "default/web");
    assert_eq!((pod.uid, pod.node, pod.host_network, pod.phase), (None, None, false, Phase::Pending));

    let full = check(
        Kind::Pod,
        json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "42", "labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"nodeName": "n1", "hostNetwork": true, "containers": [{"name": "c"}]},
            "status": {"phase": "Succeeded"}
        }),
    );
    let Ok(Object::Pod(pod)) = full else { panic!("{full:?}") };
    assert_eq!(pod.name.to_string(), "shop/web");
    assert_eq!(pod.uid.as_deref(), Some("42"));
    assert_eq!(pod.node.unwrap().as_str(), "n1");
    assert!(pod.host_network && pod.phase.is_over());
}

#[test]
fn bad_pods_are_refused_by_object_and_field() {
    let missing = one_fault(Kind::Pod, json!({"metadata": {"namespace": "shop"}}));
    assert_eq!(missing, "Pod without a name: metadata.name is missing; every object needs it");
    let no_metadata = one_fault(Kind::Pod, json!({"spec": {}}));
    assert!(no_metadata.contains("metadata.name is missing"), "{no_metadata}");
    let phase = one_fault(Kind::Pod, json!({"metadata": {"name": "a"}, "status": {"phase": "Asleep"}}));
    assert!(phase.starts_with("Pod default/a: status.phase \"Asleep\" is not one of"), "{phase}");
    let node = one_fault(Kind::Pod, json!({"metadata": {"name": "a"}, "spec": {"nodeName": "A b"}}));
    assert!(node.starts_with("Pod default/a: spec.nodeName \"A b\""), "{node}");
    let label = one_fault(Kind::Pod, json!({"metadata": {"name": "a", "labels": {"a.b/c": "x y"}}}));
    assert!(label.starts_with("Pod default/a: metadata.labels[\"a.b/c\"] \"x y\" is no label value"), "{label}");
    let both = faults(Kind::Pod, json!({"metadata": {"name": "_", "namespace": "A"}}));
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn a_namespace_carries_its_own_name_as_a_label() {
    let object = check(Kind::Namespace, json!({"metadata": {"name": "shop", "labels": {"team": "blue"}}}));
    let Ok(Object::Namespace(namespace)) = object else { panic!("{object:?}") };
    assert_eq!(namespace.labels["team"], "blue");
    assert_eq!(namespace.labels["kubernetes.io/metadata.name"], "shop");
    assert!(one_fault(Kind::Namespace, json!({"metadata": {"name": "a.b"}})).contains("metadata.name"));
}

#[test]
fn other_kinds_and_versions_are_not_read() {
    assert_eq!(Kind::of("v1", "Pod"), Some(Kind::Pod));
    assert_eq!(Kind::of("apps/v1", "Deployment"), None);
    assert_eq!(Kind::of("v2", "Pod"), None);
}
