//! The objects that the tests apply.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// The ranges that ClusterIPs are taken from.
pub(crate) const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// The port that servers in pods listen on.
pub(crate) const PORT: u16 = 8080;

/// Two nodes with three pods each: `client`, `guest` and `web-a` on the first, `other`, `vault` and `web-b` on the second.
/// The label `app` of each is its name, and `web` for the two servers.
pub(crate) fn base() -> Vec<Value> {
    let mut objects = vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "demo" } })];
    objects.extend([node("node-a", 1), node("node-b", 2)]);
    for (name, app, node) in [
        ("client", "client", "node-a"),
        ("guest", "guest", "node-a"),
        ("web-a", "web", "node-a"),
        ("other", "other", "node-b"),
        ("vault", "vault", "node-b"),
        ("web-b", "web", "node-b"),
    ] {
        objects.push(pod(name, app, node));
    }
    objects
}

fn node(name: &str, number: u8) -> Value {
    let (v4, v6) = (format!("192.0.2.1{number}"), format!("2001:db8::1{number}"));
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "spec": { "podCIDRs": [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": v4 }, { "type": "InternalIP", "address": v6 },
        ] },
    })
}

pub(crate) fn pod(name: &str, app: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "demo", "labels": { "app": app } },
        "spec": { "nodeName": node, "containers": [{
            "name": "main",
            "ports": [{ "name": "main", "containerPort": PORT, "protocol": "TCP" }],
        }] },
    })
}

/// The two ClusterIPs with this number.
pub(crate) fn cluster_ips(number: u8) -> [String; 2] {
    [format!("10.96.0.{number}"), format!("fd00:10:96::{number:x}")]
}

/// The frontends that these make with a port.
pub(crate) fn frontends(number: u8, port: u16) -> [SocketAddr; 2] {
    cluster_ips(number).map(|address| SocketAddr::new(address.parse().expect("an address"), port))
}

/// A Service of both families without a selector, with TCP and UDP on port 80. `more` goes into its spec.
pub(crate) fn service(name: &str, number: u8, more: &Value) -> Value {
    let ips = cluster_ips(number);
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "demo" },
        "spec": {
            "type": "ClusterIP", "clusterIP": ips[0], "clusterIPs": ips,
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
            "ports": [
                { "name": "tcp", "protocol": "TCP", "port": 80, "targetPort": PORT },
                { "name": "udp", "protocol": "UDP", "port": 80, "targetPort": PORT },
            ],
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    service
}

/// The same with a node port for both protocols.
pub(crate) fn node_port_service(name: &str, number: u8, node_port: u16, more: &Value) -> Value {
    let mut service = service(name, number, &json!({ "type": "NodePort" }));
    for port in service["spec"]["ports"].as_array_mut().expect("ports") {
        port["nodePort"] = json!(node_port);
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    service
}

/// An endpoint: its two addresses, its node, and its conditions.
pub(crate) struct Endpoint {
    pub(crate) addresses: [std::net::IpAddr; 2],
    pub(crate) node: &'static str,
    pub(crate) conditions: Value,
}

impl Endpoint {
    /// A ready one.
    pub(crate) fn ready(place: &crate::place::Place, node: &'static str) -> Self {
        Self { addresses: place.addresses, node, conditions: json!({ "ready": true }) }
    }

    /// One that is going and still serves.
    pub(crate) fn terminating(place: &crate::place::Place, node: &'static str) -> Self {
        let conditions = json!({ "ready": false, "serving": true, "terminating": true });
        Self { addresses: place.addresses, node, conditions }
    }
}

/// The EndpointSlices of a Service, one a family.
pub(crate) fn slices(service: &str, endpoints: &[Endpoint]) -> [Value; 2] {
    [("IPv4", 0), ("IPv6", 1)].map(|(family, at)| {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|one| json!({ "addresses": [one.addresses[at]], "nodeName": one.node, "conditions": one.conditions }))
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{service}-{}", family.to_lowercase()), "namespace": "demo",
                "labels": { "kubernetes.io/service-name": service },
            },
            "addressType": family, "endpoints": endpoints,
            "ports": [
                { "name": "tcp", "protocol": "TCP", "port": PORT }, { "name": "udp", "protocol": "UDP", "port": PORT },
            ],
        })
    })
}

/// A Service with its slices.
pub(crate) fn with_endpoints(service: Value, endpoints: &[Endpoint]) -> Vec<Value> {
    let name = service["metadata"]["name"].as_str().expect("a name").to_owned();
    let mut objects = vec![service];
    objects.extend(slices(&name, endpoints));
    objects
}

/// A NetworkPolicy for the pods with this label `app`; `spec` holds the rest.
pub(crate) fn policy(name: &str, app: &str, spec: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": "demo" },
        "spec": { "podSelector": { "matchLabels": { "app": app } } },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        policy["spec"][key] = value.clone();
    }
    policy
}
