//! Configuration, objects that come late, reports.

use std::process::Stdio;

use serde_json::json;
use sluice_cni_protocol::code;
use sluice_netns::wait_for;
use sluice_worker::PortSnapshot;

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
    let refused = node.refused("pod", &pod.netns.path(), "eth0");
    assert_eq!(refused.code, code::TRY_AGAIN_LATER);
    assert!(refused.msg.contains("Node n1 has no podCIDRs") && refused.msg.contains("spec.podCIDRs"), "{refused}");
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
    // Only IPv4: of the other family the node has no address any more to speak from.
    assert!(ping(&node.netns, old[0]), "the node reaches the pod as before");
    let route = || node.netns.netlink().routes().unwrap().into_iter().any(|r| r.destination.addr() == old[0]);
    assert!(route());
    node.del("before", &before.netns.path());
    assert!(!route(), "an address of somebody else's podCIDR is not led here any more");
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
fn the_status_has_every_counter_of_every_port() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]));
    let ports = wait_for("the ports' counters", || {
        let ports = node.status()["ports"].as_array().unwrap().clone();
        ports.iter().all(|port| port["counters"]["rx_packets"] != 0).then_some(ports)
    });
    let [host, of_pod] = <[_; 2]>::try_from(ports.unwrap()).unwrap();
    assert_eq!((&host["id"], &host["kind"], &host["device"]), (&json!(0), &json!("host"), &json!("sluice_port")));
    assert_eq!((&of_pod["kind"], &of_pod["pod"], &of_pod["worker"]), (&json!("pod"), &json!("default/pod"), &json!(0)));
    assert!(of_pod["device"].as_str().unwrap().starts_with("slu"));
    for (counter, _) in PortSnapshot::default().list() {
        assert!(host["counters"][counter].is_u64() && of_pod["counters"][counter].is_u64(), "{counter}");
    }
}

#[test]
fn the_start_says_what_it_got_and_what_it_lacks() {
    let mut node = Node::new(&NETWORKS);
    node.start(&["--features-tx-budget", "off", "--umem-frames", "2048", "--xdp-mode", "native"]);
    let log = node.log();
    for wanted in [
        "tx_budget off (by configuration)",
        "XDP mode: native",
        "cores of the workers: [",
        "huge pages: off",
        "packet memory: 2048 frames, 8 MiB",
        "super-frames are off",
    ] {
        assert!(log.contains(wanted), "{wanted}\n{log}");
    }
    let (status, ready) = node.get("/readyz");
    assert!(status == 200 && ready.contains("free of 2048"), "{ready}");
}

#[test]
fn a_node_that_loses_its_podcidrs_and_has_them_again_is_ready_again() {
    let mut node = Node::ready();
    node.write_node(&[]);
    wait_for("the agent not to be ready", || (node.try_status()?["ready"] == false).then_some(())).unwrap();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]), "what was known stays in force");
    node.write_node(&NETWORKS);
    node.wait_ready();
}

#[test]
fn podcidrs_in_which_a_pod_has_the_nodes_address_wait_until_it_is_gone() {
    let mut node = Node::new(&["10.244.0.0/24"]);
    node.start(&[]);
    let pods: Vec<Pod> = (0..4).map(|number| Pod::new(&format!("pod-{number}"))).collect();
    let addresses: Vec<_> = pods.iter().map(|pod| node.add(pod)[0].to_string()).collect();
    assert_eq!(addresses[3], "10.244.0.5");
    // Its first usable address is the last pod's.
    node.write_node(&["10.244.0.4/30"]);
    wait_for("the refusal", || {
        let reasons = node.try_status()?["notReadyBecause"].to_string();
        (reasons.contains("default/pod-3") && reasons.contains("10.244.0.5")).then_some(())
    })
    .unwrap();
    let late = Pod::new("late");
    let at_late = node.add(&late);
    assert!(ping(&late.netns, &addresses[3]) && ping(&node.netns, at_late[0]), "what was known stays in force");
    node.del("pod-3", &pods[3].netns.path());
    node.wait_ready();
    assert_eq!(node.status()["podCIDRs"][0]["network"], "10.244.0.4/30");
    assert!(ping(&pods[0].netns, "10.244.0.5"), "the node has it now");
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
        (&["--zero-copy", "require"], "zeroCopy"),
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
