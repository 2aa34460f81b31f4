//! The node's end of the host port, `sluice_host`.

use std::net::IpAddr;
use std::process::Command;

use ipnet::IpNet;
use serde_json::json;
use sluice_host::sysctl;
use sluice_netns::wait_for;

use crate::driver::Cluster;
use crate::node::{NETWORKS, Node, Pod, ping};
use crate::objects::{Endpoint, PORT, node_port_service, with_endpoints};
use crate::server::Server;

const STACK_END: &str = "sluice_host";

/// Runs ip(8) in the node's namespace; what it printed.
fn ip(node: &Node, arguments: &str) -> String {
    let output = node.netns.output(Command::new("ip").args(arguments.split(' '))).expect("ip starts");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Taken out: `rp_filter` of the device set to 2.
#[test]
fn a_strict_reverse_path_filter_on_the_node_stops_nothing_that_the_switch_gives_to_it() {
    let cluster = Cluster::up("rpfilter");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    sysctl::set_in(&node.netns, &[("net/ipv4/conf/all/rp_filter", "1")]).expect("a setting");
    let _servers = [Server::start(&node, PORT), Server::start(&node, PORT + 1)];
    // A Service that leads to the node itself, and fragments, which all go through the switch while a node port is there: the
    // source lies beyond the uplink, and comes by the host port.
    let service = node_port_service("api", 43, 30043, &json!({ "externalTrafficPolicy": "Local" }));
    cluster.apply("api", &with_endpoints(service, &[Endpoint::ready(&node, "node-a")]));
    let [to, _] = node.at(30043);
    assert_eq!(outside.await_tcp(to).seen.ip(), outside.like(to));
    let [direct, _] = node.at(PORT + 1);
    assert_eq!(outside.udp(direct, 5000).server, "node-a");
}

/// Taken out: link-local addresses spared when those of earlier podCIDRs are taken away.
#[test]
fn the_link_local_address_stays_when_the_nodes_addresses_among_its_pods_change() {
    let node = Node::ready();
    let has_one = || ip(&node, "-6 addr show dev sluice_host scope link").contains("fe80:");
    wait_for("the kernel's link-local address", || has_one().then_some(())).expect("one");
    node.write_node(&["10.244.9.0/24", "fd00:9::/64"]);
    let moved = || {
        let addresses = ip(&node, "-6 addr show dev sluice_host");
        // The new one is there before the old one goes.
        (addresses.contains("fd00:9::") && !addresses.contains("fd00:1::")).then_some(addresses)
    };
    let addresses = wait_for("the node's new address alone", moved).expect("followed");
    assert!(has_one(), "{addresses}");
}

/// Taken out: the sizes given to the host port with `superFrames: off` (made with room for super-frames).
#[test]
fn without_super_frames_the_host_port_takes_what_the_path_takes() {
    let mut node = Node::new(&NETWORKS);
    node.start(&["--super-frames", "off"]);
    let pod = Pod::new("pod");
    let addresses = node.add(&pod);
    let mut netlink = node.netns.netlink();
    for device in [STACK_END, "sluice_port"] {
        assert_eq!(netlink.link_by_name(device).expect("it is there").mtu, 1500, "{device}");
    }
    crate::node::transfer(&node.netns, &pod.netns, addresses[0]);
}

/// Taken out: the look whether somebody else has a route to there.
#[test]
fn a_route_of_somebody_elses_to_the_service_range_stays_theirs() {
    let mut node = Node::new(&NETWORKS);
    ip(&node, "link set lo up");
    ip(&node, "route add 10.96.0.0/16 dev lo proto static");
    node.start(&["--services-cidrs", "10.96.0.0/16,10.98.0.0/16"]);
    let range = |text: &str| text.parse::<IpNet>().expect("a network");
    let ways = |node: &Node, to: IpNet| -> Vec<String> {
        let routes = ip(node, &format!("route show table all exact {to}"));
        routes.lines().map(str::to_owned).collect()
    };
    let ours = wait_for("the route to the other range", || {
        let ways = ways(&node, range("10.98.0.0/16"));
        (!ways.is_empty()).then_some(ways)
    })
    .expect("led to the switch");
    assert!(ours.len() == 1 && ours[0].contains(STACK_END), "{ours:?}");
    let theirs = ways(&node, range("10.96.0.0/16"));
    assert!(theirs.len() == 1 && theirs[0].contains("dev lo proto static"), "{theirs:?}");
    let said = || node.log().contains("a route of its own").then_some(());
    wait_for("the log to tell of it", said).unwrap_or_else(|error| panic!("{error}\n{}", node.log()));
    assert!(node.end(nix::sys::signal::Signal::SIGTERM).success());
    assert_eq!(ways(&node, range("10.96.0.0/16")), theirs, "it stays when the agent goes");
    assert_eq!(ways(&node, range("10.98.0.0/16")), Vec::<String>::new());
}

/// The gateway answers on the host port also by its link-local address, for which the one above is needed.
#[test]
fn the_node_reaches_the_gateway_by_its_link_local_address() {
    let node = Node::ready();
    let gateway: IpAddr = "fe80::1".parse().expect("an address");
    wait_for("the link-local address to be usable", || {
        ping(&node.netns, format!("{gateway}%{STACK_END}")).then_some(())
    })
    .expect("the gateway answers");
}
