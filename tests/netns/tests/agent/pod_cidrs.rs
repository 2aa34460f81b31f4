//! Addresses run out, come along and go while pods have them.

use serde_json::{Value, json};
use sluice_cni_protocol::code;
use sluice_netns::wait_for;

use crate::node::{Node, Pod, ping};

fn networks(node: &Node) -> Vec<String> {
    let networks = node.status()["podCIDRs"].as_array().expect("a list").clone();
    networks.iter().filter_map(|network| network["network"].as_str().map(str::to_owned)).collect()
}

fn metric(node: &Node, name: &str) -> Option<String> {
    let (_, text) = node.get("/metrics");
    text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned))
}

#[test]
fn a_node_whose_addresses_run_out_says_so_and_goes_on_with_those_that_it_is_given() {
    let mut node = Node::new(&["10.244.1.0/30"]);
    node.start(&[]);
    let [first, second] = ["first", "second"].map(Pod::new);
    let had = node.add(&first);
    let refused = node.refused("second", &second.netns.path(), "eth0");
    assert_eq!(refused.code, code::TRY_AGAIN_LATER, "{refused}");
    assert!(refused.msg.contains("10.244.1.0/30: all 1 are in use"), "{refused}");
    let exhausted = node.status()["addressesExhausted"].clone();
    assert!(exhausted[0].as_str().is_some_and(|text| text.contains("another podCIDR")), "{exhausted}");
    assert_eq!(metric(&node, "sluice_pod_address_families_exhausted").as_deref(), Some("1.0"));

    node.write_node(&["10.244.1.0/30", "10.244.7.0/24", "fd00:7::/64"]);
    wait_for("the further podCIDRs", || (networks(&node).len() == 3).then_some(())).unwrap();
    assert_eq!(node.status()["addressesExhausted"], json!([]));
    assert_eq!(metric(&node, "sluice_pod_address_families_exhausted").as_deref(), Some("0.0"));
    let given = node.add(&second);
    assert_eq!(given.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.244.7.2", "fd00:7::2"]);
    assert!(ping(&first.netns, given[0]) && ping(&second.netns, had[0]), "between old and new");
    wait_for("the node's further addresses", || ping(&second.netns, "fd00:7::1").then_some(())).unwrap();

    node.write_node(&["10.244.7.0/24", "fd00:7::/64"]);
    wait_for("the podCIDR to go", || (networks(&node).len() == 2).then_some(())).unwrap();
    assert_eq!(node.status()["addressesOutside"], json!([format!("{} (default/first)", had[0])]));
    assert!(ping(&second.netns, had[0]) && ping(&node.netns, had[0]), "a pod keeps what it has");
    node.del("first", &first.netns.path());
    assert_eq!(node.status()["addressesOutside"], Value::Array(Vec::new()));
}
