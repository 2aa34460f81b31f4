//! Who is behind an address, and what becomes of it when pods and labels change.

use serde_json::{Value, json};
use sluice_tables::Identity;

use super::cluster::{Cluster, Compiled, Pod, address};

const FRIEND: &str = "10.0.1.5";

/// A server of this node, and a pod of the other that may talk to it as long as it is a friend.
fn cluster() -> Cluster {
    Cluster::of([
        Pod::here("shop", "server", &["10.0.0.3"]).label("app", "server"),
        Pod::there("shop", "friend", &[FRIEND, "fd00:1::5"]).label("app", "friend"),
    ])
    .namespace("shop", &[("trust", "high")])
}

fn friends() -> Vec<(&'static str, Value)> {
    let friend = json!([{"podSelector": {"matchLabels": {"app": "friend"}}, "namespaceSelector": {"matchLabels": {"trust": "high"}}}]);
    vec![("shop", json!({"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [{"from": friend}]}))]
}

fn enters(cluster: &Cluster, peer: &str) -> bool {
    cluster.compile(&friends()).enters(peer, "shop/server", "TCP", 80)
}

fn identity(compiled: &Compiled, of: &str) -> Option<Identity> {
    compiled.policies.identities.get(address(of))
}

#[test]
fn pods_of_a_namespace_with_the_same_labels_are_one_identity() {
    let mut cluster = cluster();
    cluster.pods.push(Pod::here("shop", "twin", &["10.0.0.7"]).label("app", "friend"));
    cluster.pods.push(Pod::there("yard", "other", &["10.0.1.7"]).label("app", "friend"));
    let compiled = cluster.compile(&[]);
    let friend = identity(&compiled, FRIEND);
    assert!(
        friend.is_some() && friend == identity(&compiled, "fd00:1::5") && friend == identity(&compiled, "10.0.0.7")
    );
    assert!(identity(&compiled, "10.0.1.7").is_some_and(|other| Some(other) != friend));
    assert_ne!(identity(&compiled, "10.0.0.3"), friend);
    assert_eq!(compiled.policies.identities.len(), 5);
}

#[test]
fn an_edit_of_a_pods_labels_is_judged_anew() {
    let mut cluster = cluster();
    assert!(enters(&cluster, FRIEND) && enters(&cluster, "fd00:1::5"));
    cluster.pods[1].labels = vec![("app", "stranger")];
    assert!(!enters(&cluster, FRIEND) && !enters(&cluster, "fd00:1::5"));
    // And on the subject: it is not selected any more, so not isolated.
    cluster.pods[0].labels.clear();
    assert!(enters(&cluster, FRIEND));
}

#[test]
fn an_edit_of_a_namespaces_labels_is_judged_anew() {
    let mut cluster = cluster();
    cluster.namespaces[0].labels = vec![("trust", "low")];
    assert!(!enters(&cluster, FRIEND));
    cluster.namespaces.clear();
    assert!(!enters(&cluster, FRIEND));
}

#[test]
fn a_deleted_pods_address_is_allowed_nothing() {
    let mut cluster = cluster();
    cluster.pods.pop();
    assert!(!enters(&cluster, FRIEND) && identity(&cluster.compile(&[]), FRIEND).is_none());
}

#[test]
fn a_reused_address_inherits_nothing_of_the_pod_before() {
    let mut cluster = cluster();
    // The friend has ended, and its address is a stranger's now.
    cluster.pods[1].phase = "Succeeded";
    cluster.pods.push(Pod::there("shop", "stranger", &[FRIEND]));
    assert!(!enters(&cluster, FRIEND));
    // The friend is only on its way out: its sandbox must have gone, else the address had not been given away.
    cluster.pods[1].phase = "Running";
    cluster.pods[1].terminating = true;
    assert!(!enters(&cluster, FRIEND) && cluster.compile(&[]).faults().is_empty());
    // The other way round: the friend is the new one.
    cluster.pods[1].terminating = false;
    cluster.pods[2].terminating = true;
    assert!(enters(&cluster, FRIEND));
}

#[test]
fn an_address_that_two_pods_claim_is_nobodys_and_told() {
    let mut cluster = cluster();
    cluster.pods.push(Pod::there("shop", "friend-2", &[FRIEND]).label("app", "friend"));
    cluster.pods.push(Pod::there("shop", "stranger", &[FRIEND]));
    assert!(!enters(&cluster, FRIEND) && enters(&cluster, "fd00:1::5"));
    let told = cluster.compile(&[]).faults();
    assert_eq!(told.len(), 2);
    assert!(
        told[0].starts_with("Pod shop/friend-2: status.podIPs[0].ip 10.0.1.5 is also the address of Pod shop/friend")
    );
    assert!(
        told[1].starts_with("Pod shop/stranger: status.podIPs[0].ip 10.0.1.5 is also the address of Pod shop/friend")
    );
}

#[test]
fn what_is_attached_here_counts_before_what_a_status_says() {
    let mut cluster = cluster();
    // The friend's status claims the address of a pod that is attached here, and a node's.
    cluster.pods.push(Pod::here("shop", "stranger", &["10.0.0.7"]));
    cluster.pods.push(Pod::there("shop", "liar", &["10.0.0.7"]).label("app", "friend"));
    cluster.pods.push(Pod::there("shop", "pretender", &["192.0.2.2"]).label("app", "friend"));
    assert!(!enters(&cluster, "10.0.0.7") && !enters(&cluster, "192.0.2.2"));
    let told = cluster.compile(&[]).faults();
    assert!(told[0].contains("10.0.0.7 is also the address of Pod shop/stranger"), "{told:?}");
    assert!(told[1].contains("192.0.2.2 is also the address of Node there"), "{told:?}");
    // The same where the object of what is attached is not known.
    cluster.pods[2].known = false;
    assert!(!enters(&cluster, "10.0.0.7"));
}

#[test]
fn an_old_status_of_a_pod_of_this_node_counts_for_nothing() {
    let mut cluster = cluster();
    // Detached already, or attached again at another address.
    let mut gone = Pod::here("shop", "gone", &[]).label("app", "friend");
    gone.told = vec![address("10.0.0.7")];
    let mut moved = Pod::here("shop", "moved", &["10.0.0.8"]).label("app", "friend");
    moved.told = vec![address("10.0.0.9")];
    cluster.pods.extend([gone, moved]);
    assert!(!enters(&cluster, "10.0.0.7") && enters(&cluster, "10.0.0.8") && !enters(&cluster, "10.0.0.9"));
}

#[test]
fn a_pod_that_has_ended_is_no_peer() {
    for phase in ["Succeeded", "Failed"] {
        let mut cluster = cluster();
        cluster.pods[1].phase = phase;
        assert!(!enters(&cluster, FRIEND), "{phase}");
        // Also where its port still stands.
        cluster.pods[1].node = Some("here");
        cluster.pods[1].attached = cluster.pods[1].told.clone();
        assert!(!enters(&cluster, FRIEND), "{phase}");
    }
    for phase in ["Pending", "Unknown"] {
        let mut cluster = cluster();
        cluster.pods[1].phase = phase;
        assert!(enters(&cluster, FRIEND), "{phase}");
    }
}

#[test]
fn a_pod_that_has_ended_stays_isolated_as_long_as_it_is_attached() {
    let mut cluster = cluster();
    cluster.pods[0].phase = "Failed";
    assert!(cluster.compile(&friends()).of("shop/server").ingress.is_some());
}

#[test]
fn a_pod_of_a_new_namespace_is_isolated_by_the_policy_that_was_there_before_it() {
    let mut cluster = cluster();
    cluster.pods.push(Pod::here("new", "first", &["10.0.0.7"]));
    let compiled = cluster.compile(&[("new", json!({}))]);
    assert!(!compiled.enters(FRIEND, "new/first", "TCP", 80));
}
