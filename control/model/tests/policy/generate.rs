//! Small clusters with policies that use every feature, and the questions worth asking of them.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::cluster::{Cluster, HERE, Namespace, Pod, THERE, address};
use super::oracle::{Number, Peer, Policy, Port, Rule, Selector};

const NAMESPACES: [&str; 3] = ["blue", "green", "red"];
const VALUES: [&str; 3] = ["x", "y", ""];
const NAMES: [&str; 2] = ["web", "dns"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
/// Numbers that rules, pods and questions share, so that they often meet.
const NUMBERS: [u16; 6] = [1, 53, 80, 81, 8080, 65535];

/// Who has no pod: nodes, pods of the host network, the outside.
pub(crate) const OTHERS: [&str; 6] =
    ["192.0.2.1", "192.0.2.2", "10.0.0.200", "198.51.100.7", "2001:db8::7", "fd00::1:200"];

fn labels(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one = |key: &'static str| (Just(key), select(&VALUES[..]));
    vec(select(keys).prop_flat_map(one), 0..3).prop_map(|mut labels| {
        labels.sort();
        labels.dedup_by_key(|(key, _)| *key);
        labels
    })
}

fn pod(position: u8) -> impl Strategy<Value = Pod> {
    let ports = vec((select(&NAMES[..]), select(&NUMBERS[..]), select(&PROTOCOLS[..])), 0..3);
    let node = prop_oneof![3 => Just(Some(HERE)), 3 => Just(Some(THERE)), 1 => Just(None)];
    let phase = prop_oneof![6 => Just("Running"), 1 => Just("Pending"), 1 => Just("Succeeded"), 1 => Just("Failed")];
    let rest = (prop::bool::weighted(0.1), prop::bool::weighted(0.9), 0..3u8);
    (select(&NAMESPACES[..]), labels(&["a", "b"]), node, phase, ports, rest).prop_map(
        move |(namespace, labels, node, phase, ports, (host_network, known, families))| {
            let v4 = IpAddr::from([10, 0, u8::from(node != Some(HERE)), 2 + position]);
            let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, u16::from(node != Some(HERE)), 2 + u16::from(position)]);
            let all = match families {
                0 => vec![v4],
                1 => vec![v6],
                _ => vec![v4, v6],
            };
            // What is not known is nowhere but on this node's switch, and the host's network is not on it.
            let known = known || node != Some(HERE) || host_network;
            let attached = if node == Some(HERE) && !host_network { all.clone() } else { vec![] };
            let told = match (known, host_network, node) {
                (false, ..) => vec![],
                (_, true, Some(HERE)) => vec![address("192.0.2.1")],
                (_, true, _) => vec![address("192.0.2.2")],
                _ => all,
            };
            let name = format!("pod-{position}");
            let terminating = false;
            Pod { namespace, name, labels, node, host_network, phase, terminating, told, attached, ports, known }
        },
    )
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let pods = (1..8u8).prop_flat_map(|count| (0..count).map(pod).collect::<Vec<_>>());
    // Which namespaces have an object.
    let namespaces = subsequence(NAMESPACES.to_vec(), 0..=3).prop_flat_map(|names| {
        let one = |name| labels(&["a", "c"]).prop_map(move |labels| Namespace { name, labels });
        names.into_iter().map(one).collect::<Vec<_>>()
    });
    (namespaces, pods).prop_map(|(namespaces, pods)| Cluster { namespaces, pods })
}

fn selector(keys: &'static [&'static str]) -> impl Strategy<Value = Selector> {
    let values = || prop_oneof![vec(select(&VALUES[..]), 1..3), Just(vec!["blue"]), Just(vec!["green", "x"])];
    let expression = select(keys).prop_flat_map(move |key| {
        prop_oneof![
            (Just(key), select(&["In", "NotIn"][..]), values()),
            (Just(key), select(&["Exists", "DoesNotExist"][..]), Just(vec![])),
        ]
    });
    let labels = prop_oneof![2 => Just(vec![]), 1 => labels(keys)];
    (labels, prop_oneof![Just(vec![]), vec(expression, 0..3)])
        .prop_map(|(labels, expressions)| Selector { labels, expressions })
}

const POD_KEYS: &[&str] = &["a", "b"];
const NAMESPACE_KEYS: &[&str] = &["a", "c", "kubernetes.io/metadata.name"];

fn peer(addresses: Vec<IpAddr>) -> impl Strategy<Value = Peer> {
    let prefix = |address: IpAddr, from: u8| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (Just(address), from..=longest)
    };
    let block = select(addresses.clone()).prop_flat_map(move |base| {
        let shortest = if base.is_ipv4() { 6 } else { 100 };
        prefix(base, shortest).prop_flat_map(move |cidr| {
            let longer = (cidr.1 + 1).min(if cidr.0.is_ipv4() { 32 } else { 128 });
            // Exceptions around the block's own address and around its neighbours, always within it.
            let part = (0..4u8, prefix(cidr.0, longer))
                .prop_map(move |(flip, (address, length))| (flipped(address, flip, cidr.1), length));
            let except = if longer == cidr.1 { Just(vec![]).boxed() } else { vec(part, 0..3).boxed() };
            (Just(cidr), except)
        })
    });
    prop_oneof![
        2 => selector(POD_KEYS).prop_map(|pods| Peer { pods: Some(pods), ..Peer::default() }),
        2 => selector(NAMESPACE_KEYS).prop_map(|namespaces| Peer { namespaces: Some(namespaces), ..Peer::default() }),
        2 => (selector(POD_KEYS), selector(NAMESPACE_KEYS))
            .prop_map(|(pods, namespaces)| Peer { pods: Some(pods), namespaces: Some(namespaces), block: None }),
        3 => block.prop_map(|block| Peer { block: Some(block), ..Peer::default() }),
    ]
}

/// The address with one of its last bits changed, if that is behind the prefix.
fn flipped(address: IpAddr, bit: u8, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) if 31 - bit >= prefix => IpAddr::from((u32::from(v4) ^ (1 << bit)).to_be_bytes()),
        IpAddr::V6(v6) if 127 - bit >= prefix => IpAddr::from((u128::from(v6) ^ (1 << bit)).to_be_bytes()),
        same => same,
    }
}

fn port() -> impl Strategy<Value = Port> {
    let protocol = option::of(select(&PROTOCOLS[..]));
    let number = || select(&NUMBERS[..]);
    let what = prop_oneof![
        Just((None, None)),
        number().prop_map(|number| (Some(Number::Number(number)), None)),
        (number(), number()).prop_map(|(a, b)| (Some(Number::Number(a.min(b))), Some(a.max(b)))),
        select(&NAMES[..]).prop_map(|name| (Some(Number::Name(name)), None)),
        select(&NAMES[..]).prop_map(|name| (Some(Number::Name(name)), None)),
    ];
    (protocol, what).prop_map(|(protocol, (port, end))| Port { protocol, port, end })
}

fn rules(addresses: Vec<IpAddr>) -> impl Strategy<Value = Option<Vec<Rule>>> {
    let peers = option::weighted(0.8, vec(peer(addresses), 0..3));
    let rule = (peers, option::weighted(0.7, vec(port(), 0..3))).prop_map(|(peers, ports)| Rule { peers, ports });
    option::weighted(0.8, vec(rule, 0..3))
}

fn policy(addresses: Vec<IpAddr>) -> impl Strategy<Value = Policy> {
    let types = option::of(subsequence(vec!["Ingress", "Egress"], 0..=2));
    let parts = (select(&NAMESPACES[..]), selector(POD_KEYS), types, rules(addresses.clone()), rules(addresses));
    parts.prop_map(|(namespace, subjects, types, ingress, egress)| Policy {
        namespace,
        subjects,
        types,
        ingress,
        egress,
    })
}

/// Every address that a question or a block is about.
pub(crate) fn addresses(cluster: &Cluster) -> Vec<IpAddr> {
    let of_pods = cluster.pods.iter().flat_map(|pod| pod.attached.iter().chain(&pod.told)).copied();
    let mut all: Vec<IpAddr> = of_pods.chain(OTHERS.map(address)).collect();
    all.sort();
    all.dedup();
    all
}

/// A cluster and its policies.
pub(crate) fn world() -> impl Strategy<Value = (Cluster, Vec<Policy>)> {
    cluster().prop_flat_map(|cluster| {
        let addresses = addresses(&cluster);
        (Just(cluster), vec(policy(addresses), 0..6))
    })
}

/// Protocols and ports to ask about.
pub(crate) fn questions() -> Vec<(&'static str, u16)> {
    let numbers = NUMBERS.into_iter().chain([2, 79]);
    let mut all: Vec<_> = numbers.flat_map(|number| PROTOCOLS.map(|protocol| (protocol, number))).collect();
    all.extend([("ICMP", 0), ("ICMPv6", 0), ("GRE", 0)]);
    all
}
