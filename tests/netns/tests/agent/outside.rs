//! Beyond the node: what the node's own routing carries on for a pod.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_host::{AddressSpec, LinkChange, LinkIndex, Route, VethEnd, offload, sysctl};
use sluice_netns::Namespace;

use crate::node::{NETWORKS, Node, Pod, ping, transfer};

/// The node's and the outside's addresses on the wire between them.
const WIRE: [[&str; 2]; 2] = [["192.0.2.1/24", "192.0.2.2/24"], ["2001:db8::1/64", "2001:db8::2/64"]];

/// A host one wire away from the node: MTU 1500, and no segmentation by the device.
fn outside(node: &Node) -> Namespace {
    let outside = Namespace::new("outside");
    let (mut near, mut far) = (node.netns.netlink(), outside.netlink());
    let end = |name| VethEnd { mtu: Some(1500), ..VethEnd::named(name) };
    let wire = near.create_veth(&end("wire0"), &VethEnd { netns: Some(&outside), ..end("wire0") }).unwrap();
    for (netlink, link, side) in [(&mut near, wire.near, 0), (&mut far, wire.far, 1)] {
        let off: Vec<_> = offload::TCP_SEGMENTATION.map(|feature| (feature, false)).into();
        offload::set(netlink, link, &off).unwrap();
        netlink.set_link(link, &LinkChange::up()).unwrap();
        for family in WIRE {
            let net: IpNet = family[side].parse().unwrap();
            netlink.add_address(link, &AddressSpec::with_prefix_route(net)).unwrap();
        }
    }
    back(&mut far, wire.far);
    let on = [("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")];
    sysctl::set_in(&node.netns, &on).unwrap();
    outside
}

/// The way from the outside to the pods.
fn back(netlink: &mut sluice_host::Netlink, link: LinkIndex) {
    for (network, gateway) in NETWORKS.iter().zip(["192.0.2.1", "2001:db8::1"]) {
        let gateway: Option<IpAddr> = Some(gateway.parse().unwrap());
        netlink.add_route(&Route { gateway, link: Some(link), ..Route::to(network.parse().unwrap()) }).unwrap();
    }
}

#[test]
fn a_pod_moves_bulk_data_to_and_from_a_host_beyond_the_node() {
    let node = Node::ready();
    let outside = outside(&node);
    let pod = Pod::new("one");
    let addresses = node.add(&pod);
    for (address, [_, there]) in addresses.into_iter().zip(WIRE) {
        let there = there.parse::<IpNet>().unwrap().addr();
        assert!(ping(&pod.netns, there), "pod to outside {there}");
        transfer(&pod.netns, &outside, there);
        assert!(ping(&outside, address), "outside to pod {address}");
        transfer(&outside, &pod.netns, address);
    }
    let (_, metrics) = node.get("/metrics");
    let cut = metrics.lines().find(|line| line.contains("super_frames_cut") && !line.starts_with('#'));
    assert!(cut.is_some_and(|line| !line.ends_with(" 0")), "no super-frame was cut: {cut:?}");
}
