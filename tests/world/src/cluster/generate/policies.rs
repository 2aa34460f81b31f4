//! NetworkPolicies with every feature, over the few labels, ports and networks that the rest of the cluster uses.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{APPS, TIERS};
use crate::cluster::{
    Expression, Operator, Peer, Policy, PolicyPort, PortName, Protocol, Rule, Selector, Way, parse_net,
};

/// Networks with exceptions: pods and nodes, the cluster, everything, masks off the octets.
const BLOCKS: [(&str, &[&str]); 10] = [
    ("0.0.0.0/0", &[]),
    ("0.0.0.0/0", &["10.7.0.0/25", "198.51.100.0/24"]),
    ("10.7.0.0/16", &["10.7.0.2/31"]),
    ("10.7.0.0/22", &[]),
    ("192.0.2.0/24", &["192.0.2.11/32"]),
    ("198.51.100.0/26", &["198.51.100.8/29", "198.51.100.8/30"]),
    ("::/0", &[]),
    ("::/0", &["fd00:7::/47", "2001:db8:ffff::/64"]),
    ("fd00:7::/32", &["fd00:7:0:1::/64"]),
    ("2001:db8:1::/64", &["2001:db8:1::a/127"]),
];

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let types = prop_oneof![
        3 => Just(None),
        2 => Just(Some(vec![Way::Ingress])),
        2 => Just(Some(vec![Way::Egress])),
        2 => Just(Some(vec![Way::Ingress, Way::Egress])),
    ];
    let rules = || option::weighted(0.7, vec(rules(), 0..3));
    (0_usize..16, selectors(), types, rules(), rules())
        .prop_map(|(namespace, subject, types, ingress, egress)| Policy { namespace, subject, types, ingress, egress })
}

fn rules() -> impl Strategy<Value = Rule> {
    (vec(peers(), 0..3), vec(ports(), 0..3)).prop_map(|(peers, ports)| Rule { peers, ports })
}

fn peers() -> impl Strategy<Value = Peer> {
    let pods = (option::of(selectors()), option::of(selectors())).prop_map(|(namespaces, pods)| {
        // One of the two is there.
        let pods = if namespaces.is_none() { pods.or_else(|| Some(Selector::default())) } else { pods };
        Peer::Pods { namespaces, pods }
    });
    let blocks = select(BLOCKS.to_vec()).prop_map(|(cidr, except)| Peer::Block {
        cidr: parse_net(cidr),
        except: except.iter().map(|text| parse_net(text)).collect(),
    });
    prop_oneof![3 => pods, 2 => blocks]
}

fn ports() -> impl Strategy<Value = PolicyPort> {
    let number = select(vec![80_u16, 8080, 9090, 53, 5353, 5060]);
    let name = prop_oneof![
        2 => number.prop_map(PortName::Number),
        1 => select(vec![(1, 1023), (8000, 9000), (5000, 65_535), (53, 53)]).prop_map(|(a, b)| PortName::Range(a, b)),
        2 => select(vec!["web", "dns", "call", "none"]).prop_map(|name| PortName::Name(name.to_owned())),
    ];
    let protocol = option::of(select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Udp, Protocol::Sctp]));
    (protocol, option::weighted(0.8, name)).prop_map(|(protocol, port)| PolicyPort { protocol, port })
}

/// Selectors over the labels `app` and `tier`, and over the name of a namespace.
fn selectors() -> impl Strategy<Value = Selector> {
    let one = |key: &str, value: &str| Selector {
        labels: [(key.to_owned(), value.to_owned())].into(),
        ..Selector::default()
    };
    prop_oneof![
        3 => Just(Selector::default()),
        4 => select(APPS.to_vec()).prop_map(move |app| one("app", app)),
        1 => select(TIERS.to_vec()).prop_map(move |tier| one("tier", tier)),
        1 => (0_usize..3).prop_map(move |at| one("kubernetes.io/metadata.name", &format!("ns{at}"))),
        2 => vec(expressions(), 1..3).prop_map(|expressions| Selector { expressions, ..Selector::default() }),
    ]
}

fn expressions() -> impl Strategy<Value = Expression> {
    let values = || subsequence(APPS.to_vec(), 1..3).prop_map(|values| values.into_iter().map(str::to_owned).collect());
    let operator = prop_oneof![
        values().prop_map(Operator::In),
        values().prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist),
    ];
    (select(vec!["app", "tier"]), operator).prop_map(|(key, operator)| Expression { key: key.to_owned(), operator })
}
