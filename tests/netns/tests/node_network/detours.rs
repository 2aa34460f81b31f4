//! Packets of the node's own that go by the switch, and those that must not.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use serde_json::{Value, json};
use sluice_netns::wait_for;
use sluice_packets::{Ethernet, Ip, fragment};
use sluice_wire::MacAddr;

use crate::call::{ask, pattern};
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, node_port_service, with_endpoints};
use crate::place::Place;
use crate::server::Server;

/// A Service of policy Local whose endpoint is the node `node-a`, at a node port.
fn keeping_clients(cluster: &Cluster, node_port: u16) {
    let service = node_port_service("api", 47, node_port, &json!({ "externalTrafficPolicy": "Local" }));
    cluster.apply("api", &with_endpoints(service, &[Endpoint::ready(&cluster.node("node-a"), "node-a")]));
}

/// Whom the server at `to` sees, asked by a long datagram from one port.
fn asked_from(place: &Place, port: u16, to: SocketAddr) -> SocketAddr {
    let socket = place.udp_socket(to, port);
    let answer = wait_for(&format!("{to} to answer 5000 bytes"), || {
        ask(&socket, &pattern(5000), Duration::from_secs(2)).ok().filter(|answer| answer.server == "node-a")
    });
    answer.unwrap_or_else(|error| panic!("{error}")).seen
}

/// The uplink's program takes all fragments, so that the switch has these too and gives them back.
#[test]
fn a_datagram_in_fragments_is_answered_by_the_service_and_directly_by_turns() {
    let cluster = Cluster::up("byturns");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let _server = Server::start(&node, PORT);
    keeping_clients(&cluster, 30047);
    for (to, direct) in node.at(30047).into_iter().zip(node.at(PORT)) {
        outside.await_tcp(to);
        let client = SocketAddr::new(outside.like(to), 40_047);
        for used in [direct, to, direct, to] {
            assert_eq!(asked_from(&outside, 40_047, used), client, "{used}");
        }
        assert_eq!(asked_from(&outside, 40_048, direct), SocketAddr::new(outside.like(to), 40_048));
    }
}

/// One counter of the flows with endpoints that are the node.
fn flows(cluster: &Cluster, name: &str) -> u64 {
    cluster.status("node-a")["detours"]["flows"][name].as_u64().expect("a counter")
}

/// Connects until the Service is in force; both ends.
fn connected(outside: &Place, to: SocketAddr, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let tried = || outside.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(5))).ok();
    let client = wait_for("the Service to be in force", tried).unwrap_or_else(|error| panic!("{to}: {error}"));
    let (server, seen) = listener.accept().expect("it is connected");
    assert_eq!(seen, client.local_addr().expect("it is connected"), "nobody hides the client");
    (client, server)
}

#[test]
fn the_flow_of_a_connection_to_the_node_goes_with_it_whoever_ends_it() {
    let cluster = Cluster::up("flowends");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let listeners = node.at(PORT).map(|at| node.inside(|| TcpListener::bind(at)).expect("the port is free"));
    keeping_clients(&cluster, 30048);
    for (to, listener) in node.at(30048).into_iter().zip(&listeners) {
        let connect = || connected(&outside, to, listener);
        let is_over = |what: &str| {
            let all = || (flows(&cluster, "noted") == flows(&cluster, "ended")).then_some(());
            wait_for(what, all)
                .unwrap_or_else(|error| panic!("{to}: {error}: {}", cluster.status("node-a")["detours"]));
        };
        let (client, mut server) = connect();
        assert!(flows(&cluster, "noted") > flows(&cluster, "ended"), "it goes on");
        drop(client);
        assert_eq!(server.read(&mut [0; 8]).expect("the end"), 0);
        drop(server);
        is_over("a connection that its client ended to be over");
        let (mut client, server) = connect();
        drop(server);
        assert_eq!(client.read(&mut [0; 8]).expect("the end"), 0);
        drop(client);
        is_over("a connection that its server ended to be over");
        let (client, server) = connect();
        rustix::net::sockopt::set_socket_linger(&server, Some(Duration::ZERO)).expect("a setting");
        drop(server);
        is_over("a connection that its server reset to be over");
        drop(client);
        let (client, server) = connect();
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("a setting");
        drop(client);
        is_over("a connection that its client reset to be over");
        drop(server);
    }
    let status: Value = cluster.status("node-a");
    assert_eq!((&status["detours"]["answersReturn"], &status["detours"]["failure"]), (&json!(true), &Value::Null));
    assert_eq!(flows(&cluster, "evicted"), 0);
}

/// Sends the fragments of a datagram from `node`, which leaves their headers as they are.
fn send_in_fragments(node: &Place, from: SocketAddr, to: SocketAddr, identification: u32) {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.ip(), to.ip()) else { unreachable!("IPv4") };
    let link = Ethernet::new(MacAddr([2; 6]), MacAddr([4; 6]));
    let frame = Ip::v4(link, source, destination).udp(from.port(), to.port(), &pattern(2000));
    let raw = || socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw);
    let raw = UdpSocket::from(node.inside(raw).expect("a raw socket"));
    for piece in fragment::split(&frame, 1500, identification) {
        let packet = &piece[14..];
        assert_eq!(raw.send_to(packet, (to.ip(), 0)).expect("the kernel sends it"), packet.len());
    }
}

/// Identifications of IPv4 begin anew after 65,536 datagrams.
#[test]
fn a_datagram_of_the_nodes_own_does_not_follow_one_of_earlier_with_its_identification() {
    let cluster = Cluster::up("sameid");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let _server = Server::start(&node, PORT);
    keeping_clients(&cluster, 30049);
    let (to, endpoint) = (node.at(30049)[0], node.at(PORT)[0]);
    outside.await_tcp(to);
    let client = outside.udp_socket(to, 40_049);
    ask(&client, b"anyone?", Duration::from_secs(10)).expect("an answer");
    let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 40_050);
    let other = outside.inside(|| UdpSocket::bind(other)).expect("the port is free");
    for socket in [&client, &other] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has timeouts");
    }
    let at = |port| SocketAddr::new(outside.like(to), port);
    let mut heard = [0; 4096];
    // By the switch, as it is an answer of the endpoint's.
    send_in_fragments(&node, endpoint, at(40_049), 7);
    assert_eq!(client.recv(&mut heard).expect("the answer, whole"), 2000);
    // Past it.
    send_in_fragments(&node, SocketAddr::new(endpoint.ip(), 9), at(40_050), 7);
    assert_eq!(other.recv(&mut heard).expect("the datagram, whole"), 2000);
}

/// The map of places of a node's agent, found by its size: `MAX_PLACES` of `detour.bpf.c`.
fn places(cluster: &Cluster, node: &str) -> HashMap<MapData, [u8; 20], u32> {
    let infos = std::fs::read_dir(format!("/proc/{}/fdinfo", cluster.agent(node).pid)).expect("it runs");
    let of = |text: &str, key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim_start_matches(':').trim().parse::<u32>().ok())
    };
    let texts = infos.filter_map(|info| std::fs::read_to_string(info.ok()?.path()).ok());
    let is_it = |text: &String| (of(text, "key_size"), of(text, "max_entries")) == (Some(20), Some(131_072));
    let id = texts.filter(is_it).find_map(|text| of(&text, "map_id"));
    let data = MapData::from_id(id.expect("the agent has the map")).expect("the kernel gives it");
    HashMap::try_from(Map::HashMap(data)).expect("a hash map")
}

/// A place of no kind that there is.
fn nowhere(number: u32) -> [u8; 20] {
    let mut place = [0xff; 20];
    place[..4].copy_from_slice(&number.to_ne_bytes());
    place
}

#[test]
fn a_place_that_the_kernel_did_not_take_is_tried_again_and_clients_are_hidden_until_then() {
    let cluster = Cluster::up("noplace");
    let (node, outside) = (cluster.node("node-a"), cluster.outside());
    let _server = Server::start(&node, PORT);
    let mut places = places(&cluster, "node-a");
    let full = (0..200_000).find(|number| places.insert(nowhere(*number), 0, 0).is_err()).expect("it is full some day");
    keeping_clients(&cluster, 30046);
    let [to, _] = node.at(30046);
    let says = |what: &str, returns: bool| {
        let is_so = || {
            let detours = cluster.status("node-a")["detours"].clone();
            (detours["answersReturn"] == returns && detours["failure"].is_null() == returns).then_some(())
        };
        wait_for(what, is_so).unwrap_or_else(|error| panic!("{error}: {}", cluster.status("node-a")["detours"]));
    };
    let sees = |what: &str, itself: bool| {
        let seen = || (outside.await_tcp(to).seen.ip() == outside.like(to)).eq(&itself).then_some(());
        wait_for(what, seen).unwrap_or_else(|error| panic!("{error}"));
    };
    says("the status to tell of places that are not there", false);
    sees("the client to be hidden", false);
    for number in 0..full.min(100) {
        places.remove(&nowhere(number)).expect("it is there");
    }
    says("the places to be there without anything else that changes", true);
    sees("the client to be seen", true);
}
