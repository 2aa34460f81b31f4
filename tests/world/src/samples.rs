//! A right frame of each kind that the switch does something with, as pod 2 of [`crate::Node::with_pods`] sends it.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_packets::{Ethernet, Ip, Segment, arp, fragment, ndp};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use sluice_wire::protocol;

use crate::Pod;

/// The number of the pod that sends.
pub const SENDER: u8 = 2;
/// The number of a pod that is sent to.
pub const RECEIVER: u8 = 3;
/// A number that no pod has.
const ABSENT: u8 = 99;

fn v4_of(number: u8) -> Ipv4Addr {
    Pod::number(number).v4.expect("a numbered pod has an IPv4 address")
}

fn v6_of(number: u8) -> Ipv6Addr {
    Pod::number(number).v6.expect("a numbered pod has an IPv6 address")
}

/// The beginning of an honest IPv4 packet.
#[must_use]
pub fn from_pod_v4(destination: Ipv4Addr) -> Ip {
    Ip::v4(Ethernet::new(Pod::number(SENDER).mac, GATEWAY_MAC), v4_of(SENDER), destination)
}

/// The beginning of an honest IPv6 packet.
#[must_use]
pub fn from_pod_v6(destination: Ipv6Addr) -> Ip {
    Ip::v6(Ethernet::new(Pod::number(SENDER).mac, GATEWAY_MAC), v6_of(SENDER), destination)
}

/// The frames, with a name each.
#[must_use]
pub fn every_kind() -> Vec<(String, Vec<u8>)> {
    let mac = Pod::number(SENDER).mac;
    let mut frames = Vec::new();
    let mut add = |name: &str, frame: Vec<u8>| frames.push((name.to_owned(), frame));
    add("arp-request", arp::request(mac, v4_of(SENDER), GATEWAY_IPV4));
    add("nd-solicit", ndp::solicit(mac, v6_of(SENDER), GATEWAY_IPV6));
    add("nd-duplicate", ndp::duplicate_address_probe(mac, v6_of(SENDER)));
    let pod_v4 = from_pod_v4(v4_of(RECEIVER));
    let pod_v6 = from_pod_v6(v6_of(RECEIVER));
    add("v4-options", pod_v4.clone().options(&[1; 8]).udp(1, 2, b"data"));
    add("v6-extension", pod_v6.clone().extension(protocol::HOP_BY_HOP, &[]).udp(1, 2, b"data"));
    add("v4-last-hop", pod_v4.clone().ttl(1).udp(1, 2, b"data"));
    add("v6-last-hop", pod_v6.clone().ttl(1).udp(1, 2, b"data"));
    let destinations = [
        ("v4-pod", pod_v4),
        ("v6-pod", pod_v6),
        ("v4-gateway", from_pod_v4(GATEWAY_IPV4)),
        ("v6-gateway", from_pod_v6(GATEWAY_IPV6)),
        ("v4-absent", from_pod_v4(v4_of(ABSENT))),
        ("v6-absent", from_pod_v6(v6_of(ABSENT))),
    ];
    for (destination, ip) in destinations {
        let mut add = |name: &str, frame: Vec<u8>| add(&format!("{destination}-{name}"), frame);
        add("udp", ip.udp(1, 2, b"data"));
        add("tcp", ip.clone().partial().tcp(&Segment::syn(1, 2), b""));
        add("echo", ip.echo_request(1, 2, b"data"));
        add("sctp", ip.packet(protocol::SCTP, &[0; 16]));
        for (at, piece) in fragment::split(&ip.udp(1, 2, &[7; 200]), 120, 9).into_iter().enumerate() {
            add(&format!("fragment-{at}"), piece);
        }
    }
    frames
}
