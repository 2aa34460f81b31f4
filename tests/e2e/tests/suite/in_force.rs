//! What is told to the API server is in force on the nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};
use sluice_host::{AddressSpec, Netlink};
use sluice_lab::UPLINK;
use sluice_netns::wait_for;

use crate::base::{node, pod, serve_web, two_nodes};
use crate::call::Failed;
use crate::driver::{Tested, patiently};
use crate::objects::{Endpoint, PORT, frontends, policy, service, slices, with_endpoints};
use crate::place::Place;
use crate::server::Server;

/// How long a connection may take that is tried again.
const SOON: Duration = Duration::from_secs(1);

/// Waits until the Service at a frontend is answered by these pods and by no others.
pub(crate) fn await_servers(client: &Place, to: std::net::SocketAddr, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let mut seen = BTreeSet::new();
    // A watch may have to find out first that nobody is there any more.
    let found = patiently("the endpoints to be those that were told", || {
        seen = (0..16).filter_map(|_| Some(client.connect_within(to, SOON).ok()?.answer.server)).collect();
        (seen == wanted).then_some(())
    });
    found.unwrap_or_else(|error| panic!("{error}: {wanted:?}, and {seen:?} answer"));
}

#[test]
fn a_service_is_answered_by_pods_of_both_nodes_and_follows_its_slices() {
    let mut cluster = two_nodes("service");
    let (pods, _servers) = serve_web(&cluster);
    let ready = |at: usize| Endpoint::ready(&pods[at], ["node-a", "node-b"][at]);
    cluster.apply(&with_endpoints(service("web", 10, &json!({})), &[ready(0), ready(1)]));
    let client = cluster.pod("client");
    for to in frontends(10, 80) {
        client.await_tcp(to);
        await_servers(&client, to, &["web-a", "web-b"]);
        assert!(["web-a", "web-b"].contains(&client.udp(to, 100).server.as_str()));
    }
    cluster.apply(&slices("web", &[ready(1)]));
    for to in frontends(10, 80) {
        await_servers(&client, to, &["web-b"]);
    }
    // A slice that goes takes its endpoints along, and the Service its frontends.
    cluster.delete(&slices("web", &[]));
    for to in frontends(10, 80) {
        client.await_tcp_fails(to, Failed::Refused);
    }
    cluster.delete(&[service("web", 10, &json!({}))]);
    for to in frontends(10, 80) {
        client.await_tcp_fails(to, Failed::Silent);
    }
}

#[test]
fn a_policy_shuts_a_pod_and_opens_it_for_whom_it_names() {
    let mut cluster = two_nodes("policy");
    let (pods, _servers) = serve_web(&cluster);
    let (client, other) = (cluster.pod("client"), cluster.pod("other"));
    let to = pods[0].at(PORT);
    client.await_tcp(to[0]);
    let from = json!([{ "podSelector": { "matchLabels": { "app": "other" } } }]);
    let only_other = policy("only-other", "web", &json!({ "ingress": [{ "from": from }] }));
    cluster.apply(std::slice::from_ref(&only_other));
    for to in to {
        client.await_tcp_fails(to, Failed::Silent);
        assert_eq!(other.await_tcp(to).server, "web-a");
    }
    // A label of a pod on another node is a matter of this node too.
    let relabel = |app: &str| json!({ "metadata": { "labels": { "app": app } } });
    let other_s = "/api/v1/namespaces/demo/pods/other";
    cluster.admin().merge(other_s, &relabel("stranger")).expect("a label");
    for to in to {
        other.await_tcp_fails(to, Failed::Silent);
    }
    cluster.delete(&[only_other]);
    for to in to {
        client.await_tcp(to);
        other.await_tcp(to);
    }
}

#[test]
fn a_node_that_joins_is_a_peer_and_one_that_leaves_is_none() {
    let mut cluster = two_nodes("peer");
    cluster.apply(&[node("node-c", 13, 3), pod("third", "third", "node-c")]);
    let (client, third) = (cluster.pod("client"), cluster.pod("third"));
    let _server = Server::start(&third, PORT);
    for to in third.at(PORT) {
        assert_eq!(client.await_tcp(to).server, "third");
    }
    // Its own agent is not asked to go: that others have no way to it is what is looked at.
    cluster.admin().delete("/api/v1/nodes/node-c").expect("the Node is there");
    for to in third.at(PORT) {
        let gone = || (0..2).all(|_| client.connect_within(to, SOON).is_err());
        wait_for("the way to the node to be gone", || gone().then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {to}"));
    }
}

#[test]
fn a_generation_is_numbered_and_its_latency_measured() {
    let mut cluster = two_nodes("latency");
    let (pods, _servers) = serve_web(&cluster);
    let generation =
        |cluster: &Tested| cluster.status("node-a").ok().and_then(|status| status["generation"].as_u64()).unwrap_or(0);
    let before = generation(&cluster);
    let mut objects = with_endpoints(service("web", 10, &json!({})), &[Endpoint::ready(&pods[0], "node-a")]);
    for slice in objects.iter_mut().filter(|object| object["kind"] == "EndpointSlice") {
        slice["metadata"]["annotations"] = json!({ "endpoints.kubernetes.io/last-change-trigger-time": now() });
    }
    cluster.apply(&objects);
    cluster.pod("client").await_tcp(frontends(10, 80)[0]);
    wait_for("its number to be told", || (generation(&cluster) > before).then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {before}"));
    // It is counted once it is in force, so perhaps after the first answer.
    wait_for("the change to be counted", || {
        (counted(&cluster, "node-a", "sluice_programming_seconds_count") > Some(0.0)).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", cluster.metrics("node-a")));
}

/// The first number of this name among a node's metrics.
fn counted(cluster: &Tested, node: &str, name: &str) -> Option<f64> {
    let metrics = cluster.metrics(node);
    let line = metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn while_a_generation_is_refused_status_metrics_and_workers_tell_the_number_that_is_in_force() {
    let mut cluster = two_nodes("refused");
    let (pods, _servers) = serve_web(&cluster);
    let (client, other, node) = (cluster.pod("client"), cluster.pod("other"), cluster.node("node-a"));
    cluster.apply(&with_endpoints(service("web", 10, &json!({})), &[Endpoint::ready(&pods[1], "node-b")]));
    let [to, _] = frontends(10, 80);
    await_servers(&client, to, &["web-b"]);
    // An address that is the node's and a pod's: no tables are made of both.
    let mut netlink = Netlink::open_in(&node.netns).expect("netlink");
    let uplink = netlink.link_by_name(UPLINK).expect("the node has one").index;
    let doubled = cluster.pod("guest").addresses[0];
    let wrong = IpNet::from(doubled);
    netlink.add_address(uplink, &AddressSpec::new(wrong)).expect("an address can be added");
    cluster.await_status("node-a", "the tables to be refused", |status, _| {
        status["generationRefused"].as_str().is_some_and(|why| why.contains(&doubled.to_string()))
    });
    let in_force = cluster.status("node-a").expect("an answer")["generation"].clone();
    // The other node shows that it has been told.
    cluster.apply(&slices("web", &[Endpoint::ready(&pods[0], "node-a")]));
    await_servers(&other, to, &["web-a"]);
    await_servers(&client, to, &["web-b"]);
    let status = cluster.status("node-a").expect("an answer");
    let workers = status["workers"].as_array().expect("workers");
    assert!(status["generationRefused"].is_string() && status["generation"] == in_force, "{status:#}");
    assert!(!workers.is_empty() && workers.iter().all(|worker| worker["generation"] == in_force), "{status:#}");
    for name in ["sluice_tables_generation", "sluice_worker_generation"] {
        assert_eq!(counted(&cluster, "node-a", name), in_force.as_f64(), "{name}");
    }
    netlink.delete_address(uplink, wrong).expect("it is there");
    await_servers(&client, to, &["web-a"]);
    cluster.await_status("node-a", "nothing to be refused", |status, _| {
        status["generationRefused"].is_null() && status["generation"].as_u64() > in_force.as_u64()
    });
}

/// The time now, as objects have it.
fn now() -> Value {
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    json!(String::from_utf8_lossy(&date.expect("date(1)").stdout).trim())
}
