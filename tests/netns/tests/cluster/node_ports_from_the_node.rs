//! NodePorts that a node's own programs ask for at the node's own addresses.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;
use sluice_host::{AddressSpec, Netlink};
use sluice_lab::UPLINK;

use crate::call::{Failed, ask, pattern};
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, node_port_service, with_endpoints};
use crate::outage::kill_agent;
use crate::server::Server;
use crate::services::{both, serve_web};

#[test]
fn a_node_reaches_a_node_port_at_its_own_addresses_and_is_answered_from_there() {
    let cluster = Cluster::up("npself");
    reaches_node_ports(&cluster);
    // The loopback device takes datagrams of 64 KB, the way to the endpoint does not: the stack is told, and cuts them then.
    let (client, node) = (cluster.pod("web-b"), cluster.node("node-a"));
    let _server = Server::start(&client, 9000);
    let mut service = node_port_service("long", 58, 30058, &json!({}));
    service["spec"]["ports"][1]["targetPort"] = json!(9000);
    let mut objects = with_endpoints(service, &[Endpoint::ready(&client, "node-b")]);
    objects.iter_mut().skip(1).for_each(|slice| slice["ports"][1]["port"] = json!(9000));
    cluster.apply("long", &objects);
    for to in node.at(30058) {
        sluice_netns::wait_for("a long datagram to be answered", || {
            let answer = ask(&node.udp_socket(to, 0), &pattern(3000), Duration::from_millis(300));
            answer.ok().filter(|answer| answer.server == "web-b")
        })
        .unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}

/// The loopback device hands over segments of 64 KB in any case.
#[test]
fn a_node_reaches_its_node_ports_also_without_super_frames_and_in_native_mode() {
    reaches_node_ports(&Cluster::with("npsmall", &["superFrames=off"], &[]));
    reaches_node_ports(&Cluster::with("npnative", &["xdpMode=native"], &[]));
}

fn reaches_node_ports(cluster: &Cluster) {
    let (pods, _servers) = serve_web(cluster);
    let node = cluster.node("node-a");
    // One endpoint on this node, then one on the other.
    for (number, (pod, there)) in (0_u8..).zip([(&pods[0], "node-a"), (&pods[1], "node-b")]) {
        let service = node_port_service(&format!("web-{number}"), 50 + number, 30050 + u16::from(number), &json!({}));
        cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(pod, there)]));
        for to in node.at(30050 + u16::from(number)) {
            assert_eq!(node.await_tcp(to).server, pod.name, "{to}");
            for length in [100, 1400] {
                assert_eq!(node.udp(to, length).server, pod.name, "{to}, {length} bytes");
            }
            crate::overlay::transfer(&node, to, 4 * 1024 * 1024);
        }
    }
    // Ports that are no Service's stay the node's.
    let _own = Server::start(&node, PORT);
    for to in node.at(PORT) {
        assert_eq!((node.tcp(to).server.as_str(), node.udp(to, 100).server.as_str()), ("node-a", "node-a"), "{to}");
    }
    cluster.withdraw("web");
    for to in node.at(30051) {
        node.await_tcp_fails(to, Failed::Refused);
    }
}

#[test]
fn a_program_of_the_node_that_listens_on_a_node_port_does_not_win_over_the_service() {
    let cluster = Cluster::up("npwin");
    let (pods, _servers) = serve_web(&cluster);
    let node = cluster.node("node-a");
    let _squatter = Server::start(&node, 30052);
    cluster.apply("web", &with_endpoints(node_port_service("web", 52, 30052, &json!({})), &both(&pods)));
    let places = [
        cluster.outside(),
        cluster.pod("client"),
        cluster.pod("other"),
        cluster.node("node-b"),
        cluster.node("node-a"),
    ];
    for to in node.at(30052) {
        for place in &places {
            sluice_netns::wait_for("the Service to be in force", || {
                place.await_tcp(to).server.starts_with("web-").then_some(())
            })
            .unwrap_or_else(|error| panic!("{} to {to}: {error}", place.name));
            let answer = place.udp(to, 100);
            assert!(answer.server.starts_with("web-"), "{} to {to}: {answer:?}", place.name);
        }
    }
}

#[test]
fn a_node_port_is_served_at_an_address_that_the_node_gets_later() {
    let cluster = Cluster::with("nplater", &["services.nodePortAddresses=[\"all\"]"], &[]);
    let (pods, _servers) = serve_web(&cluster);
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    cluster.apply("web", &with_endpoints(node_port_service("web", 53, 30053, &json!({})), &both(&pods)));
    for to in node.at(30053) {
        outside.await_tcp(to);
    }
    let mut netlink = Netlink::open_in(&node.netns).expect("netlink");
    let link = netlink.link_by_name(UPLINK).expect("the node has one").index;
    for (address, length) in [("192.0.2.77", 24), ("2001:db8::77", 64)] {
        let address: IpAddr = address.parse().expect("an address");
        let net = IpNet::new(address, length).expect("a prefix");
        netlink.add_address(link, &AddressSpec::new(net)).expect("an address can be added");
        let to = std::net::SocketAddr::new(address, 30053);
        for place in [&outside, &node, &cluster.pod("client")] {
            let answer = place.await_tcp(to);
            assert!(answer.server.starts_with("web-"), "{} to {to}: {answer:?}", place.name);
        }
    }
}

/// What leads the node's packets away belongs to the daemon's process.
#[test]
fn with_the_daemon_dead_a_node_s_own_program_has_the_port_and_the_service_has_it_again_afterwards() {
    let cluster = Cluster::up("npdead");
    let (pods, _servers) = serve_web(&cluster);
    let node = cluster.node("node-a");
    let _own = Server::start(&node, 30054);
    cluster.apply("web", &with_endpoints(node_port_service("web", 54, 30054, &json!({})), &both(&pods)));
    let by_the_service = |served: bool| {
        for to in node.at(30054) {
            sluice_netns::wait_for("the port to be whose it is", || {
                (node.await_tcp(to).server.starts_with("web-") == served).then_some(())
            })
            .unwrap_or_else(|error| panic!("{to}: {error}"));
        }
    };
    by_the_service(true);
    kill_agent(&cluster, "node-a");
    by_the_service(false);
    cluster.repair();
    by_the_service(true);
}
