//! Pods start, reach each other, answer behind a Service, and leave nothing behind.

use std::process::{Command, Stdio};

use serde_json::Value;
use sluice_cluster::{Cluster, NODES};
use sluice_host::Netns;

use crate::Scene;
use crate::pod::{Heard, attachments, probe, status};
use crate::scene::{Stage, servers, service};

pub(crate) const REACH: &[Scene] =
    scenes![pods_of_both_nodes_reach_each_other_in_both_families, a_cluster_ip_answers_over_every_endpoint];
pub(crate) const OPERATORS: &[Scene] = scenes![exec_and_logs_work, port_forward_works];
pub(crate) const MANY: &[Scene] = scenes![a_deployment_of_fifty_gives_every_address_back];

fn pods_of_both_nodes_reach_each_other_in_both_families(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "reach");
    stage.apply(&[servers("reach", "web", 4)]);
    stage.rolled_out("web");
    let pods = stage.on_each_node("web");
    for from in &pods {
        for to in &pods {
            for (client, server) in [(&from.v4, &to.v4), (&from.v6, &to.v6)] {
                for verb in ["ask", "ask-udp"] {
                    let right = |heard: &Heard| (&heard.from, &heard.client) == (&to.name, client);
                    from.hears(cluster, verb, (server, 8080), right);
                }
            }
        }
    }
}

fn a_cluster_ip_answers_over_every_endpoint(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "behind");
    stage.apply(&[servers("behind", "web", 4), service("behind", "web", "ClusterIP")]);
    stage.rolled_out("web");
    let pods = stage.on_each_node("web");
    for address in &stage.cluster_ips("web") {
        for verb in ["ask", "ask-udp"] {
            let mut missing: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
            stage.until(&format!("every endpoint behind {address} by {verb}"), || {
                let heard = pods[0].ask(cluster, verb, address, 80)?;
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
    for pod in stage.on_each_node("web") {
        stage.until(&format!("exec in {}", pod.name), || {
            let said = stage.exec(&pod, &["hostname"]).map_err(|error| error.to_string())?;
            if said.trim() == pod.name { Ok(()) } else { Err(said) }
        });
        stage.until(&format!("the log of {}", pod.name), || {
            let log = stage.kubectl(&["logs", &pod.name]).map_err(|error| error.to_string())?;
            if log.contains("serves port 8080") { Ok(()) } else { Err(log) }
        });
    }
}

fn port_forward_works(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "forward");
    stage.apply(&[servers("forward", "web", 2)]);
    stage.rolled_out("web");
    let api = Netns::open_named(cluster.api().netns()).expect("the control plane's namespace");
    for pod in stage.on_each_node("web") {
        let kubectl = cluster.kubectl();
        let start = || {
            let mut command = kubectl.command(&["port-forward", "-n", "forward", &pod.name, "18080:8080"]);
            kubectl.spawn(command.stdout(Stdio::null())).unwrap_or_else(|error| panic!("{error}"))
        };
        let mut forwarding = start();
        stage.until("an answer through kubectl", || {
            // It ends when a connection could not be made.
            if forwarding.try_wait().map_err(|error| error.to_string())?.is_some() {
                forwarding = start();
            }
            let heard = Heard::from(api.output(Command::new(probe()).args(["ask", "127.0.0.1", "18080"])))?;
            if heard.from == pod.name { Ok(()) } else { Err(format!("{heard:?}")) }
        });
        forwarding.kill().and_then(|()| forwarding.wait()).expect("it ends");
    }
}

/// How many attachments the nodes have of a namespace's pods.
pub(crate) fn attached(cluster: &Cluster, namespace: &str) -> usize {
    let of = |one: &Value| one["pod"].as_str().is_some_and(|pod| pod.starts_with(&format!("{namespace}/")));
    NODES.iter().flat_map(|node| attachments(cluster, node)).filter(of).count()
}

fn a_deployment_of_fifty_gives_every_address_back(cluster: &mut Cluster) {
    let becomes = |count: usize| {
        let told = cluster.until(&format!("{count} pods to be attached"), || match attached(cluster, "fifty") {
            now if now == count => Ok(()),
            now => Err(format!("{now} attachments")),
        });
        told.unwrap_or_else(|error| panic!("{error}"));
    };
    {
        let stage = Stage::new(cluster, "fifty");
        stage.apply(&[servers("fifty", "web", 50)]);
        stage.rolled_out("web");
        becomes(50);
        stage.sure(&["scale", "deployment/web", "--replicas=2"]);
        becomes(2);
    }
    becomes(0);
    for node in NODES {
        // Other scenes' pods may be going meanwhile, so all is taken from one look at the node.
        let settled = cluster.until(&format!("{node} to have no address in use but its attachments'"), || {
            let status = status(cluster, node)?;
            let attached = status["attachments"].as_array().map_or(0, Vec::len) as u64;
            let ranges = status["podCIDRs"].as_array().cloned().unwrap_or_default();
            let even = ranges.len() == 2 && ranges.iter().all(|range| range["inUse"] == attached);
            if even { Ok(()) } else { Err(format!("{attached} attachments, {ranges:?}")) }
        });
        settled.unwrap_or_else(|error| panic!("{error}"));
    }
}
