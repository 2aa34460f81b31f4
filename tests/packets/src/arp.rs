//! ARP frames.

use std::net::Ipv4Addr;

use sluice_wire::MacAddr;
use sluice_wire::arp::{LEN, Packet, REPLY, REQUEST};
use sluice_wire::ethernet::ethertype;

use crate::Ethernet;

/// A broadcast request: who has `target`, tell `sender_ip`.
pub fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let link = Ethernet::new(sender_mac, MacAddr::BROADCAST);
    message(link, REQUEST, (sender_mac, sender_ip), (MacAddr::ZERO, target))
}

/// A probe for an address that the sender wants for itself (RFC 5227): a request from 0.0.0.0.
pub fn probe(sender_mac: MacAddr, target: Ipv4Addr) -> Vec<u8> {
    request(sender_mac, Ipv4Addr::UNSPECIFIED, target)
}

/// A reply to `target`: `sender` has its address.
pub fn reply(sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Vec<u8> {
    message(Ethernet::new(sender.0, target.0), REPLY, sender, target)
}

/// Any message; for those whose Ethernet addresses and ARP addresses disagree.
pub fn message(link: Ethernet, operation: u16, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Vec<u8> {
    let mut bytes = [0; LEN];
    let mut packet = Packet::init(&mut bytes[..]).expect("the buffer has a message's length");
    packet.set_operation(operation);
    packet.set_sender(sender.0, sender.1);
    packet.set_target(target.0, target.1);
    link.frame(ethertype::ARP, &bytes)
}
