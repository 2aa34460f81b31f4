//! Pods start, reach each other, answer behind a Service, and leave nothing behind.

use std::process::{Command, Stdio};

use sluice_cluster::{Cluster, NODES};
use sluice_host::Netns;

use crate::Scene;
use crate::scene::{Heard, Pod, Stage, cluster_ips, probe, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![
    pods_of_both_nodes_reach_each_other_in_both_families,
    a_cluster_ip_answers_over_every_endpoint,
    exec_and_logs_work,
    port_forward_works,
    a_deployment_of_fifty_gives_every_address_back
];

/// The pods of an app, of which each node has one.
pub(crate) fn on_each_node(stage: &Stage<'_>, app: &str) -> Vec<Pod> {
    let pods = stage.pods(app);
    for node in NODES {
        assert!(pods.iter().any(|pod| pod.node == node), "{pods:?}");
    }
    pods
}

fn pods_of_both_nodes_reach_each_other_in_both_families(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "reach");
    stage.apply(&[servers("reach", "web", 4)]);
    stage.rolled_out("web");
    let pods = on_each_node(&stage, "web");
    for from in &pods {
        for to in &pods {
            for (client, server) in [(&from.v4, &to.v4), (&from.v6, &to.v6)] {
                for verb in ["ask", "ask-udp"] {
                    let heard = stage.ask(&from.name, verb, server, 8080).unwrap_or_else(|error| panic!("{error}"));
                    assert_eq!((&heard.from, &heard.client), (&to.name, client), "{verb} {from:?} {to:?}");
                }
            }
        }
    }
}

fn a_cluster_ip_answers_over_every_endpoint(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "behind");
    stage.apply(&[servers("behind", "web", 4), service("behind", "web", "ClusterIP")]);
    stage.rolled_out("web");
    let pods = on_each_node(&stage, "web");
    for address in &cluster_ips(&stage, "web") {
        for verb in ["ask", "ask-udp"] {
            let mut missing: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
            stage.until(&format!("every endpoint behind {address} by {verb}"), || {
                let heard = stage.ask(&pods[0].name, verb, address, 80).map_err(|error| error.to_string())?;
                missing.retain(|name| *name != heard.from);
                if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} never answered")) }
            });
        }
    }
}

fn exec_and_logs_work(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "words");
    stage.apply(&[servers("words", "web", 2)]);
    stage.rolled_out("web");
    for pod in on_each_node(&stage, "web") {
        assert_eq!(stage.exec(&pod.name, &["hostname"]).expect("exec works").trim(), pod.name);
        assert!(stage.sure(&["logs", &pod.name]).contains("serves port 8080"));
    }
}

fn port_forward_works(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "forward");
    stage.apply(&[servers("forward", "web", 2)]);
    stage.rolled_out("web");
    let api = Netns::open_named(cluster.api().netns()).expect("the control plane's namespace");
    for pod in on_each_node(&stage, "web") {
        let kubectl = cluster.kubectl();
        let mut command = kubectl.command(&["port-forward", "-n", "forward", &pod.name, "18080:8080"]);
        let mut forwarding = kubectl.spawn(command.stdout(Stdio::null())).unwrap_or_else(|error| panic!("{error}"));
        stage.until("an answer through kubectl", || {
            let output = api.output(Command::new(probe()).args(["ask", "127.0.0.1", "18080"]));
            let output = output.map_err(|error| error.to_string())?;
            let heard = Heard::of(&String::from_utf8_lossy(&output.stdout));
            if heard.from == pod.name { Ok(()) } else { Err(format!("{output:?}")) }
        });
        forwarding.kill().and_then(|()| forwarding.wait()).expect("it ends");
    }
}

/// Attachments that the node's sluiced knows.
pub(crate) fn attachments(cluster: &Cluster, node: &str) -> usize {
    let nodes = cluster.nodes();
    let node = nodes.iter().find(|one| one.name() == node).expect("a node");
    let status = node.run("curl -s http://127.0.0.1:9810/status").unwrap_or_else(|error| panic!("{error}"));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    status["attachments"].as_array().map(Vec::len).unwrap_or_else(|| panic!("attachments in {status}"))
}

fn a_deployment_of_fifty_gives_every_address_back(cluster: &mut Cluster) {
    let before = NODES.map(|node| attachments(cluster, node));
    {
        let stage = Stage::new(cluster, "fifty");
        stage.apply(&[servers("fifty", "web", 50)]);
        stage.rolled_out("web");
        let now = NODES.map(|node| attachments(cluster, node));
        assert_eq!(now.iter().sum::<usize>(), before.iter().sum::<usize>() + 50);
        stage.sure(&["scale", "deployment/web", "--replicas=2"]);
        stage.until("the pods to go", || {
            let left = NODES.map(|node| attachments(cluster, node)).iter().sum::<usize>();
            if left == before.iter().sum::<usize>() + 2 { Ok(()) } else { Err(format!("{left} attachments")) }
        });
    }
    stage_is_empty(cluster, &before);
}

fn stage_is_empty(cluster: &Cluster, before: &[usize]) {
    let gone = cluster.until("every address to be given back", || {
        let now = NODES.map(|node| attachments(cluster, node));
        if now.as_slice() == before { Ok(()) } else { Err(format!("{now:?} instead of {before:?}")) }
    });
    gone.unwrap_or_else(|error| panic!("{error}"));
}
