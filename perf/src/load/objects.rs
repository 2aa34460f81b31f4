//! The objects of a large cluster. Each bears a label of its own, by which it is found again.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::requests::Step;
use super::size::Size;

/// Every object that is made has this label.
pub(crate) const LABEL: &str = "sluice.io/load";
/// Namespaces that the objects are in.
const NAMESPACES: u32 = 20;
/// Values of the pods' label `app`.
const APPS: u32 = 500;
/// Pods of a node have addresses from here on.
const FIRST_HOST: u32 = 2;

/// What is made, in this order: of each kind its name and the requests.
pub(super) fn all(size: Size) -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("Namespaces", (0..NAMESPACES).map(namespace).collect()),
        ("Nodes", (0..size.nodes).map(node).collect()),
        ("Pods", (0..size.pods).map(|number| pod(size, number)).collect()),
        ("NetworkPolicies", (0..size.policies).map(policy).collect()),
        ("Services", (0..size.services).map(service).collect()),
        ("EndpointSlices", (0..size.services).flat_map(|number| slices(size, number)).collect()),
    ]
}

/// The name of the namespace that objects with this number are in.
fn namespace_of(number: u32) -> String {
    format!("load-{}", number % NAMESPACES)
}

fn labels(more: &Value) -> Value {
    let mut labels = json!({ LABEL: "true" });
    for (key, value) in more.as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    labels
}

fn namespace(number: u32) -> Step {
    let name = namespace_of(number);
    Step::create(
        "/api/v1/namespaces",
        &json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels(&Value::Null) },
        }),
    )
}

fn node_name(number: u32) -> String {
    format!("load-node-{number:04}")
}

fn node(number: u32) -> Step {
    let cidr = format!("{}/24", pod_address(number, 0));
    // The range for benchmarks (RFC 2544): nobody's node.
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + number);
    let object = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": node_name(number), "labels": labels(&Value::Null) },
        "spec": { "podCIDR": cidr, "podCIDRs": [cidr] },
    });
    let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
    Step::create("/api/v1/nodes", &object).then_status(&status)
}

/// An address of a node's podCIDR: the node's number times 256 in 10.128.0.0/9.
fn pod_address(node: u32, host: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + node * 256 + host)
}

/// On which node a pod is, and its address.
fn place(size: Size, number: u32) -> (u32, Ipv4Addr) {
    let nodes = size.nodes.max(1);
    let (node, host) = (number % nodes, FIRST_HOST + number / nodes);
    (node, pod_address(node, host))
}

fn pod(size: Size, number: u32) -> Step {
    let (node, address) = place(size, number);
    let app = json!({ "app": format!("app-{}", number % APPS), "tier": format!("tier-{}", number % 3) });
    let namespace = namespace_of(number);
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": format!("pod-{number}"), "namespace": namespace, "labels": labels(&app) },
        "spec": { "nodeName": node_name(node), "containers": [{
            "name": "main", "image": "none", "ports": [{ "name": "main", "containerPort": 8080, "protocol": "TCP" }],
        }] },
    });
    let status = json!({ "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] } });
    Step::create(&format!("/api/v1/namespaces/{namespace}/pods"), &object).then_status(&status)
}

fn policy(number: u32) -> Step {
    let namespace = namespace_of(number);
    let app = |number: u32| json!({ "matchLabels": { "app": format!("app-{}", number % APPS) } });
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": format!("policy-{number}"), "namespace": namespace, "labels": labels(&Value::Null) },
        "spec": {
            "podSelector": app(number),
            "ingress": [{
                "from": [{ "podSelector": app(number + 1) }, { "namespaceSelector": { "matchLabels": { LABEL: "true" } },
                    "podSelector": { "matchLabels": { "tier": "tier-1" } } }],
                "ports": [{ "protocol": "TCP", "port": 8080 }],
            }],
        },
    });
    Step::create(&format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"), &object)
}

fn service(number: u32) -> Step {
    let namespace = namespace_of(number);
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": format!("service-{number}"), "namespace": namespace, "labels": labels(&Value::Null) },
        "spec": { "ports": [{ "name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080 }] },
    });
    Step::create(&format!("/api/v1/namespaces/{namespace}/services"), &object)
}

fn slices(size: Size, service: u32) -> Vec<Step> {
    let slice = |(first, count): (u32, u32)| {
        let namespace = namespace_of(service);
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": slice_name(service, first), "namespace": namespace,
                "labels": labels(&json!({ "kubernetes.io/service-name": format!("service-{service}") })),
            },
            "addressType": "IPv4",
            "endpoints": endpoints(size, service, first, count, 0, true),
            "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
        });
        Step::create(&format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"), &object)
    };
    size.slices_of(service).map(slice).collect()
}

fn slice_name(service: u32, first: u32) -> String {
    format!("service-{service}-{first}")
}

/// The endpoints of a slice; the first `changed` of them are ready or not, as `ready` says.
fn endpoints(size: Size, service: u32, first: u32, count: u32, changed: u32, ready: bool) -> Vec<Value> {
    let pods = size.pods.max(1);
    let endpoint = |number: u32| {
        let pod = (service * 10 + first + number) % pods;
        let (node, address) = place(size, pod);
        json!({
            "addresses": [address], "nodeName": node_name(node),
            "conditions": { "ready": if number < changed { ready } else { true } },
            "targetRef": { "kind": "Pod", "name": format!("pod-{pod}"), "namespace": namespace_of(pod) },
        })
    };
    (0..count).map(endpoint).collect()
}

/// The request that changes `together` endpoints of the first slice of a Service, and when that happened.
pub(super) fn change(size: Size, service: u32, together: u32, ready: bool, now: &str) -> Step {
    let count = size.slices_of(service).next().map_or(0, |(_, count)| count);
    let body = json!({
        "metadata": { "annotations": { "endpoints.kubernetes.io/last-change-trigger-time": now } },
        "endpoints": endpoints(size, service, 0, count, together.min(count), ready),
    });
    let namespace = namespace_of(service);
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{}", slice_name(service, 0));
    Step::merge(&path, &body)
}

/// Where the objects are, those that others need last.
pub(super) fn collections() -> Vec<String> {
    let kinds = [
        ("/apis/discovery.k8s.io/v1", "endpointslices"),
        ("/api/v1", "services"),
        ("/apis/networking.k8s.io/v1", "networkpolicies"),
        ("/api/v1", "pods"),
    ];
    let namespaced = kinds.iter().flat_map(|(root, plural)| {
        (0..NAMESPACES).map(move |number| format!("{root}/namespaces/{}/{plural}", namespace_of(number)))
    });
    namespaced.chain(["/api/v1/nodes".to_owned()]).collect()
}

/// The namespaces by their paths.
pub(super) fn namespaces() -> impl Iterator<Item = String> {
    (0..NAMESPACES).map(|number| format!("/api/v1/namespaces/{}", namespace_of(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_pods_are_in_their_nodes_networks_and_no_two_are_the_same() {
        let size = Size { nodes: 1000, pods: 20_000, ..Size::default() };
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..size.pods {
            let (node, address) = place(size, number);
            assert_eq!(u32::from(address) >> 8, u32::from(pod_address(node, 0)) >> 8);
            assert!(seen.insert(address));
        }
    }

    #[test]
    fn as_many_requests_as_objects_are_made() {
        let size = Size { nodes: 3, services: 4, endpoints: 9, pods: 5, policies: 2 };
        let counts: Vec<(&str, usize)> = all(size).into_iter().map(|(what, steps)| (what, steps.len())).collect();
        let wanted = [
            ("Namespaces", 20),
            ("Nodes", 3),
            ("Pods", 5),
            ("NetworkPolicies", 2),
            ("Services", 4),
            ("EndpointSlices", 4),
        ];
        assert_eq!(counts, wanted);
    }
}
