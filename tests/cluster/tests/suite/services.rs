//! Services that real controllers feed, while their pods come, go and are not ready.

use std::process::Command;

use serde_json::json;
use sluice_cluster::{Cluster, NODES};
use sluice_host::Netns;

use crate::Scene;
use crate::pod::{Heard, Pod, never_failed, probe};
use crate::scene::{Stage, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![
    a_rolling_update_under_load_fails_no_request,
    a_node_port_answers_the_outside_on_every_node,
    a_pod_that_is_not_ready_leaves_the_service_and_comes_back,
    a_host_port_answers_the_outside_on_its_pods_node
];

/// Servers that serve on after they are told to end, as every application behind a Service has to: until nobody has asked for three
/// seconds. Several clients ask each of them many times a second for as long as the switch leads them there.
fn patient(namespace: &str, app: &str, replicas: u32) -> serde_json::Value {
    let mut object = servers(namespace, app, replicas);
    object["spec"]["strategy"] = json!({ "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 2 } });
    let pod = &mut object["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(120);
    // During the update there are more of them, and not evenly.
    pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] = json!("ScheduleAnyway");
    pod["containers"][0]["command"] = json!(["sluice-probe", "serve", "8080", "3"]);
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
    let addresses = stage.cluster_ips("web");
    let pairs = clients.iter().flat_map(|client| addresses.iter().map(move |address| (client, address)));
    let loads: Vec<_> = pairs.map(|(client, at)| client.counting(cluster, "load", at, 80)).collect();
    let before: Vec<String> = stage.pods("web").into_iter().map(|pod| pod.name).collect();
    stage.sure(&["rollout", "restart", "deployment/web"]);
    stage.rolled_out("web");
    stage.until("the old pods to be gone", || {
        let left = stage.get(&["pods", "-l", "app=web"])["items"].as_array().map_or(0, Vec::len);
        if left == 4 { Ok(()) } else { Err(format!("{left} pods")) }
    });
    let after = stage.pods("web");
    assert!(after.iter().all(|pod| !before.contains(&pod.name)), "{before:?} {after:?}");
    never_failed(loads);
}

/// Requests in a row that one of two endpoints would answer all of once in a million times.
const ENOUGH: usize = 20;

fn a_pod_that_is_not_ready_leaves_the_service_and_comes_back(cluster: &mut Cluster) {
    let stage = Stage::new(cluster, "moods");
    let mut web = servers("moods", "web", 2);
    let probe =
        json!({ "exec": { "command": ["test", "!", "-e", "/tmp/tired"] }, "periodSeconds": 1, "failureThreshold": 1 });
    web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe;
    stage.apply(&[web, service("moods", "web", "ClusterIP"), servers("moods", "client", 2)]);
    stage.rolled_out("web");
    stage.rolled_out("client");
    let (web, clients) = (stage.on_each_node("web"), stage.on_each_node("client"));
    let addresses = stage.cluster_ips("web");
    let (tired, other) = (&web[0], &web[1]);
    let heard_of = |client: &Pod, address: &str| -> Result<Vec<String>, String> {
        (0..ENOUGH).map(|_| Ok(client.ask(cluster, "ask", address, 80)?.from)).collect()
    };
    let each = || clients.iter().flat_map(|client| addresses.iter().map(move |address| (client, address)));
    let both_answer = || {
        for (client, address) in each() {
            stage.until(&format!("both pods behind {address} for {}", client.name), || {
                let heard = heard_of(client, address)?;
                let both = [tired, other].iter().all(|pod| heard.contains(&pod.name));
                if both { Ok(()) } else { Err(format!("{heard:?}")) }
            });
        }
    };
    both_answer();
    let loads: Vec<_> = each().map(|(client, at)| client.counting(cluster, "load", at, 80)).collect();
    stage.until("the pod to be told", || stage.exec(tired, &["touch", "/tmp/tired"]));
    for (client, address) in each() {
        stage.until(&format!("{} alone behind {address} for {}", other.name, client.name), || {
            let heard = heard_of(client, address)?;
            if heard.iter().all(|name| *name == other.name) { Ok(()) } else { Err(format!("{heard:?}")) }
        });
    }
    stage.until("the pod to be told again", || stage.exec(tired, &["rm", "-f", "/tmp/tired"]));
    both_answer();
    never_failed(loads);
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
    for pod in stage.on_each_node("web") {
        answers_outside(&stage, &pod.node, "8088", &[pod.name]);
    }
}

/// One of these pods answers the outside at each address of a node.
fn answers_outside(stage: &Stage<'_>, node: &str, port: &str, names: &[String]) {
    let outside = Netns::open_named(&stage.cluster.outside()).expect("the outside");
    for address in stage.node_addresses(node) {
        stage.until(&format!("an answer at {address}:{port}"), || {
            let heard = Heard::from(outside.output(Command::new(probe()).args(["ask", &address, port])))?;
            if names.contains(&heard.from) { Ok(()) } else { Err(format!("{heard:?}")) }
        });
    }
}
