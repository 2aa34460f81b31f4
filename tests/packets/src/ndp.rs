//! Neighbour discovery frames.

use std::net::Ipv6Addr;

use sluice_wire::icmpv6::kind;
use sluice_wire::ndp::{HEADER_LEN, HOP_LIMIT, LEN_WITH_MAC, Packet, flag};
use sluice_wire::{MacAddr, protocol};

use crate::{Ethernet, Ip};

/// The group a node joins for each of its addresses, where solicitations for it are sent (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let o = address.octets();
    let low = u16::from_be_bytes([o[14], o[15]]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(o[13]), low)
}

/// A solicitation for `target`, sent to its solicited-node group.
pub fn solicit(sender_mac: MacAddr, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let link = Ethernet::new(sender_mac, MacAddr::for_ipv6_multicast(group));
    solicit_to(Ip::v6(link, sender, group), target)
}

/// A solicitation for `target` sent to one known neighbour, to see whether it is still there.
pub fn solicit_unicast(link: Ethernet, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    solicit_to(Ip::v6(link, sender, target), target)
}

fn solicit_to(ip: Ip, target: Ipv6Addr) -> Vec<u8> {
    let mac = ip.link().source;
    message(ip, kind::NEIGHBOUR_SOLICIT, 0, target, Some(mac))
}

/// Duplicate address detection: a solicitation for `target` from the unspecified address, without an option.
pub fn duplicate_address_probe(sender_mac: MacAddr, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let link = Ethernet::new(sender_mac, MacAddr::for_ipv6_multicast(group));
    message(Ip::v6(link, Ipv6Addr::UNSPECIFIED, group), kind::NEIGHBOUR_SOLICIT, 0, target, None)
}

/// An advertisement of `target` by its owner (the link's source address), in answer to `destination`.
pub fn advert(link: Ethernet, target: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let ip = Ip::v6(link, target, destination);
    message(ip, kind::NEIGHBOUR_ADVERT, flag::SOLICITED | flag::OVERRIDE, target, Some(link.source))
}

/// Any message: `mac` goes into the option that belongs to the type. The hop limit becomes 255.
pub fn message(ip: Ip, kind: u8, flags: u8, target: Ipv6Addr, mac: Option<MacAddr>) -> Vec<u8> {
    let length = if mac.is_some() { LEN_WITH_MAC } else { HEADER_LEN };
    let mut bytes = vec![0; length];
    let mut packet = Packet::init(&mut bytes[..], kind, target).expect("a neighbour discovery type");
    packet.set_flags(flags);
    if let Some(mac) = mac {
        packet.set_link(mac);
    }
    let ip = ip.ttl(HOP_LIMIT);
    packet.fill_checksum(ip.pseudo_header(protocol::ICMPV6, length));
    ip.packet(protocol::ICMPV6, &bytes)
}
