//! What is told to the API server is in force on the nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_netns::wait_for;

use crate::base::{node, pod, serve_web, two_nodes};
use crate::call::Failed;
use crate::objects::{Endpoint, PORT, frontends, policy, service, slices, with_endpoints};
use crate::place::Place;
use crate::server::Server;

/// Waits until the Service at a frontend is answered by these pods and by no others.
pub(crate) fn await_servers(client: &Place, to: std::net::SocketAddr, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    let mut seen = BTreeSet::new();
    let found = wait_for("the endpoints to be those that were told", || {
        seen = (0..16).filter_map(|_| Some(client.connect(to).ok()?.answer.server)).collect();
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
        wait_for("the way to the node to be gone", || client.connect(to).is_err().then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {to}"));
    }
}

#[test]
fn a_generation_is_numbered_and_its_latency_measured() {
    let mut cluster = two_nodes("latency");
    let (pods, _servers) = serve_web(&cluster);
    let generation = |cluster: &crate::driver::Tested| {
        cluster.status("node-a").ok().and_then(|status| status["generation"].as_u64()).unwrap_or(0)
    };
    let before = generation(&cluster);
    let mut objects = with_endpoints(service("web", 10, &json!({})), &[Endpoint::ready(&pods[0], "node-a")]);
    for slice in objects.iter_mut().filter(|object| object["kind"] == "EndpointSlice") {
        slice["metadata"]["annotations"] = json!({ "endpoints.kubernetes.io/last-change-trigger-time": now() });
    }
    cluster.apply(&objects);
    cluster.pod("client").await_tcp(frontends(10, 80)[0]);
    assert!(generation(&cluster) > before);
    let metrics = cluster.metrics("node-a");
    let counted = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name) && line.contains("_count"));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let histograms: Vec<&str> = metrics.lines().filter(|line| line.contains("programming")).collect();
    assert!(counted("sluice_programming") > 0.0, "{histograms:#?}");
}

/// The time now, as objects have it.
fn now() -> Value {
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    json!(String::from_utf8_lossy(&date.expect("date(1)").stdout).trim())
}
