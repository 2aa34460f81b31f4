//! NetworkPolicies made, changed and deleted under traffic.

use serde_json::{Value, json};
use sluice_cluster::Cluster;

use crate::Scene;
use crate::pod::{Pod, never_failed};
use crate::scene::{Stage, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![policies_come_change_and_go_under_traffic];

/// Whom the servers let in at their port.
fn policy(namespace: &str, allowed: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "podSelector": { "matchLabels": { "app": "web" } }, "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{ "podSelector": { "matchLabels": { "app": allowed } } }],
                "ports": [{ "port": 8080, "protocol": "TCP" }],
            }],
        },
    })
}

fn policies_come_change_and_go_under_traffic(cluster: &mut Cluster) {
    let cluster: &Cluster = cluster;
    let stage = Stage::new(cluster, "fences");
    let friends = servers("fences", "friend", 2);
    stage.apply(&[
        servers("fences", "web", 2),
        service("fences", "web", "ClusterIP"),
        friends,
        servers("fences", "guest", 2),
    ]);
    for app in ["web", "friend", "guest"] {
        stage.rolled_out(app);
    }
    let (web, friends, guests) = (stage.pods("web"), stage.pods("friend"), stage.pods("guest"));
    let mut targets: Vec<(String, u16)> = stage.cluster_ips("web").into_iter().map(|at| (at, 80)).collect();
    targets.extend(web.iter().flat_map(|pod| [(pod.v4.clone(), 8080), (pod.v6.clone(), 8080)]));
    // All that each may ask, or none of it: at once, since who is not let in waits for an answer.
    let becomes = |pods: &[Pod], heard: bool| {
        std::thread::scope(|scope| {
            for (pod, (host, port)) in pods.iter().flat_map(|pod| targets.iter().map(move |target| (pod, target))) {
                let look = || match pod.ask(cluster, "ask", host, *port) {
                    answer if answer.is_ok() == heard => Ok(()),
                    answer => Err(format!("{answer:?}")),
                };
                let what = format!("{} at {host} to be let in: {heard}", pod.name);
                scope.spawn(move || cluster.until(&what, look).unwrap_or_else(|error| panic!("{error}")));
            }
        });
    };
    becomes(&friends, true);
    becomes(&guests, true);

    // Who stays allowed hears nothing of any change.
    let (held_to, load_to) = (&targets[0].0, &targets[1].0);
    let held = friends.iter().map(|pod| pod.counting(cluster, "hold", held_to, 80));
    let loads = friends.iter().map(|pod| pod.counting(cluster, "load", load_to, 80));
    let counting: Vec<_> = held.chain(loads).collect();
    stage.apply(&[policy("fences", "friend")]);
    becomes(&guests, false);
    becomes(&friends, true);
    never_failed(counting);

    stage.apply(&[policy("fences", "guest")]);
    becomes(&friends, false);
    becomes(&guests, true);
    stage.sure(&["delete", "networkpolicy", "web"]);
    becomes(&friends, true);
    becomes(&guests, true);
}
