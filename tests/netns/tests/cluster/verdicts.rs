//! What is not delivered: who hears that, who hears nothing, and under which reason it is counted.

use serde_json::json;

use crate::call::Failed;
use crate::driver::Cluster;
use crate::objects::{Endpoint, frontends, node_port_service, service, with_endpoints};
use crate::services::serve_web;

#[test]
fn an_undefined_port_is_refused_and_an_unallocated_address_is_silent() {
    let cluster = Cluster::up("undef");
    let (pods, _servers) = serve_web(&cluster);
    cluster.apply("web", &with_endpoints(service("web", 20, &json!({})), &[Endpoint::ready(&pods[1], "node-b")]));
    let (client, node, outside) = (cluster.pod("client"), cluster.node("node-a"), cluster.outside());
    for (family, defined) in frontends(20, 80).into_iter().enumerate() {
        let network = if family == 0 { "10.96.0.0/16" } else { "fd00:10:96::/112" };
        outside.route(network.parse().expect("a network"), node.addresses[family]);
        let (undefined, unallocated) = (frontends(20, 81)[family], frontends(21, 80)[family]);
        for place in [&client, &node, &outside] {
            place.await_tcp(defined);
            place.await_tcp_fails(undefined, Failed::Refused);
            place.await_udp_refused(undefined);
            let before = cluster.drops("node-a", "service_unallocated");
            assert_eq!(place.tcp_fails(unallocated), Failed::Silent, "{} to {unallocated}", place.name);
            cluster.await_drops("node-a", "service_unallocated", before + 1);
        }
    }
}

#[test]
fn a_service_without_endpoints_refuses_pods_the_node_and_the_outside() {
    let cluster = Cluster::up("empty");
    cluster.apply("web", &with_endpoints(node_port_service("web", 22, 30022, &json!({})), &[]));
    let (client, node, outside) = (cluster.pod("client"), cluster.node("node-a"), cluster.outside());
    for (family, to) in frontends(22, 80).into_iter().enumerate() {
        let node_port = node.at(30022)[family];
        for place in [&client, &node] {
            place.await_tcp_fails(to, Failed::Refused);
            place.await_udp_refused(to);
        }
        let before = cluster.drops("node-a", "service_no_endpoints");
        for place in [&client, &outside] {
            place.await_tcp_fails(node_port, Failed::Refused);
            place.await_udp_refused(node_port);
        }
        // Each by its reason.
        cluster.await_drops("node-a", "service_no_endpoints", before + 4);
    }
}

#[test]
fn with_internal_policy_local_only_the_node_with_an_endpoint_serves() {
    let cluster = Cluster::up("internal");
    let (pods, _servers) = serve_web(&cluster);
    let more = json!({ "internalTrafficPolicy": "Local" });
    cluster.apply("web", &with_endpoints(service("web", 23, &more), &[Endpoint::ready(&pods[1], "node-b")]));
    let (here, there) = (cluster.pod("other"), cluster.pod("client"));
    for to in frontends(23, 80) {
        assert_eq!(here.await_tcp(to).server, "web-b");
        here.tcp(to);
        // Silence needs the Service to be in force there too; before, the address was unallocated.
        there.await_tcp_fails(frontends(23, 81)[usize::from(to.is_ipv6())], Failed::Refused);
        // And its slices: before, it was without endpoints and refused.
        cluster.await_silence(&there, to, "node-a", "service_no_local_endpoints");
        assert_eq!(there.tcp_fails(to), Failed::Silent);
    }
}
