//! The objects of two nodes as the API server takes them.

use serde_json::{Value, json};

use crate::driver::{Tested, Variant};
use crate::objects;
use crate::place::Place;
use crate::server::Server;

/// The nodes and pods of [`objects::base`], with what the API server asks for beside: containers have images.
pub(crate) fn base() -> Vec<Value> {
    let mut all = objects::base();
    all.iter_mut().for_each(complete);
    all
}

/// A pod as [`objects::pod`].
pub(crate) fn pod(name: &str, app: &str, node: &str) -> Value {
    let mut pod = objects::pod(name, app, node);
    complete(&mut pod);
    pod
}

/// A node with these addresses' last parts and, unless it is 0, podCIDRs of this number.
pub(crate) fn node(name: &str, address: u8, cidrs: u8) -> Value {
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": {},
        "status": { "addresses": [
            { "type": "InternalIP", "address": format!("192.0.2.{address}") },
            { "type": "InternalIP", "address": format!("2001:db8::{address}") },
        ] },
    });
    if cidrs > 0 {
        node["spec"] = pod_cidrs(cidrs)["spec"].take();
    }
    node
}

/// The change that gives a node its podCIDRs.
pub(crate) fn pod_cidrs(number: u8) -> Value {
    let v4 = format!("10.244.{number}.0/24");
    json!({ "spec": { "podCIDR": v4, "podCIDRs": [v4, format!("fd00:10:244:{number}::/64")] } })
}

fn complete(object: &mut Value) {
    if object["kind"] == "Pod" {
        object["spec"]["containers"][0]["image"] = json!("none");
    }
}

/// A cluster of the base objects whose pods reach each other.
pub(crate) fn two_nodes(label: &str) -> Tested {
    two_nodes_with(label, Variant::default())
}

/// The same with settings.
pub(crate) fn two_nodes_with(label: &str, variant: Variant<'_>) -> Tested {
    let cluster = Tested::with(label, variant, &base());
    cluster.await_peers();
    cluster
}

/// The servers of both web pods.
pub(crate) fn serve_web(cluster: &Tested) -> ([Place; 2], [Server; 2]) {
    let pods = [cluster.pod("web-a"), cluster.pod("web-b")];
    let servers = [Server::start(&pods[0], objects::PORT), Server::start(&pods[1], objects::PORT)];
    (pods, servers)
}
