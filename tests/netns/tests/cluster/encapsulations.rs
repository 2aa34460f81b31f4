//! Other ways between the nodes than VXLAN on one core each.

use serde_json::json;

use crate::driver::Cluster;
use crate::objects::{PORT, frontends, node_port_service, with_endpoints};
use crate::overlay::transfer;
use crate::services::{both, serve_web};

/// Pods on two nodes, a Service over both, a node port and the outside, with these settings.
fn everything_works(cluster: &Cluster) {
    let (pods, _servers) = serve_web(cluster);
    cluster.apply("web", &with_endpoints(node_port_service("web", 70, 30070, &json!({})), &both(&pods)));
    let (client, outside, beyond) = (cluster.pod("client"), cluster.outside(), cluster.beyond());
    let _server = crate::server::Server::start(&beyond, PORT);
    for family in 0..2 {
        let remote = pods[1].at(PORT)[family];
        assert!(client.pings(remote.ip(), 3), "{remote}");
        assert_eq!(client.tcp(remote).seen.ip(), client.like(remote), "by its own address");
        transfer(&client, remote, 2 * 1024 * 1024);
        for length in [100, 1460, 3000] {
            client.udp(remote, length);
        }
        client.await_tcp(frontends(70, 80)[family]);
        outside.await_tcp(cluster.node("node-a").at(30070)[family]);
        for to in [frontends(70, 80)[family], cluster.node("node-b").at(30070)[family]] {
            // Each node puts the Service in force in its own time.
            client.await_tcp(to);
            for _ in 0..10 {
                client.tcp(to);
                client.udp(to, 1000);
            }
        }
        let out = beyond.at(PORT)[family];
        assert_eq!(client.await_tcp(out).seen.ip(), cluster.node("node-a").like(out));
    }
}

#[test]
fn pods_services_and_the_outside_over_geneve() {
    let cluster = Cluster::with("geneve", &["tunnel.encapsulation=geneve", "tunnel.vni=77"], &[]);
    assert_eq!(cluster.status("node-a")["uplink"]["encapsulation"], "geneve");
    everything_works(&cluster);
    assert!(cluster.status("node-b")["path"]["decapsulated"].as_u64() > Some(100));
}

#[test]
fn pods_services_and_the_outside_by_direct_routing() {
    let cluster = Cluster::with("direct", &["tunnel.encapsulation=none"], &[]);
    everything_works(&cluster);
    let status = cluster.status("node-b");
    assert_eq!((&status["path"]["encapsulated"], &status["podMtu"]), (&json!(0), &json!(1500)));
}

#[test]
fn pods_services_and_the_outside_with_two_workers_on_a_node() {
    let cluster = Cluster::with("workers", &[], &[0, 1]);
    everything_works(&cluster);
    let status = cluster.status("node-a");
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(2));
    assert!(cluster.looped("node-a", "handed_over") > 0, "packets crossed between the workers");
}
