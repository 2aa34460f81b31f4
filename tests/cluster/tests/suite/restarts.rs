//! What ends and comes back: after each, what must survive has survived.

use sluice_cluster::{Cluster, NODES, Service};

use crate::Scene;
use crate::pods::{attachments, on_each_node};
use crate::scene::{Counting, Pod, Stage, cluster_ips, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![
    a_killed_sluiced_comes_back_and_no_connection_ends,
    an_upgrade_ends_no_connection,
    restarts_of_kubelet_and_containerd_are_not_noticed,
    the_api_server_may_be_away_for_a_while,
    a_node_that_is_rebooted_serves_again
];

/// Servers and clients on both nodes, and the Service before the servers.
struct Town<'a> {
    stage: Stage<'a>,
    web: Vec<Pod>,
    clients: Vec<Pod>,
    addresses: Vec<String>,
}

impl<'a> Town<'a> {
    fn new(cluster: &'a Cluster, name: &str) -> Self {
        let stage = Stage::new(cluster, name);
        stage.apply(&[servers(name, "web", 2), service(name, "web", "ClusterIP"), servers(name, "client", 2)]);
        stage.rolled_out("web");
        stage.rolled_out("client");
        let (web, clients) = (on_each_node(&stage, "web"), on_each_node(&stage, "client"));
        let addresses = cluster_ips(&stage, "web");
        Self { stage, web, clients, addresses }
    }

    /// A connection from each client to each server and to the Service, in both families, that is to go on.
    fn held(&self) -> Vec<Counting> {
        let direct = self.web.iter().flat_map(|pod| [(pod.v4.as_str(), 8080), (pod.v6.as_str(), 8080)]);
        let targets: Vec<(&str, u16)> = direct.chain(self.addresses.iter().map(|at| (at.as_str(), 80))).collect();
        let pairs = self.clients.iter().flat_map(|client| targets.iter().map(move |target| (client, target)));
        pairs.map(|(client, (host, port))| self.stage.counting(client, "hold", host, *port)).collect()
    }

    /// A new pod starts on each node, and answers.
    fn starts_pods(&self, name: &str) {
        self.stage.apply(&[servers(&self.stage.namespace, name, 2)]);
        self.stage.rolled_out(name);
        let pods = on_each_node(&self.stage, name);
        for (client, pod) in self.clients.iter().flat_map(|client| pods.iter().map(move |pod| (client, pod))) {
            let heard = self.stage.ask(&client.name, "ask", &pod.v4, 8080).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(heard.from, pod.name);
        }
    }
}

/// The restarts of the pods that a selector finds, as `name count`.
fn restarts(cluster: &Cluster, namespace: &str, selector: &str) -> Vec<(String, u64)> {
    let list =
        cluster.kubectl().get(&["pods", "-n", namespace, "-l", selector]).unwrap_or_else(|error| panic!("{error}"));
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let count = |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
    pods.iter().map(|pod| (pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(), count(pod))).collect()
}

const SLUICE: &str = "app.kubernetes.io/name=sluice";

fn a_killed_sluiced_comes_back_and_no_connection_ends(cluster: &mut Cluster) {
    let town = Town::new(cluster, "killed");
    let held = town.held();
    let before = restarts(cluster, "kube-system", SLUICE);
    for node in cluster.nodes() {
        // In the PID namespace of the node there is no other than its own.
        node.run("kill -KILL $(pidof sluiced)").unwrap_or_else(|error| panic!("{error}"));
    }
    town.stage.until("every sluiced to be restarted", || {
        let now = restarts(cluster, "kube-system", SLUICE);
        let all = before.iter().all(|(name, count)| now.iter().any(|(other, more)| name == other && more > count));
        if all { Ok(()) } else { Err(format!("{now:?}")) }
    });
    cluster.await_rollout("daemonset/sluice", "kube-system").unwrap_or_else(|error| panic!("{error}"));
    town.starts_pods("after");
    held.into_iter().for_each(Counting::never_failed);
}

fn an_upgrade_ends_no_connection(cluster: &mut Cluster) {
    let town = Town::new(cluster, "upgraded");
    let held = town.held();
    let before = restarts(cluster, "kube-system", SLUICE);
    let all = ["rollout", "restart", "daemonset/sluice", "-n", "kube-system"];
    cluster.kubectl().run(&all).unwrap_or_else(|error| panic!("{error}"));
    cluster.await_rollout("daemonset/sluice", "kube-system").unwrap_or_else(|error| panic!("{error}"));
    let after = restarts(cluster, "kube-system", SLUICE);
    assert!(after.len() == NODES.len() && after.iter().all(|pod| !before.contains(pod)), "{before:?} {after:?}");
    town.starts_pods("after");
    held.into_iter().for_each(Counting::never_failed);
}

fn restarts_of_kubelet_and_containerd_are_not_noticed(cluster: &mut Cluster) {
    let town = Town::new(cluster, "runtime");
    let held = town.held();
    for service in [Service::Kubelet, Service::Containerd] {
        for node in cluster.nodes() {
            node.restart(service).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    town.starts_pods("after");
    let web: Vec<(String, u64)> = restarts(cluster, "runtime", "app=web");
    assert!(web.iter().all(|(_, count)| *count == 0), "{web:?}");
    held.into_iter().for_each(Counting::never_failed);
}

fn the_api_server_may_be_away_for_a_while(cluster: &mut Cluster) {
    // Taken out of the cluster for the time that its API server is changed, and given back when it is there again.
    let stage_name = "away";
    let (held, loads) = {
        let town = Town::new(cluster, stage_name);
        let loads: Vec<Counting> =
            town.clients.iter().map(|client| town.stage.counting(client, "load", &town.addresses[0], 80)).collect();
        let held = town.held();
        town.stage.leave();
        (held, loads)
    };
    cluster.control_plane_mut().api_mut().kill();
    std::thread::sleep(std::time::Duration::from_secs(20));
    cluster.control_plane_mut().api_mut().restart().unwrap_or_else(|error| panic!("{error}"));
    held.into_iter().chain(loads).for_each(Counting::never_failed);
    for node in NODES {
        cluster.await_node(node).unwrap_or_else(|error| panic!("{error}"));
    }
    Town::new(cluster, stage_name).starts_pods("after");
}

fn a_node_that_is_rebooted_serves_again(cluster: &mut Cluster) {
    Town::new(cluster, "reboot").stage.leave();
    let node = NODES[1];
    cluster.nodes_mut()[1].reboot().unwrap_or_else(|error| panic!("{error}"));
    let town = {
        cluster.await_rollout("daemonset/sluice", "kube-system").unwrap_or_else(|error| panic!("{error}"));
        let again = || {
            let list = restarts(cluster, "reboot", "app=web");
            if list.iter().any(|(_, count)| *count > 0) { Ok(()) } else { Err(format!("{list:?}")) }
        };
        cluster.until("the node's pods to be started again", again).unwrap_or_else(|error| panic!("{error}"));
        cluster.await_node(node).unwrap_or_else(|error| panic!("{error}"));
        Town::new(cluster, "reboot")
    };
    town.starts_pods("after");
    // What was attached before the reboot is gone, and nothing else.
    let selector = format!("spec.nodeName={node},status.phase=Running");
    town.stage.until("only what runs to be attached", || {
        let list = cluster.kubectl().get(&["pods", "-A", "--field-selector", &selector]).map_err(|e| e.to_string())?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let own = pods.iter().filter(|pod| pod["spec"]["hostNetwork"] != true).count();
        let attached = attachments(cluster, node);
        if attached == own { Ok(()) } else { Err(format!("{attached} attachments for {own} pods")) }
    });
}
