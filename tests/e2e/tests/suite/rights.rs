//! Rights that are missing, one at a time.

use serde_json::{Value, json};
use sluice_e2e::{ApiServerOptions, Etcd};

use crate::away::{NODES, Served};
use crate::driver::{Tested, Variant};
use crate::objects::service;
use crate::reports::conflicting;
use crate::traffic::Traffic;

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/sluiced";

/// The rights as they are granted.
struct Rights(Value);

impl Rights {
    fn of(cluster: &Tested) -> Self {
        Self(cluster.admin().get(ROLE).expect("the role")["rules"].clone())
    }

    /// Grants all but these verbs of these resources.
    fn grant_all_but(&self, cluster: &Tested, missing: &[(&str, &str)]) {
        let rules = self.0.as_array().expect("rules").iter().flat_map(|rule| {
            let resources = rule["resources"].as_array().expect("resources").iter();
            resources.map(|resource| {
                let verbs = rule["verbs"].as_array().expect("verbs").iter();
                let verbs = verbs.filter(|verb| !missing.iter().any(|(of, to)| resource == of && *verb == to));
                let verbs: Vec<&Value> = verbs.collect();
                json!({ "apiGroups": rule["apiGroups"], "resources": [resource], "verbs": verbs })
            })
        });
        // One without verbs is refused.
        let rules: Vec<Value> = rules.filter(|rule| rule["verbs"] != json!([])).collect();
        cluster.admin().merge(ROLE, &json!({ "rules": rules })).expect("other rights");
    }
}

/// Waits until a node's faults name a right.
fn await_named(cluster: &Tested, node: &str, right: &str) {
    cluster
        .await_status(node, &format!("{right} to be named"), |status, _| status["faults"].to_string().contains(right));
}

/// Waits until what a node says of its reports names a right.
fn await_reported(cluster: &Tested, node: &str, field: &str, right: &str) {
    cluster.await_status(node, &format!("{right} to be named"), |status, _| {
        status["reports"][field].as_str().is_some_and(|failure| failure.contains(right))
    });
}

#[test]
fn each_missing_right_is_named_takes_nothing_away_and_counts_again_once_granted() {
    // With this etcd lists are asked for as lists, for which there is a right of its own. Watches begin anew soon.
    let api = ApiServerOptions { etcd: Etcd::Debian, ..ApiServerOptions::default() };
    let mut served = Served::with("rights", Variant { settings: &["source.kubernetes.quietTimeout=2"], api });
    let rights = Rights::of(&served.cluster);
    let traffic = served.traffic();
    rights.grant_all_but(&served.cluster, &[("endpointslices", "watch")]);
    for node in NODES {
        let named = "watch endpointslices.discovery.k8s.io is forbidden; grant get, list and watch";
        await_named(&served.cluster, node, named);
        served.cluster.await_status(node, "the other kinds to be watched", |status, _| {
            let kinds = status["watches"].as_array().cloned().unwrap_or_default();
            kinds.iter().all(|kind| (kind["state"] == "watching") == (kind["kind"] != "EndpointSlice"))
        });
    }
    traffic.into_iter().for_each(Traffic::end_whole);
    rights.grant_all_but(&served.cluster, &[]);
    served.move_service();
    for node in NODES {
        served.cluster.await_status(node, "the fault to go", |status, _| status["faults"] == json!([]));
    }

    // A start lists, and tells what the node uses.
    served.cluster.await_stored("node-a");
    let condition = json!({ "type": "NetworkUnavailable", "status": "True", "reason": "NoRouteYet" });
    let unavailable = json!({ "status": { "conditions": [condition] } });
    served.cluster.admin().merge("/api/v1/nodes/node-a/status", &unavailable).expect("as a cloud does");
    let mut missing = vec![("endpointslices", "list"), ("nodes", "patch"), ("nodes/status", "patch")];
    rights.grant_all_but(&served.cluster, &missing);
    served.cluster.kill_agent("node-a");
    served.cluster.repair().unwrap_or_else(|error| panic!("{error}"));
    await_named(
        &served.cluster,
        "node-a",
        "list endpointslices.discovery.k8s.io is forbidden; grant get, list and watch",
    );
    await_reported(&served.cluster, "node-a", "nodeFailure", "patch nodes is forbidden; grant patch of nodes to");
    missing.retain(|(of, _)| *of == "nodes/status");
    rights.grant_all_but(&served.cluster, &missing);
    await_reported(&served.cluster, "node-a", "nodeFailure", "patch nodes/status is forbidden; grant patch of");

    // Of two Services that want the same, one is faulty.
    missing.push(("events", "create"));
    rights.grant_all_but(&served.cluster, &missing);
    served.cluster.apply(&conflicting("198.51.100.77", ["first", "second"], [20, 21]));
    await_reported(&served.cluster, "node-a", "eventFailure", "create events.events.k8s.io is forbidden; grant create");
    rights.grant_all_but(&served.cluster, &[]);
    // What could not be told is told at the next change.
    served.cluster.apply(&[service("third", 22, &json!({}))]);
    served.cluster.await_status("node-a", "all to be told", |status, _| {
        let reports = &status["reports"];
        reports["eventsWritten"].as_u64() > Some(0)
            && reports["eventFailure"].is_null()
            && reports["nodeFailure"].is_null()
    });
}
