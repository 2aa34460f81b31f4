//! The objects as the API writes them.

use serde_json::{Map, Value, json};

use super::{
    Cluster, Endpoint, Labels, Operator, Peer, Policy, PortName, Rule, Selector, Service, ServiceKind, Slice, Way,
    node_address, pod_network,
};

/// Name of a node by its position.
#[must_use]
fn node_name(node: usize) -> String {
    format!("node{node}")
}

fn namespace_name(namespace: usize) -> String {
    format!("ns{namespace}")
}

impl Cluster {
    /// Every object, with `apiVersion` and `kind`.
    #[must_use]
    pub fn manifests(&self) -> Vec<Value> {
        let nodes = (0..self.nodes.len()).map(|at| self.node(at));
        let namespaces = (0..self.namespaces.len())
            .map(|at| object("v1", "Namespace", &namespace_name(at), None, &self.namespaces[at].labels, Map::new()));
        let pods = (0..self.pods.len()).map(|at| self.pod(at));
        let services = self.services.iter().enumerate().flat_map(|(at, it)| service(at, it));
        let policies = self.policies.iter().enumerate().map(|(at, it)| policy(at, it));
        nodes.chain(namespaces).chain(pods).chain(services).chain(policies).collect()
    }

    fn node(&self, at: usize) -> Value {
        let zone = self.nodes[at].zone.iter().map(|zone| ("topology.kubernetes.io/zone".to_owned(), zone.clone()));
        let addresses = [true, false].map(|v4| json!({"type": "InternalIP", "address": node_address(at, v4)}));
        let networks = [true, false].map(|v4| pod_network(at, v4).to_string());
        let rest = json!({"spec": {"podCIDRs": networks}, "status": {"addresses": addresses}});
        object("v1", "Node", &node_name(at), None, &zone.collect(), fields(rest))
    }

    fn pod(&self, at: usize) -> Value {
        let pod = &self.pods[at];
        let ports: Vec<Value> = pod
            .ports
            .iter()
            .map(|it| json!({"name": it.name, "containerPort": it.port, "protocol": it.protocol.name()}))
            .collect();
        let addresses = self.addresses_of(at);
        let ips: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        let rest = json!({
            "spec": {
                "nodeName": node_name(pod.node),
                "hostNetwork": pod.host_network,
                "containers": [{"name": "main", "ports": ports}],
            },
            "status": {
                "phase": if pod.over { "Succeeded" } else { "Running" },
                "podIP": addresses.first(),
                "podIPs": ips,
                "hostIP": node_address(pod.node, true),
            },
        });
        object("v1", "Pod", &format!("pod{at}"), Some(pod.namespace), &pod.labels, fields(rest))
    }
}

fn object(
    api: &str,
    kind: &str,
    name: &str,
    namespace: Option<usize>,
    labels: &Labels,
    rest: Map<String, Value>,
) -> Value {
    let mut metadata = json!({"name": name, "labels": labels});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace_name(namespace).into();
    }
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": metadata});
    object.as_object_mut().expect("a JSON object").extend(rest);
    object
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn service(at: usize, it: &Service) -> Vec<Value> {
    let name = format!("svc{at}");
    let kind = match it.kind {
        ServiceKind::ClusterIp => "ClusterIP",
        ServiceKind::NodePort => "NodePort",
        ServiceKind::LoadBalancer => "LoadBalancer",
        ServiceKind::ExternalName => "ExternalName",
    };
    let ports: Vec<Value> = it
        .ports
        .iter()
        .map(|port| {
            let mut value = json!({"protocol": port.protocol.name(), "port": port.port});
            put(&mut value, "name", port.name.clone());
            put(&mut value, "nodePort", port.node_port);
            value
        })
        .collect();
    let policy = |local| if local { "Local" } else { "Cluster" };
    let mut spec = json!({"type": kind, "ports": ports, "internalTrafficPolicy": policy(it.internal_local)});
    match it.cluster_ips.first() {
        _ if it.kind == ServiceKind::ExternalName => put(&mut spec, "externalName", Some("example.org")),
        None => put(&mut spec, "clusterIP", Some("None")),
        first => {
            put(&mut spec, "clusterIP", first);
            put(&mut spec, "clusterIPs", Some(&it.cluster_ips));
        }
    }
    if matches!(it.kind, ServiceKind::NodePort | ServiceKind::LoadBalancer) || !it.external_ips.is_empty() {
        put(&mut spec, "externalTrafficPolicy", Some(policy(it.external_local)));
    }
    put(&mut spec, "externalIPs", some(&it.external_ips));
    put(&mut spec, "loadBalancerSourceRanges", some(&it.source_ranges));
    if let Some(seconds) = it.affinity {
        put(&mut spec, "sessionAffinity", Some("ClientIP"));
        put(&mut spec, "sessionAffinityConfig", Some(json!({"clientIP": {"timeoutSeconds": seconds}})));
    }
    let ingress: Vec<Value> = it
        .ingress
        .iter()
        .map(|(ip, proxy)| json!({"ip": ip, "ipMode": if *proxy { "Proxy" } else { "VIP" }}))
        .collect();
    let labels = foreign(it).into_iter().collect();
    let rest = json!({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}});
    let slices = it.slices.iter().enumerate().map(|(number, slice)| endpoint_slice(&name, number, it, slice));
    std::iter::once(object("v1", "Service", &name, Some(it.namespace), &labels, fields(rest))).chain(slices).collect()
}

fn foreign(it: &Service) -> Option<(String, String)> {
    it.foreign_proxy.then(|| ("service.kubernetes.io/service-proxy-name".to_owned(), "other".to_owned()))
}

fn endpoint_slice(name: &str, number: usize, service: &Service, slice: &Slice) -> Value {
    let mut labels: Labels = foreign(service).into_iter().collect();
    labels.insert("kubernetes.io/service-name".to_owned(), name.to_owned());
    let ports: Vec<Value> = slice
        .ports
        .iter()
        .map(|port| {
            let mut value = json!({"protocol": port.protocol.name(), "port": port.port});
            put(&mut value, "name", port.name.clone());
            value
        })
        .collect();
    let endpoints: Vec<Value> = slice.endpoints.iter().map(endpoint).collect();
    let family = if slice.v4 { "IPv4" } else { "IPv6" };
    let rest = json!({"addressType": family, "ports": ports, "endpoints": endpoints});
    let name = format!("{name}-{number}");
    object("discovery.k8s.io/v1", "EndpointSlice", &name, Some(service.namespace), &labels, fields(rest))
}

fn endpoint(it: &Endpoint) -> Value {
    let mut conditions = json!({});
    put(&mut conditions, "ready", it.ready);
    put(&mut conditions, "serving", it.serving);
    put(&mut conditions, "terminating", it.terminating);
    let mut value = json!({"addresses": [it.address], "conditions": conditions});
    put(&mut value, "nodeName", it.node.map(node_name));
    let mut hints = json!({});
    let named = |names: Vec<String>| names.into_iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
    put(&mut hints, "forZones", some(&named(it.for_zones.clone())));
    put(&mut hints, "forNodes", some(&named(it.for_nodes.iter().copied().map(node_name).collect())));
    put(&mut value, "hints", hints.as_object().filter(|hints| !hints.is_empty()));
    value
}

fn policy(at: usize, it: &Policy) -> Value {
    let mut spec = json!({"podSelector": selector(&it.subject)});
    let types = it.types.as_ref().map(|types| {
        let name = |way: &Way| if *way == Way::Ingress { "Ingress" } else { "Egress" };
        types.iter().map(name).collect::<Vec<_>>()
    });
    put(&mut spec, "policyTypes", types);
    put(
        &mut spec,
        "ingress",
        it.ingress.as_ref().map(|rules| rules.iter().map(|it| rule(it, "from")).collect::<Vec<_>>()),
    );
    put(&mut spec, "egress", it.egress.as_ref().map(|rules| rules.iter().map(|it| rule(it, "to")).collect::<Vec<_>>()));
    let rest = fields(json!({ "spec": spec }));
    object("networking.k8s.io/v1", "NetworkPolicy", &format!("policy{at}"), Some(it.namespace), &Labels::new(), rest)
}

fn rule(it: &Rule, peers_field: &str) -> Value {
    let mut value = json!({});
    put(&mut value, peers_field, some(&it.peers.iter().map(peer).collect::<Vec<_>>()));
    let ports: Vec<Value> = it
        .ports
        .iter()
        .map(|port| {
            let mut value = json!({});
            put(&mut value, "protocol", port.protocol.map(super::Protocol::name));
            match &port.port {
                None => {}
                Some(PortName::Number(number)) => put(&mut value, "port", Some(number)),
                Some(PortName::Name(name)) => put(&mut value, "port", Some(name)),
                Some(PortName::Range(first, last)) => {
                    put(&mut value, "port", Some(first));
                    put(&mut value, "endPort", Some(last));
                }
            }
            value
        })
        .collect();
    put(&mut value, "ports", some(&ports));
    value
}

fn peer(it: &Peer) -> Value {
    let mut value = json!({});
    match it {
        Peer::Pods { namespaces, pods } => {
            put(&mut value, "namespaceSelector", namespaces.as_ref().map(selector));
            put(&mut value, "podSelector", pods.as_ref().map(selector));
        }
        Peer::Block { cidr, except } => {
            let mut block = json!({ "cidr": cidr });
            put(&mut block, "except", some(except));
            put(&mut value, "ipBlock", Some(block));
        }
    }
    value
}

fn selector(it: &Selector) -> Value {
    let mut value = json!({});
    put(&mut value, "matchLabels", Some(&it.labels).filter(|labels| !labels.is_empty()));
    let expressions: Vec<Value> = it
        .expressions
        .iter()
        .map(|it| {
            let (operator, values) = match &it.operator {
                Operator::In(values) => ("In", Some(values)),
                Operator::NotIn(values) => ("NotIn", Some(values)),
                Operator::Exists => ("Exists", None),
                Operator::DoesNotExist => ("DoesNotExist", None),
            };
            let mut value = json!({"key": it.key, "operator": operator});
            put(&mut value, "values", values);
            value
        })
        .collect();
    put(&mut value, "matchExpressions", some(&expressions));
    value
}

fn some<T>(values: &Vec<T>) -> Option<&Vec<T>> {
    (!values.is_empty()).then_some(values)
}

/// Sets a field; one without a value is left out, as the API does.
fn put(object: &mut Value, field: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        object[field] = serde_json::to_value(value).expect("plain data becomes JSON");
    }
}
