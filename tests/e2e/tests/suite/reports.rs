//! What a node tells the API server: what it uses, and what is wrong with objects.

use serde_json::{Value, json};

use crate::base::two_nodes;
use crate::driver::{Tested, patiently};
use crate::objects::{frontends, service};

/// The Events on an object of the namespace `demo`.
pub(crate) fn events(cluster: &Tested, kind: &str, name: &str) -> Vec<Value> {
    let all = cluster.admin().get("/apis/events.k8s.io/v1/namespaces/demo/events").expect("a list");
    let all = all["items"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|event| event["regarding"]["kind"] == kind && event["regarding"]["name"] == name).collect()
}

#[test]
fn a_node_s_tunnel_and_mtu_are_on_its_node_object_and_its_network_is_available() {
    let cluster = two_nodes("facts");
    let wanted = [
        ("sluice.io/tunnel-address", "192.0.2.11"),
        ("sluice.io/encapsulation", "vxlan"),
        ("sluice.io/tunnel-port", "4789"),
        ("sluice.io/vni", "1"),
    ];
    let mut node = Value::Null;
    let told = patiently("the Node to say what it uses", || {
        node = cluster.admin().get("/api/v1/nodes/node-a").expect("the Node");
        let notes = &node["metadata"]["annotations"];
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let available = conditions.iter().any(|one| one["type"] == "NetworkUnavailable" && one["status"] == "False");
        (available && wanted.iter().all(|(key, value)| notes[key] == *value)).then_some(())
    });
    told.unwrap_or_else(|error| panic!("{error}: {node:#}"));
    let mtu = &node["metadata"]["annotations"]["sluice.io/mtu"];
    assert_eq!(
        mtu.as_str().and_then(|mtu| mtu.parse().ok()),
        cluster.status("node-a").expect("an answer")["podMtu"].as_u64()
    );
}

#[test]
fn an_object_that_makes_no_sense_gets_an_event_and_a_line_in_the_status_and_loses_both_when_it_does() {
    let mut cluster = two_nodes("events");
    // Two Services that want the same address and port: the API server lets both pass.
    let more = json!({ "externalIPs": ["198.51.100.77"] });
    cluster.apply(&[service("first", 20, &more), service("second", 21, &more)]);
    let named = |status: &Value| {
        let faults = status["faults"].to_string();
        faults.contains("demo/first") || faults.contains("demo/second")
    };
    cluster.await_status("node-a", "the conflict to be in the status", |status, _| named(status));
    patiently("an Event on one of the two", || {
        let all = [events(&cluster, "Service", "first"), events(&cluster, "Service", "second")].concat();
        all.into_iter()
            .find(|event| event["type"] == "Warning" && event["note"].as_str().is_some_and(|note| !note.is_empty()))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", cluster.status("node-a").expect("an answer")["reports"]));
    // The rest of both is served nevertheless: no endpoint, so refused and not silent.
    let client = cluster.pod("client");
    for number in [20, 21] {
        for to in frontends(number, 80) {
            client.await_tcp_fails(to, crate::call::Failed::Refused);
        }
    }
    cluster.apply(&[service("second", 21, &json!({ "externalIPs": ["198.51.100.78"] }))]);
    cluster.await_status("node-a", "the conflict to be gone", |status, _| !named(status));
}
