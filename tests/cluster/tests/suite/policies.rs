//! NetworkPolicies made, changed and deleted under traffic.

use serde_json::{Value, json};
use sluice_cluster::Cluster;

use crate::Scene;
use crate::scene::{Pod, Stage, cluster_ips, servers, service};

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
    let mut targets: Vec<(String, u16)> = cluster_ips(&stage, "web").into_iter().map(|at| (at, 80)).collect();
    targets.extend(web.iter().flat_map(|pod| [(pod.v4.clone(), 8080), (pod.v6.clone(), 8080)]));
    // All that each may ask, or none of it.
    let becomes = |pods: &[Pod], heard: bool| {
        for pod in pods {
            for (host, port) in &targets {
                stage.until(&format!("{} at {host} to be let in: {heard}", pod.name), || {
                    match stage.ask(&pod.name, "ask", host, *port) {
                        answer if answer.is_ok() == heard => Ok(()),
                        answer => Err(format!("{answer:?}")),
                    }
                });
            }
        }
    };
    becomes(&friends[..1], true);
    becomes(&guests[..1], true);

    // Who stays allowed hears nothing of any change.
    let held: Vec<_> = friends.iter().map(|pod| stage.counting(pod, "hold", &targets[0].0, 80)).collect();
    let loads: Vec<_> = friends.iter().map(|pod| stage.counting(pod, "load", &targets[1].0, 80)).collect();
    stage.apply(&[policy("fences", "friend")]);
    becomes(&guests[..1], false);
    becomes(&friends, true);
    held.into_iter().chain(loads).for_each(|counting| counting.never_failed());

    stage.apply(&[policy("fences", "guest")]);
    becomes(&friends[..1], false);
    becomes(&guests, true);
    stage.sure(&["delete", "networkpolicy", "web"]);
    becomes(&friends, true);
    becomes(&guests, true);
}
