//! A large cluster: that it compiles in reasonable time shows in how long this test takes, which asserts none.

use serde_json::json;

use super::cluster::{Cluster, Pod};

const APPS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const NAMESPACES: [&str; 4] = ["one", "two", "three", "four"];

#[test]
fn a_thousand_policies_over_twenty_thousand_pods_are_compiled() {
    let there = (0..20_000u32).map(|position| {
        let address = format!("10.{}.{}.{}", 64 + position / 62_500, position / 250 % 250, position % 250 + 1);
        let place = position as usize;
        let pod = Pod::there(NAMESPACES[place % 4], &format!("pod-{position}"), &[&address]);
        pod.label("app", APPS[place / 4 % 8]).port("web", 8000 + position as u16 % 7, "TCP")
    });
    let here = (0..110usize).map(|position| {
        let pod =
            Pod::here(NAMESPACES[position % 4], &format!("local-{position}"), &[&format!("10.0.0.{}", position + 2)]);
        pod.label("app", APPS[position / 4 % 8])
    });
    let cluster = Cluster::of(there.chain(here));
    let policies: Vec<_> = (0..1000usize)
        .map(|position| {
            let app = |offset: usize| json!({"matchLabels": {"app": APPS[(position / 4 + offset) % 8]}});
            let space = json!({"matchLabels": {"kubernetes.io/metadata.name": NAMESPACES[position % 3]}});
            let peers = json!([{"podSelector": app(1)}, {"namespaceSelector": space, "podSelector": app(2)},
                               {"ipBlock": {"cidr": format!("172.16.{}.0/24", position % 250)}}]);
            let ports = json!([{"port": 1 + position % 5}, {"port": "web"}]);
            (
                NAMESPACES[position % 4],
                json!({"podSelector": app(0), "ingress": [{"from": peers, "ports": ports}],
                                              "egress": [{"to": peers, "ports": ports}]}),
            )
        })
        .collect();
    let compiled = cluster.compile(&policies);
    assert_eq!(compiled.policies.by_port.len(), 110);
    assert_eq!(compiled.policies.identities.len(), 20_110);
    assert_eq!(compiled.faults(), [] as [&str; 0]);
    // Of namespace "one" and app "a", for which policies name peers of app "b" in the same namespace at port 1.
    assert!(compiled.enters("10.64.0.5", "one/local-0", "TCP", 1), "pod-4: one, b");
    assert!(!compiled.enters("10.64.0.1", "one/local-0", "TCP", 1), "pod-0: one, a");
    assert!(
        compiled.leaves("one/local-0", "10.64.0.5", "TCP", 8004)
            && !compiled.leaves("one/local-0", "10.64.0.5", "TCP", 8005)
    );
}
