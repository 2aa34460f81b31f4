//! STATUS while the agent lacks something.

use nix::sys::signal::Signal::SIGTERM;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod};
use crate::runtime::Call;

#[test]
fn a_status_is_good_when_an_add_would_be() {
    let mut node = Node::new(&[]);
    let status = |node: &Node| Call::new(node, "STATUS");
    let away = status(&node).refused();
    assert!(away.code == 51 && away.msg.contains("sluiced.sock"), "{away}");
    node.spawn(&[]);
    wait_for("the agent to answer", || node.try_status()).expect("it answers");
    let refused = wait_for("the Node to be what is missing", || {
        Some(status(&node).refused()).filter(|refused| refused.code == 50 && refused.msg.contains("podCIDRs"))
    });
    refused.expect("nothing else is");
    node.write_node(&["10.244.1.0/30"]);
    node.wait_ready();
    status(&node).done();
    let pod = Pod::new("pod");
    node.add(&pod);
    let full = status(&node).refused();
    assert!(full.code == 50 && full.msg.contains("10.244.1.0/30"), "{full}");
    node.del("pod", &pod.netns.path());
    status(&node).done();
    assert_eq!(status(&node).version("1.0.0").refused().code, 1, "it came with 1.1.0");
    assert!(node.end(SIGTERM).success());
    assert_eq!(status(&node).refused().code, 51, "the pods' packets go nowhere");
}

#[test]
fn objects_that_are_not_known_are_51() {
    let mut node = Node::new(&NETWORKS);
    std::fs::remove_dir_all(node.path("manifests")).expect("ours");
    node.spawn(&[]);
    let refused = wait_for("an answer about the objects", || {
        Some(Call::new(&node, "STATUS").refused()).filter(|refused| refused.msg.contains("objects"))
    });
    assert_eq!(refused.expect("they are missing").code, 51);
}
