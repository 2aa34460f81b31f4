//! What ends and comes back: after each, what must survive has survived.

use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_cluster::{Cluster, NODES, Service};

use crate::Scene;
use crate::pod::{Pod, attachments, never_failed, node, status, told};
use crate::town::{Town, restarts};

pub(crate) const SLUICES: &[Scene] =
    scenes![a_killed_sluiced_comes_back_and_no_connection_ends, an_upgrade_ends_no_connection];
pub(crate) const AWAY_FOR_LONG: &[Scene] =
    scenes![the_api_server_may_be_away_for_a_while, a_node_that_is_rebooted_serves_again];
pub(crate) const OTHERS: &[Scene] = scenes![restarts_of_kubelet_and_containerd_are_not_noticed];

const SLUICE: &str = "app.kubernetes.io/name=sluice";

fn sluices(cluster: &Cluster) -> Result<Vec<(String, u64)>, String> {
    restarts(cluster, "kube-system", SLUICE)
}

fn a_killed_sluiced_comes_back_and_no_connection_ends(cluster: &mut Cluster) {
    let town = Town::new(cluster, "killed");
    let (held, loads) = (town.held(cluster), town.loads(cluster));
    let before =
        cluster.until("the daemons to be listed", || sluices(cluster)).unwrap_or_else(|error| panic!("{error}"));
    for node in cluster.nodes() {
        // In the PID namespace of the node there is no other than its own.
        node.run("kill -KILL $(pidof sluiced)").unwrap_or_else(|error| panic!("{error}"));
    }
    let restarted = cluster.until("every sluiced to be restarted", || {
        let now = sluices(cluster)?;
        let all = before.iter().all(|(name, count)| now.iter().any(|(other, more)| name == other && more > count));
        if all { Ok(()) } else { Err(format!("{now:?}")) }
    });
    restarted.unwrap_or_else(|error| panic!("{error}"));
    cluster.await_rollout("daemonset/sluice", "kube-system").unwrap_or_else(|error| panic!("{error}"));
    town.starts_pods(cluster, "after");
    never_failed(held);
    told(loads);
    town.end(cluster);
}

fn an_upgrade_ends_no_connection(cluster: &mut Cluster) {
    let town = Town::new(cluster, "upgraded");
    let (held, loads) = (town.held(cluster), town.loads(cluster));
    let before =
        cluster.until("the daemons to be listed", || sluices(cluster)).unwrap_or_else(|error| panic!("{error}"));
    let all = ["rollout", "restart", "daemonset/sluice", "-n", "kube-system"];
    cluster.kubectl().run(&all).unwrap_or_else(|error| panic!("{error}"));
    cluster.await_rollout("daemonset/sluice", "kube-system").unwrap_or_else(|error| panic!("{error}"));
    let replaced = cluster.until("every pod of sluice to be another", || {
        let after = sluices(cluster)?;
        let new = after.iter().all(|(name, _)| before.iter().all(|(old, _)| name != old));
        if after.len() == NODES.len() && new { Ok(()) } else { Err(format!("{before:?} {after:?}")) }
    });
    replaced.unwrap_or_else(|error| panic!("{error}"));
    town.starts_pods(cluster, "after");
    never_failed(held);
    told(loads);
    town.end(cluster);
}

fn restarts_of_kubelet_and_containerd_are_not_noticed(cluster: &mut Cluster) {
    let town = Town::new(cluster, "runtime");
    let (held, loads) = (town.held(cluster), town.loads(cluster));
    for service in [Service::Kubelet, Service::Containerd] {
        for node in cluster.nodes() {
            node.restart(service).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    town.starts_pods(cluster, "after");
    let web = cluster.until("the servers to be listed", || restarts(cluster, "runtime", "app=web"));
    let web = web.unwrap_or_else(|error| panic!("{error}"));
    assert!(web.iter().all(|(_, count)| *count == 0), "{web:?}");
    never_failed(held.into_iter().chain(loads));
    town.end(cluster);
}

/// How long the control plane is away, at least.
const AWAY: Duration = Duration::from_secs(60);

/// Waits until all of the node's watches are, or none of them is, fed by the API server.
fn await_watches(cluster: &Cluster, node: &str, fed: bool) {
    let told = cluster.until(&format!("{node}'s watches to be fed: {fed}"), || {
        let status = status(cluster, node)?;
        let watches = status["watches"].as_array().cloned().unwrap_or_default();
        let right = |watch: &Value| (watch["state"] == "watching") == fed;
        if !watches.is_empty() && watches.iter().all(right) { Ok(()) } else { Err(format!("{watches:?}")) }
    });
    told.unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until the node has these addresses among its last good objects on the disk, where a change is written down in half a minute.
fn await_on_disk(cluster: &Cluster, name: &str, addresses: &[&str]) {
    let script: String = addresses
        .iter()
        .map(|address| format!("grep --quiet --text --fixed-strings '\"{address}\"' /var/lib/sluice/objects\n"))
        .collect();
    let written = cluster.until(&format!("{name} to have written its objects down"), || {
        node(cluster, name).run(&format!("set -e\n{script}"))
    });
    written.unwrap_or_else(|error| panic!("{error}"));
}

/// Kills the daemon of a node, and waits until kubelet has started another that is ready. It has nobody to tell it the objects.
fn kill_sluiced(cluster: &Cluster, name: &str) {
    let pid = || node(cluster, name).run("pidof sluiced").map_err(|error| error.to_string());
    let before = cluster.until("the daemon to run", pid).unwrap_or_else(|error| panic!("{error}"));
    node(cluster, name).run(&format!("kill -KILL {before}")).unwrap_or_else(|error| panic!("{error}"));
    let again = cluster.until(&format!("another sluiced on {name}"), || {
        let now = pid()?;
        let status = status(cluster, name)?;
        let ready = now != before && status["ready"] == true;
        if ready { Ok(()) } else { Err(format!("{now}: {}", status["notReadyBecause"])) }
    });
    again.unwrap_or_else(|error| panic!("{error}"));
}

fn the_api_server_may_be_away_for_a_while(cluster: &mut Cluster) {
    let town = Town::new(cluster, "away");
    let (held, loads) = (town.held(cluster), town.loads(cluster));
    cluster.control_plane_mut().go_away();
    let began = Instant::now();
    for name in NODES {
        await_watches(cluster, name, false);
    }
    town.answers(cluster);
    let web = town.web.iter().flat_map(|pod| [pod.v4.as_str(), &pod.v6]);
    let addresses: Vec<&str> = web.chain(town.addresses.iter().map(String::as_str)).collect();
    await_on_disk(cluster, NODES[1], &addresses);
    kill_sluiced(cluster, NODES[1]);
    town.answers(cluster);
    // What is left of the minute; the clients count on.
    std::thread::sleep(AWAY.saturating_sub(began.elapsed()));
    town.answers(cluster);
    let away = began.elapsed();
    cluster.control_plane_mut().come_back().unwrap_or_else(|error| panic!("{error}"));
    println!("    away for {:.0} s", away.as_secs_f64());
    for name in NODES {
        await_watches(cluster, name, true);
        cluster.await_node(name).unwrap_or_else(|error| panic!("{error}"));
    }
    town.starts_pods(cluster, "after");
    never_failed(held);
    told(loads);
    town.end(cluster);
}

fn a_node_that_is_rebooted_serves_again(cluster: &mut Cluster) {
    let town = Town::new(cluster, "reboot");
    let rebooted = NODES[1];
    // Between pods of the node that stays nothing may be noticed. Through the Service half of the requests go to the other one.
    let here = |pod: &&Pod| pod.node != rebooted;
    let client = town.clients.iter().find(here).expect("a client");
    let server = town.web.iter().find(here).expect("a server");
    let staying: Vec<_> = [&server.v4, &server.v6]
        .into_iter()
        .flat_map(|at| ["hold", "load"].map(|verb| client.counting(cluster, verb, at, 8080)))
        .collect();
    let asking = client.counting(cluster, "try", &town.addresses[0], 80);
    cluster.nodes_mut()[1].reboot().unwrap_or_else(|error| panic!("{error}"));
    let again = cluster.until("the node's pods to be started again", || {
        let list = restarts(cluster, "reboot", "app=web")?;
        if list.iter().any(|(_, count)| *count > 0) { Ok(()) } else { Err(format!("{list:?}")) }
    });
    again.unwrap_or_else(|error| panic!("{error}"));
    cluster.await_rollout("daemonset/sluice", "kube-system").unwrap_or_else(|error| panic!("{error}"));
    cluster.await_node(rebooted).unwrap_or_else(|error| panic!("{error}"));
    let town = Town::again(cluster, "reboot");
    town.starts_pods(cluster, "after");
    town.answers(cluster);
    println!("    through the Service meanwhile: {}", asking.stop().2.replace('\n', "; "));
    never_failed(staying);
    // What was attached before the reboot is gone, and nothing else.
    let selector = format!("spec.nodeName={rebooted},status.phase=Running");
    let settled = cluster.until("only what runs to be attached", || {
        let list = cluster.kubectl().get(&["pods", "-A", "--field-selector", &selector]).map_err(|e| e.to_string())?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let own = pods.iter().filter(|pod| pod["spec"]["hostNetwork"] != true).count();
        let attached = attachments(cluster, rebooted).len();
        if attached == own { Ok(()) } else { Err(format!("{attached} attachments for {own} pods")) }
    });
    settled.unwrap_or_else(|error| panic!("{error}"));
    town.end(cluster);
}
