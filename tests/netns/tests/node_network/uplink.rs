//! The node's uplink: its queues, and the ports that are taken there.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_host::{Netns, sysctl};
use sluice_netns::{Namespace, wait_for};

use crate::driver::Cluster;
use crate::node::{NETWORKS, Node, Pod, ping};
use crate::objects::{Endpoint, PORT, node_port_service, service, with_endpoints};
use crate::server::Server;

fn run(netns: &Netns, line: &str) {
    let mut words = line.split(' ');
    let program = words.next().expect("a program");
    let output = netns.output(Command::new(program).args(words)).expect("it starts");
    assert!(output.status.success(), "{line}: {output:?}");
}

#[test]
fn an_uplink_with_fewer_queues_in_use_than_it_can_have_is_served_by_those() {
    let mut node = Node::new(&NETWORKS);
    let outside = Namespace::new("outside");
    run(
        &node.netns,
        &format!(
            "ip link add wire0 numrxqueues 4 numtxqueues 4 type veth peer name wire0 numrxqueues 4 numtxqueues 4 netns {}",
            outside.path()
        ),
    );
    run(&node.netns, "ethtool -L wire0 rx 2 tx 2");
    for (netns, address) in [(&*node.netns, "192.0.2.1/24"), (&*outside, "192.0.2.2/24")] {
        run(netns, &format!("ip addr add {address} dev wire0"));
        run(netns, "ip link set wire0 up");
    }
    let manifest = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" },
        "spec": { "podCIDRs": NETWORKS },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] } });
    fs::write(node.path("manifests/node.json"), manifest.to_string()).expect("writable");
    node.start(&["--uplink-device", "wire0"]);
    assert!(node.log().contains("a queue of the uplink is not served"), "{}", node.log());
    let ports = node.status()["ports"].as_array().expect("ports").clone();
    assert_eq!(ports.iter().filter(|port| port["kind"] == "uplink").count(), 2, "{ports:?}");
    let pod = Pod::new("pod");
    node.add(&pod);
    let reached = || ping(&pod.netns, "192.0.2.2").then_some(());
    wait_for("the pod to reach the outside, hidden behind its node", reached).expect("it does");
}

/// A Service of one port of its own.
fn service_at(name: &str, number: u8, port: u16, more: &Value) -> Value {
    let mut service = service(name, number, more);
    let tcp = json!({ "name": "tcp", "protocol": "TCP", "port": port, "targetPort": PORT });
    service["spec"]["ports"] = json!([tcp]);
    service
}

/// Taken out: the ports that are claimed reserved.
#[test]
fn the_nodes_own_connections_do_not_get_a_port_that_is_a_services() {
    let cluster = Cluster::up("reserved");
    let (node, web) = (cluster.node("node-a"), cluster.pod("web-a"));
    let _outside = Server::start(&cluster.outside(), PORT);
    let _server = Server::start(&web, PORT);
    let service = node_port_service("web", 44, 30044, &json!({}));
    // And one whose load balancer has the node's own address.
    let more = json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false });
    let mut balanced = service_at("own", 45, 30041, &more);
    balanced["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": node.addresses[0] }] } });
    let mut objects = with_endpoints(service, &[Endpoint::ready(&web, "node-a")]);
    objects.extend(with_endpoints(balanced, &[Endpoint::ready(&web, "node-a")]));
    cluster.apply("web", &objects);
    cluster.outside().await_tcp(node.at(30044)[0]);
    assert_eq!(cluster.outside().await_tcp(node.at(30041)[0]).server, "web-a");
    // Room for six, of which two are taken. An even number: of an odd one the kernel leaves a port out, a random
    // one (net/ipv4/inet_hashtables.c, __inet_hash_connect).
    sysctl::set_in(&node.netns, &[("net/ipv4/ip_local_port_range", "30041 30046")]).expect("a setting");
    let to = cluster.outside().at(PORT)[0];
    // With a bound: the answers to one that has the Service's port do not come here.
    let connect = || node.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)));
    let held: Vec<TcpStream> = (0..4).map(|_| connect().expect("there is a port")).collect();
    let ports: BTreeSet<u16> =
        held.iter().map(|stream| stream.local_addr().map(|at: SocketAddr| at.port()).expect("bound")).collect();
    assert_eq!(ports, BTreeSet::from([30042, 30043, 30045, 30046]));
    assert!(connect().is_err(), "the others are Services'");
}
