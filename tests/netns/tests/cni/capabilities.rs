//! Addresses, MACs, routes, second interfaces, ports of the node.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};
use sluice_host::{AddressSpec, Netns};

use crate::node::{Node, Pod, ping};
use crate::runtime::Call;

const PATIENCE: Duration = Duration::from_secs(20);

fn add(node: &Node, pod: &Pod, asked: Value) -> Call {
    Call::new(node, "ADD").about(pod, "eth0").with("runtimeConfig", asked)
}

fn address(told: &Value, number: usize) -> IpAddr {
    let net = told["ips"][number]["address"].as_str().expect("an address");
    net.split('/').next().and_then(|address| address.parse().ok()).expect("an address")
}

#[test]
fn an_address_and_a_mac_are_given_as_asked_and_only_once() {
    let node = Node::ready();
    let (pod, other) = (Pod::new("pod"), Pod::new("other"));
    let asked = json!({"ips": ["10.244.1.77/24"], "mac": "0a:58:0a:f4:01:4d"});
    let told = add(&node, &pod, asked.clone()).done();
    assert_eq!(told["interfaces"][1]["mac"], "0a:58:0a:f4:01:4d");
    assert_eq!(
        (address(&told, 0).to_string().as_str(), told["ips"].as_array().map(Vec::len)),
        ("10.244.1.77", Some(2))
    );
    assert!(ping(&node.netns, "10.244.1.77") && ping(&pod.netns, "169.254.1.1"));
    let taken = add(&node, &other, asked).refused();
    assert!(taken.code == 11 && taken.msg.contains("10.244.1.77"), "it may be free later: {taken}");
    for (asked, word) in [
        (json!({"ips": ["192.0.2.9"]}), "192.0.2.9"),
        (json!({"ips": ["10.244.1.1"]}), "10.244.1.1"),
        (json!({"ips": ["10.244.1.8", "10.244.1.9"]}), "each family"),
        (json!({"mac": "01:00:00:00:00:01"}), "mac"),
    ] {
        let refused = add(&node, &other, asked).refused();
        assert!(refused.code == 7 && refused.msg.contains(word), "{refused}");
    }
    assert_eq!(node.in_use().0, [1, 1], "nothing is left of what was refused");
}

#[test]
fn a_second_network_of_multus_leads_to_its_own_networks_alone() {
    let mut node = Node::ready();
    let (pod, peer) = (Pod::new("pod"), Pod::new("peer"));
    // The pod's first interface is another plugin's.
    let mut inside = pod.netns.netlink();
    let first = inside.create_bridge("eth0").expect("free");
    inside.set_link(first, &sluice_host::LinkChange::up()).expect("possible");
    inside
        .add_address(first, &AddressSpec::with_prefix_route("192.0.2.9/24".parse().expect("a network")))
        .expect("free");
    node.add(&peer);
    let second = |verb| {
        Call::new(&node, verb)
            .about(&pod, "net1")
            .with("name", "second".into())
            .with("defaultRoute", false.into())
            .with("routes", json!([{"dst": "10.244.0.0/16"}]))
    };
    let told = second("ADD").done();
    let routes: Vec<&str> =
        told["routes"].as_array().expect("routes").iter().filter_map(|it| it["dst"].as_str()).collect();
    assert_eq!(routes, ["169.254.1.1/32", "10.244.0.0/16"]);
    let default = |inside: &mut sluice_host::Netlink| {
        inside
            .routes()
            .expect("readable")
            .iter()
            .any(|it| it.destination.prefix_len() == 0 && it.kind == sluice_host::RouteKind::Unicast)
    };
    assert!(!default(&mut inside), "no default route");
    let peers = node.status()["attachments"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["containerId"] == "peer")
        .expect("attached")["addresses"][0]
        .as_str()
        .expect("one")
        .to_owned();
    assert!(ping(&pod.netns, &peers));
    second("CHECK").with("prevResult", told.clone()).done();
    // A third one beside it by another name, of the same plugin.
    let third =
        Call::new(&node, "ADD").about(&pod, "net2").with("name", "third".into()).with("defaultRoute", false.into());
    third.done();
    assert_eq!(node.in_use().0, [3, 3]);
    let check = second("CHECK").with("prevResult", told);
    let del = second("DEL");
    node.end(SIGKILL);
    node.start(&[]);
    assert!(!default(&mut inside), "a restart gives it none either");
    check.done();
    del.done();
    assert!(
        inside.find_link("net1").expect("readable").is_none() && inside.find_link("net2").expect("readable").is_some()
    );
}

/// What a TCP server in `pod` at `port` says to a client in `from` that calls `to`, and who that client is to it.
fn call(from: &Netns, to: SocketAddr, pod: &Netns, port: u16) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let listener = pod.run(|| TcpListener::bind((any, port))).expect("entered").expect("free");
    let mut client = from.run(|| TcpStream::connect_timeout(&to, PATIENCE)).expect("entered").ok()?;
    let (mut server, who) = listener.accept().expect("it connected");
    server.write_all(b"here").expect("connected");
    drop(server);
    let mut said = String::new();
    client.set_read_timeout(Some(PATIENCE)).expect("possible");
    client.read_to_string(&mut said).expect("connected");
    assert_eq!(said, "here");
    Some(who.ip())
}

/// Gives the node an address on a device of its own, that its Node object names.
fn with_address(node: &Node) {
    let mut netlink = node.netns.netlink();
    let link = netlink.create_bridge("outside").expect("free");
    netlink.set_link(link, &sluice_host::LinkChange::up()).expect("possible");
    for net in ["198.51.100.1/24", "2001:db8:1::1/64"] {
        netlink.add_address(link, &AddressSpec::new(net.parse().expect("a network"))).expect("free");
    }
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"podCIDRs": crate::node::NETWORKS},
        "status": {"addresses": [{"type": "InternalIP", "address": "198.51.100.1"},
            {"type": "InternalIP", "address": "2001:db8:1::1"}]}});
    let (hidden, file) = (node.path("manifests/.node.json"), node.path("manifests/node.json"));
    std::fs::write(&hidden, object.to_string()).and_then(|()| std::fs::rename(&hidden, &file)).expect("writable");
}

#[test]
fn a_port_of_the_node_leads_to_its_pod_until_that_is_deleted() {
    let mut node = Node::new(&crate::node::NETWORKS);
    with_address(&node);
    node.start(&[]);
    let (web, client, late) = (Pod::new("web"), Pod::new("client"), Pod::new("late"));
    let from = node.add(&client);
    // As containerd writes it.
    let mapping = json!({"portMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}]});
    let told = add(&node, &web, mapping.clone()).done();
    for (to, who) in [("198.51.100.1:8080", from[0]), ("[2001:db8:1::1]:8080", from[1])] {
        let to: SocketAddr = to.parse().expect("an address");
        assert_eq!(call(&client.netns, to, &web.netns, 80), Some(who), "the client keeps its address: {to}");
    }
    let check =
        Call::new(&node, "CHECK").about(&web, "eth0").with("runtimeConfig", mapping.clone()).with("prevResult", told);
    check.done();
    let taken = add(&node, &late, mapping.clone()).refused();
    assert!(taken.code == 107 && taken.msg.contains("8080/TCP") && taken.msg.contains("web/eth0"), "{taken}");
    assert_eq!(node.in_use().0, [2, 2], "nothing is left of it");
    let udp =
        json!({"portMappings": [{"hostPort": 8080, "containerPort": 53, "protocol": "UDP", "hostIP": "198.51.100.1"}]});
    add(&node, &late, udp).done();
    let server = late.netns.run(|| UdpSocket::bind("0.0.0.0:53")).expect("entered").expect("free");
    let asking = client.netns.run(|| UdpSocket::bind("0.0.0.0:0")).expect("entered").expect("free");
    server.set_read_timeout(Some(PATIENCE)).expect("possible");
    asking.send_to(b"hello", "198.51.100.1:8080").expect("it has a route");
    let mut bytes = [0; 16];
    let (length, who) = server.recv_from(&mut bytes).expect("it comes");
    assert_eq!((&bytes[..length], who.ip()), (&b"hello"[..], from[0]));
    drop(server);
    // Over a restart.
    node.end(SIGKILL);
    node.start(&[]);
    let to = "198.51.100.1:8080".parse().expect("an address");
    assert_eq!(call(&client.netns, to, &web.netns, 80), Some(from[0]));
    node.del("late", &late.netns.path());
    node.del("web", &web.netns.path());
    assert_eq!(call(&client.netns, to, &web.netns, 80), None, "it is the node's again, which does not listen");
    add(&node, &late, mapping).done();
    assert_eq!(call(&client.netns, to, &late.netns, 80), Some(from[0]));
}

#[test]
fn ports_that_cannot_be_mapped_are_refused_and_nothing_is_left() {
    let node = Node::ready();
    let pod = Pod::new("pod");
    let one =
        |host_ip: &str, port: u64| json!({"hostPort": port, "containerPort": 80, "protocol": "tcp", "hostIP": host_ip});
    for (mappings, word) in [
        (json!([one("", 80), one("", 80)]), "once"),
        (json!([one("203.0.113.9", 80)]), "203.0.113.9"),
        (json!([one("", 61000)]), "61000"),
        (json!([one("", 0)]), "from 1 to 65535"),
        (json!([one("", 65536)]), "from 1 to 65535"),
        (json!([one("here", 80)]), "hostIP"),
    ] {
        let refused = add(&node, &pod, json!({"portMappings": mappings})).refused();
        assert!(refused.code == 7 && refused.msg.contains(word), "{word}: {refused}");
    }
    for bandwidth in [json!({"ingressRate": 0, "ingressBurst": 0}), json!({"ingressRate": 1e30, "ingressBurst": 1})] {
        let refused = add(&node, &pod, json!({"bandwidth": bandwidth})).refused();
        assert!(refused.code == 7 && refused.msg.contains("bandwidth"), "{refused}");
    }
    assert_eq!((node.in_use().0, node.devices().len()), (vec![0, 0], 2));
}
