//! Checked objects as the API would write them: what a check of them makes is the same object again.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{
    ClientIpConfig, Container, ContainerPort, Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice,
    Hint, IntOrString, IpBlock, LabelSelector, LabelSelectorRequirement, LoadBalancerIngress, LoadBalancerStatus,
    Metadata, Namespace, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule, NetworkPolicySpec,
    Node, NodeAddress, NodeSpec, NodeStatus, Pod, PodCondition, PodIp, PodSpec, PodStatus, Raw, Service, ServicePort,
    ServiceSpec, ServiceStatus, SessionAffinityConfig,
};
use crate::network_policy::{PolicyPeer, PolicyPort, PolicyRule};
use crate::object::{Key, Labels, Object};
use crate::selector::{LabelTest, Selector};
use crate::service::{ServiceKind, TargetPort, TrafficDistribution};
use crate::{AddressType, Family, Phase};

impl From<&Object> for Raw {
    fn from(object: &Object) -> Raw {
        match object {
            Object::Node(node) => Raw::Node(of_node(node)),
            Object::Pod(pod) => Raw::Pod(of_pod(pod)),
            Object::Namespace(namespace) => {
                let metadata = metadata(&Key::Namespace(namespace.name.clone()), &namespace.labels);
                Raw::Namespace(Namespace { metadata: Some(metadata) })
            }
            Object::Service(service) => Raw::Service(Box::new(of_service(service))),
            Object::EndpointSlice(slice) => Raw::EndpointSlice(of_slice(slice)),
            Object::NetworkPolicy(policy) => Raw::NetworkPolicy(of_policy(policy)),
        }
    }
}

fn metadata(key: &Key, labels: &Labels) -> Metadata {
    let subject = key.subject();
    let labels = labels.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    Metadata { name: subject.name, namespace: subject.namespace, labels: Some(labels), ..Metadata::default() }
}

fn texts<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

fn of_node(node: &crate::Node) -> Node {
    let mut metadata = metadata(&Key::Node(node.name.clone()), &node.labels);
    metadata.annotations = Some(node.annotations().map(|(key, value)| (key.to_owned(), Some(value))).collect());
    let entry = |kind: &str, address: String| NodeAddress { kind: Some(kind.to_owned()), address: Some(address) };
    let internal = texts(&node.internal_ips).into_iter().map(|address| entry("InternalIP", address));
    let external = texts(&node.external_ips).into_iter().map(|address| entry("ExternalIP", address));
    let hostname = node.hostname.clone().map(|name| entry("Hostname", name));
    // As what it is going is not kept, only that it is.
    metadata.deletion_timestamp = node.leaving.then(|| "1970-01-01T00:00:00Z".to_owned());
    Node {
        metadata: Some(metadata),
        spec: Some(NodeSpec { pod_cidr: None, pod_cidrs: Some(texts(&node.pod_cidrs)), taints: None }),
        status: Some(NodeStatus { addresses: Some(internal.chain(external).chain(hostname).collect()) }),
    }
}

fn of_pod(pod: &crate::Pod) -> Pod {
    let mut metadata = metadata(&Key::Pod(pod.name.clone()), &pod.labels);
    metadata.uid.clone_from(&pod.uid);
    metadata.creation_timestamp = pod.created.map(|time| time.to_string());
    // When it is to be gone is not kept, only that it is.
    metadata.deletion_timestamp = pod.terminating.then(|| "1970-01-01T00:00:00Z".to_owned());
    let port = |port: &crate::PodPort| ContainerPort {
        name: Some(port.name.clone()),
        container_port: Some(port.port.into()),
        protocol: Some(port.protocol.to_string()),
    };
    let container = Container { ports: Some(pod.ports.iter().map(port).collect()), restart_policy: None };
    let phase = match pod.phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    };
    let ready = |ready: bool| PodCondition {
        kind: Some("Ready".to_owned()),
        status: Some(if ready { "True" } else { "False" }.to_owned()),
    };
    let ips = texts(&pod.addresses).into_iter().map(|address| PodIp { ip: Some(address) });
    Pod {
        metadata: Some(metadata),
        spec: Some(PodSpec {
            node_name: pod.node.as_ref().map(ToString::to_string),
            host_network: Some(pod.host_network),
            containers: Some(vec![container]),
            init_containers: None,
        }),
        status: Some(PodStatus {
            phase: Some(phase.to_owned()),
            pod_ip: None,
            pod_ips: Some(ips.collect()),
            conditions: Some(pod.ready.map(ready).into_iter().collect()),
        }),
    }
}

fn of_service(service: &crate::Service) -> Service {
    let mut metadata = metadata(&Key::Service(service.name.clone()), &service.labels);
    metadata.creation_timestamp = service.created.map(|time| time.to_string());
    let kind = match service.kind {
        ServiceKind::ClusterIp => "ClusterIP",
        ServiceKind::NodePort => "NodePort",
        ServiceKind::LoadBalancer => "LoadBalancer",
        ServiceKind::ExternalName => "ExternalName",
    };
    let headless = service.cluster_ips.is_empty() && service.kind != ServiceKind::ExternalName;
    let policy = |local: bool| Some(if local { "Local" } else { "Cluster" }.to_owned());
    let affinity = service.affinity.map(|seconds| ClientIpConfig { timeout_seconds: Some(seconds.into()) });
    let distribution = match service.traffic_distribution {
        TrafficDistribution::Any => None,
        TrafficDistribution::PreferSameZone => Some("PreferSameZone"),
        TrafficDistribution::PreferSameNode => Some("PreferSameNode"),
    };
    let ingress = |address: String| LoadBalancerIngress { ip: Some(address), ip_mode: None };
    let ingress = texts(&service.load_balancer_ips).into_iter().map(ingress).collect();
    Service {
        metadata: Some(metadata),
        spec: Some(ServiceSpec {
            kind: Some(kind.to_owned()),
            cluster_ip: None,
            cluster_ips: Some(if headless { vec!["None".to_owned()] } else { texts(&service.cluster_ips) }),
            ports: Some(service.ports.iter().map(of_service_port).collect()),
            selector: Some(service.selector.clone()),
            external_ips: Some(texts(&service.external_ips)),
            load_balancer_source_ranges: service.source_ranges.as_deref().map(texts),
            external_traffic_policy: policy(service.external_local),
            internal_traffic_policy: policy(service.internal_local),
            session_affinity: Some(if affinity.is_some() { "ClientIP" } else { "None" }.to_owned()),
            session_affinity_config: affinity.map(|config| SessionAffinityConfig { client_ip: Some(config) }),
            health_check_node_port: service.health_check_node_port.map(Into::into),
            publish_not_ready_addresses: Some(service.publish_not_ready),
            traffic_distribution: distribution.map(str::to_owned),
        }),
        status: Some(ServiceStatus { load_balancer: Some(LoadBalancerStatus { ingress: Some(ingress) }) }),
    }
}

fn of_service_port(port: &crate::ServicePort) -> ServicePort {
    let target = match &port.target {
        TargetPort::Number(number) => IntOrString::Int((*number).into()),
        TargetPort::Name(name) => IntOrString::Text(name.clone()),
    };
    ServicePort {
        name: Some(port.name.to_string()),
        protocol: Some(port.protocol.to_string()),
        port: Some(port.port.into()),
        target_port: Some(target),
        node_port: port.node_port.map(Into::into),
    }
}

fn of_slice(slice: &crate::EndpointSlice) -> EndpointSlice {
    let mut metadata = metadata(&Key::EndpointSlice(slice.name.clone()), &slice.labels);
    let changed = slice.changed.map(|time| time.to_string());
    metadata.annotations =
        changed.map(|time| BTreeMap::from([(crate::endpoint_slice::CHANGE_ANNOTATION.to_owned(), Some(time))]));
    let address_type = match slice.address_type {
        AddressType::Ip(Family::V4) => "IPv4",
        AddressType::Ip(Family::V6) => "IPv6",
        AddressType::Fqdn => "FQDN",
    };
    let port = |port: &crate::EndpointPort| EndpointPort {
        name: Some(port.name.to_string()),
        protocol: Some(port.protocol.to_string()),
        port: Some(port.port.into()),
    };
    EndpointSlice {
        metadata: Some(metadata),
        address_type: Some(address_type.to_owned()),
        endpoints: Some(slice.endpoints.iter().map(of_endpoint).collect()),
        ports: Some(slice.ports.iter().map(port).collect()),
    }
}

fn of_endpoint(endpoint: &crate::Endpoint) -> Endpoint {
    fn hints<T: Display>(names: &[T]) -> Option<Vec<Hint>> {
        (!names.is_empty()).then(|| names.iter().map(|name| Hint { name: Some(name.to_string()) }).collect())
    }
    Endpoint {
        addresses: Some(vec![endpoint.address.to_string()]),
        conditions: Some(EndpointConditions {
            ready: Some(endpoint.ready),
            serving: Some(endpoint.serving),
            terminating: Some(endpoint.terminating),
        }),
        node_name: endpoint.node.as_ref().map(ToString::to_string),
        zone: None,
        hints: Some(EndpointHints { for_zones: hints(&endpoint.zone_hints), for_nodes: hints(&endpoint.node_hints) }),
    }
}

fn of_policy(policy: &crate::NetworkPolicy) -> NetworkPolicy {
    let types = [("Ingress", policy.ingress.is_some()), ("Egress", policy.egress.is_some())];
    let types = types.into_iter().filter(|(_, about)| *about).map(|(name, _)| name.to_owned());
    let rules = |rules: &Option<Vec<PolicyRule>>, ingress: bool| {
        rules.as_ref().map(|rules| rules.iter().map(|rule| of_rule(rule, ingress)).collect())
    };
    NetworkPolicy {
        metadata: Some(metadata(&Key::NetworkPolicy(policy.name.clone()), &Labels::new())),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(of_selector(&policy.subjects)),
            policy_types: Some(types.collect()),
            ingress: rules(&policy.ingress, true),
            egress: rules(&policy.egress, false),
        }),
    }
}

fn of_rule(rule: &PolicyRule, ingress: bool) -> NetworkPolicyRule {
    let peers = Some(rule.peers.iter().map(of_peer).collect());
    let (from, to) = if ingress { (peers, None) } else { (None, peers) };
    NetworkPolicyRule { from, to, ports: Some(rule.ports.iter().map(of_policy_port).collect()) }
}

fn of_peer(peer: &PolicyPeer) -> NetworkPolicyPeer {
    match peer {
        PolicyPeer::Pods { namespaces, pods } => NetworkPolicyPeer {
            pod_selector: Some(of_selector(pods)),
            namespace_selector: namespaces.as_ref().map(of_selector),
            ip_block: None,
        },
        PolicyPeer::Block(block) => NetworkPolicyPeer {
            ip_block: Some(IpBlock { cidr: Some(block.cidr.to_string()), except: Some(texts(&block.except)) }),
            ..NetworkPolicyPeer::default()
        },
    }
}

fn of_policy_port(port: &PolicyPort) -> NetworkPolicyPort {
    let (protocol, port, end_port) = match port {
        PolicyPort::Whole(protocol) => (protocol, None, None),
        PolicyPort::Range { protocol, first, last } => {
            (protocol, Some(IntOrString::Int((*first).into())), Some((*last).into()))
        }
        PolicyPort::Named { protocol, name } => (protocol, Some(IntOrString::Text(name.clone())), None),
    };
    NetworkPolicyPort { protocol: Some(protocol.to_string()), port, end_port }
}

fn of_selector(selector: &Selector) -> LabelSelector {
    let requirement = |one: &crate::Requirement| {
        let (operator, values) = match &one.test {
            LabelTest::In(values) => ("In", Some(values.iter().cloned().collect())),
            LabelTest::NotIn(values) => ("NotIn", Some(values.iter().cloned().collect())),
            LabelTest::Exists => ("Exists", None),
            LabelTest::DoesNotExist => ("DoesNotExist", None),
        };
        LabelSelectorRequirement { key: Some(one.key.clone()), operator: Some(operator.to_owned()), values }
    };
    LabelSelector {
        match_labels: None,
        match_expressions: Some(selector.requirements().iter().map(requirement).collect()),
    }
}
