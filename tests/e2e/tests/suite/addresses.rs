//! Where a node's pods get their addresses: its Node object.

use sluice_e2e::E2eError;
use sluice_lab::LabError;

use crate::base::{node, pod, pod_cidrs, two_nodes};
use crate::objects::PORT;
use crate::server::Server;

#[test]
fn a_node_without_a_pod_cidr_says_so_and_attaches_pods_once_it_has_one() {
    let mut cluster = two_nodes("nocidr");
    let refused = cluster.bring(&[node("node-c", 13, 0)]);
    let Err(E2eError::Lab(LabError::AgentNotReady { last, .. })) = refused else { panic!("{refused:?}") };
    assert!(last.contains("podCIDR"), "{last}");
    // As the controller that gives out podCIDRs does, after the node has joined.
    cluster.admin().merge("/api/v1/nodes/node-c", &pod_cidrs(3)).expect("a Node without podCIDRs can be given some");
    cluster.await_status("node-c", "the node to be ready", |status, _| status["ready"] == true);
    cluster.apply(&[pod("third", "third", "node-c")]);
    let (client, third) = (cluster.pod("client"), cluster.pod("third"));
    assert!(third.addresses[0].to_string().starts_with("10.244.3."), "{third:?}");
    let _server = Server::start(&third, PORT);
    for to in third.at(PORT) {
        assert_eq!(client.await_tcp(to).server, "third");
    }
}
