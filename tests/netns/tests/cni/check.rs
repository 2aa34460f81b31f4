//! CHECK after all that can happen to a pod.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};
use sluice_host::{AddressSpec, LinkChange, Route};

use crate::node::{Node, Pod};
use crate::runtime::Call;

fn add(node: &Node, pod: &Pod, version: &str) -> Value {
    Call::new(node, "ADD").about(pod, "eth0").version(version).done()
}

fn check(node: &Node, pod: &Pod, told: &Value) -> Call {
    let version = told["cniVersion"].as_str().expect("a version").to_owned();
    Call::new(node, "CHECK").about(pod, "eth0").version(&version).with("prevResult", told.clone())
}

#[test]
fn a_check_right_after_add_finds_nothing_in_every_version_that_has_it() {
    let node = Node::ready();
    for (number, version) in ["0.4.0", "1.0.0", "1.1.0"].into_iter().enumerate() {
        let pod = Pod::new(&format!("pod-{number}"));
        let told = add(&node, &pod, version);
        assert_eq!(told["cniVersion"], version);
        assert_eq!(check(&node, &pod, &told).done(), Value::Null, "it prints nothing");
    }
    let pod = Pod::new("old");
    let told = add(&node, &pod, "0.3.1");
    let refused = check(&node, &pod, &told).refused();
    assert!(refused.code == 1 && refused.cni_version == "0.3.1" && refused.msg.contains("CHECK"), "{refused}");
}

#[test]
fn what_is_gone_from_the_pod_is_told_and_what_later_plugins_did_is_not() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    let told = add(&node, &pod, "1.1.0");
    let mut inside = pod.netns.netlink();
    let link = inside.link_by_name("eth0").expect("attached").index;
    // A chained plugin's address and route, and a smaller MTU.
    let extra: IpNet = "10.9.0.9/24".parse().expect("a network");
    inside.add_address(link, &AddressSpec::new(extra)).expect("free");
    inside.set_link(link, &LinkChange { mtu: Some(1400), ..LinkChange::default() }).expect("possible");
    check(&node, &pod, &told).done();
    let address: IpNet = told["ips"][0]["address"].as_str().and_then(|net| net.parse().ok()).expect("an address");
    inside.delete_address(link, address).expect("it is there");
    let refused = check(&node, &pod, &told).refused();
    assert!(refused.code == 105 && refused.msg.contains(&address.addr().to_string()), "{refused}");
    inside.add_address(link, &AddressSpec::new(address)).expect("free");
    // The routes went with the address's link state or not; the one to everything surely goes now.
    let default = inside
        .routes()
        .expect("readable")
        .into_iter()
        .find(|route| route.destination.prefix_len() == 0 && route.destination.addr().is_ipv4());
    if let Some(default) = default {
        inside.delete_route(&default).expect("it is there");
    }
    let refused = check(&node, &pod, &told).refused();
    assert!(refused.msg.contains("route to 0.0.0.0/0 via 169.254.1.1"), "{refused}");
    let gateway: IpAddr = "169.254.1.1".parse().expect("an address");
    let restored =
        Route { gateway: Some(gateway), link: Some(link), onlink: true, mtu: Some(1400), ..Route::default_v4() };
    inside.replace_route(&restored).expect("possible");
    check(&node, &pod, &told).done();
    inside.set_link(link, &LinkChange { up: Some(false), ..LinkChange::default() }).expect("possible");
    let refused = check(&node, &pod, &told).refused();
    assert!(refused.code == 105 && refused.msg.contains("eth0 is down"), "{refused}");
}

#[test]
fn a_pod_that_the_switch_does_not_serve_as_told_fails_its_check() {
    let node = Node::ready();
    let (pod, other) = (Pod::new("pod"), Pod::new("other"));
    let told = add(&node, &pod, "1.1.0");
    let theirs = add(&node, &other, "1.1.0");
    let foreign = check(&node, &pod, &theirs).refused();
    assert!(foreign.code == 105 && foreign.msg.contains("prevResult"), "{foreign}");
    let elsewhere = check(&node, &pod, &told).env("CNI_NETNS", &other.netns.path()).refused();
    assert_eq!(elsewhere.code, 105, "{elsewhere}");
    let renamed = check(&node, &pod, &told).with("name", json!("other")).refused();
    assert!(renamed.msg.contains("network sluice and not to other"), "{renamed}");
    let device = told["interfaces"][0]["name"].as_str().expect("a name");
    let mut netlink = node.netns.netlink();
    let link = netlink.link_by_name(device).expect("attached").index;
    netlink.delete_link(link).expect("ours");
    let refused = check(&node, &pod, &told).refused();
    assert!(refused.code == 105 && refused.msg.contains("eth0 is gone"), "{refused}");
    node.del("other", &other.netns.path());
    let unknown = check(&node, &other, &theirs).refused();
    assert!(unknown.code == 105 && unknown.msg.contains("not attached"), "{unknown}");
}

#[test]
fn an_agent_that_is_away_is_no_failed_check_and_after_its_restart_nothing_is_found() {
    let mut node = Node::ready();
    let pod = Pod::new("pod");
    let told = add(&node, &pod, "1.0.0");
    node.end(SIGKILL);
    assert_eq!(check(&node, &pod, &told).refused().code, 11);
    node.start(&[]);
    check(&node, &pod, &told).done();
    // Beside a sidecar of somebody else's making.
    let namespace = check(&node, &pod, &told).env("CNI_NETNS", "/run/netns/slutest-nowhere").refused();
    assert!(namespace.code == 105 && namespace.msg.contains("CNI_NETNS"), "{namespace}");
}
