//! Services inside the cluster, over backends on both nodes.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_netns::wait_for;

use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, service, with_endpoints};
use crate::place::Place;
use crate::server::Server;

/// The servers of both web pods.
pub(crate) fn serve_web(cluster: &Cluster) -> ([Place; 2], [Server; 2]) {
    let pods = [cluster.pod("web-a"), cluster.pod("web-b")];
    let servers = [Server::start(&pods[0], PORT), Server::start(&pods[1], PORT)];
    (pods, servers)
}

/// Ready endpoints on both nodes.
pub(crate) fn both([web_a, web_b]: &[Place; 2]) -> [Endpoint; 2] {
    [Endpoint::ready(web_a, "node-a"), Endpoint::ready(web_b, "node-b")]
}

#[test]
fn a_cluster_ip_spreads_over_backends_on_both_nodes_and_keeps_the_pod_s_address() {
    let cluster = Cluster::up("spread");
    let (pods, _servers) = serve_web(&cluster);
    cluster.apply("web", &with_endpoints(service("web", 10, &json!({})), &both(&pods)));
    for from in ["client", "other", "node-a"] {
        let place = if from == "node-a" { cluster.node(from) } else { cluster.pod(from) };
        for to in frontends(10, 80) {
            place.await_tcp(to);
            let mut servers = BTreeSet::new();
            for _ in 0..40 {
                for answer in [place.tcp(to), place.udp(to, 100)] {
                    // The node reaches pods by one of its addresses; which, its routes say.
                    assert!(from == "node-a" || answer.seen.ip() == place.like(to), "{from}: {answer:?}");
                    servers.insert(answer.server);
                }
            }
            assert_eq!(servers, BTreeSet::from(["web-a".to_owned(), "web-b".to_owned()]), "{from} to {to}");
        }
    }
    // Pods do not answer for the Service itself, and who asks as a pod sees a pod's port unchanged.
    let client = cluster.pod("client");
    assert_eq!(client.tcp(pods[1].at(PORT)[0]).seen.ip(), client.addresses[0]);
}

#[test]
fn endpoints_follow_from_the_selector_where_there_is_no_slice() {
    let cluster = Cluster::up("select");
    let (_pods, _servers) = serve_web(&cluster);
    let more = json!({ "selector": { "app": "web" } });
    cluster.apply("web", &[service("web", 11, &more)]);
    for to in frontends(11, 80) {
        let client = cluster.pod("client");
        wait_for("the pod on the other node to answer", || (client.await_tcp(to).server == "web-b").then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_pod_that_reaches_itself_through_a_service_sees_another_address() {
    let cluster = Cluster::up("hairpin");
    let (pods, _servers) = serve_web(&cluster);
    cluster.apply("web", &with_endpoints(service("web", 12, &json!({})), &[Endpoint::ready(&pods[0], "node-a")]));
    for to in frontends(12, 80) {
        for answer in [pods[0].await_tcp(to), pods[0].tcp(to), pods[0].udp(to, 100)] {
            assert_eq!(answer.server, "web-a");
            assert!(!pods[0].addresses.contains(&answer.seen.ip()), "{answer:?}");
        }
    }
}

#[test]
fn a_client_with_affinity_stays_with_its_backend_on_every_frontend() {
    let cluster = Cluster::up("affinity");
    let (pods, _servers) = serve_web(&cluster);
    let more = json!({
        "sessionAffinity": "ClientIP", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 600 } },
    });
    cluster.apply("web", &with_endpoints(node_port_service("web", 13, 30013, &more), &both(&pods)));
    let client = cluster.pod("client");
    for (to, node_port) in frontends(13, 80).into_iter().zip(cluster.node("node-a").at(30013)) {
        let first = client.await_tcp(to).server;
        client.await_tcp(node_port);
        for _ in 0..20 {
            assert_eq!(client.tcp(to).server, first, "{to}");
            assert_eq!(client.tcp(node_port).server, first, "{node_port} is a frontend of the same port");
        }
    }
}

#[test]
fn an_icmp_error_of_a_remote_backend_reaches_the_client_of_the_service() {
    let cluster = Cluster::up("related");
    let web_b = cluster.pod("web-b");
    let client = cluster.pod("client");
    // Nothing listens: the backend's own kernel answers UDP with port unreachable, TCP with a reset.
    cluster.apply("web", &with_endpoints(service("web", 14, &json!({})), &[Endpoint::ready(&web_b, "node-b")]));
    for to in frontends(14, 80) {
        client.await_tcp_fails(to, crate::call::Failed::Refused);
        let server = Server::start(&web_b, PORT);
        // What was refused may have been the Service without its slices.
        assert_eq!(client.await_udp(to, 10).server, "web-b", "the Service is in force");
        drop(server);
        client.await_udp_refused(to);
    }
}
