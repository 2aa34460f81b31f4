//! Configuration, objects that come late, reports.

use std::process::Stdio;

use sluice_cni_protocol::code;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod, ping};

#[test]
fn an_agent_whose_node_is_not_known_waits_and_says_so() {
    let mut node = Node::new(&[]);
    node.spawn(&[]);
    let pod = Pod::new("pod");
    wait_for("the objects to be read", || {
        let reasons = node.try_status()?["notReadyBecause"].to_string();
        reasons.contains("no podCIDRs").then_some(())
    })
    .unwrap();
    let (status, reasons) = node.get("/readyz");
    assert_eq!(status, 503);
    assert!(reasons.contains("Node n1 has no podCIDRs"), "{reasons}");
    assert_eq!(node.get("/livez").0, 200);
    assert_eq!(node.refused("pod", &pod.netns.path(), "eth0").code, code::TRY_AGAIN_LATER);
    node.write_node(&NETWORKS);
    node.wait_ready();
    assert_eq!(node.get("/readyz").0, 200);
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]) && ping(&pod.netns, "10.244.1.1"));
}

#[test]
fn changed_podcidrs_leave_attached_pods_what_they_have() {
    let node = Node::ready();
    let (before, after) = (Pod::new("before"), Pod::new("after"));
    let old = node.add(&before);
    node.write_node(&["10.244.9.0/24"]);
    let new = wait_for("the new podCIDR", || {
        let networks = node.status()["podCIDRs"].clone();
        (networks[0]["network"] == "10.244.9.0/24").then(|| node.add(&after))
    })
    .unwrap();
    assert_eq!(new, ["10.244.9.2".parse::<std::net::IpAddr>().unwrap()]);
    assert!(ping(&after.netns, old[0]) && ping(&before.netns, new[0]));
    wait_for("the node's new address", || ping(&after.netns, "10.244.9.1").then_some(())).unwrap();
}

#[test]
fn metrics_tell_of_ports_drops_and_features() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]));
    let counted = wait_for("the port's counters", || {
        let (status, text) = node.get("/metrics");
        assert_eq!(status, 200);
        let labels = r#"{port="1",namespace="default",pod="pod"}"#;
        let line = text.lines().find(|line| line.starts_with(&format!("sluice_port_tx_packets_total{labels}")))?;
        (!line.ends_with(" 0")).then_some(text.clone())
    });
    let text = counted.unwrap();
    for wanted in
        ["sluice_ready 1.0", r#"sluice_attachments{phase="live"} 1.0"#, r#"sluice_feature{feature="multi_buffer"} 1.0"#]
    {
        assert!(text.lines().any(|line| line == wanted), "{wanted}\n{text}");
    }
    assert!(text.contains(r#"sluice_drops_total{reason="#), "{text}");
    let (status, document) = node.get("/status");
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["attachments"][0]["pod"], "default/pod");
}

#[test]
fn a_broken_manifest_is_named_and_the_rest_goes_on() {
    let node = Node::ready();
    std::fs::write(node.path("manifests/broken.yaml"), "kind: Pod\n  bad: [").unwrap();
    let faults = wait_for("the fault", || {
        let faults = node.status()["faults"].clone();
        faults.as_array().is_some_and(|list| !list.is_empty()).then(|| faults.to_string())
    });
    assert!(faults.unwrap().contains("broken.yaml"));
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]));
}

#[test]
fn what_cannot_be_is_refused_at_the_start_and_leaves_nothing() {
    let node = Node::new(&NETWORKS);
    std::fs::write(node.path("bad.yaml"), "podMtuu: 1500\n").unwrap();
    let bad = node.path("bad.yaml").display().to_string();
    for (arguments, word) in [
        (&["--config", bad.as_str()][..], "podMtuu"),
        (&["--cores", "4000"], "4000"),
        (&["--zero-copy", "require"], "copy mode"),
        (&["--http", "192.0.2.1:80"], "192.0.2.1"),
        (&["--pod-mtu", "9000", "--features-multi-buffer", "off"], "podMtu"),
    ] {
        let output = node.netns.output(node.agent_command(arguments).stderr(Stdio::piped())).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert_eq!(node.devices(), Vec::<String>::new(), "{arguments:?}");
    }
}
