//! Where a node's pods get their addresses: its Node object.

use serde_json::Value;
use sluice_e2e::Client;
use sluice_host::Netns;

use crate::base::{node, pod, pod_cidrs, two_nodes};
use crate::driver::patiently;
use crate::objects::PORT;
use crate::server::Server;

#[test]
fn a_node_without_a_pod_cidr_says_so_and_attaches_pods_once_it_has_one() {
    let mut cluster = two_nodes("nocidr");
    let (name, api) = (cluster.name().clone(), cluster.api());
    let netns = Netns::open_named(api.netns()).expect("the API server's namespace");
    let controller = Client::new(netns, &api.admin_kubeconfig()).expect("a user");
    // As the controller that gives out podCIDRs does, after the node has joined.
    let gives = std::thread::spawn(move || {
        let mut last = Value::Null;
        let asked = patiently("the node to say what it has not", || {
            last = sluice_lab::agent_status(&name, "node-c").unwrap_or_else(|error| error.to_string().into());
            last["notReadyBecause"].to_string().contains("podCIDR").then_some(())
        });
        asked.unwrap_or_else(|error| panic!("{error}: {last:#}"));
        assert_eq!(last["ready"], false);
        controller.merge("/api/v1/nodes/node-c", &pod_cidrs(3)).expect("a Node without podCIDRs can be given some");
    });
    cluster.apply(&[node("node-c", 13, 0)]);
    gives.join().expect("it was asked for");
    cluster.await_status("node-c", "the node to be ready", |status, _| status["ready"] == true);
    cluster.apply(&[pod("third", "third", "node-c")]);
    let (client, third) = (cluster.pod("client"), cluster.pod("third"));
    assert!(third.addresses[0].to_string().starts_with("10.244.3."), "{third:?}");
    let _server = Server::start(&third, PORT);
    for to in third.at(PORT) {
        assert_eq!(client.await_tcp(to).server, "third");
    }
}
