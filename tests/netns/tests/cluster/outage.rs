//! A node whose daemon is dead, and what goes on when it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sluice_netns::wait_for;

use crate::call::pattern;
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, service, with_endpoints};
use crate::server::Server;

/// Kills a node's agent and waits until it is gone.
pub(crate) fn kill_agent(cluster: &Cluster, node: &str) {
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

/// Waits until no packet is on its way any more, late acknowledgements included.
///
/// What comes from outside for a masqueraded connection while the daemon is dead goes to the host, as if there were no
/// Sluice, and the host resets what it does not know. So such connections outlive the daemon only while they are silent.
fn await_quiet(cluster: &Cluster, node: &str) {
    let forwarded = || cluster.status(node)["path"]["forwarded"].as_u64();
    wait_for("the last packet to have passed", || {
        let before = forwarded();
        std::thread::sleep(LONGEST_ACKNOWLEDGEMENT);
        (forwarded() == before).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Longer than any machine needs to start a daemon, and as long again.
const LONG_OUTAGE: Duration = Duration::from_secs(60);

/// For how long Linux may delay an acknowledgement (TCP_DELACK_MAX), and some.
const LONGEST_ACKNOWLEDGEMENT: Duration = Duration::from_millis(300);

#[test]
fn connections_between_pods_go_on_through_an_outage_of_either_node() {
    let cluster = Cluster::up("inside");
    let (client, web_b) = (cluster.pod("client"), cluster.pod("web-b"));
    let _server = Server::start(&web_b, PORT);
    cluster.apply("web", &with_endpoints(service("web", 91, &json!({})), &[Endpoint::ready(&web_b, "node-b")]));
    let mut open = Vec::new();
    for to in frontends(91, 80).into_iter().chain(web_b.at(PORT)) {
        client.await_tcp(to);
        let connection = client.connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        // What was lost in an outage is sent again after as long as the outage took, at worst.
        let socket = connection.stream.get_ref();
        socket.set_read_timeout(Some(LONG_OUTAGE)).expect("a socket has timeouts");
        socket.set_write_timeout(Some(LONG_OUTAGE)).expect("a socket has timeouts");
        open.push((to, connection));
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (to, connection) in &mut open {
            let (to, over) = (*to, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    connection.exchange(&pattern(20_000)).unwrap_or_else(|error| panic!("{to}: {error}"));
                }
            });
        }
        let _over = Raised(&over);
        for node in ["node-a", "node-b"] {
            kill_agent(&cluster, node);
            cluster.repair();
        }
    });
    for (to, connection) in &mut open {
        connection.exchange(b"after all").unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}

#[test]
fn silent_connections_from_and_to_the_outside_outlive_the_daemon() {
    let cluster = Cluster::up("outlive");
    let (client, outside, web_b) = (cluster.pod("client"), cluster.outside(), cluster.pod("web-b"));
    let (beyond, node) = (cluster.beyond(), cluster.node("node-a"));
    let _servers = [Server::start(&web_b, PORT), Server::start(&beyond, PORT)];
    let service = node_port_service("web", 90, 30090, &json!({}));
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&web_b, "node-b")]));
    let mut open = Vec::new();
    for (node_port, out) in node.at(30090).into_iter().zip(beyond.at(PORT)) {
        for (place, to) in [(&outside, node_port), (&client, out)] {
            place.await_tcp(to);
            open.push((to, place.connect(to).unwrap_or_else(|error| panic!("{to}: {error}"))));
        }
    }
    // The port that a connection is masqueraded with was chosen at random, so it goes on only if it is still known.
    for _ in 0..2 {
        await_quiet(&cluster, "node-a");
        kill_agent(&cluster, "node-a");
        cluster.repair();
        for (to, connection) in &mut open {
            connection.exchange(&pattern(20_000)).unwrap_or_else(|error| panic!("{to}: {error}"));
        }
    }
}

/// Raises a flag when it goes, also by a panic.
struct Raised<'f>(&'f AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
