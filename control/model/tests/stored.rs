//! Objects on disk: what is written is read back as it was, and nothing else is ever read.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Key, Kind, Object};

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,6}[a-z0-9]"
}

fn labels() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("([a-z]{1,5}\\.io/)?[A-Za-z][a-z_.-]{0,3}[a-z]", "([a-z0-9]{1,5})?", 0..4)
        .prop_map(|labels| json!(labels))
}

fn metadata() -> impl Strategy<Value = Value> {
    let created = option::of((0..9999u32, 1..=12u32, 1..=28u32, 0..1_000_000_000u32));
    (name(), name(), labels(), created, option::of("[a-f0-9-]{1,12}"), any::<bool>()).prop_map(
        |(name, namespace, labels, created, uid, going)| {
            let time = |(year, month, day, nanos): (u32, u32, u32, u32)| {
                format!("{year:04}-{month:02}-{day:02}T23:59:07.{nanos:09}+01:30")
            };
            json!({"name": name, "namespace": namespace, "labels": labels, "uid": uid,
                   "creationTimestamp": created.map(time), "deletionTimestamp": going.then_some("now")})
        },
    )
}

fn v4() -> impl Strategy<Value = String> {
    any::<[u8; 2]>().prop_map(|[a, b]| format!("10.1.{a}.{b}"))
}

fn v6() -> impl Strategy<Value = String> {
    any::<u16>().prop_map(|last| format!("fd00::{last:x}"))
}

fn protocol() -> impl Strategy<Value = Value> {
    select(vec![json!("TCP"), json!("UDP"), json!("SCTP"), json!(null)])
}

fn number() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn node() -> impl Strategy<Value = Value> {
    let mac = option::of(
        any::<[u8; 5]>().prop_map(|b| format!("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4])),
    );
    (metadata(), vec(v4(), 0..2), vec(v6(), 0..2), any::<u8>(), mac).prop_map(|(metadata, v4, v6, third, mac)| {
        let entry = |kind: &str, address: &String| json!({"type": kind, "address": address});
        let addresses: Vec<Value> = v4
            .iter()
            .map(|one| entry("InternalIP", one))
            .chain(v6.iter().map(|one| entry("ExternalIP", one)))
            .collect();
        let mut metadata = metadata;
        let encapsulation = ["vxlan", "geneve", "none"][usize::from(third % 3)];
        metadata["annotations"] = json!({"sluice.io/tunnel-mac": mac.unwrap_or("02:00:00:00:00:01".into()),
            "sluice.io/tunnel-address": v4.first(), "sluice.io/encapsulation": encapsulation,
            "sluice.io/tunnel-port": format!("{}", 4789 + u16::from(third)), "sluice.io/vni": "77", "sluice.io/mtu": "1450"});
        json!({"metadata": metadata, "spec": {"podCIDRs": [format!("10.2.{third}.0/24"), "fd00:2::/64"]},
               "status": {"addresses": addresses}})
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let port = (name(), number(), protocol())
        .prop_map(|(name, number, protocol)| json!({"name": name, "containerPort": number, "protocol": protocol}));
    let phase = select(vec![json!("Running"), json!("Succeeded"), json!("Failed"), json!("Unknown"), json!(null)]);
    let ready = option::of(select(vec!["True", "False", "Unknown"]));
    (metadata(), option::of(name()), any::<bool>(), vec(port, 0..3), phase, v4(), v6(), ready).prop_map(
        |(metadata, node, host, ports, phase, v4, v6, ready)| {
            let conditions: Vec<Value> = ready.iter().map(|ready| json!({"type": "Ready", "status": ready})).collect();
            json!({"metadata": metadata, "spec": {"nodeName": node, "hostNetwork": host, "containers": [{"ports": ports}]},
                   "status": {"phase": phase, "podIPs": [{"ip": v4}, {"ip": v6}], "conditions": conditions}})
        },
    )
}

fn service() -> impl Strategy<Value = Value> {
    let target = prop_oneof![Just(json!(null)), number().prop_map(|n| json!(n)), "[a-z]{1,9}".prop_map(|n| json!(n))];
    let port = (number(), protocol(), target, number());
    let kind = select(vec!["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
    let policy = || select(vec![json!("Local"), json!("Cluster"), json!(null)]);
    let affinity = option::of(1..=86_400u32);
    let words = select(vec![json!("PreferClose"), json!("PreferSameNode"), json!(null)]);
    let addresses = (any::<bool>(), v4(), v6(), vec(v4(), 0..3), vec(v6(), 0..2), option::of(vec(v4(), 1..3)));
    (metadata(), kind, vec(port, 1..4), addresses, (policy(), policy()), (affinity, words, any::<bool>())).prop_map(
        |(metadata, kind, ports, (headless, v4, v6, external, ingress, ranges), (outer, inner), (affinity, words, early))| {
            let port = |(at, (number, protocol, target, node)): (usize, (u16, Value, Value, u16))| {
                json!({"name": format!("p{at}"), "port": number, "protocol": protocol, "targetPort": target, "nodePort": node})
            };
            let ports: Vec<Value> = ports.into_iter().enumerate().map(port).collect();
            let ingress: Vec<Value> = ingress.into_iter().map(|ip| json!({"ip": ip})).collect();
            let ranges = ranges.map(|all| all.into_iter().map(|one| format!("{one}/20")).collect::<Vec<_>>());
            json!({"metadata": metadata, "status": {"loadBalancer": {"ingress": ingress}}, "spec": {
                "type": kind, "clusterIPs": if headless { json!(["None"]) } else { json!([v4, v6]) }, "ports": ports,
                "externalIPs": external, "loadBalancerSourceRanges": ranges, "externalTrafficPolicy": outer,
                "internalTrafficPolicy": inner, "sessionAffinity": affinity.map(|_| "ClientIP"),
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": affinity}}, "trafficDistribution": words,
                "publishNotReadyAddresses": early, "selector": {"any thing": "at all"}, "healthCheckNodePort": 30_000}})
        },
    )
}

fn slice() -> impl Strategy<Value = Value> {
    let flag = || option::of(any::<bool>());
    let hints = (vec(name(), 0..2), vec(name(), 0..2)).prop_map(|(zones, nodes)| {
        let names = |all: Vec<String>| all.into_iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        json!({"forZones": names(zones), "forNodes": names(nodes)})
    });
    let endpoint = (v4(), v6(), flag(), flag(), flag(), option::of(name()), hints);
    let port = (name(), number(), protocol())
        .prop_map(|(name, number, protocol)| json!({"name": name, "port": number, "protocol": protocol}));
    let kind = select(vec!["IPv4", "IPv6", "FQDN"]);
    (metadata(), name(), kind, vec(endpoint, 0..4), vec(port, 0..3)).prop_map(
        |(mut metadata, service, kind, endpoints, ports)| {
            metadata["labels"]["kubernetes.io/service-name"] = json!(service);
            metadata["annotations"] =
                json!({"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-22T10:00:00.25Z"});
            let endpoints: Vec<Value> = endpoints
                .into_iter()
                .map(|(v4, v6, ready, serving, going, node, hints)| {
                    let address = if kind == "IPv6" { v6 } else { v4 };
                    json!({"addresses": [address], "nodeName": node, "hints": hints,
                           "conditions": {"ready": ready, "serving": serving, "terminating": going}})
                })
                .collect();
            json!({"metadata": metadata, "addressType": kind, "endpoints": endpoints, "ports": ports})
        },
    )
}

fn selector() -> impl Strategy<Value = Value> {
    let with = (name(), select(vec!["In", "NotIn"]), vec("[a-z]{0,2}", 1..3))
        .prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}));
    let without = (name(), select(vec!["Exists", "DoesNotExist"]))
        .prop_map(|(key, operator)| json!({"key": key, "operator": operator}));
    (labels(), vec(prop_oneof![with, without], 0..3))
        .prop_map(|(labels, expressions)| json!({"matchLabels": labels, "matchExpressions": expressions}))
}

fn policy() -> impl Strategy<Value = Value> {
    let peer = prop_oneof![
        (selector(), option::of(selector()))
            .prop_map(|(pods, spaces)| json!({"podSelector": pods, "namespaceSelector": spaces})),
        v4().prop_map(|address| json!({"ipBlock": {"cidr": format!("{address}/16"), "except": ["10.1.7.0/24"]}})),
    ];
    let port = prop_oneof![
        protocol().prop_map(|protocol| json!({"protocol": protocol})),
        (protocol(), 1..60_000u16, 0..5_000u16)
            .prop_map(|(protocol, first, more)| json!({"protocol": protocol, "port": first, "endPort": first + more})),
        (protocol(), "[a-z]{1,9}").prop_map(|(protocol, name)| json!({"protocol": protocol, "port": name})),
    ];
    let rules = || option::of(vec((vec(peer.clone(), 0..3), vec(port.clone(), 0..3)), 0..3));
    let types = select(vec![json!(null), json!(["Ingress"]), json!(["Egress"]), json!(["Egress", "Ingress"])]);
    (metadata(), selector(), types, rules(), rules()).prop_map(|(metadata, subjects, types, ingress, egress)| {
        let side = |rules: Option<Vec<(Vec<Value>, Vec<Value>)>>, peers: &str| {
            rules.map(|rules| {
                rules.into_iter().map(|(who, ports)| json!({peers: who, "ports": ports})).collect::<Vec<_>>()
            })
        };
        json!({"metadata": metadata, "spec": {"podSelector": subjects, "policyTypes": types,
               "ingress": side(ingress, "from"), "egress": side(egress, "to")}})
    })
}

fn object() -> impl Strategy<Value = Object> {
    let any = prop_oneof![
        metadata().prop_map(|metadata| (Kind::Namespace, json!({"metadata": metadata}))),
        node().prop_map(|raw| (Kind::Node, raw)),
        pod().prop_map(|raw| (Kind::Pod, raw)),
        service().prop_map(|raw| (Kind::Service, raw)),
        slice().prop_map(|raw| (Kind::EndpointSlice, raw)),
        policy().prop_map(|raw| (Kind::NetworkPolicy, raw)),
    ];
    any.prop_filter_map("two ports of a Service may be the same", |(kind, raw)| {
        Raw::deserialize(kind, raw).expect("types are right").check().ok()
    })
}

fn read(text: &[u8]) -> Option<Object> {
    serde_json::from_slice(text).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_object_is_read_back_as_it_was_written(object in object()) {
        let text = serde_json::to_vec(&object).expect("can be written");
        prop_assert_eq!(read(&text), Some(object.clone()));
        let key = serde_json::to_vec(&object.key()).expect("can be written");
        prop_assert_eq!(serde_json::from_slice::<Key>(&key).ok(), Some(object.key()));
    }

    /// Whatever becomes of the bytes: what can still be read is an object that the checks let pass.
    #[test]
    fn no_damage_makes_an_object_that_cannot_be(
        object in object(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut text = serde_json::to_vec(&object).expect("can be written");
        for (at, byte) in damage {
            let length = text.len();
            text[at.index(length)] = byte;
        }
        if let Some(read) = read(&text) {
            prop_assert_eq!(Raw::from(&read).check(), Ok(read));
        }
    }
}

#[test]
fn what_no_object_can_have_is_refused_and_named() {
    let refused = |value: Value| serde_json::from_value::<Object>(value).expect_err("must be refused").to_string();
    let name = refused(json!({"Node": {"metadata": {"name": "No Name"}}}));
    assert!(name.contains("metadata.name") && name.contains("No Name"), "{name}");
    let network = refused(json!({"Node": {"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.0.0.1/24"]}}}));
    assert!(network.contains("spec.podCIDRs[0]"), "{network}");
    assert!(refused(json!({"Ingress": {"metadata": {"name": "n"}}})).contains("Ingress"));
    for key in [json!({"Pod": "no-namespace"}), json!({"Pod": "a/b/c"}), json!({"Node": "Upper"}), json!("Node")] {
        assert!(serde_json::from_value::<Key>(key.clone()).is_err(), "{key}");
    }
}
