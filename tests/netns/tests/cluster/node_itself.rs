//! What concerns the nodes' own addresses and devices: Services that lead to a node, addresses that are a node's and a
//! Service's, an uplink that changes.

use serde_json::json;
use sluice_host::{AddressSpec, LinkChange, Netlink, Route, VethEnd};
use sluice_lab::UPLINK;
use sluice_netns::wait_for;

use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, service, with_endpoints};
use crate::place::Place;
use crate::server::Server;
use crate::services::{both, serve_web};

#[test]
fn a_service_whose_endpoint_is_a_node_is_reached_from_everywhere_and_from_that_node() {
    let cluster = Cluster::up("tonode");
    let node = cluster.node("node-a");
    let _server = Server::start(&node, PORT);
    let service = node_port_service("api", 40, 30040, &json!({}));
    cluster.apply("api", &with_endpoints(service, &[Endpoint::ready(&node, "node-a")]));
    let inside = [cluster.pod("client"), cluster.pod("other"), cluster.node("node-a"), cluster.node("node-b")];
    for (family, to) in frontends(40, 80).into_iter().enumerate() {
        for place in &inside {
            assert_eq!(place.await_tcp(to).server, "node-a", "{} to {to}", place.name);
            assert_eq!(place.udp(to, 100).server, "node-a", "{} to {to}", place.name);
        }
        for through in ["node-a", "node-b"] {
            let to = cluster.node(through).at(30040)[family];
            assert_eq!(cluster.outside().await_tcp(to).server, "node-a", "the outside to {to}");
        }
    }
}

/// As some write it for load balancers that the nodes themselves play.
#[test]
fn nodes_addresses_as_those_of_a_load_balancer_cut_nobody_off() {
    let cluster = Cluster::up("lbnode");
    let (pods, _servers) = serve_web(&cluster);
    let (here, there) = (cluster.node("node-a"), cluster.node("node-b"));
    let ingress: Vec<_> = here.addresses.iter().chain(&there.addresses).map(|ip| json!({ "ip": ip })).collect();
    let mut balancer = service("web", 41, &json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false }));
    balancer["status"] = json!({ "loadBalancer": { "ingress": ingress } });
    cluster.apply("web", &with_endpoints(balancer, &both(&pods)));
    let outside = cluster.outside();
    for node in [&here, &there] {
        for to in node.at(80) {
            for place in [&outside, &cluster.pod("client")] {
                assert!(place.await_tcp(to).server.starts_with("web-"), "{} to {to}", place.name);
            }
        }
    }
    for (to, other) in there.addresses.into_iter().zip(cluster.pod("other").addresses) {
        assert!(here.pings(to, 3), "the node to the other node, {to}");
        assert!(here.pings(other, 3), "the node to a pod there, {other}");
        assert!(cluster.pod("client").pings(other, 3), "a pod to a pod there, {other}");
    }
}

fn uplink_mtu(node: &Place, mtu: u32) {
    let mut netlink = Netlink::open_in(&node.netns).expect("netlink");
    let link = netlink.link_by_name(UPLINK).expect("the node has one").index;
    netlink.set_link(link, &LinkChange { mtu: Some(mtu), ..LinkChange::default() }).expect("an MTU can be set");
}

#[test]
fn an_uplink_whose_mtu_is_lowered_makes_pods_send_less() {
    let cluster = Cluster::up("lower");
    let (client, web) = (cluster.pod("client"), cluster.pod("web-b"));
    let _server = Server::start(&web, PORT);
    for to in web.at(PORT) {
        client.await_tcp(to);
    }
    // On both: a device drops what is longer than its own MTU.
    for node in ["node-a", "node-b"] {
        uplink_mtu(&cluster.node(node), 1400);
    }
    for to in web.at(PORT) {
        let mut connection = client.connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        wait_for(&format!("a long message to come back from {to}"), || {
            connection.exchange(&[7; 20_000]).ok().or_else(|| {
                connection = client.connect(to).ok()?;
                None
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_node_whose_uplink_is_gone_says_that_it_is_not_ready() {
    let cluster = Cluster::up("gone");
    let node = cluster.node("node-b");
    assert_eq!(cluster.status("node-b")["ready"], true);
    let mut netlink = Netlink::open_in(&node.netns).expect("netlink");
    let link = netlink.link_by_name(UPLINK).expect("the node has one").index;
    netlink.delete_link(link).expect("a veth can be deleted");
    let reason = wait_for("the agent to miss its uplink", || {
        let reasons = cluster.status("node-b")["notReadyBecause"].clone();
        let reasons = reasons.as_array()?.iter().filter_map(|reason| reason.as_str());
        reasons.map(str::to_owned).find(|reason| reason.contains(UPLINK))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(reason.contains("restart sluiced"), "{reason}");
    // Pods of the node go on.
    assert!(cluster.pod("other").pings(cluster.pod("vault").addresses[0], 3));
}

#[test]
fn policy_local_keeps_the_client_of_an_endpoint_that_is_the_node() {
    let cluster = Cluster::up("localkep");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let _server = Server::start(&node, PORT);
    let service = node_port_service("api", 42, 30042, &json!({ "externalTrafficPolicy": "Local" }));
    cluster.apply("api", &with_endpoints(service, &[Endpoint::ready(&node, "node-a")]));
    for (to, direct) in node.at(30042).into_iter().zip(node.at(PORT)) {
        // Datagrams both ways in one piece, and in fragments; super-frames from the node.
        for answer in [outside.await_tcp(to), outside.udp(to, 100), outside.udp(to, 5000)] {
            assert_eq!((answer.server.as_str(), answer.seen.ip()), ("node-a", outside.like(to)), "{to}");
        }
        crate::overlay::transfer(&outside, to, 4 * 1024 * 1024);
        // The same program without the Service, also by a client whose port the Service knows.
        let socket = outside.udp_socket(to, 40_042);
        let silence = std::time::Duration::from_secs(10);
        assert_eq!(crate::call::ask(&socket, b"by the Service", silence).expect("an answer").seen.port(), 40_042);
        drop(socket);
        let socket = outside.udp_socket(direct, 40_042);
        assert_eq!(crate::call::ask(&socket, b"directly", silence).expect("an answer").seen.port(), 40_042);
        assert_eq!(outside.tcp(direct).seen.ip(), outside.like(to));
        // From a pod of the node and from another node, as ever.
        for place in [cluster.pod("client"), cluster.pod("other"), cluster.node("node-a")] {
            assert_eq!(place.await_tcp(to).server, "node-a", "{} to {to}", place.name);
        }
    }
}

/// A network that one node has besides the wire, as for storage. It knows the way back to that node's pods.
fn second_network(cluster: &Cluster, node: &Place) -> Place {
    let host = cluster.outside().netns;
    let mut netlink = Netlink::open_in(&node.netns).expect("netlink");
    let far = VethEnd { netns: Some(&host), ..VethEnd::named("storage") };
    let pair = netlink.create_veth(&VethEnd::named("storage0"), &far).expect("a cable");
    let mut inside = Netlink::open_in(&host).expect("netlink");
    let ends = [["198.18.0.1/24", "198.18.0.2/24"], ["2001:db8:5::1/64", "2001:db8:5::2/64"]];
    let pods = ["10.244.1.0/24", "fd00:10:244:1::/64"];
    let net = |text: &str| text.parse::<ipnet::IpNet>().expect("a prefix");
    netlink.set_link(pair.near, &LinkChange::up()).expect("a device can be up");
    inside.set_link(pair.far, &LinkChange::up()).expect("a device can be up");
    for (ends, pods) in ends.into_iter().zip(pods) {
        let [near, far] = ends.map(net);
        netlink.add_address(pair.near, &AddressSpec::with_prefix_route(near)).expect("a free address");
        inside.add_address(pair.far, &AddressSpec::with_prefix_route(far)).expect("a free address");
        let back = Route { gateway: Some(near.addr()), link: Some(pair.far), ..Route::to(net(pods)) };
        inside.replace_route(&back).unwrap_or_else(|error| panic!("{error}"));
    }
    Place { name: "storage".to_owned(), netns: host, addresses: ends.map(|[_, far]| net(far).addr()) }
}

#[test]
fn pods_reach_a_network_that_the_node_routes_by_another_device() {
    let cluster = Cluster::up("storage");
    let storage = second_network(&cluster, &cluster.node("node-a"));
    let _server = Server::start(&storage, PORT);
    let client = cluster.pod("client");
    for to in storage.at(PORT) {
        // Before the switch has heard of the route, the uplink leads there too, and hides the pod.
        let own = || (client.await_tcp(to).seen.ip() == client.like(to)).then_some(());
        wait_for(&format!("{to} to see the pod's own address"), own).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(client.udp(to, 3000).server, "storage", "{to}");
        crate::overlay::transfer(&client, to, 4 * 1024 * 1024);
    }
}
