//! NetworkPolicies from JSON as the API writes it to checked ones, and every fault on the way.

use serde_json::{Value, json};
use sluice_model::raw::Raw;
use sluice_model::{
    Fault, IpBlock, Kind, LabelTest, NetworkPolicy, Object, PolicyPeer, PolicyPort, PolicyRule, Protocol,
};

fn check(spec: Value) -> Result<NetworkPolicy, Vec<Fault>> {
    let value = json!({"metadata": {"namespace": "shop", "name": "p"}, "spec": spec});
    match Raw::deserialize(Kind::NetworkPolicy, value).expect("types are right").check() {
        Ok(Object::NetworkPolicy(policy)) => Ok(policy),
        Ok(other) => panic!("{other:?}"),
        Err(faults) => Err(faults),
    }
}

fn good(spec: Value) -> NetworkPolicy {
    check(spec).expect("must be taken")
}

/// The faults without the object's name, which all of them begin with.
fn faults(spec: Value) -> Vec<String> {
    let faults = check(spec).expect_err("must be refused");
    let told = faults.iter().map(Fault::to_string);
    told.map(|fault| fault.strip_prefix("NetworkPolicy shop/p: spec.").expect("names the object").to_owned()).collect()
}

fn directions(spec: Value) -> (bool, bool) {
    let policy = good(spec);
    (policy.ingress.is_some(), policy.egress.is_some())
}

#[test]
fn without_policy_types_ingress_is_always_meant_and_egress_where_there_is_an_egress_rule() {
    assert_eq!(directions(json!({})), (true, false));
    assert_eq!(directions(json!({"policyTypes": []})), (true, false));
    assert_eq!(directions(json!({"policyTypes": null, "ingress": null})), (true, false));
    assert_eq!(directions(json!({"egress": [{}]})), (true, true));
    // As the API server's defaulting has it: it counts rules.
    assert_eq!(directions(json!({"egress": []})), (true, false));
}

#[test]
fn written_policy_types_are_taken_as_they_are() {
    assert_eq!(directions(json!({"policyTypes": ["Egress"]})), (false, true));
    assert_eq!(directions(json!({"policyTypes": ["Egress"], "ingress": [{}]})), (false, true));
    assert_eq!(directions(json!({"policyTypes": ["Ingress"], "egress": [{}]})), (true, false));
    assert_eq!(directions(json!({"policyTypes": ["Egress", "Ingress"]})), (true, true));
    assert_eq!(
        faults(json!({"policyTypes": ["ingress"]})),
        ["policyTypes[0] \"ingress\" is not one of Ingress, Egress"]
    );
}

#[test]
fn absent_null_and_empty_lists_mean_the_same() {
    let any = Some(vec![PolicyRule { peers: vec![], ports: vec![] }]);
    for rule in [json!({}), json!({"from": null, "ports": null}), json!({"from": [], "ports": []})] {
        assert_eq!(good(json!({"ingress": [rule]})).ingress, any);
    }
    for none in [json!({}), json!({"ingress": []}), json!({"ingress": null})] {
        assert_eq!(good(none).ingress, Some(vec![]));
    }
    assert!(good(json!({"podSelector": {}})).subjects.requirements().is_empty());
}

#[test]
fn a_selector_that_is_missing_is_not_one_that_is_empty() {
    let peers = |peer: Value| good(json!({"ingress": [{"from": [peer]}]})).ingress.expect("ingress")[0].peers.clone();
    let namespaces = |peer: Value| match &peers(peer)[0] {
        PolicyPeer::Pods { namespaces, .. } => namespaces.clone(),
        PolicyPeer::Block(block) => panic!("{block:?}"),
    };
    assert_eq!(namespaces(json!({"podSelector": {}})), None);
    assert_eq!(namespaces(json!({"podSelector": {}, "namespaceSelector": null})), None);
    assert_eq!(namespaces(json!({"namespaceSelector": {}})), Some(Default::default()));
}

#[test]
fn selectors_are_read_with_all_operators_and_do_not_depend_on_order() {
    let read = |selector: Value| good(json!({"podSelector": selector})).subjects;
    let a = read(json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["b", "a"]},
            {"key": "x", "operator": "Exists"},
            {"key": "y", "operator": "DoesNotExist", "values": []}
        ]
    }));
    let b = read(json!({"matchExpressions": [
        {"key": "y", "operator": "DoesNotExist"},
        {"key": "x", "operator": "Exists"},
        {"key": "tier", "operator": "NotIn", "values": ["a", "b"]},
        {"key": "app", "operator": "In", "values": ["web", "web"]}
    ]}));
    assert_eq!(a, b);
    assert_eq!(a.requirements().len(), 4);
    assert_eq!(a.requirements()[0].test, LabelTest::In(["web".to_owned()].into()));
}

#[test]
fn every_fault_of_a_selector_is_told() {
    let told = faults(json!({"podSelector": {
        "matchLabels": {"a b": "x", "app": "-"},
        "matchExpressions": [
            {"key": "k", "operator": "Gt", "values": ["1"]},
            {"key": "k", "operator": "In", "values": []},
            {"key": "k", "operator": "NotIn"},
            {"key": "k", "operator": "Exists", "values": ["v"]},
            {"key": "k", "operator": "DoesNotExist", "values": ["v"]},
            {"operator": "In", "values": ["a b"]},
            {"key": "k"}
        ]
    }}));
    let begins = [
        "podSelector.matchLabels.a b \"a b\" is no label key",
        "podSelector.matchLabels.app \"-\" is no label value",
        "podSelector.matchExpressions[0].operator \"Gt\" is not one of In, NotIn, Exists, DoesNotExist",
        "podSelector.matchExpressions[1].values is empty; give operator In at least one value",
        "podSelector.matchExpressions[2].values is empty; give operator NotIn at least one value",
        "podSelector.matchExpressions[3].values has values; leave them out with operator Exists",
        "podSelector.matchExpressions[4].values has values; leave them out with operator DoesNotExist",
        "podSelector.matchExpressions[5].key is missing",
        "podSelector.matchExpressions[5].values[0] \"a b\" is no label value",
        "podSelector.matchExpressions[6].operator is missing",
    ];
    assert_eq!(told.len(), begins.len(), "{told:#?}");
    for (told, begin) in told.iter().zip(begins) {
        assert!(told.starts_with(begin), "{told}\nshould begin with\n{begin}");
    }
}

#[test]
fn ports_are_read_with_the_defaults_of_the_api() {
    let ports = |ports: Value| good(json!({"ingress": [{"ports": ports}]})).ingress.expect("ingress")[0].ports.clone();
    let range = |protocol, first, last| PolicyPort::Range { protocol, first, last };
    assert_eq!(
        ports(json!([
            {"port": 80}, {"protocol": "UDP", "port": 53}, {"protocol": "SCTP"}, {},
            {"port": 1, "endPort": 65535}, {"port": 7, "endPort": 7}, {"port": "http"}, {"port": "dns", "protocol": "UDP"}
        ])),
        [
            range(Protocol::Tcp, 80, 80),
            range(Protocol::Udp, 53, 53),
            PolicyPort::Whole(Protocol::Sctp),
            PolicyPort::Whole(Protocol::Tcp),
            range(Protocol::Tcp, 1, 65535),
            range(Protocol::Tcp, 7, 7),
            PolicyPort::Named { protocol: Protocol::Tcp, name: "http".into() },
            PolicyPort::Named { protocol: Protocol::Udp, name: "dns".into() },
        ]
    );
}

#[test]
fn impossible_ports_are_faults_that_name_policy_and_field() {
    let one = |port: Value| faults(json!({"egress": [{}, {"ports": [port]}]}));
    let cases = [
        (json!({"port": 0}), "port 0 is no port"),
        (json!({"port": 65536}), "port 65536 is no port"),
        (json!({"port": -1}), "port -1 is no port"),
        (json!({"port": 80, "endPort": 79}), "endPort 79 lies before 80"),
        (json!({"port": 80, "endPort": 65536}), "endPort 65536 is no port"),
        (json!({"port": "http", "endPort": 90}), "endPort ends a range that has no beginning"),
        (json!({"endPort": 90}), "endPort ends a range that has no beginning"),
        (json!({"port": "80"}), "port \"80\" is no port's name"),
        (json!({"protocol": "tcp"}), "protocol \"tcp\" is not one of TCP, UDP, SCTP"),
    ];
    for (port, told) in cases {
        let all = one(port);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].starts_with(&format!("egress[1].ports[0].{told}")), "{all:?}");
    }
}

#[test]
fn blocks_are_read_without_the_bits_behind_their_prefix() {
    let policy = good(json!({"egress": [{"to": [
        {"ipBlock": {"cidr": "10.0.0.5/9", "except": ["10.1.2.3/19", "10.0.0.0/32"]}},
        {"ipBlock": {"cidr": "fd00::/47", "except": ["fd00:0:1::/49"]}}
    ]}]}));
    let net = |text: &str| text.parse().expect("network");
    let block = |cidr, except: &[&str]| {
        PolicyPeer::Block(IpBlock { cidr: net(cidr), except: except.iter().map(|text| net(text)).collect() })
    };
    assert_eq!(
        policy.egress.expect("egress")[0].peers,
        [block("10.0.0.0/9", &["10.1.0.0/19", "10.0.0.0/32"]), block("fd00::/47", &["fd00:0:1::/49"])]
    );
}

#[test]
fn impossible_peers_are_faults_that_name_policy_and_field() {
    let one = |peer: Value| faults(json!({"ingress": [{"from": [peer]}]}));
    let block = |cidr: &str, except: &[&str]| json!({"ipBlock": {"cidr": cidr, "except": except}});
    let cases = [
        (json!({}), " chooses nobody"),
        (json!({"ipBlock": {}}), ".ipBlock.cidr is missing"),
        (json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}), ".ipBlock cannot stand beside a selector"),
        (block("10.0.0.0", &[]), ".ipBlock.cidr \"10.0.0.0\" is no network"),
        (block("::ffff:10.0.0.0/104", &[]), ".ipBlock.cidr \"::ffff:10.0.0.0/104\" is no network"),
        (block("10.0.0.0/16", &["10.1.0.0/24"]), ".ipBlock.except[0] 10.1.0.0/24 is no part of 10.0.0.0/16"),
        (block("10.0.0.0/16", &["10.0.0.0/8"]), ".ipBlock.except[0] 10.0.0.0/8 is no part of 10.0.0.0/16"),
        (block("10.0.0.0/16", &["10.0.0.0/16"]), ".ipBlock.except[0] 10.0.0.0/16 is no part of 10.0.0.0/16"),
        (block("0.0.0.0/0", &["fd00::/64"]), ".ipBlock.except[0] fd00::/64 is no part of 0.0.0.0/0"),
        (block("10.0.0.0/16", &["10.0.1.0/24", "x"]), ".ipBlock.except[1] \"x\" is no network"),
    ];
    for (peer, told) in cases {
        let all = one(peer);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].starts_with(&format!("ingress[0].from[0]{told}")), "{all:?}");
    }
}

#[test]
fn peers_of_the_wrong_direction_are_a_fault_and_do_not_open_up() {
    assert_eq!(
        faults(json!({"ingress": [{"to": [{"podSelector": {}}]}], "egress": [{"from": []}]})),
        ["ingress[0].to is for the other direction; write from", "egress[0].from is for the other direction; write to"]
    );
}

#[test]
fn all_faults_of_a_policy_are_told_at_once_and_it_is_not_taken_in_part() {
    let told = faults(json!({
        "policyTypes": ["Both"],
        "podSelector": {"matchExpressions": [{"key": "k", "operator": "?"}]},
        "ingress": [{"from": [{}], "ports": [{"port": 0}]}, {}],
        "egress": [{"to": [{"ipBlock": {"cidr": "x"}}]}]
    }));
    assert_eq!(told.len(), 5, "{told:#?}");
}
