//! A small world, in which most objects meet others: few names, few addresses, few labels.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Attachment, ContainerId, Index, Kind, Node, NodeName, PodName};
use sluice_tables::{PortId, WorkerId};
use sluice_wire::MacAddr;

use crate::Step;
use crate::outcome::Config;

const SPACES: [&str; 2] = ["blue", "red"];
const VALUES: [&str; 2] = ["x", "y"];

/// Addresses that pods may have, those of this node last.
pub(crate) const ADDRESSES: [&str; 9] = [
    "10.1.2.2",
    "10.1.2.3",
    "10.1.2.4",
    "fd00:1:2::2",
    "fd00:1:2::3",
    "192.0.2.1",
    "192.0.2.2",
    "10.1.1.2",
    "10.1.1.3",
];

/// IPv4 addresses that Services may have, and one that none has.
pub(crate) const FRONTENDS: [[u8; 4]; 6] =
    [[10, 96, 0, 1], [10, 96, 0, 2], [10, 96, 0, 3], [192, 0, 2, 1], [198, 51, 100, 7], [203, 0, 113, 5]];

fn labels(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    vec((select(keys), select(&VALUES[..])), 0..3).prop_map(|labels| {
        Value::Object(labels.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect())
    })
}

fn time() -> impl Strategy<Value = Option<&'static str>> {
    option::of(select(vec!["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2099-01-01T00:00:00Z"]))
}

fn node() -> impl Strategy<Value = Value> {
    let networks = select(vec![
        json!([]),
        json!(["10.1.2.0/24", "fd00:1:2::/64"]),
        json!(["10.1.2.0/23"]),
        json!(["10.9.0.0/24"]),
    ]);
    let address = select(vec!["192.0.2.2", "192.0.2.3", "10.96.0.1", "10.1.2.2"]);
    let annotations = option::of(select(vec![
        json!({"sluice.io/tunnel-address": "203.0.113.2"}),
        json!({"sluice.io/encapsulation": "geneve", "sluice.io/tunnel-mac": "02:00:00:00:00:07"}),
        json!({"sluice.io/tunnel-address": "192.0.2.3", "sluice.io/vni": "7"}),
    ]));
    let own = select(vec![
        (json!(["10.1.1.0/24"]), vec!["192.0.2.1"]),
        (json!(["10.1.1.0/24", "fd00:1:1::/64"]), vec!["192.0.2.1", "2001:db8::1"]),
        (json!(["10.1.1.0/24", "192.0.2.128/25"]), vec!["192.0.2.1"]),
        (json!(["10.1.1.0/24"]), vec!["192.0.2.9"]),
    ]);
    let who = (select(vec!["n1", "n2", "n3"]), select(vec!["east", "west"]));
    (who, networks, address, annotations, own).prop_map(|((name, zone), networks, address, annotations, own)| {
        let (networks, addresses) = if name == "n1" { own } else { (networks, vec![address]) };
        let addresses: Vec<Value> =
            addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
        json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}, "annotations": annotations},
               "spec": {"podCIDRs": networks}, "status": {"addresses": addresses}})
    })
}

fn namespace() -> impl Strategy<Value = Value> {
    (select(&SPACES[..]), labels(&["team"]))
        .prop_map(|(name, labels)| json!({"metadata": {"name": name, "labels": labels}}))
}

fn pod() -> impl Strategy<Value = Value> {
    let port = (select(vec!["web", "dns"]), select(vec![80, 81]))
        .prop_map(|(name, number)| json!({"name": name, "containerPort": number}));
    let state = (time(), any::<bool>(), select(vec!["Running", "Pending", "Failed"]), prop::bool::weighted(0.1));
    let who = (select(&SPACES[..]), 0..4u8, option::of(select(vec!["n1", "n2", "n3"])), labels(&["app", "tier"]));
    (who, vec(port, 0..2), (option::of(select(&ADDRESSES[..])), any::<bool>()), option::of(any::<bool>()), state)
        .prop_map(|((space, number, node, labels), ports, (address, two), ready, (created, going, phase, host))| {
            let second = address.filter(|text| two && !text.contains(':')).map(|_| "fd00:1:2::3");
            let addresses: Vec<Value> = address.into_iter().chain(second).map(|ip| json!({"ip": ip})).collect();
            let ready: Vec<Value> = ready
                .iter()
                .map(|ready| json!({"type": "Ready", "status": if *ready { "True" } else { "False" }}))
                .collect();
            json!({"metadata": {"namespace": space, "name": format!("p{number}"), "labels": labels,
                                "creationTimestamp": created, "deletionTimestamp": going.then_some("soon")},
                   "spec": {"nodeName": node, "hostNetwork": host, "containers": [{"ports": ports}]},
                   "status": {"phase": phase, "podIPs": addresses, "conditions": ready}})
        })
}

fn service() -> impl Strategy<Value = Value> {
    let who = (select(&SPACES[..]), 0..3u8, time(), prop::bool::weighted(0.15));
    let kind = select(vec!["ClusterIP", "NodePort", "LoadBalancer"]);
    let addresses = select(vec![
        json!(["10.96.0.1"]),
        json!(["10.96.0.2"]),
        json!(["10.96.0.1", "fd00:96::1"]),
        json!(["fd00:96::2", "10.96.0.2"]),
        json!(["fd00:96::1"]),
        json!(["10.1.2.9"]),
        json!(["None"]),
    ]);
    let ports = (select(vec![80, 81]), select(vec![30_080, 30_081]), any::<bool>());
    let selector = prop_oneof![Just(json!({})), labels(&["app"])];
    let policies = (select(vec!["Local", "Cluster"]), select(vec!["Local", "Cluster"]));
    let near = select(vec![json!(null), json!("PreferClose"), json!("PreferSameNode")]);
    let from = option::of(select(vec![json!(["192.0.2.0/24"]), json!(["198.51.100.0/24", "fd00::/16"])]));
    let rest = (near, option::of(Just("192.0.2.1")), option::of(select(vec![60, 61])), from);
    (who, (kind, addresses), ports, (policies, selector), rest).prop_map(
        |((space, number, created, other), (kind, addresses), (port, node_port, two), (policies, selector), rest)| {
            let (near, external, affinity, from) = rest;
            let mut ports = vec![json!({"name": "web", "port": port, "targetPort": "web", "nodePort": node_port})];
            if two {
                ports.push(json!({"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53, "nodePort": 30_053}));
            }
            let local = kind == "LoadBalancer" && policies.0 == "Local";
            let labels = other.then(|| json!({"service.kubernetes.io/service-proxy-name": "other"}));
            json!({"metadata": {"namespace": space, "name": format!("s{number}"), "creationTimestamp": created,
                                "labels": labels},
                   "spec": {"type": kind, "clusterIPs": addresses, "ports": ports, "selector": selector,
                            "externalTrafficPolicy": policies.0, "internalTrafficPolicy": policies.1,
                            "trafficDistribution": near, "externalIPs": external.into_iter().collect::<Vec<_>>(),
                            "healthCheckNodePort": local.then_some(32_000), "loadBalancerSourceRanges": from,
                            "sessionAffinity": affinity.map(|_| "ClientIP"),
                            "sessionAffinityConfig": affinity.map(|seconds| json!({"clientIP": {"timeoutSeconds": seconds}}))},
                   "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}})
        },
    )
}

fn slice() -> impl Strategy<Value = Value> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let place = (option::of(select(vec!["n1", "n2"])), option::of(select(vec!["east", "west"])));
    let endpoint = (select(&ADDRESSES[..]), flags, place).prop_map(|(address, (ready, serving, going), (node, zone))| {
        json!({"addresses": [address], "nodeName": node, "hints": {"forZones": zone.map(|zone| json!([{"name": zone}]))},
               "conditions": {"ready": ready, "serving": serving, "terminating": going}})
    });
    let of = (select(&SPACES[..]), 0..4u8, option::of(0..3u8), prop::bool::weighted(0.3));
    (of, vec(endpoint, 0..4), select(vec![80, 8080]), prop::bool::weighted(0.2)).prop_map(
        |((space, number, service, six), endpoints, port, other)| {
            let of_family = |one: &Value| one["addresses"][0].as_str().is_some_and(|text| text.contains(':') == six);
            let endpoints: Vec<Value> = endpoints.into_iter().filter(of_family).collect();
            let mut labels = serde_json::Map::new();
            labels.extend(service.map(|at| ("kubernetes.io/service-name".to_owned(), json!(format!("s{at}")))));
            labels.extend(other.then(|| ("service.kubernetes.io/service-proxy-name".to_owned(), json!("other"))));
            json!({"metadata": {"namespace": space, "name": format!("e{number}"), "labels": labels},
                   "addressType": if six { "IPv6" } else { "IPv4" }, "endpoints": endpoints,
                   "ports": [{"name": "web", "port": port}, {"name": "dns", "port": 53, "protocol": "UDP"}]})
        },
    )
}

fn policy() -> impl Strategy<Value = Value> {
    let selector = || labels(&["app", "tier"]).prop_map(|labels| json!({"matchLabels": labels}));
    let spaces = labels(&["team"]).prop_map(|labels| json!({"matchLabels": labels}));
    let peer = prop_oneof![
        3 => selector().prop_map(|pods| json!({"podSelector": pods})),
        2 => (selector(), spaces).prop_map(|(pods, spaces)| json!({"podSelector": pods, "namespaceSelector": spaces})),
        1 => Just(json!({"ipBlock": {"cidr": "10.1.2.0/24", "except": ["10.1.2.3/32"]}})),
        1 => Just(json!({"ipBlock": {"cidr": "fd00:1:2::/64"}})),
    ];
    let port = prop_oneof![
        select(vec![80, 81]).prop_map(|port| json!({"port": port})),
        select(vec!["web", "dns"]).prop_map(|port| json!({"port": port})),
    ];
    let rules = || option::of(vec((vec(peer.clone(), 0..3), vec(port.clone(), 0..3)), 0..3));
    (select(&SPACES[..]), 0..3u8, selector(), rules(), rules()).prop_map(
        |(space, number, subjects, ingress, egress)| {
            type Rules = Option<Vec<(Vec<Value>, Vec<Value>)>>;
            let side = |rules: Rules, key: &str| {
                rules.map(|rules| {
                    rules.into_iter().map(|(peers, ports)| json!({key: peers, "ports": ports})).collect::<Vec<_>>()
                })
            };
            let types: Vec<&str> = [("Ingress", ingress.is_some()), ("Egress", egress.is_some())]
                .into_iter()
                .filter(|(_, about)| *about)
                .map(|(name, _)| name)
                .collect();
            json!({"metadata": {"namespace": space, "name": format!("policy-{number}")},
               "spec": {"podSelector": subjects, "policyTypes": types, "ingress": side(ingress, "from"),
                        "egress": side(egress, "to")}})
        },
    )
}

/// One thing that the operator says otherwise.
fn config() -> impl Strategy<Value = Step> {
    const OTHERS: [fn(&mut Config); 5] = [
        |config| config.all_addresses ^= true,
        |config| config.maglev ^= true,
        |config| config.named ^= true,
        |config| config.external_ips ^= true,
        |config| config.tunnels ^= true,
    ];
    select(&OTHERS[..]).prop_map(Step::Config)
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let object = prop_oneof![
        2 => node().prop_map(|raw| (Kind::Node, raw)),
        1 => namespace().prop_map(|raw| (Kind::Namespace, raw)),
        4 => pod().prop_map(|raw| (Kind::Pod, raw)),
        3 => service().prop_map(|raw| (Kind::Service, raw)),
        4 => slice().prop_map(|raw| (Kind::EndpointSlice, raw)),
        3 => policy().prop_map(|raw| (Kind::NetworkPolicy, raw)),
    ];
    prop_oneof![
        12 => object.prop_map(|(kind, raw)| apply(kind, raw)),
        4 => any::<prop::sample::Index>().prop_map(Step::Delete),
        1 => any::<u8>().prop_map(Step::Attach),
        2 => config(),
    ]
}

/// A policy that comes or becomes another.
pub(crate) fn policy_step() -> impl Strategy<Value = Step> {
    policy().prop_map(|raw| apply(Kind::NetworkPolicy, raw))
}

/// Mostly pods that become others, so that identities come and go, and few policies.
pub(crate) fn pod_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => pod().prop_map(|raw| apply(Kind::Pod, raw)),
        4 => policy_step(),
        2 => any::<prop::sample::Index>().prop_map(Step::Delete),
        1 => any::<u8>().prop_map(Step::Attach),
    ]
}

fn apply(kind: Kind, raw: Value) -> Step {
    let told = raw.to_string();
    let raw = Raw::deserialize(kind, raw).expect("types are right");
    Step::Apply(Box::new(raw.check().unwrap_or_else(|faults| panic!("{told}: {faults:?}"))))
}

/// This node, as its object has it, or as an agent knows it that has none.
pub(crate) fn node_of(index: &Index) -> Node {
    let name = NodeName::new("n1").expect("a name");
    let unknown = || Node { pod_cidrs: vec!["10.1.1.0/24".parse().expect("a network")], ..Node::named(name.clone()) };
    index.node(&name).cloned().unwrap_or_else(unknown)
}

/// Of four pods that could be, those whose bit is set.
pub(crate) fn attachments(which: u8) -> Vec<Attachment> {
    let pods = [("blue", "p0"), ("blue", "p1"), ("red", "p0"), ("red", "p2")];
    let attachment = |(position, (namespace, name)): (usize, &(&str, &str))| Attachment {
        container: ContainerId::new("c"),
        pod: PodName::parse(namespace, name).expect("a name"),
        port: PortId(position as u16),
        worker: WorkerId(0),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        addresses: vec![IpAddr::from([10, 1, 1, 2 + position as u8])],
        path_mtu: 1500,
        max_l3_len: 1500,
    };
    pods.iter().enumerate().filter(|(position, _)| which & (1 << position) != 0).map(attachment).collect()
}
