//! ICMP, UDP and TCP inside an [`Ip`].

use sluice_wire::{icmpv4, icmpv6, protocol, tcp, udp};

use crate::Ip;

/// A TCP header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags (see [`sluice_wire::tcp::flag`]).
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Options; padded with "end of options" to a multiple of 4, 40 bytes at most.
    pub options: Vec<u8>,
}

impl Segment {
    /// A segment of an established connection.
    pub fn data(source_port: u16, destination_port: u16) -> Self {
        let flags = tcp::flag::ACK | tcp::flag::PSH;
        Self { source_port, destination_port, sequence: 1, acknowledgement: 1, flags, window: 512, options: Vec::new() }
    }

    /// The first segment of a connection, with a maximum segment size of 1460.
    pub fn syn(source_port: u16, destination_port: u16) -> Self {
        let options = vec![2, 4, 0x05, 0xb4];
        Self { source_port, destination_port, flags: tcp::flag::SYN, window: 64_240, options, ..Self::default() }
    }
}

impl Ip {
    /// An echo request, ICMPv4 or ICMPv6 as the addresses are.
    pub fn echo_request(&self, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
        let kind = if self.is_v6() { icmpv6::kind::ECHO_REQUEST } else { icmpv4::kind::ECHO_REQUEST };
        self.icmp(kind, 0, u32::from(identifier) << 16 | u32::from(sequence), data)
    }

    /// An echo reply, ICMPv4 or ICMPv6 as the addresses are.
    pub fn echo_reply(&self, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
        let kind = if self.is_v6() { icmpv6::kind::ECHO_REPLY } else { icmpv4::kind::ECHO_REPLY };
        self.icmp(kind, 0, u32::from(identifier) << 16 | u32::from(sequence), data)
    }

    /// Any ICMP message, ICMPv4 or ICMPv6 as the addresses are; `rest` is the four bytes after the checksum, `data`
    /// what follows them (for an error, the packet it quotes, from its IP header on).
    pub fn icmp(&self, kind: u8, code: u8, rest: u32, data: &[u8]) -> Vec<u8> {
        if self.is_v6() { self.icmp_v6(kind, code, rest, data) } else { self.icmp_v4(kind, code, rest, data) }
    }

    fn icmp_v4(&self, kind: u8, code: u8, rest: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; icmpv4::HEADER_LEN + data.len()];
        let mut packet = icmpv4::Packet::init(&mut bytes[..]).expect("room for the header was just made");
        packet.set_kind(kind, code);
        packet.set_rest(rest);
        packet.payload_mut().copy_from_slice(data);
        packet.fill_checksum();
        // ICMPv4 has no pseudo-header: a partial checksum starts from nothing.
        packet.set_checksum(self.checksum_field(packet.checksum(), Default::default()));
        self.packet(protocol::ICMPV4, &bytes)
    }

    fn icmp_v6(&self, kind: u8, code: u8, rest: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; icmpv6::HEADER_LEN + data.len()];
        let pseudo = self.pseudo_header(protocol::ICMPV6, bytes.len());
        let mut packet = icmpv6::Packet::init(&mut bytes[..]).expect("room for the header was just made");
        packet.set_kind(kind, code);
        packet.set_rest(rest);
        packet.payload_mut().copy_from_slice(data);
        packet.fill_checksum(pseudo);
        packet.set_checksum(self.checksum_field(packet.checksum(), pseudo));
        self.packet(protocol::ICMPV6, &bytes)
    }

    /// A UDP datagram.
    pub fn udp(&self, source_port: u16, destination_port: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; udp::HEADER_LEN + data.len()];
        let pseudo = self.pseudo_header(protocol::UDP, bytes.len());
        let mut packet = udp::Packet::init(&mut bytes[..]).expect("a length that UDP can say");
        packet.set_source_port(source_port);
        packet.set_destination_port(destination_port);
        packet.payload_mut().copy_from_slice(data);
        packet.fill_checksum(pseudo);
        packet.set_checksum(self.checksum_field(packet.checksum(), pseudo));
        self.packet(protocol::UDP, &bytes)
    }

    /// A TCP segment.
    pub fn tcp(&self, segment: &Segment, data: &[u8]) -> Vec<u8> {
        let options_len = segment.options.len().next_multiple_of(4);
        let header_len = tcp::HEADER_LEN + options_len;
        let mut bytes = vec![0; header_len + data.len()];
        let pseudo = self.pseudo_header(protocol::TCP, bytes.len());
        let mut packet = tcp::Packet::init(&mut bytes[..], header_len).expect("at most 40 bytes of options");
        packet.set_source_port(segment.source_port);
        packet.set_destination_port(segment.destination_port);
        packet.set_sequence(segment.sequence);
        packet.set_acknowledgement(segment.acknowledgement);
        packet.set_flags(segment.flags);
        packet.set_window(segment.window);
        packet.options_mut()[..segment.options.len()].copy_from_slice(&segment.options);
        packet.payload_mut().copy_from_slice(data);
        packet.fill_checksum(pseudo);
        packet.set_checksum(self.checksum_field(packet.checksum(), pseudo));
        self.packet(protocol::TCP, &bytes)
    }
}
