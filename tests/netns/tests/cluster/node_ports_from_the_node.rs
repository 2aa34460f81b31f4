//! NodePorts that a node's own programs ask for at the node's own addresses, and those that they answer.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use serde_json::json;
use sluice_host::{AddressSpec, Netlink};
use sluice_lab::UPLINK;
use sluice_packets::{Ethernet, Ip, Segment};
use sluice_wire::MacAddr;
use sluice_wire::tcp::flag;

use crate::call::{Failed, ask, pattern};
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, node_port_service, with_endpoints};
use crate::outage::kill_agent;
use crate::place::Place;
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
            let answer = ask(&node.udp_socket(to, 0), &pattern(3000), Duration::from_secs(2));
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

/// A Service of policy Local whose endpoint is the node `node-a`, at a node port.
fn keeping_clients(cluster: &Cluster, number: u8, node_port: u16) {
    let service = node_port_service("api", number, node_port, &json!({ "externalTrafficPolicy": "Local" }));
    cluster.apply("api", &with_endpoints(service, &[Endpoint::ready(&cluster.node("node-a"), "node-a")]));
}

/// Sends a segment with numbers of no connection, as somebody else would send it under the address of `place`.
fn forge(place: &Place, source_port: u16, to: SocketAddr, flags: u8) {
    let link = Ethernet::new(MacAddr([2; 6]), MacAddr([4; 6]));
    let (ip, header, family) = match (place.like(to), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (Ip::v4(link, from, to), 14 + 20, AddressFamily::Inet),
        (IpAddr::V6(from), IpAddr::V6(to)) => (Ip::v6(link, from, to), 14 + 40, AddressFamily::Inet6),
        _ => unreachable!("a place has an address of each family"),
    };
    let segment = Segment { flags, sequence: 77, ..Segment::data(source_port, to.port()) };
    let segment = &ip.tcp(&segment, b"")[header..];
    let raw = || socket(family, SockType::Raw, SockFlag::empty(), SockProtocol::Tcp);
    let raw = UdpSocket::from(place.inside(raw).expect("a raw socket"));
    assert_eq!(raw.send_to(segment, (to.ip(), 0)).expect("the kernel sends it"), segment.len());
}

#[test]
fn a_packet_under_a_client_s_address_does_not_end_its_connection_to_a_node() {
    let cluster = Cluster::up("npforged");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let _server = Server::start(&node, PORT);
    keeping_clients(&cluster, 55, 30055);
    for (to, direct) in node.at(30055).into_iter().zip(node.at(PORT)) {
        outside.await_tcp(to);
        // By the Service and past it; what is forged comes the other way.
        for (used, other) in [(to, direct), (direct, to)] {
            let mut connection = outside.connect(used).expect("the node listens");
            let port = connection.answer.seen.port();
            assert_eq!(connection.answer.seen.ip(), outside.like(to), "nobody hides the client");
            for flags in [flag::ACK, flag::ACK | flag::PSH, flag::SYN, flag::RST | flag::ACK, flag::ACK] {
                forge(&outside, port, other, flags);
                for _ in 0..5 {
                    let exchanged = connection.exchange(&[flags; 3000]);
                    exchanged.unwrap_or_else(|error| panic!("{used}, after flags {flags:#x} to {other}: {error}"));
                }
            }
        }
    }
}

#[test]
fn a_server_on_the_node_may_be_the_first_to_speak_after_the_daemon_was_killed() {
    let cluster = Cluster::up("npfirst");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let listeners = node.at(PORT).map(|at| node.inside(|| TcpListener::bind(at)).expect("the port is free"));
    keeping_clients(&cluster, 56, 30056);
    let connect = |to: SocketAddr| {
        let tried = || outside.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(5))).ok();
        sluice_netns::wait_for("the Service to be in force", tried).unwrap_or_else(|error| panic!("{to}: {error}"))
    };
    let pairs = node.at(30056).into_iter().zip(&listeners).map(|(to, listener)| {
        let client = connect(to);
        let (server, seen) = listener.accept().expect("it is connected");
        assert_eq!(seen, client.local_addr().expect("it is connected"), "nobody hides the client");
        (to, client, server)
    });
    let pairs: Vec<_> = pairs.collect();
    kill_agent(&cluster, "node-a");
    cluster.repair();
    for (to, mut client, mut server) in pairs {
        drop(connect(to));
        server.write_all(b"first").expect("it is connected");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has timeouts");
        let mut heard = [0; 5];
        client.read_exact(&mut heard).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!(&heard, b"first", "{to}");
    }
}
