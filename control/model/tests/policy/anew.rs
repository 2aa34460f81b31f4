//! Which rules a change has compiled anew: those that are other ones in memory afterwards.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{Attachment, Compiler, Family, Index, Kind, Node, NodeName, PeersConfig, ServicesConfig, Setting};
use sluice_tables::{PodPolicy, PortId, Rules};

use super::cluster::{Cluster, HERE, Pod, address};

/// One that compiles one change after the other.
struct Changing {
    node: Node,
    index: Index,
    attachments: Vec<Attachment>,
    compiler: Compiler,
    before: Vec<(PortId, PodPolicy)>,
}

impl Changing {
    fn of(cluster: &Cluster, policies: &[(&str, Value)]) -> Changing {
        let node = Node::named(NodeName::new(HERE).expect("a name"));
        let (index, attachments) = (cluster.index(policies), cluster.attachments());
        let mut node = Changing { node, index, attachments, compiler: Compiler::new(), before: Vec::new() };
        node.compile();
        node
    }

    fn compile(&mut self) -> usize {
        let services = ServicesConfig::default();
        let peers = PeersConfig::of(Family::V4);
        let setting =
            Setting { node: &self.node, attachments: &self.attachments, services: &services, peers: &peers, seed: 7 };
        self.compiler.compile(&mut self.index, &setting);
        let after = self.compiler.policies().to_vec();
        let before = std::mem::replace(&mut self.before, after);
        let known: Vec<&Arc<Rules>> = rules(&before).collect();
        rules(&self.before).filter(|rules| !known.iter().any(|known| Arc::ptr_eq(known, rules))).count()
    }

    /// How many rules the change of a pod has compiled anew.
    fn change(&mut self, pod: &Pod, more: &[(&str, Value)]) -> usize {
        let mut object = pod.object();
        for (pointer, value) in more {
            *object.pointer_mut(pointer).expect("is there") = value.clone();
        }
        self.index.apply(Raw::deserialize(Kind::Pod, object).expect("types are right").check().expect("is valid"));
        self.compile()
    }

    fn delete(&mut self, pod: &str) -> usize {
        let key = sluice_model::Key::Pod(sluice_model::PodName::parse("blue", pod).expect("a name"));
        self.index.delete(&key).expect("is there");
        self.compile()
    }

    /// Whether the first pod may open a connection by its egress rules.
    fn leaves(&self, peer: &str, port: u16) -> bool {
        let rules = self.before[0].1.egress.as_ref().expect("is isolated");
        rules.allows(address(peer), self.compiler.identities().get(address(peer)), 6, port)
    }
}

fn rules(by_port: &[(PortId, PodPolicy)]) -> impl Iterator<Item = &Arc<Rules>> {
    by_port.iter().flat_map(|(_, policy)| policy.egress.iter().chain(&policy.ingress))
}

/// Ten local pods, each with rules of its own: to databases' port `http`. And one to any pod's.
fn node() -> Changing {
    let numbers = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let local = |(at, number): (usize, &&'static str)| {
        Pod::here("blue", &format!("local-{number}"), &[&format!("10.0.0.{}", at + 2)]).label("number", number)
    };
    let there = |name, address, app| Pod::there("blue", name, &[address]).label("app", app).port("http", 80, "TCP");
    let others = [there("db", "10.0.1.2", "db"), there("web", "10.0.1.3", "web")];
    let cluster = Cluster::of(numbers.iter().enumerate().map(local).chain(others));
    let policy = |(at, number): (usize, &&'static str)| {
        let port = json!([{"port": "http"}]);
        let to = if at < 9 { json!([{"podSelector": {"matchLabels": {"app": "db"}}}]) } else { json!([]) };
        let egress = json!([{"to": to, "ports": port}]);
        (
            "blue",
            json!({"podSelector": {"matchLabels": {"number": number}}, "policyTypes": ["Egress"], "egress": egress}),
        )
    };
    let policies: Vec<(&str, Value)> = numbers.iter().enumerate().map(policy).collect();
    Changing::of(&cluster, &policies)
}

fn db() -> Pod {
    Pod::there("blue", "db", &["10.0.1.2"]).label("app", "db").port("http", 80, "TCP")
}

#[test]
fn a_pod_that_becomes_ready_or_goes_has_no_rule_with_its_named_port_compiled_anew() {
    let mut node = node();
    assert!(node.leaves("10.0.1.2", 80) && !node.leaves("10.0.1.3", 80));
    for status in ["False", "True", "False"] {
        let condition = json!({"type": "Ready", "status": status});
        let status = json!({"phase": "Running", "podIPs": [{"ip": "10.0.1.2"}], "conditions": [condition]});
        assert_eq!(node.change(&db(), &[("/status", status)]), 0);
    }
    assert_eq!(node.change(&db(), &[("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))]), 0);
    let local = Pod::here("blue", "local-0", &["10.0.0.2"]).label("number", "0");
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    assert_eq!(node.change(&local, &[("/status", ready)]), 0, "nor has a pod of this node");
    assert!(node.leaves("10.0.1.2", 80));
}

#[test]
fn another_port_of_a_name_has_the_rules_compiled_anew_that_mean_the_pod() {
    let mut node = node();
    let moved = Pod { ports: vec![("http", 8080, "TCP")], ..db() };
    assert_eq!(node.change(&moved, &[]), 10, "nine mean databases, and one anybody");
    assert!(node.leaves("10.0.1.2", 8080) && !node.leaves("10.0.1.2", 80));
    let other = Pod { ports: vec![("http", 8080, "TCP"), ("metrics", 9090, "TCP")], ..db() };
    assert_eq!(node.change(&other, &[]), 0, "no rule opens that name");
    let web = Pod::there("blue", "web", &["10.0.1.3"]).label("app", "web").port("http", 8081, "TCP");
    assert_eq!(node.change(&web, &[]), 1, "only the rule for anybody means it");
    let plain = Pod::there("blue", "plain", &["10.0.1.4"]).label("app", "db");
    assert_eq!(node.change(&plain, &[]), 0, "it has no such port");
}

#[test]
fn another_owner_of_an_address_has_the_rules_compiled_anew_that_mean_one_of_both() {
    let mut node = node();
    let second = Pod::there("blue", "db-2", &["10.0.1.5"]).label("app", "db").port("http", 81, "TCP");
    assert_eq!(node.change(&second, &[]), 10);
    assert!(node.leaves("10.0.1.5", 81));
    // Of two with one address it is nobody's.
    let again = Pod::there("blue", "web-2", &["10.0.1.5"]).label("app", "web").port("http", 82, "TCP");
    assert_eq!(node.change(&again, &[]), 10);
    assert!(!node.leaves("10.0.1.5", 81) && !node.leaves("10.0.1.5", 82));
    assert_eq!(node.delete("db-2"), 1, "now it is a web server's, which the rule for anybody means");
    assert_eq!(node.delete("web-2"), 1);
    assert_eq!(node.delete("db"), 10);
    assert!(!node.leaves("10.0.1.2", 80));
}
