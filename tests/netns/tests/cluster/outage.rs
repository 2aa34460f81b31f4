//! A node whose daemon is dead, and what goes on when it is back.

use std::net::SocketAddr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sluice_netns::wait_for;

use crate::call::Connection;
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, with_endpoints};
use crate::server::Server;

/// Kills a node's agent and waits until it is gone.
fn kill_agent(cluster: &Cluster, node: &str) {
    let agent = cluster.agent(node);
    kill(Pid::from_raw(i32::try_from(agent.pid).expect("a process id")), Signal::SIGKILL).expect("it runs");
    wait_for("the killed agent to end", || (!agent.is_running()).then_some(())).expect("a killed process ends");
}

#[test]
fn the_uplink_works_for_the_host_while_the_daemon_is_dead() {
    let cluster = Cluster::up("dead");
    let (outside, node) = (cluster.outside(), cluster.node("node-a"));
    let _server = Server::start(&node, PORT);
    kill_agent(&cluster, "node-a");
    for to in node.at(PORT) {
        assert!(outside.pings(to.ip(), 3), "{to}");
        assert_eq!(outside.tcp(to).server, "node-a");
        crate::overlay::transfer(&outside, to, 1024 * 1024);
    }
    // Nor does it disturb the host's traffic once it is back.
    cluster.repair();
    for to in node.at(PORT) {
        assert!(outside.pings(to.ip(), 3) && outside.tcp(to).server == "node-a", "{to}");
    }
}

#[test]
fn connections_outlive_the_daemon() {
    let cluster = Cluster::up("outlive");
    let (client, outside, web_b) = (cluster.pod("client"), cluster.outside(), cluster.pod("web-b"));
    let (beyond, node) = (cluster.beyond(), cluster.node("node-a"));
    let _servers = [Server::start(&web_b, PORT), Server::start(&beyond, PORT)];
    let service = node_port_service("web", 90, 30090, &json!({}));
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&web_b, "node-b")]));
    let mut open: Vec<(SocketAddr, Connection)> = Vec::new();
    for family in 0..2 {
        let (vip, node_port) = (frontends(90, 80)[family], node.at(30090)[family]);
        client.await_tcp(vip);
        outside.await_tcp(node_port);
        // Between pods, through a Service, masqueraded from outside and to the outside.
        for (place, to) in [
            (&client, web_b.at(PORT)[family]),
            (&client, vip),
            (&outside, node_port),
            (&client, beyond.at(PORT)[family]),
        ] {
            place.await_tcp(to);
            open.push((to, place.connect(to).unwrap_or_else(|error| panic!("{to}: {error}"))));
        }
    }
    // What a flow is translated to was chosen at random, so it goes on only if the connections themselves are still there.
    for node in ["node-a", "node-b"] {
        kill_agent(&cluster, node);
        cluster.repair();
        for (to, connection) in &mut open {
            connection.exchange(&crate::call::pattern(20_000)).unwrap_or_else(|error| panic!("{node}: {to}: {error}"));
        }
    }
}
