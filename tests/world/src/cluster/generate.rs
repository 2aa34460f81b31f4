//! Clusters that proptest makes up, small ones that hold every kind of thing, and that shrink by leaving things out.

mod changes;
mod policies;
mod services;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub use changes::{Change, changes};

use super::{Cluster, ContainerPort, Encapsulation, Labels, Namespace, Node, Pod, Protocol, Setup};

/// Values of the label `app`.
const APPS: [&str; 3] = ["a", "b", "c"];
/// Values of the label `tier`.
const TIERS: [&str; 2] = ["x", "y"];
/// Ports that containers name. One name stands for several numbers, and for several protocols.
pub const NAMED_PORTS: [(&str, u16, Protocol); 6] = [
    ("web", 8080, Protocol::Tcp),
    ("web", 9090, Protocol::Tcp),
    ("web", 8080, Protocol::Udp),
    ("dns", 53, Protocol::Udp),
    ("dns", 5353, Protocol::Udp),
    ("call", 5060, Protocol::Sctp),
];

/// Any cluster.
pub fn clusters() -> impl Strategy<Value = Cluster> {
    (nodes(), vec(labels(), 1..4), vec(pods(), 2..9), vec(any::<Index>(), 0..2), setups()).prop_flat_map(
        |(nodes, namespaces, pods, ghosts, setup)| {
            let mut cluster = Cluster {
                nodes,
                namespaces: namespaces.into_iter().map(|labels| Namespace { labels }).collect(),
                setup,
                ..Cluster::default()
            };
            cluster.pods = placed(&cluster, pods);
            add_ghosts(&mut cluster, &ghosts);
            let services = vec(services::services(), 0..6);
            let policies = vec(policies::policies(), 0..6);
            (Just(cluster), services, policies).prop_map(|(mut cluster, services, policies)| {
                cluster.policies = policies;
                let namespaces = cluster.namespaces.len();
                cluster.policies.iter_mut().for_each(|policy| policy.namespace %= namespaces);
                for (at, draft) in services.into_iter().enumerate() {
                    let service = draft.finish(&cluster, at);
                    cluster.services.push(service);
                }
                cluster
            })
        },
    )
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    vec(prop_oneof![1 => Just(None), 4 => select(vec![Some("here"), Some("there")])], 2..5)
        .prop_map(|zones| zones.into_iter().map(|zone| Node { zone: zone.map(str::to_owned) }).collect())
}

fn setups() -> impl Strategy<Value = Setup> {
    let encapsulation = select(vec![Encapsulation::Vxlan, Encapsulation::Geneve, Encapsulation::None]);
    (encapsulation, prop::bool::weighted(0.85), prop::bool::weighted(0.8))
        .prop_map(|(encapsulation, uplink, external_ips)| Setup { encapsulation, uplink, external_ips })
}

fn labels() -> impl Strategy<Value = Labels> {
    let app = prop_oneof![1 => Just(None), 4 => select(APPS.to_vec()).prop_map(Some)];
    let tier = prop_oneof![2 => Just(None), 1 => select(TIERS.to_vec()).prop_map(Some)];
    (app, tier).prop_map(|(app, tier)| {
        let app = app.map(|value| ("app".to_owned(), value.to_owned()));
        app.into_iter().chain(tier.map(|value| ("tier".to_owned(), value.to_owned()))).collect()
    })
}

fn pods() -> impl Strategy<Value = Pod> {
    let ports = proptest::sample::subsequence(NAMED_PORTS.to_vec(), 0..4);
    let families = prop_oneof![6 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    (labels(), 0_usize..16, 0_usize..16, families, prop::bool::weighted(0.15), ports).prop_map(
        |(labels, namespace, node, (v4, v6), host_network, ports)| {
            let mut pod =
                Pod { namespace, labels, node, number: 0, v4, v6, host_network, ports: Vec::new(), over: false };
            for (name, port, protocol) in ports {
                // A name is unique in a pod.
                if pod.ports.iter().all(|it| it.name != name) {
                    pod.ports.push(ContainerPort { name: name.to_owned(), port, protocol });
                }
            }
            pod
        },
    )
}

/// Gives each pod its place. The first two are on our node: a switch without pods shows little.
fn placed(cluster: &Cluster, mut pods: Vec<Pod>) -> Vec<Pod> {
    for (at, pod) in pods.iter_mut().enumerate() {
        pod.namespace %= cluster.namespaces.len();
        pod.node %= cluster.nodes.len();
        pod.number = u8::try_from(at + 2).expect("a few pods");
        if at < 2 {
            (pod.node, pod.host_network) = (0, false);
        }
        if pod.host_network {
            (pod.v4, pod.v6) = (true, true);
        }
    }
    pods
}

/// Pods that have ended and whose address another has got since; they had other labels.
fn add_ghosts(cluster: &mut Cluster, ghosts: &[Index]) {
    for ghost in ghosts {
        let mut pod = cluster.pods[ghost.index(cluster.pods.len())].clone();
        if !pod.host_network && !pod.over {
            pod.over = true;
            pod.labels = [("app".to_owned(), "c".to_owned())].into();
            pod.namespace = 0;
            cluster.pods.push(pod);
        }
    }
}
