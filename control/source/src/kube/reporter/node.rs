//! What is written to the own Node.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kube::reporter::{NodeCondition, NodeFacts};

/// A merge patch (RFC 7396) with the annotations; one that is not there is taken off.
pub(crate) fn annotations(facts: &NodeFacts) -> Value {
    let NodeFacts { tunnel_addresses, encapsulation, tunnel_port, vni, mtu } = facts;
    let addresses: Vec<String> = tunnel_addresses.iter().map(ToString::to_string).collect();
    json!({"metadata": {"annotations": {
        "sluice.io/tunnel-address": (!addresses.is_empty()).then(|| addresses.join(",")),
        "sluice.io/encapsulation": encapsulation,
        "sluice.io/tunnel-port": tunnel_port.map(|port| port.to_string()),
        "sluice.io/vni": vni.map(|vni| vni.to_string()),
        "sluice.io/mtu": mtu.map(|mtu| mtu.to_string()),
    }}})
}

/// A strategic merge patch of the status with the conditions that a Node, as the API answers with it, does not have so; `None` when it
/// has all (<https://kubernetes.io/docs/reference/node/node-status/#condition>). The time of a transition stays where the
/// status stays. One that was deleted and made anew has none.
pub(crate) fn conditions(node: &[u8], wanted: &[NodeCondition], now: Timestamp) -> Option<Value> {
    let there = serde_json::from_slice::<Node>(node).map(|node| node.status.conditions).unwrap_or_default();
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = |NodeCondition { kind, holds, reason, message }: &NodeCondition| {
        let status = if *holds { "True" } else { "False" };
        let known = there.iter().find(|there| there.kind == *kind);
        if known.is_some_and(|there| (&*there.status, &*there.reason, &there.message) == (status, *reason, message)) {
            return None;
        }
        let mut patch = json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now,
        });
        if known.is_none_or(|there| there.status != status) {
            patch["lastTransitionTime"] = now.clone().into();
        }
        Some(patch)
    };
    let patches: Vec<Value> = wanted.iter().filter_map(patch).collect();
    (!patches.is_empty()).then(|| json!({"status": {"conditions": patches}}))
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_become_annotations_and_missing_ones_are_taken_off() {
        let facts = NodeFacts {
            tunnel_addresses: vec!["192.0.2.1".parse().expect("v4"), "2001:db8::1".parse().expect("v6")],
            encapsulation: Some("geneve".to_owned()),
            tunnel_port: Some(6081),
            vni: None,
            mtu: Some(1450),
        };
        let expected = json!({"metadata": {"annotations": {
            "sluice.io/tunnel-address": "192.0.2.1,2001:db8::1",
            "sluice.io/encapsulation": "geneve",
            "sluice.io/tunnel-port": "6081",
            "sluice.io/vni": null,
            "sluice.io/mtu": "1450",
        }}});
        assert_eq!(annotations(&facts), expected);
        let none = annotations(&NodeFacts::default());
        let none = none["metadata"]["annotations"].as_object().expect("annotations");
        assert!(none.len() == 5 && none.values().all(Value::is_null));
    }

    fn network(holds: bool, message: &str) -> NodeCondition {
        NodeCondition { kind: "NetworkUnavailable", holds, reason: "Because", message: message.to_owned() }
    }

    fn node(status: &str, message: &str) -> String {
        let condition =
            json!({"type": "NetworkUnavailable", "status": status, "reason": "Because", "message": message});
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, condition]}}).to_string()
    }

    #[test]
    fn a_condition_has_its_times_as_the_api_writes_them_and_the_transition_only_when_there_is_one() {
        let now = Timestamp::from_second(1_700_000_000).expect("a time");
        let patch = |node: &str| conditions(node.as_bytes(), &[network(false, "up")], now).expect("a patch");
        for other in [node("True", "up"), "{}".to_owned(), String::new(), r#"{"status":{}}"#.to_owned()] {
            let patch = &patch(&other)["status"]["conditions"][0];
            assert_eq!(patch["lastTransitionTime"], "2023-11-14T22:13:20Z", "{other}");
            assert_eq!((&patch["status"], &patch["reason"]), (&json!("False"), &json!("Because")));
        }
        let patch = &patch(&node("False", "another"))["status"]["conditions"][0];
        assert_eq!((&patch["lastHeartbeatTime"], &patch["message"]), (&json!("2023-11-14T22:13:20Z"), &json!("up")));
        assert_eq!(patch.get("lastTransitionTime"), None);
    }

    #[test]
    fn what_a_node_has_is_not_written_again() {
        let both = [network(true, "down"), NodeCondition { kind: "Other", ..network(false, "") }];
        let patch = conditions(node("True", "down").as_bytes(), &both, Timestamp::UNIX_EPOCH).expect("the other one");
        let written = patch["status"]["conditions"].as_array().expect("conditions");
        assert!(written.len() == 1 && written[0]["type"] == "Other", "{patch}");
        assert_eq!(conditions(node("True", "down").as_bytes(), &both[..1], Timestamp::UNIX_EPOCH), None);
        assert_eq!(conditions(b"{}", &[], Timestamp::UNIX_EPOCH), None);
    }
}
