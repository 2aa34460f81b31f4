//! What a node tells the API server: what it uses, and what is wrong with objects.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::away::NODES;
use crate::base::{two_nodes, two_nodes_with};
use crate::driver::{Tested, Variant, patiently};
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
    cluster.apply(&conflicting("198.51.100.77", ["first", "second"], [20, 21]));
    // The same of two load balancers, each of which its controller has given that address.
    cluster.apply(&["third", "fourth"].map(|name| balancer(name, "198.51.100.88")));
    let named = |status: &Value, names: [&str; 2]| {
        let faults = status["faults"].to_string();
        names.iter().any(|name| faults.contains(&format!("demo/{name}")))
    };
    for names in [["first", "second"], ["third", "fourth"]] {
        cluster.await_status("node-a", "the conflict to be in the status", |status, _| named(status, names));
        let told = patiently("an Event on one of the two", || {
            let all = names.map(|name| events(&cluster, "Service", name)).concat();
            all.into_iter()
                .find(|event| event["type"] == "Warning" && event["note"].as_str().is_some_and(|note| !note.is_empty()))
        });
        told.unwrap_or_else(|error| panic!("{error}: {}", cluster.status("node-a").expect("an answer")["reports"]));
    }
    // The rest of them is served nevertheless: no endpoint, so refused and not silent.
    let client = cluster.pod("client");
    for number in [20, 21, number_of("third"), number_of("fourth")] {
        for to in frontends(number, 80) {
            client.await_tcp_fails(to, crate::call::Failed::Refused);
        }
    }
    cluster.apply(&[service("second", 21, &json!({ "externalIPs": ["198.51.100.78"] }))]);
    cluster.apply(&[balancer("fourth", "198.51.100.89")]);
    cluster.await_status("node-a", "the conflicts to be gone", |status, _| {
        !named(status, ["first", "second"]) && !named(status, ["third", "fourth"])
    });
}

/// Two Services that want the same address and port: the API server lets both pass.
pub(crate) fn conflicting(address: &str, names: [&str; 2], numbers: [u8; 2]) -> [Value; 2] {
    let more = json!({ "externalIPs": [address] });
    [0, 1].map(|at| service(names[at], numbers[at], &more))
}

/// The number of a balancer's ClusterIPs.
fn number_of(balancer: &str) -> u8 {
    if balancer == "third" { 22 } else { 23 }
}

fn balancer(name: &str, address: &str) -> Value {
    let more = json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false });
    let mut balancer = service(name, number_of(name), &more);
    balancer["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
    balancer
}

#[test]
fn no_more_events_are_made_than_are_allowed_in_a_minute_and_one_does_for_both_nodes() {
    let settings = ["source.kubernetes.eventsPerMinute=2"];
    let mut cluster = two_nodes_with("rate", Variant { settings: &settings, ..Variant::default() });
    let names: Vec<String> = (0..12).map(|number| format!("rate-{number}")).collect();
    for (at, pair) in (0_u8..).zip(names.chunks_exact(2)) {
        let number = 30 + 2 * at;
        cluster.apply(&conflicting(&format!("198.51.100.{number}"), [&pair[0], &pair[1]], [number, number + 1]));
    }
    // Of six faults each node tells two, then one after the minute.
    for node in NODES {
        cluster.await_status(node, "the third to be told", |status, _| {
            status["reports"]["eventsWritten"].as_u64() >= Some(3)
        });
    }
    let all: Vec<Value> = names.iter().flat_map(|name| events(&cluster, "Service", name)).collect();
    let mut first_minute: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for event in &all {
        let of = event["reportingInstance"].to_string();
        let at = event["eventTime"].as_str().and_then(|at| at.parse().ok()).expect("a time");
        first_minute.entry(of).or_default().push(at);
    }
    for (node, times) in &mut first_minute {
        times.sort();
        // Each waits a little, at random, after its turn has come.
        let minute = SignedDuration::from_secs(60 - 10);
        assert!(times.windows(3).all(|three| three[2].duration_since(three[0]) > minute), "{node}: {all:#?}");
    }
    // An Event an hour, as its name says; an hour may have ended meanwhile.
    let hour = |event: &Value| event["eventTime"].as_str().and_then(|at| at.get(..13)).map(str::to_owned);
    let said: BTreeSet<_> =
        all.iter().map(|event| (hour(event), format!("{} {}", event["regarding"], event["note"]))).collect();
    assert_eq!(said.len(), all.len(), "both nodes tell the same: {all:#?}");
}
