//! One right frame of each kind: where mutation tests start from.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_wire::{MacAddr, icmpv4, icmpv6, ipv4, protocol};

use crate::{Ethernet, Ip, Segment, arp, fragment, ndp};

/// The sender's hardware address.
pub const SOURCE_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x01]);
/// The receiver's hardware address.
pub const DESTINATION_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x02]);
/// The link between the two.
pub const LINK: Ethernet = Ethernet::new(SOURCE_MAC, DESTINATION_MAC);
/// The sender's IPv4 address.
pub const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The receiver's IPv4 address.
pub const DESTINATION_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The sender's IPv6 address.
pub const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// The receiver's IPv6 address.
pub const DESTINATION_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// An IPv4 packet from the one to the other.
pub const fn v4() -> Ip {
    Ip::v4(LINK, SOURCE_V4, DESTINATION_V4)
}

/// An IPv6 packet from the one to the other.
pub const fn v6() -> Ip {
    Ip::v6(LINK, SOURCE_V6, DESTINATION_V6)
}

/// Frames of every kind that the switch tells apart, with a name each.
pub fn one_of_each() -> Vec<(String, Vec<u8>)> {
    let gateway_v4 = Ipv4Addr::new(169, 254, 1, 1);
    let gateway_v6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let mut out = Vec::new();
    let mut add = |name: &str, frame: Vec<u8>| out.push((name.to_owned(), frame));
    add("arp-request", arp::request(SOURCE_MAC, SOURCE_V4, gateway_v4));
    add("arp-reply", arp::reply((SOURCE_MAC, SOURCE_V4), (DESTINATION_MAC, DESTINATION_V4)));
    add("arp-probe", arp::probe(SOURCE_MAC, SOURCE_V4));
    add("nd-solicit", ndp::solicit(SOURCE_MAC, SOURCE_V6, gateway_v6));
    add("nd-duplicate", ndp::duplicate_address_probe(SOURCE_MAC, SOURCE_V6));
    add("nd-advert", ndp::advert(LINK, SOURCE_V6, DESTINATION_V6));
    add("vlan", Ip::v4(LINK.vlan(7), SOURCE_V4, DESTINATION_V4).udp(1000, 53, b"tagged"));
    add("v4-options", v4().options(&[1, 1, 1, 7, 4, 0, 0, 0]).udp(1000, 53, b"options"));
    let extended = v6().extension(protocol::HOP_BY_HOP, &[5, 2, 0, 0, 1, 0]);
    let extended = extended.extension(protocol::ROUTING, &[0; 22]).extension(protocol::DESTINATION_OPTIONS, &[]);
    add("v6-extensions", extended.tcp(&Segment::syn(1000, 80), b""));
    for (family, ip) in [("v4", v4()), ("v6", v6())] {
        let mut add = |name: &str, frame: Vec<u8>| add(&format!("{family}-{name}"), frame);
        add("echo-request", ip.echo_request(7, 1, b"abcdefgh"));
        add("echo-reply", ip.echo_reply(7, 1, b"abcdefgh"));
        add("udp", ip.udp(1000, 53, b"some data"));
        add("udp-partial", ip.clone().partial().udp(1000, 53, b"some data"));
        add("tcp-syn", ip.tcp(&Segment::syn(1000, 80), b""));
        add("tcp-partial", ip.clone().partial().tcp(&Segment::data(1000, 80), b"GET /"));
        add("last-hop", ip.clone().ttl(1).udp(1000, 53, b"some data"));
        let whole = ip.udp(1000, 53, &[9; 100]);
        for (at, piece) in fragment::split(&whole, 100, 77).into_iter().enumerate() {
            add(&format!("fragment-{at}"), piece);
        }
        let quoted = ip.udp(1000, 53, b"lost")[sluice_wire::ethernet::HEADER_LEN..].to_vec();
        let kind = if ip.is_v6() { icmpv6::kind::TIME_EXCEEDED } else { icmpv4::kind::TIME_EXCEEDED };
        add("time-exceeded", ip.icmp(kind, 0, 0, &quoted));
    }
    add("other-protocol", v4().packet(protocol::ESP, &[0; ipv4::HEADER_LEN]));
    out
}
