//! Requests that cannot be carried out, and that nothing is left of them.

use serde_json::json;
use sluice_cni_protocol::{CniError, code};
use sluice_host::{Netns, VethEnd};

use crate::node::{NETWORKS, Node, Pod, ping};

#[test]
fn a_second_add_for_a_container_is_refused_and_harms_nothing() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    let before = node.in_use();
    let refused = node.refused("pod", &pod.netns.path(), "eth0");
    assert_eq!(refused.code, code::ALREADY_ATTACHED);
    assert!(refused.msg.contains("pod/eth0"), "{refused}");
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    assert!(ping(&node.netns, addresses[0]));
}

#[test]
fn a_taken_interface_name_is_refused_and_what_has_it_is_left() {
    let node = Node::ready();
    let before = node.in_use();
    let pod = Pod::new("pod");
    let mut inside = pod.netns.netlink();
    inside.create_veth(&VethEnd::named("eth0"), &VethEnd::named("other")).unwrap();
    let refused = node.refused("pod", &pod.netns.path(), "eth0");
    assert_eq!(refused.code, code::INTERFACE_EXISTS);
    assert!(refused.msg.contains("eth0") && refused.msg.contains(&pod.netns.path()), "{refused}");
    assert!(inside.find_link("eth0").unwrap().is_some());
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
    // A runtime calls DEL after a failed ADD; that must not touch what was there.
    node.del("pod", &pod.netns.path());
    assert!(inside.find_link("eth0").unwrap().is_some());
}

#[test]
fn paths_that_are_no_namespace_of_a_pod_are_refused() {
    let node = Node::ready();
    let before = node.in_use();
    let own = node.netns.path();
    for (path, wanted) in [
        ("/run/netns/slutest-nowhere", code::UNKNOWN_CONTAINER),
        ("/etc/hostname", code::INVALID_ENVIRONMENT),
        ("/proc/self/ns/mnt", code::INVALID_ENVIRONMENT),
        (own.as_str(), code::INVALID_ENVIRONMENT),
    ] {
        let refused = node.refused("pod", path, "eth0");
        assert_eq!(refused.code, wanted, "{path}: {refused}");
        assert!(refused.msg.contains(path), "{refused}");
    }
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
}

#[test]
fn a_full_range_is_refused_until_there_is_room() {
    let mut node = Node::new(&["10.244.1.0/29"]);
    node.start(&[]);
    let pods: Vec<Pod> = (0..6).map(|number| Pod::new(&format!("pod-{number}"))).collect();
    pods[..5].iter().for_each(|pod| drop(node.add(pod)));
    let before = node.in_use();
    let refused = node.refused("pod-5", &pods[5].netns.path(), "eth0");
    assert_eq!(refused.code, code::TRY_AGAIN_LATER);
    assert!(refused.msg.contains("10.244.1.0/29"), "{refused}");
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    node.del("pod-0", &pods[0].netns.path());
    let addresses = node.add(&pods[5]);
    assert!(ping(&pods[1].netns, addresses[0]));
}

#[test]
fn a_namespace_that_vanishes_during_add_leaves_nothing() {
    let node = Node::ready();
    let before = node.in_use();
    for round in 0..10 {
        let container = format!("pod-{round}");
        let pod = Pod::new(&container);
        let path = pod.netns.path();
        let added = std::thread::scope(|scope| {
            let call = scope.spawn(|| node.plugin("ADD", &container, &path, "eth0"));
            Netns::delete(pod.netns.name()).unwrap();
            call.join().unwrap()
        });
        if !added.status.success() {
            let refused: CniError = serde_json::from_slice(&added.stdout).unwrap();
            assert_eq!(refused.code, code::UNKNOWN_CONTAINER, "{refused}");
            assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
        }
        drop(pod);
        node.del(&container, &path);
    }
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
}

#[test]
fn a_pod_whose_namespace_went_first_is_detached_all_the_same() {
    let node = Node::ready();
    let before = node.in_use();
    let pod = Pod::new("pod");
    let path = pod.netns.path();
    node.add(&pod);
    drop(pod);
    node.del("pod", &path);
    assert!(node.uses_no_more_than(&before), "{:?} after {before:?}", node.in_use());
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
}

#[test]
fn pods_beyond_the_packet_memory_are_refused_with_the_remedy_until_there_is_room() {
    let mut node = Node::new(&NETWORKS);
    node.start(&["--umem-frames", "1024"]);
    let pods: Vec<Pod> = (0..60).map(|number| Pod::new(&format!("pod-{number}"))).collect();
    let plugin = |pod: &Pod| node.plugin("ADD", &pod.container, &pod.netns.path(), "eth0");
    // Side by side, for they all look at the same frames.
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = pods.iter().map(|pod| scope.spawn(|| plugin(pod))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let (attached, refused): (Vec<_>, Vec<_>) =
        pods.iter().zip(&outputs).partition(|(_, output)| output.status.success());
    assert!(!attached.is_empty() && !refused.is_empty(), "{} attached", attached.len());
    for (_, output) in &refused {
        let refused: CniError = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(refused.code, code::TRY_AGAIN_LATER);
        assert!(refused.msg.contains("umemFrames") && refused.msg.contains("of 1024 frames"), "{refused}");
    }
    // Nothing is left of the refused ones, and the others talk.
    assert_eq!(node.devices().len(), 2 + attached.len());
    let status = node.status();
    assert_eq!(status["frames"]["total"], 1024);
    for network in status["podCIDRs"].as_array().unwrap() {
        assert_eq!((&network["inUse"], &network["cooling"]), (&json!(attached.len()), &json!(0)));
    }
    let (inside, _) = attached[0];
    for attachment in status["attachments"].as_array().unwrap() {
        assert!(ping(&inside.netns, attachment["addresses"][0].as_str().unwrap()));
    }
    let (late, _) = refused[0];
    attached.iter().for_each(|(pod, _)| node.del(&pod.container, &pod.netns.path()));
    let addresses = node.add(late);
    assert!(ping(&node.netns, addresses[0]));
}

#[test]
fn the_last_of_many_adds_and_dels_of_one_container_holds() {
    let node = Node::ready();
    let before = node.in_use();
    let pod = Pod::new("pod");
    let path = pod.netns.path();
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for verb in ["ADD", "DEL", "ADD", "DEL"] {
                let (node, path) = (&node, &path);
                scope.spawn(move || {
                    let output = node.plugin(verb, "pod", path, "eth0");
                    let code = || serde_json::from_slice::<CniError>(&output.stdout).unwrap().code;
                    assert!(output.status.success() || (verb, code()) == ("ADD", code::ALREADY_ATTACHED), "{output:?}");
                });
            }
        });
        node.del("pod", &path);
        assert_eq!(node.in_use().0, before.0);
        assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
    }
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]));
}

#[test]
fn a_del_of_a_name_with_the_hash_of_another_does_not_touch_that_ones_device() {
    // The hashes of these two agree in all bits that a device's name has.
    let (one, two) = ("c102288", "c9839957");
    let node = Node::ready();
    let (pod, other) = (Pod::new(one), Pod::new(two));
    let addresses = node.add(&pod);
    let refused = node.refused(two, &other.netns.path(), "eth0");
    assert!(refused.msg.contains(one), "{refused}");
    // As a runtime does after an ADD that failed.
    node.del(two, &other.netns.path());
    assert!(addresses.iter().all(|address| ping(&node.netns, address)));
    node.del(one, &pod.netns.path());
    node.add(&other);
}
