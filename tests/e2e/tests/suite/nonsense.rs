//! Objects that pass the API server and make no sense to a switch.

use serde_json::{Value, json};

use crate::away::NODES;
use crate::base::{pod, serve_web, two_nodes};
use crate::call::Failed;
use crate::in_force::await_servers;
use crate::objects::{Endpoint, PORT, frontends, policy, service, slices, with_endpoints};
use crate::traffic::Traffic;

/// Policies that all select every pod.
const MANY: u64 = 500;

#[test]
fn slices_that_contradict_each_other_during_a_move_never_leave_a_service_without_its_ready_endpoint() {
    let mut cluster = two_nodes("moving");
    let (pods, _servers) = serve_web(&cluster);
    let ready = [Endpoint::ready(&pods[0], "node-a")];
    cluster.apply(&with_endpoints(service("web", 10, &json!({})), &ready));
    let client = cluster.pod("client");
    // Begins once that is in force.
    let traffic = frontends(10, 80).map(|to| Traffic::start(cluster.pod("client"), to));
    // The same endpoint in a second slice, not ready there: one of the two is older.
    let mut doubled =
        slices("web", &[Endpoint { conditions: json!({ "ready": false }), ..Endpoint::ready(&pods[0], "node-a") }]);
    for slice in &mut doubled {
        slice["metadata"]["name"] = json!(format!("{}-2", slice["metadata"]["name"].as_str().expect("a name")));
    }
    cluster.apply(&doubled);
    // And one more that is a matter of course, by whose answer the others are known to be in force.
    let mut third = slices("web", &[Endpoint::ready(&pods[1], "node-b")]);
    for slice in &mut third {
        slice["metadata"]["name"] = json!(format!("{}-3", slice["metadata"]["name"].as_str().expect("a name")));
    }
    cluster.apply(&third);
    for to in frontends(10, 80) {
        await_servers(&client, to, &["web-a", "web-b"]);
    }
    traffic.into_iter().for_each(Traffic::end_whole);
    // The move ends: the first slice goes, and its endpoint is not ready any more.
    cluster.delete(&slices("web", &[]));
    for to in frontends(10, 80) {
        await_servers(&client, to, &["web-b"]);
    }
}

#[test]
fn a_pod_that_has_the_address_of_one_whose_deletion_has_not_arrived_is_explained_and_takes_over_when_it_has() {
    let mut cluster = two_nodes("reuse");
    let (pods, _servers) = serve_web(&cluster);
    let (client, other) = (cluster.pod("client"), cluster.pod("other"));
    let from = json!([{ "podSelector": { "matchLabels": { "app": "other" } } }]);
    cluster.apply(&[policy("only-other", "web", &json!({ "ingress": [{ "from": from }] }))]);
    for to in pods[0].at(PORT) {
        client.await_tcp_fails(to, Failed::Silent);
        other.await_tcp(to);
    }
    // One more Pod object says it has the address of `other`, with a label that nobody lets in.
    let ghost = pod("ghost", "ghost", "node-b");
    let path = "/api/v1/namespaces/demo/pods/ghost";
    cluster.admin().apply(&ghost).expect("a Pod");
    let addresses: Vec<Value> = other.addresses.iter().map(|address| json!({ "ip": address })).collect();
    let status = json!({ "status": { "phase": "Running", "podIP": other.addresses[0], "podIPs": addresses } });
    cluster.admin().merge(&format!("{path}/status"), &status).expect("the API server does not mind");
    cluster.await_status("node-a", "the status to name both", |status, _| {
        let faults = status["faults"].to_string();
        faults.contains("demo/ghost") && faults.contains(&other.addresses[0].to_string())
    });
    cluster.admin().delete(path).expect("it is there");
    cluster.await_status("node-a", "the fault to go", |status, _| !status["faults"].to_string().contains("ghost"));
    for to in pods[0].at(PORT) {
        other.await_tcp(to);
        client.await_tcp_fails(to, Failed::Silent);
    }
}

#[test]
fn a_pod_with_a_huge_set_of_labels_and_many_policies_that_select_every_pod_are_just_obeyed() {
    let mut cluster = two_nodes("huge");
    let (pods, _servers) = serve_web(&cluster);
    let client = cluster.pod("client");
    let labels: serde_json::Map<String, Value> =
        (0..1000).map(|number| (format!("example.org/label-{number}"), json!(format!("value-{number}")))).collect();
    let label_all = json!({ "metadata": { "labels": labels } });
    cluster.admin().merge("/api/v1/namespaces/demo/pods/client", &label_all).expect("the API server takes them");
    // Each lets in one that no other does; all together who asks is let in by the last.
    let policies: Vec<Value> = (1..=MANY)
        .map(|number| {
            let value = if number == MANY { number } else { 0 };
            let label = json!({ format!("example.org/label-{number}"): format!("value-{value}") });
            let from = json!([{ "podSelector": { "matchLabels": label } }]);
            let mut every = policy(&format!("every-{number}"), "", &json!({ "ingress": [{ "from": from }] }));
            every["spec"]["podSelector"] = json!({});
            every
        })
        .collect();
    let other = cluster.pod("other");
    let (last, first) = policies.split_last().expect("some");
    cluster.apply(first);
    for to in pods[0].at(PORT) {
        client.await_tcp_fails(to, Failed::Silent);
    }
    cluster.apply(std::slice::from_ref(last));
    for to in pods[0].at(PORT) {
        client.await_tcp(to);
        assert_eq!(other.tcp_fails(to), Failed::Silent);
    }
    for node in NODES {
        cluster.await_status(node, "all policies to be in force", |status, _| {
            status["objects"]["networkPolicies"] == MANY && status["generationRefused"].is_null()
        });
    }
}
