//! Path MTU discovery, with a tunnel in between.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use serde_json::json;
use sluice_host::{Netlink, Route};
use sluice_netns::wait_for;

use crate::call::{ask, pattern};
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, with_endpoints};
use crate::place::Place;
use crate::server::Server;

/// What a tunnel leaves of the wire's 1500 bytes over IPv4: outer Ethernet's payload less 20 + 8 + 8 + 14.
const INNER: usize = 1450;

/// Headers of IP and UDP.
fn headers(to: SocketAddr) -> usize {
    if to.is_ipv4() { 28 } else { 48 }
}

/// A socket whose packets must not be fragmented, also by its own kernel.
fn unfragmented(place: &Place, to: SocketAddr) -> UdpSocket {
    let socket = place.udp_socket(to, 0);
    let set = if to.is_ipv4() {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DO)
    } else {
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::DO)
    };
    set.expect("a socket can be told so");
    socket
}

/// What the sender's own kernel says of a datagram that makes a packet of `length` bytes.
fn send(socket: &UdpSocket, to: SocketAddr, length: usize) -> Option<Errno> {
    // An ICMP error also stays with the socket until it is asked for; only the path MTU that the kernel keeps counts here.
    socket.take_error().expect("a socket has no error or one");
    let error = socket.send(&pattern(length - headers(to))).err()?;
    error.raw_os_error().map(Errno::from_raw_os_error)
}

/// Asserts that the sender hears that its packets are too long, and that what just fits arrives.
fn discovers(place: &Place, to: SocketAddr) {
    let socket = unfragmented(place, to);
    assert_eq!(send(&socket, to, 1480), None, "{}: its own kernel knows nothing of the tunnel yet", place.name);
    wait_for(&format!("{} to hear of the tunnel on the way to {to}", place.name), || {
        (send(&socket, to, 1480) == Some(Errno::MSGSIZE)).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(send(&socket, to, INNER + 1), Some(Errno::MSGSIZE), "{to}: one byte too long");
    // The answer is longer than the question by the greeting, so another kernel fragments it.
    wait_for(&format!("what just fits to be answered by {to}"), || {
        socket.take_error().expect("a socket has no error or one");
        ask(&socket, &pattern(INNER - headers(to)), Duration::from_secs(2)).ok()
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Makes a pod forget what its routes say of the path MTU, as an operator's own routes would not say it.
fn forget_path_mtu(pod: &Place) {
    let mut netlink = Netlink::open_in(&pod.netns).expect("netlink");
    let routes = netlink.routes().expect("readable");
    for route in routes.into_iter().filter(|route| route.mtu.is_some()) {
        netlink.replace_route(&Route { mtu: Some(1500), advmss: None, ..route }).expect("a route can be replaced");
    }
}

#[test]
fn path_mtu_discovery_works_from_pods_and_from_outside_through_services_and_the_tunnel() {
    let cluster = Cluster::up("pmtu");
    let web_b = cluster.pod("web-b");
    let _server = Server::start(&web_b, PORT);
    let service = node_port_service("web", 80, 30080, &json!({}));
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&web_b, "node-b")]));
    let (client, outside) = (cluster.pod("client"), cluster.outside());
    forget_path_mtu(&client);
    for family in 0..2 {
        let (vip, node_port) = (frontends(80, 80)[family], cluster.node("node-a").at(30080)[family]);
        client.await_tcp(vip);
        outside.await_tcp(node_port);
        for (place, to) in [(&client, vip), (&client, web_b.at(PORT)[family]), (&outside, node_port)] {
            discovers(place, to);
        }
    }
    // Each was told of one packet at least.
    cluster.await_drops("node-a", "too_big", 6);
}
