//! GC: strays, other networks.

use serde_json::{Value, json};
use sluice_host::VethEnd;

use crate::node::{Node, Pod};
use crate::runtime::Call;

fn add(node: &Node, pod: &Pod, ifname: &str, network: &str) {
    Call::new(node, "ADD").about(pod, ifname).with("name", network.into()).done();
}

fn attached(node: &Node) -> Vec<String> {
    let status = node.status();
    let one = |it: &Value| {
        format!("{}/{}", it["containerId"].as_str().expect("an id"), it["ifname"].as_str().expect("a name"))
    };
    status["attachments"].as_array().expect("a list").iter().map(one).collect()
}

#[test]
fn only_this_networks_strays_go_and_an_empty_list_takes_all_of_it() {
    let node = Node::ready();
    let before = node.in_use().0;
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    add(&node, &one, "eth0", "sluice");
    add(&node, &two, "eth0", "sluice");
    add(&node, &two, "net1", "second");
    // What a crash may leave: a pod's device that nobody remembers.
    node.netns.netlink().create_veth(&VethEnd::named("slu00000000abc"), &VethEnd::named("half")).expect("free");
    let gc = |network: &str, valid: Value| {
        Call::new(&node, "GC").with("name", network.into()).with("cni.dev/valid-attachments", valid)
    };
    let all = ["one/eth0", "two/eth0", "two/net1"];
    gc("sluice", json!([{"containerID": "one", "ifname": "eth0"}, {"containerID": "two", "ifname": "eth0"}])).done();
    assert_eq!(attached(&node), all, "the other network's is not valid there and stays");
    assert!(!node.devices().contains(&"slu00000000abc".to_owned()), "a device of nobody goes");
    gc("nobody", json!([])).done();
    gc("sluice", json!([])).with("disableGC", true.into()).done();
    assert_eq!(attached(&node), all);
    gc("sluice", json!([{"containerID": "one", "ifname": "eth0"}])).done();
    assert_eq!(attached(&node), ["one/eth0", "two/net1"]);
    gc("sluice", json!([])).done();
    assert_eq!(attached(&node), ["two/net1"]);
    gc("second", json!([])).done();
    assert_eq!((attached(&node), node.in_use().0), (Vec::new(), before));
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"], "nothing is left of them");
    node.del("one", &one.netns.path());
}

#[test]
fn a_list_that_is_missing_or_none_removes_nothing() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    add(&node, &pod, "eth0", "sluice");
    let gc = || Call::new(&node, "GC");
    assert_eq!(gc().refused().code, 7);
    assert_eq!(gc().with("cni.dev/valid-attachments", json!("pod")).refused().code, 7);
    assert_eq!(gc().with("cni.dev/valid-attachments", json!([])).version("1.0.0").refused().code, 1);
    assert_eq!(attached(&node), ["pod/eth0"]);
}
