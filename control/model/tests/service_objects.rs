//! Services, EndpointSlices and what Services need of Nodes and Pods: from JSON to checked objects, and every fault.

use std::net::IpAddr;

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{
    AddressType, EndpointSlice, Fault, Kind, Node, Object, Pod, Protocol, Service, ServiceKind, TargetPort,
    TrafficDistribution,
};
use sluice_tables::Family;

fn check(kind: Kind, value: Value) -> Result<Object, Vec<Fault>> {
    Raw::deserialize(kind, value).expect("types are right").check()
}

fn faults(kind: Kind, value: Value) -> Vec<String> {
    check(kind, value).expect_err("must be refused").iter().map(Fault::to_string).collect()
}

fn service(spec: Value) -> Service {
    match check(Kind::Service, json!({"metadata": {"name": "web"}, "spec": spec})) {
        Ok(Object::Service(service)) => *service,
        other => panic!("{other:?}"),
    }
}

/// Faults of a Service `default/web`, without its name.
fn service_faults(spec: Value) -> Vec<String> {
    let all = faults(Kind::Service, json!({"metadata": {"name": "web"}, "spec": spec}));
    all.iter().map(|text| text.strip_prefix("Service default/web: ").expect("is named").to_owned()).collect()
}

fn slice(value: Value) -> EndpointSlice {
    match check(Kind::EndpointSlice, value) {
        Ok(Object::EndpointSlice(slice)) => slice,
        other => panic!("{other:?}"),
    }
}

fn slice_faults(change: Value) -> Vec<String> {
    let mut value = json!({"metadata": {"name": "web-1"}, "addressType": "IPv4"});
    if let (Some(own), Value::Object(change)) = (value.as_object_mut(), change) {
        own.extend(change);
    }
    let all = faults(Kind::EndpointSlice, value);
    all.iter().map(|text| text.strip_prefix("EndpointSlice default/web-1: ").expect("is named").to_owned()).collect()
}

fn node(metadata: Value, status: Value) -> Node {
    match check(Kind::Node, json!({"metadata": metadata, "status": status})) {
        Ok(Object::Node(node)) => node,
        other => panic!("{other:?}"),
    }
}

fn pod(spec: Value, status: Value) -> Pod {
    match check(Kind::Pod, json!({"metadata": {"name": "web"}, "spec": spec, "status": status})) {
        Ok(Object::Pod(pod)) => pod,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_is_read_whole() {
    let value = json!({
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"a": "b"}},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00:96::1"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ports": [
                {"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080},
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 1053}
            ],
            "selector": {"app": "web"}, "externalIPs": ["203.0.113.9"],
            "loadBalancerSourceRanges": ["10.0.0.1/8"], "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 30}},
            "healthCheckNodePort": 31000, "publishNotReadyAddresses": true, "trafficDistribution": "PreferSameNode"
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "x.example.org"}]}}
    });
    let Ok(Object::Service(web)) = check(Kind::Service, value) else { panic!("must be good") };
    assert_eq!(web.name.to_string(), "shop/web");
    assert_eq!(web.kind, ServiceKind::LoadBalancer);
    assert_eq!(web.created.map(|time| time.seconds), Some(1_767_323_045));
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("is an address")).collect::<Vec<IpAddr>>();
    assert_eq!(web.cluster_ips, ips(&["10.96.0.1", "fd00:96::1"]));
    assert_eq!((&web.external_ips, &web.load_balancer_ips), (&ips(&["203.0.113.9"]), &ips(&["203.0.113.1"])));
    assert_eq!(web.ports[0].target, TargetPort::Name("web".into()));
    assert_eq!((web.ports[0].protocol, web.ports[0].node_port), (Protocol::Tcp, Some(30080)));
    assert_eq!((web.ports[1].protocol, &web.ports[1].target), (Protocol::Udp, &TargetPort::Number(1053)));
    assert_eq!(web.source_ranges, Some(vec!["10.0.0.0/8".parse().expect("is a network")]));
    assert!(web.external_local && web.internal_local && web.publish_not_ready);
    assert_eq!((web.affinity, web.health_check_node_port), (Some(30), Some(31000)));
    assert_eq!(web.traffic_distribution, TrafficDistribution::PreferSameNode);
    assert_eq!(web.selector["app"], "web");
}

#[test]
fn a_service_has_the_defaults_of_the_api() {
    let web = service(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}));
    assert_eq!(web.kind, ServiceKind::ClusterIp);
    assert_eq!((web.ports[0].protocol, &web.ports[0].target), (Protocol::Tcp, &TargetPort::Number(80)));
    assert!(!web.external_local && !web.internal_local && !web.publish_not_ready);
    assert_eq!((web.affinity, web.source_ranges, web.created), (None, None, None));
}

#[test]
fn a_service_without_ports_is_refused_unless_it_needs_none() {
    let told = "spec.ports is empty; write at least one";
    assert_eq!(service_faults(json!({"clusterIP": "10.96.0.1"})), [told]);
    assert_eq!(service_faults(json!({"clusterIP": "10.96.0.1", "ports": []})), [told]);
    assert!(service(json!({"clusterIP": "None"})).ports.is_empty());
    assert!(service(json!({"type": "ExternalName"})).cluster_ips.is_empty());
}

#[test]
fn what_only_an_api_server_chooses_must_be_written() {
    let told = service_faults(json!({"ports": [{"port": 80}]}));
    assert_eq!(told, ["spec.clusterIP is missing; write one, because nothing but an API server chooses it"]);
    let told = service_faults(json!({"type": "NodePort", "clusterIP": "10.96.0.1", "ports": [{"port": 80}]}));
    assert_eq!(told, ["spec.ports[0].nodePort is missing; write one, because nothing but an API server chooses it"]);
}

#[test]
fn impossible_ports_are_told_by_their_field() {
    let ports = json!([
        {"port": 0}, {"port": 65536}, {"port": -1}, {},
        {"port": 1, "targetPort": 70000}, {"port": 2, "targetPort": "Bad_Name"}, {"port": 3, "protocol": "ICMP"},
        {"port": 4, "nodePort": 100_000}
    ]);
    let told = service_faults(json!({"clusterIP": "10.96.0.1", "ports": ports}));
    assert_eq!(
        told,
        [
            "spec.ports[0].port 0 is no port; ports are 1 to 65535",
            "spec.ports[1].port 65536 is no port; ports are 1 to 65535",
            "spec.ports[2].port -1 is no port; ports are 1 to 65535",
            "spec.ports[3].port is missing; every object needs it",
            "spec.ports[4].targetPort 70000 is no port; ports are 1 to 65535",
            "spec.ports[5].targetPort \"Bad_Name\" is no name of a port: at most 15 lower case letters, digits and '-', \
             one letter among them",
            "spec.ports[6].protocol \"ICMP\" is not one of TCP, UDP, SCTP",
            "spec.ports[7].nodePort 100000 is no port; ports are 1 to 65535",
        ]
    );
}

#[test]
fn ports_that_are_there_twice_are_told() {
    let spec = |ports: Value| json!({"clusterIP": "10.96.0.1", "ports": ports});
    let named = service_faults(spec(json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}])));
    assert_eq!(named, ["spec.ports[1].name \"a\" is there twice; give each port its own"]);
    let numbered = service_faults(spec(json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}])));
    assert_eq!(numbered, ["spec.ports[1].port \"TCP 1\" is there twice; give each port its own"]);
    let both = spec(json!([{"name": "a", "port": 1}, {"name": "b", "protocol": "UDP", "port": 1}]));
    assert_eq!(service(both).ports.len(), 2, "one number may be of two protocols");
}

#[test]
fn bad_addresses_of_a_service_are_told_by_their_field() {
    let ports = json!([{"port": 80}]);
    let told = |spec: Value| {
        let mut spec = spec;
        spec["ports"] = ports.clone();
        let all = service_faults(spec);
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().expect("is one")
    };
    assert_eq!(told(json!({"clusterIP": "10.96.0"})), "spec.clusterIP \"10.96.0\" is no IP address");
    assert!(told(json!({"clusterIP": "127.0.0.1"})).starts_with("spec.clusterIP 127.0.0.1 is not an address"));
    assert!(
        told(json!({"clusterIPs": ["10.96.0.1", "10.96.0.2"]}))
            .starts_with("spec.clusterIPs[1] 10.96.0.2 is of the same")
    );
    let mismatch = told(json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.2"]}));
    assert!(mismatch.starts_with("spec.clusterIP \"10.96.0.1\" is not the first of spec.clusterIPs"), "{mismatch}");
    let good = |key: &str, value: Value| json!({"clusterIP": "10.96.0.1", key: value});
    assert!(told(good("externalIPs", json!(["169.254.1.1"]))).starts_with("spec.externalIPs[0] 169.254.1.1 is not"));
    let range = told(good("loadBalancerSourceRanges", json!(["10.0.0.0/8", "10.0.0.0/40"])));
    assert!(range.starts_with("spec.loadBalancerSourceRanges[1] \"10.0.0.0/40\" is no network"), "{range}");
    assert!(told(good("type", json!("Odd"))).starts_with("spec.type \"Odd\" is not one of"));
    assert!(told(good("externalTrafficPolicy", json!("Near"))).starts_with("spec.externalTrafficPolicy \"Near\""));
    assert!(told(good("sessionAffinity", json!("Cookie"))).starts_with("spec.sessionAffinity \"Cookie\""));
    for seconds in [0, -1, 86_401] {
        let config = json!({"clientIP": {"timeoutSeconds": seconds}});
        let spec = json!({"clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP", "sessionAffinityConfig": config});
        let expected = format!("spec.sessionAffinityConfig.clientIP.timeoutSeconds {seconds} is outside 1 to 86400");
        assert_eq!(told(spec), expected);
    }
}

#[test]
fn bad_ingress_and_times_of_a_service_are_told() {
    let all = faults(
        Kind::Service,
        json!({
            "metadata": {"name": "web", "creationTimestamp": "yesterday"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "x"}, {"ip": "203.0.113.1", "ipMode": "Odd"}]}}
        }),
    );
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].contains("metadata.creationTimestamp \"yesterday\" is no time"), "{all:?}");
    assert!(all[1].contains("status.loadBalancer.ingress[0].ip \"x\" is no IP address"), "{all:?}");
    assert!(all[2].contains("status.loadBalancer.ingress[1].ipMode \"Odd\" is not one of VIP, Proxy"), "{all:?}");
}

#[test]
fn an_endpoint_slice_is_read_whole() {
    let web = slice(json!({
        "metadata": {
            "name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05.25Z"}
        },
        "addressType": "IPv6",
        "endpoints": [{
            "addresses": ["fd00:1::5", "fd00:1::6"], "nodeName": "n1", "zone": "a",
            "conditions": {"ready": false, "serving": true, "terminating": true},
            "hints": {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}
        }],
        "ports": [{"name": "http", "port": 8080, "protocol": "SCTP"}, {"name": "all"}]
    }));
    assert_eq!(web.service.map(|name| name.to_string()), Some("shop/web".to_owned()));
    assert_eq!(web.address_type, AddressType::Ip(Family::V6));
    assert_eq!(web.changed.map(|time| time.nanoseconds), Some(250_000_000));
    assert_eq!(web.ports.len(), 1, "a port without a number is for others");
    assert_eq!((web.ports[0].protocol, web.ports[0].port), (Protocol::Sctp, 8080));
    let endpoint = &web.endpoints[0];
    assert_eq!(endpoint.address, "fd00:1::5".parse::<IpAddr>().expect("is an address"));
    assert_eq!((endpoint.ready, endpoint.serving, endpoint.terminating), (false, true, true));
    assert_eq!(endpoint.zone_hints, ["a".into()]);
    assert_eq!(endpoint.node_hints.len(), 1);
}

#[test]
fn an_endpoint_slice_with_a_bad_address_is_told_by_object_and_field() {
    let endpoints = json!({"endpoints": [
        {"addresses": ["10.1.1.5"]}, {"addresses": ["10.1.1"]}, {"addresses": []}, {"addresses": ["10.1.1.6", "x"]},
        {"addresses": ["fd00::1"]}
    ]});
    assert_eq!(
        slice_faults(endpoints),
        [
            "endpoints[1].addresses[0] \"10.1.1\" is no IP address",
            "endpoints[2].addresses is empty; write at least one",
            "endpoints[3].addresses[1] \"x\" is no IP address",
            "endpoints[4].addresses[0] fd00::1 is not of the family that addressType names",
        ]
    );
}

#[test]
fn endpoints_that_no_other_host_can_have_are_told() {
    for address in ["127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"] {
        let told = slice_faults(json!({"endpoints": [{"addresses": [address]}]}));
        let expected = "is not an address that can be reached from another host";
        assert_eq!(told, [format!("endpoints[0].addresses[0] {address} {expected}")]);
    }
    for address in ["::1", "::", "fe80::1", "ff02::1", "::ffff:10.0.0.1"] {
        let told = slice_faults(json!({"addressType": "IPv6", "endpoints": [{"addresses": [address]}]}));
        assert!(told.len() == 1 && told[0].contains("is not an address"), "{address}: {told:?}");
    }
}

#[test]
fn other_faults_of_a_slice_are_told() {
    assert_eq!(slice_faults(json!({"addressType": null})), ["addressType is missing; every object needs it"]);
    assert_eq!(slice_faults(json!({"addressType": "IPX"})), ["addressType \"IPX\" is not one of IPv4, IPv6, FQDN"]);
    let ports = slice_faults(json!({"ports": [{"port": 0}, {"port": 1, "protocol": "X"}]}));
    assert!(
        ports[0].starts_with("ports[0].port 0 is no port") && ports[1].starts_with("ports[1].protocol"),
        "{ports:?}"
    );
    let node = slice_faults(json!({"endpoints": [{"addresses": ["10.1.1.5"], "nodeName": "A b"}]}));
    assert!(node[0].starts_with("endpoints[0].nodeName \"A b\""), "{node:?}");
}

#[test]
fn a_node_has_a_zone_outer_addresses_and_a_host_name() {
    let status = json!({"addresses": [
        {"type": "ExternalIP", "address": "203.0.113.7"}, {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "Hostname", "address": "host-1"}, {"type": "ExternalDNS", "address": "x.example.org"}
    ]});
    let node = node(json!({"name": "n1", "labels": {"topology.kubernetes.io/zone": "a"}}), status);
    assert_eq!((node.zone(), node.hostname.as_deref()), (Some("a"), Some("host-1")));
    let addresses: Vec<String> = node.addresses().map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1", "203.0.113.7"]);
    assert_eq!(node.internal_ip(Family::V4).map(|address| address.to_string()), Some("192.0.2.1".to_owned()));
    assert_eq!(node.internal_ip(Family::V6), None);
}

#[test]
fn the_mac_of_a_tunnels_end_is_the_annotations_or_that_of_the_address() {
    let mac = |annotations: Value| {
        let node = node(json!({"name": "n1", "annotations": annotations}), json!({}));
        node.tunnel_mac_at("192.0.2.1".parse().expect("is an address")).to_string()
    };
    assert_eq!(mac(json!({})), "02:53:c0:00:02:01");
    assert_eq!(mac(json!({"sluice.io/tunnel-mac": "02:00:00:00:00:07"})), "02:00:00:00:00:07");
    let flannel = "flannel.alpha.coreos.com/backend-data";
    assert_eq!(mac(json!({flannel: "{\"VNI\":1, \"VtepMAC\": \"aa:00:00:00:00:08\"}"})), "aa:00:00:00:00:08");
    let both = json!({"sluice.io/tunnel-mac": "02:00:00:00:00:07", flannel: "{\"VtepMAC\":\"aa:00:00:00:00:08\"}"});
    assert_eq!(mac(both), "02:00:00:00:00:07");
    for other in ["null", "", "{\"VNI\":1}", "{\"x\":\"\\\"VtepMAC\\\":\\\"aa:00:00:00:00:08\\\"\"}", "{\"VtepMAC\":5}"]
    {
        assert_eq!(mac(json!({flannel: other})), "02:53:c0:00:02:01", "{other}");
    }
    for bad in ["x", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
        let metadata = json!({"name": "n1", "annotations": {"sluice.io/tunnel-mac": bad}});
        let told = faults(Kind::Node, json!({"metadata": metadata}));
        let start = format!("Node n1: metadata.annotations[\"sluice.io/tunnel-mac\"] \"{bad}\" is no MAC address");
        assert!(told[0].starts_with(&start), "{told:?}");
    }
}

#[test]
fn a_pod_has_ports_addresses_and_a_state() {
    let spec = json!({
        "containers": [
            {"ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]},
            {"name": "none"}
        ],
        "initContainers": [
            {"ports": [{"name": "early", "containerPort": 1}]},
            {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 2}]}
        ]
    });
    let status = json!({
        "podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}, {"ip": "fd00:1::5"}],
        "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}]
    });
    let read = pod(spec, status);
    let ports: Vec<(&str, u16, Protocol)> =
        read.ports.iter().map(|port| (port.name.as_str(), port.port, port.protocol)).collect();
    assert_eq!(ports, [("http", 8080, Protocol::Tcp), ("", 53, Protocol::Udp), ("side", 2, Protocol::Tcp)]);
    assert_eq!(read.named_port("http", Protocol::Tcp), Some(8080));
    assert_eq!((read.named_port("http", Protocol::Udp), read.named_port("", Protocol::Udp)), (None, None));
    assert_eq!(read.addresses.len(), 2);
    assert_eq!((read.ready, read.terminating), (Some(false), false));
    let plain = pod(json!({}), json!({"podIP": "10.1.0.5"}));
    assert_eq!((plain.addresses.len(), plain.ready), (1, None));
    assert!(pod(json!({}), json!({"podIP": "", "podIPs": []})).addresses.is_empty());
}

#[test]
fn a_node_that_is_deleted_or_marked_by_the_autoscaler_is_leaving() {
    let leaving = |metadata: serde_json::Value, taints: serde_json::Value| {
        let raw = json!({"metadata": metadata, "spec": {"taints": taints}});
        let Ok(Object::Node(node)) = check(Kind::Node, raw) else { panic!("must be good") };
        node.leaving
    };
    let taint = |key: &str| json!([{"key": "other", "effect": "NoSchedule"}, {"key": key, "effect": "NoSchedule"}]);
    assert!(!leaving(json!({"name": "n1"}), json!(null)));
    assert!(!leaving(json!({"name": "n1"}), taint("node.kubernetes.io/unschedulable")));
    assert!(leaving(json!({"name": "n1"}), taint("ToBeDeletedByClusterAutoscaler")));
    assert!(leaving(json!({"name": "n1", "deletionTimestamp": "2026-01-02T03:04:05Z"}), json!([])));
}

#[test]
fn a_pod_with_a_deletion_time_is_on_its_way_out() {
    let metadata = json!({"name": "web", "deletionTimestamp": "2026-01-02T03:04:05Z"});
    let Ok(Object::Pod(pod)) = check(Kind::Pod, json!({"metadata": metadata})) else { panic!("must be good") };
    assert!(pod.terminating);
}

#[test]
fn bad_ports_and_addresses_of_a_pod_are_told() {
    let told = faults(
        Kind::Pod,
        json!({
            "metadata": {"name": "web"},
            "spec": {"containers": [{"ports": [{"containerPort": 0}, {"containerPort": 1, "protocol": "X"}]}]},
            "status": {"podIPs": [{"ip": "x"}, {"ip": "10.1.0.5"}, {"ip": "10.1.0.6"}, {"ip": "::1"}]}
        }),
    );
    let fields: Vec<&str> = told.iter().filter_map(|text| text.split(' ').nth(2)).collect();
    assert_eq!(
        fields,
        [
            "spec.containers[0].ports[0].containerPort",
            "spec.containers[0].ports[1].protocol",
            "status.podIPs[0].ip",
            "status.podIPs[2].ip",
            "status.podIPs[3].ip",
        ],
        "{told:#?}"
    );
}
