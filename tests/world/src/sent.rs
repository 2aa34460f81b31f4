//! What a test sends, as a description from which both the frame and the oracle's answer follow.

use std::net::IpAddr;

use sluice_packets::{Ethernet, Ip, Segment};
use sluice_tables::PortId;
use sluice_wire::{MacAddr, protocol};

/// What is inside the IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A UDP datagram.
    Udp,
    /// A TCP segment.
    Tcp,
    /// A TCP segment whose checksum is left to the device.
    TcpPartial,
    /// An echo request.
    EchoRequest,
    /// An echo reply.
    EchoReply,
    /// A "destination unreachable".
    Unreachable,
    /// A protocol that the switch does not know.
    Unknown,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The port it comes from.
    pub port: PortId,
    /// Source MAC.
    pub source_mac: MacAddr,
    /// Destination MAC.
    pub destination_mac: MacAddr,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv4 "don't fragment"; IPv6 has no such bit and is treated as if it had it.
    pub dont_fragment: bool,
    /// What is inside.
    pub content: Content,
    /// Bytes of payload behind the transport header.
    pub payload: usize,
}

impl Sent {
    /// Its bytes.
    ///
    /// # Panics
    /// When the addresses are not of one family.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let link = Ethernet::new(self.source_mac, self.destination_mac);
        let ip = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ip::v4(link, source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Ip::v6(link, source, destination),
            _ => panic!("addresses of two families in one packet"),
        };
        let ip = ip.ttl(self.ttl).dont_fragment(self.dont_fragment);
        let data = sluice_packets::sizes::payload(self.payload);
        match self.content {
            Content::Udp => ip.udp(1000, 2000, &data),
            Content::Tcp => ip.tcp(&Segment::data(1000, 2000), &data),
            Content::TcpPartial => ip.partial().tcp(&Segment::data(1000, 2000), &data),
            Content::EchoRequest => ip.echo_request(7, 8, &data),
            Content::EchoReply => ip.echo_reply(7, 8, &data),
            Content::Unreachable => ip.icmp(if ip.is_v6() { 1 } else { 3 }, 0, 0, &data),
            Content::Unknown => ip.packet(protocol::NO_NEXT_HEADER - 10, &data),
        }
    }

    /// Length of the IP packet, header included.
    #[must_use]
    pub fn ip_len(&self) -> usize {
        let network = if self.source.is_ipv4() { 20 } else { 40 };
        let transport = match self.content {
            Content::Tcp | Content::TcpPartial => 20,
            Content::Unknown => 0,
            _ => 8,
        };
        network + transport + self.payload
    }
}
