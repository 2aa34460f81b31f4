//! The compiled rules and the oracle, asked the same of generated clusters.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::cluster::Cluster;
use super::generate::{addresses, questions, world};
use super::oracle::{Direction, Policy, may};

/// How often each answer was given.
#[derive(Debug, Default)]
struct Answers {
    allowed: usize,
    denied: usize,
}

fn compare(cluster: &Cluster, policies: &[Policy]) -> Answers {
    let written: Vec<_> = policies.iter().map(|policy| (policy.namespace, policy.written())).collect();
    let compiled = cluster.compile(&written);
    assert_eq!(compiled.faults(), [] as [&str; 0]);
    let peers = addresses(cluster);
    let mut answers = Answers::default();
    for subject in cluster.pods.iter().filter(|pod| !pod.attached.is_empty()) {
        let name = format!("{}/{}", subject.namespace, subject.name);
        for &peer in &peers {
            for (protocol, port) in questions() {
                for direction in [Direction::Ingress, Direction::Egress] {
                    let expected = may(cluster, policies, subject, direction, peer, protocol, port);
                    let told = match direction {
                        Direction::Ingress => compiled.ingress(&name, peer, protocol, port),
                        Direction::Egress => compiled.egress(&name, peer, protocol, port),
                    };
                    assert_eq!(told, expected, "{name} {direction:?} {peer} {protocol} {port}");
                    *(if told { &mut answers.allowed } else { &mut answers.denied }) += 1;
                }
            }
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn compiled_rules_answer_as_the_objects_say((cluster, policies) in world()) {
        compare(&cluster, &policies);
    }
}

/// The comparison is worth nothing where everything is allowed or everything denied.
#[test]
fn the_generated_clusters_reach_both_answers_often() {
    let mut runner = TestRunner::deterministic();
    let mut sum = Answers::default();
    for _ in 0..64 {
        let (cluster, policies) = world().new_tree(&mut runner).expect("a world").current();
        let Answers { allowed, denied } = compare(&cluster, &policies);
        sum.allowed += allowed;
        sum.denied += denied;
    }
    let all = sum.allowed + sum.denied;
    assert!(sum.allowed > all / 10 && sum.denied > all / 10, "{sum:?}");
}

/// A pod talks to another where both ends allow it: the two halves are compiled on two nodes, from the same objects.
#[test]
fn a_connection_needs_the_sources_egress_and_the_destinations_ingress() {
    use super::cluster::Pod;
    use serde_json::json;
    let client = || Pod::here("shop", "client", &["10.0.0.2"]).label("app", "client");
    let server = || Pod::here("shop", "server", &["10.0.0.3"]).label("app", "server");
    let egress = json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"],
                        "egress": [{"ports": [{"port": 80}, {"port": 81}]}]});
    let ingress = json!({"podSelector": {"matchLabels": {"app": "server"}},
                         "ingress": [{"ports": [{"port": 80}, {"port": 82}]}]});
    let compiled = Cluster::of([client(), server()]).compile(&[("shop", egress), ("shop", ingress)]);
    let leaves = |port| compiled.leaves("shop/client", "10.0.0.3", "TCP", port);
    let enters = |port| compiled.enters("10.0.0.2", "shop/server", "TCP", port);
    assert_eq!([80, 81, 82].map(|port| (leaves(port), enters(port))), [(true, true), (true, false), (false, true)]);
}
