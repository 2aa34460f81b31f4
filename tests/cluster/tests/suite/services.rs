//! Services that real controllers feed, while their pods come and go.

use std::process::Command;

use serde_json::json;
use sluice_cluster::{Cluster, NODES};
use sluice_host::Netns;

use crate::Scene;
use crate::pods::on_each_node;
use crate::scene::{Counting, Heard, Stage, cluster_ips, probe, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![
    a_rolling_update_under_load_fails_no_request,
    a_node_port_answers_the_outside_on_every_node,
    a_host_port_answers_the_outside_on_its_pods_node
];

/// Servers that serve on for two seconds after they are told to end, as every application behind a Service has to.
fn patient(namespace: &str, app: &str, replicas: u32) -> serde_json::Value {
    let mut object = servers(namespace, app, replicas);
    object["spec"]["strategy"] = json!({ "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 2 } });
    let pod = &mut object["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(10);
    // During the update there are more of them, and not evenly.
    pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] = json!("ScheduleAnyway");
    pod["containers"][0]["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 3 } } });
    object
}

fn a_rolling_update_under_load_fails_no_request(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "rolling");
    stage.apply(&[
        patient("rolling", "web", 4),
        service("rolling", "web", "ClusterIP"),
        servers("rolling", "client", 2),
    ]);
    stage.rolled_out("web");
    stage.rolled_out("client");
    let clients = stage.pods("client");
    let addresses = cluster_ips(&stage, "web");
    let pairs = clients.iter().flat_map(|client| addresses.iter().map(move |address| (client, address)));
    let loads: Vec<_> = pairs.map(|(client, at)| stage.counting(client, "load", at, 80)).collect();
    let before: Vec<String> = stage.pods("web").into_iter().map(|pod| pod.name).collect();
    stage.sure(&["rollout", "restart", "deployment/web"]);
    stage.rolled_out("web");
    stage.until("the old pods to be gone", || {
        let left = stage.get(&["pods", "-l", "app=web"])["items"].as_array().map_or(0, Vec::len);
        if left == 4 { Ok(()) } else { Err(format!("{left} pods")) }
    });
    let after = stage.pods("web");
    assert!(after.iter().all(|pod| !before.contains(&pod.name)), "{before:?} {after:?}");
    loads.into_iter().for_each(Counting::never_failed);
}

fn a_node_port_answers_the_outside_on_every_node(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "doors");
    stage.apply(&[servers("doors", "web", 2), service("doors", "web", "NodePort")]);
    stage.rolled_out("web");
    let port = stage.get(&["service", "web"])["spec"]["ports"][0]["nodePort"].to_string();
    let names: Vec<String> = stage.pods("web").into_iter().map(|pod| pod.name).collect();
    for node in NODES {
        answers_outside(&stage, node, &port, &names);
    }
}

fn a_host_port_answers_the_outside_on_its_pods_node(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "shutters");
    let mut web = servers("shutters", "web", 2);
    let ports = json!([{ "containerPort": 8080, "hostPort": 8088 }]);
    web["spec"]["template"]["spec"]["containers"][0]["ports"] = ports;
    stage.apply(&[web]);
    stage.rolled_out("web");
    for pod in on_each_node(&stage, "web") {
        answers_outside(&stage, &pod.node, "8088", &[pod.name]);
    }
}

/// One of these pods answers the outside at each address of a node.
fn answers_outside(stage: &Stage<'_>, node: &str, port: &str, names: &[String]) {
    let outside = Netns::open_named(&stage.cluster.outside()).expect("the outside");
    let addresses = stage.get(&["node", node])["status"]["addresses"].clone();
    let addresses = addresses.as_array().cloned().expect("addresses");
    let internal = addresses.iter().filter(|address| address["type"] == "InternalIP");
    for address in internal.filter_map(|address| address["address"].as_str()) {
        stage.until(&format!("an answer at {address}:{port}"), || {
            let output = outside.output(Command::new(probe()).args(["ask", address, port]));
            let output = output.map_err(|error| error.to_string())?;
            let heard = Heard::of(&String::from_utf8_lossy(&output.stdout));
            if names.contains(&heard.from) { Ok(()) } else { Err(format!("{output:?}")) }
        });
    }
}
