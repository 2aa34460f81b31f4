//! What is written to the own Node.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kube::reporter::NodeFacts;

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

/// A strategic merge patch of the status: pods may be bound to the node
/// (<https://kubernetes.io/docs/reference/node/node-status/#condition>).
pub(crate) fn network_available(now: Timestamp) -> Value {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"status": {"conditions": [{
        "type": "NetworkUnavailable",
        "status": "False",
        "reason": "SluiceIsUp",
        "message": "sluiced serves the pods of this node",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }]}})
}

/// Whether a Node, as the API answers with it, says already that its network is available. One that was deleted and made
/// anew does not.
pub(crate) fn is_network_available(node: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Node {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        conditions: Vec<Condition>,
    }
    #[derive(Deserialize)]
    struct Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
    }
    let Ok(node) = serde_json::from_slice::<Node>(node) else { return false };
    node.status.conditions.iter().any(|condition| condition.kind == "NetworkUnavailable" && condition.status == "False")
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

    #[test]
    fn the_condition_has_its_time_as_the_api_writes_it() {
        let patch = network_available(Timestamp::from_second(1_700_000_000).expect("a time"));
        assert_eq!(patch["status"]["conditions"][0]["lastTransitionTime"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_condition_that_is_there_is_seen() {
        let patch = network_available(Timestamp::UNIX_EPOCH).to_string();
        assert!(is_network_available(patch.as_bytes()));
        assert!(!is_network_available(patch.replace("False", "True").as_bytes()));
        assert!(!is_network_available(b"{}") && !is_network_available(b""));
    }
}
