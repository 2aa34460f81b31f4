//! What an attached pod can do, and what is left of a detached one.

use std::collections::BTreeSet;

use crate::node::{Node, Pod, ping, transfer};

#[test]
fn two_pods_reach_each_other_the_gateway_and_the_node_at_once() {
    let node = Node::ready();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    let at_one = node.add(&one);
    let at_two = node.add(&two);
    assert_eq!((at_one.len(), at_two.len()), (2, 2));
    for address in &at_two {
        assert!(ping(&one.netns, address), "pod to pod {address}");
        assert!(ping(&node.netns, address), "node to pod {address}");
        transfer(&one.netns, &two.netns, *address);
        transfer(&node.netns, &two.netns, *address);
    }
    for gateway in ["169.254.1.1", "fe80::1%eth0"] {
        assert!(ping(&one.netns, gateway), "pod to gateway {gateway}");
    }
    for own in ["10.244.1.1", "fd00:1::1"] {
        assert!(ping(&one.netns, own), "pod to node {own}");
        transfer(&one.netns, &node.netns, own.parse().unwrap());
    }
    for nobody in ["10.244.1.200", "fd00:1::200"] {
        assert!(!ping(&one.netns, nobody), "nobody has {nobody}");
    }
}

#[test]
fn pods_talk_without_what_a_kernel_may_lack() {
    for arguments in [
        &["--features-multi-buffer", "off"][..],
        &["--features-tx-metadata", "off", "--features-tx-budget", "off", "--features-need-wakeup", "off"],
        &["--super-frames", "off"],
        &["--xdp-mode", "native", "--idle", "poll"],
    ] {
        let mut node = Node::new(&crate::node::NETWORKS);
        node.start(arguments);
        let (one, two) = (Pod::new("one"), Pod::new("two"));
        node.add(&one);
        for address in node.add(&two) {
            assert!(ping(&one.netns, address), "{arguments:?}: pod to pod {address}");
            transfer(&one.netns, &two.netns, address);
            transfer(&node.netns, &two.netns, address);
        }
    }
}

#[test]
fn a_del_leaves_nothing_and_can_be_repeated() {
    let node = Node::ready();
    let before = node.in_use();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    node.add(&one);
    let with_one = node.in_use();
    let addresses = node.add(&two);
    assert_eq!(node.devices().len(), 4);
    for _ in 0..2 {
        node.del("two", &two.netns.path());
    }
    assert!(node.uses_no_more_than(&with_one), "{:?} after {with_one:?}", node.in_use());
    assert!(two.netns.netlink().find_link("eth0").unwrap().is_none());
    for address in &addresses {
        assert!(!ping(&node.netns, address), "{address} is nobody's now");
    }
    assert!(ping(&one.netns, "169.254.1.1"), "the other pod goes on");
    node.del("one", "");
    node.del("never-added", "/run/netns/nowhere");
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
}

#[test]
fn a_detached_pods_addresses_are_not_the_next_pods() {
    let node = Node::ready();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    let first = node.add(&one);
    node.del("one", &one.netns.path());
    let second = node.add(&two);
    assert!(first.iter().all(|address| !second.contains(address)), "{first:?} {second:?}");
    let again = node.add(&one);
    assert!(ping(&two.netns, again[0]));
}

#[test]
fn a_pod_may_have_two_interfaces() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    node.add(&pod);
    let second = node.plugin("ADD", "pod", &pod.netns.path(), "net1");
    assert!(second.status.success(), "{second:?}");
    assert_eq!(node.status()["attachments"].as_array().unwrap().len(), 2);
    node.plugin("DEL", "pod", &pod.netns.path(), "net1");
    assert!(ping(&node.netns, node.status()["attachments"][0]["addresses"][0].as_str().unwrap()));
}

#[test]
fn pods_are_attached_side_by_side() {
    let node = Node::ready();
    let pods: Vec<Pod> = (0..12).map(|number| Pod::new(&format!("pod-{number}"))).collect();
    let attached: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = pods.iter().map(|pod| scope.spawn(|| node.add(pod))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let distinct: BTreeSet<_> = attached.iter().flatten().collect();
    assert_eq!(distinct.len(), 2 * pods.len());
    for (pod, other) in pods.iter().zip(attached.iter().rev()) {
        assert!(other.iter().all(|address| ping(&pod.netns, address)), "{} to {other:?}", pod.container);
    }
    std::thread::scope(|scope| {
        for pod in &pods {
            scope.spawn(|| node.del(&pod.container, &pod.netns.path()));
        }
    });
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
    assert_eq!(node.in_use().0, [0, 0]);
}
