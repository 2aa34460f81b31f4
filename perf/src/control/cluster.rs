//! A cluster as objects, as large as the targets name it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{
    AddressType, Endpoint, EndpointPort, EndpointSlice, EndpointSliceName, Family, Kind, Labels, Namespace,
    NamespaceName, Node, NodeName, Object, Phase, Pod, PodName, Protocol, Service, ServiceKind, ServiceName,
    ServicePort, TargetPort, TrafficDistribution,
};

/// How much there is of each kind.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) namespaces: usize,
    /// Pods of other nodes.
    pub(super) pods: usize,
    /// Pods of this node, attached.
    pub(super) attached: usize,
    pub(super) services: usize,
    /// Services that have a hundred times as many endpoints as the others.
    pub(super) large_services: usize,
    pub(super) endpoints: usize,
    pub(super) policies: usize,
}

/// Endpoints of a Service that is not large.
const FEW: usize = 5;

/// Endpoints that a slice holds at most, as Kubernetes' controller has it.
const SLICE: usize = 100;

impl Size {
    /// What the targets are of.
    pub(super) fn large() -> Size {
        Size {
            nodes: 1000,
            namespaces: 100,
            pods: 20_000,
            attached: 100,
            services: 10_000,
            large_services: 100,
            endpoints: 100_000,
            policies: 1000,
        }
    }

    /// A part of it, for a look in passing.
    pub(super) fn divided_by(self, by: usize) -> Size {
        let Size { nodes, namespaces, pods, attached, services, large_services, endpoints, policies } = self;
        let [nodes, pods, services, endpoints, policies] =
            [nodes, pods, services, endpoints, policies].map(|all| all / by);
        let [namespaces, attached, large_services] =
            [namespaces, attached, large_services].map(|all| (all / by).max(2));
        // Equal shares come out even whatever the divisor.
        let endpoints = endpoints.max(services * FEW);
        Size { nodes, namespaces, pods, attached, services, large_services, endpoints, policies }
    }
}

/// The cluster, seen from its first node.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) size: Size,
}

impl Cluster {
    pub(super) fn new(size: Size) -> Cluster {
        Cluster { size }
    }

    /// All objects, kind by kind as watches bring them.
    pub(super) fn objects(&self) -> Vec<Object> {
        let size = self.size;
        let nodes = (0..size.nodes).map(|node| Object::Node(self.node(node, 0)));
        let namespaces = (0..size.namespaces).map(|number| Object::Namespace(namespace_object(number)));
        let pods = (0..size.pods + size.attached).map(|pod| Object::Pod(self.pod(pod, 0)));
        let services = (0..size.services).map(|service| Object::Service(Box::new(self.service(service))));
        let slices = (0..size.services)
            .flat_map(|service| (0..self.slices_of(service)).map(move |part| (service, part)))
            .map(|(service, part)| Object::EndpointSlice(self.slice(service, part, None)));
        let policies = (0..size.policies).map(|policy| self.policy(policy, 0));
        nodes.chain(namespaces).chain(pods).chain(services).chain(slices).chain(policies).collect()
    }

    /// A node; `turn` makes it another one at another address.
    pub(super) fn node(&self, number: usize, turn: usize) -> Node {
        let name = node_name(number);
        let mut labels = labels(&[("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")]);
        labels.insert("kubernetes.io/hostname".into(), name.as_str().to_owned());
        labels.insert("topology.kubernetes.io/zone".into(), format!("zone-{}", number % 3));
        let pod_cidrs = vec![format!("10.{}.{}.0/24", 64 + number / 256, number % 256).parse().expect("a network")];
        let second = if turn.is_multiple_of(2) { 16 } else { 17 };
        let address = Ipv4Addr::new(172, second, (number / 250) as u8, (number % 250 + 1) as u8);
        Node { labels, pod_cidrs, internal_ips: vec![address.into()], ..Node::named(name) }
    }

    /// A pod; those after `size.pods` are attached to this node. `turn` gives it another address.
    pub(super) fn pod(&self, number: usize, turn: usize) -> Pod {
        let here = number >= self.size.pods;
        let place = if here { number - self.size.pods } else { number / (self.size.nodes - 1) };
        let node = if here { 0 } else { 1 + number % (self.size.nodes - 1) };
        let app = format!("app-{}", number % self.size.services);
        let mut labels = labels(&[("app.kubernetes.io/part-of", "shop"), ("pod-template-hash", "6d4cf56db6")]);
        labels.insert("app".into(), app.clone());
        labels.insert("tier".into(), ["web", "logic", "data"][number % 3].into());
        let name = PodName::new(namespace(number % self.size.namespaces), &format!("{app}-6d4cf56db6-{number:05x}"));
        Pod {
            name: name.expect("a name"),
            uid: Some(format!("6f9619ff-8b86-d011-b42d-{number:012x}")),
            created: sluice_model::Timestamp::parse("2026-11-22T10:00:00Z"),
            labels,
            node: Some(node_name(node)),
            host_network: false,
            phase: Phase::Running,
            addresses: vec![pod_address(node, place + 2 + 125 * (turn % 2))],
            ports: vec![sluice_model::PodPort { name: "http".into(), port: 8080, protocol: Protocol::Tcp }],
            ready: Some(true),
            terminating: false,
        }
    }

    /// The address of a pod that is attached.
    pub(super) fn attached_address(&self, number: usize) -> IpAddr {
        pod_address(0, number + 2)
    }

    /// A Service.
    pub(super) fn service(&self, number: usize) -> Service {
        let port = ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target: TargetPort::Number(8080),
            node_port: None,
        };
        Service {
            name: self.service_name(number),
            labels: labels(&[("app.kubernetes.io/part-of", "shop")]),
            created: sluice_model::Timestamp::parse("2026-11-22T10:00:00Z"),
            kind: ServiceKind::ClusterIp,
            cluster_ips: vec![Ipv4Addr::from(0x0a60_0000 + 10 + number as u32).into()],
            ports: vec![port],
            selector: labels(&[("app", &format!("app-{number}"))]),
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            source_ranges: None,
            external_local: false,
            internal_local: false,
            affinity: None,
            health_check_node_port: None,
            publish_not_ready: false,
            traffic_distribution: TrafficDistribution::Any,
        }
    }

    fn service_name(&self, number: usize) -> ServiceName {
        let namespace = namespace(number % self.size.namespaces);
        ServiceName::new(namespace, &format!("service-{number}")).expect("a name")
    }

    /// How many endpoints a Service has: the large ones share what the others leave.
    fn endpoints_of(&self, service: usize) -> usize {
        let Size { services, large_services: large, endpoints, .. } = self.size;
        let left = endpoints - (services - large) * FEW;
        match service {
            0 => left - (left / large) * (large - 1),
            number if number < large => left / large,
            _ => FEW,
        }
    }

    /// How many slices those take.
    pub(super) fn slices_of(&self, service: usize) -> usize {
        self.endpoints_of(service).div_ceil(SLICE)
    }

    /// A slice of a Service; the endpoint at `unready` is.
    pub(super) fn slice(&self, service: usize, part: usize, unready: Option<usize>) -> EndpointSlice {
        let all = part * SLICE..self.endpoints_of(service).min((part + 1) * SLICE);
        let endpoint = |position: usize| {
            let pod = (service * FEW + position * 7) % self.size.pods;
            let node = 1 + pod % (self.size.nodes - 1);
            let ready = unready != Some(position - part * SLICE);
            Endpoint {
                address: pod_address(node, pod / (self.size.nodes - 1) + 2),
                ready,
                serving: ready,
                terminating: false,
                node: Some(node_name(node)),
                zone_hints: Vec::new(),
                node_hints: Vec::new(),
            }
        };
        let name = self.service_name(service);
        let mut labels = labels(&[("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io")]);
        labels.insert("kubernetes.io/service-name".into(), name.name().to_owned());
        EndpointSlice {
            name: EndpointSliceName::new(name.namespace().clone(), &format!("{}-{part:05x}", name.name()))
                .expect("a name"),
            labels,
            service: Some(name),
            address_type: AddressType::Ip(Family::V4),
            endpoints: all.map(endpoint).collect(),
            ports: vec![EndpointPort { name: Arc::from("http"), protocol: Protocol::Tcp, port: 8080 }],
            changed: sluice_model::Timestamp::parse("2026-11-22T10:00:00Z"),
        }
    }

    /// A policy, each of ten kinds in turn; `turn` opens another port.
    pub(super) fn policy(&self, number: usize, turn: usize) -> Object {
        let namespace = number % self.size.namespaces;
        let tier = |tier: &str| json!({"podSelector": {"matchLabels": {"tier": tier}}});
        let ports = json!([{"port": 8000 + turn % 1000}, {"protocol": "UDP", "port": 53}]);
        let ingress = |peers: Value| json!({"podSelector": {}, "ingress": [{"from": peers, "ports": ports}]});
        let spec = match number / self.size.namespaces % 10 {
            0 => json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
            1 => ingress(json!([tier("web")])),
            2 => ingress(json!([{"namespaceSelector": {"matchLabels": {"team": format!("team-{}", namespace % 7)}}}])),
            3 => ingress(json!([{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}])),
            4 => json!({"podSelector": {"matchLabels": {"tier": "data"}}, "ingress": [{"from": [tier("logic")]}]}),
            5 => {
                json!({"podSelector": {"matchLabels": {"tier": "web"}}, "egress": [{"to": [tier("logic")], "ports": ports}]})
            }
            6 => ingress(json!([{"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}])),
            7 => {
                json!({"podSelector": {"matchLabels": {"app": format!("app-{number}")}}, "ingress": [{"ports": ports}]})
            }
            8 => json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": ports}]}),
            _ => ingress(json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"tier": "web"}}}])),
        };
        let metadata = json!({"namespace": format!("team-space-{namespace}"), "name": format!("policy-{number}")});
        let raw = Raw::deserialize(Kind::NetworkPolicy, json!({"metadata": metadata, "spec": spec}));
        raw.expect("types are right").check().expect("is good")
    }
}

/// Name of a node; the first is this one.
pub(super) fn node_name(number: usize) -> NodeName {
    NodeName::new(&format!("node-{number}.pool.example.org")).expect("a name")
}

fn pod_address(node: usize, host: usize) -> IpAddr {
    Ipv4Addr::new(10, (64 + node / 256) as u8, (node % 256) as u8, host as u8).into()
}

fn namespace(number: usize) -> NamespaceName {
    NamespaceName::new(&format!("team-space-{number}")).expect("a name")
}

fn namespace_object(number: usize) -> Namespace {
    let name = namespace(number);
    let mut labels = labels(&[("kubernetes.io/metadata.name", name.as_str())]);
    labels.insert("team".into(), format!("team-{}", number % 7));
    Namespace { name, labels }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
