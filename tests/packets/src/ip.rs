//! IPv4 and IPv6 headers, with what a transport needs of them.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_wire::checksum::{self, Sum};
use sluice_wire::ethernet::ethertype;
use sluice_wire::{ipv4, ipv6};

use crate::Ethernet;

/// What a transport's checksum field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumMode {
    /// The right checksum.
    Complete,
    /// The folded pseudo-header sum, as Linux leaves it for the device to complete.
    Partial,
    /// Zero: none for UDP, wrong for the others.
    Zero,
    /// One that is neither right nor partial.
    Wrong,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4 { source: Ipv4Addr, destination: Ipv4Addr },
    V6 { source: Ipv6Addr, destination: Ipv6Addr },
}

/// Everything in front of a transport header. Each method gives back the changed whole.
#[derive(Clone, Debug)]
pub struct Ip {
    link: Ethernet,
    family: Family,
    ttl: u8,
    traffic_class: u8,
    identification: u16,
    dont_fragment: bool,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    checksum: ChecksumMode,
}

impl Ip {
    /// An IPv4 packet with time to live 64 and "don't fragment".
    pub const fn v4(link: Ethernet, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self::new(link, Family::V4 { source, destination })
    }

    /// An IPv6 packet with hop limit 64.
    pub const fn v6(link: Ethernet, source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        Self::new(link, Family::V6 { source, destination })
    }

    const fn new(link: Ethernet, family: Family) -> Self {
        Self {
            link,
            family,
            ttl: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: true,
            options: Vec::new(),
            extensions: Vec::new(),
            checksum: ChecksumMode::Complete,
        }
    }

    /// The Ethernet header in front.
    pub const fn link(&self) -> Ethernet {
        self.link
    }

    /// True for IPv6.
    pub const fn is_v6(&self) -> bool {
        matches!(self.family, Family::V6 { .. })
    }

    /// Time to live or hop limit.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// DSCP and ECN.
    #[must_use]
    pub fn traffic_class(mut self, value: u8) -> Self {
        self.traffic_class = value;
        self
    }

    /// IPv4 identification.
    #[must_use]
    pub fn identification(mut self, value: u16) -> Self {
        self.identification = value;
        self
    }

    /// IPv4 "don't fragment".
    #[must_use]
    pub fn dont_fragment(mut self, value: bool) -> Self {
        self.dont_fragment = value;
        self
    }

    /// IPv4 options; padded with "end of options" to a multiple of 4, 40 bytes at most.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// One more IPv6 extension header: its kind, and its bytes after "next header" and length. They are padded with
    /// zeros, which are Pad1 options where options are meant. Not for authentication headers, whose length counts
    /// differently.
    #[must_use]
    pub fn extension(mut self, kind: u8, body: &[u8]) -> Self {
        let mut body = body.to_vec();
        body.resize((body.len() + 2).next_multiple_of(8) - 2, 0);
        self.extensions.push((kind, body));
        self
    }

    /// What the transport's checksum field holds.
    #[must_use]
    pub fn checksum(mut self, mode: ChecksumMode) -> Self {
        self.checksum = mode;
        self
    }

    /// The transport's checksum is left partial.
    #[must_use]
    pub fn partial(self) -> Self {
        self.checksum(ChecksumMode::Partial)
    }

    /// The pseudo-header sum for `length` bytes of transport.
    pub fn pseudo_header(&self, protocol: u8, length: usize) -> Sum {
        let length = u32::try_from(length).expect("a transport's length fits 32 bits");
        match self.family {
            Family::V4 { source, destination } => checksum::pseudo_v4(source, destination, protocol, length),
            Family::V6 { source, destination } => checksum::pseudo_v6(source, destination, protocol, length),
        }
    }

    /// What was asked for the transport's checksum.
    pub(crate) const fn checksum_mode(&self) -> ChecksumMode {
        self.checksum
    }

    /// What goes into the checksum field when `complete` is the right checksum.
    pub(crate) fn checksum_field(&self, complete: u16, pseudo: Sum) -> u16 {
        match self.checksum {
            ChecksumMode::Complete => complete,
            ChecksumMode::Partial => pseudo.folded(),
            ChecksumMode::Zero => 0,
            ChecksumMode::Wrong => {
                // Neither of the two, nor zero, which UDP reads as "none".
                let others = [complete, pseudo.folded(), 0];
                (0x1234..).find(|value| !others.contains(value)).expect("three values are taken")
            }
        }
    }

    /// The frame around finished transport bytes.
    ///
    /// # Panics
    /// When the packet is longer than IP can say, or the options are longer than 40 bytes.
    pub fn packet(&self, protocol: u8, transport: &[u8]) -> Vec<u8> {
        match self.family {
            Family::V4 { source, destination } => self.packet_v4(source, destination, protocol, transport),
            Family::V6 { source, destination } => self.packet_v6(source, destination, protocol, transport),
        }
    }

    fn packet_v4(&self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let header_len = ipv4::HEADER_LEN + self.options.len();
        let mut bytes = vec![0; header_len + transport.len()];
        let mut packet = ipv4::Packet::init(&mut bytes[..], header_len).expect("lengths that IPv4 can say");
        packet.set_traffic_class(self.traffic_class);
        packet.set_identification(self.identification);
        packet.set_fragment(self.dont_fragment, false, 0);
        packet.set_ttl(self.ttl);
        packet.set_protocol(protocol);
        packet.set_source(source);
        packet.set_destination(destination);
        packet.options_mut().copy_from_slice(&self.options);
        packet.fill_checksum();
        packet.payload_mut().copy_from_slice(transport);
        self.link.frame(ethertype::IPV4, &bytes)
    }

    fn packet_v6(&self, source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (at, (_, body)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(at + 1).map_or(protocol, |(kind, _)| *kind);
            let units = u8::try_from((body.len() + 2) / 8 - 1).expect("an extension header has at most 2048 bytes");
            payload.extend_from_slice(&[next, units]);
            payload.extend_from_slice(body);
        }
        payload.extend_from_slice(transport);
        let mut bytes = vec![0; ipv6::HEADER_LEN + payload.len()];
        let mut packet = ipv6::Packet::init(&mut bytes[..]).expect("lengths that IPv6 can say");
        packet.set_traffic_class(self.traffic_class);
        packet.set_hop_limit(self.ttl);
        packet.set_next_header(self.extensions.first().map_or(protocol, |(kind, _)| *kind));
        packet.set_source(source);
        packet.set_destination(destination);
        packet.payload_mut().copy_from_slice(&payload);
        self.link.frame(ethertype::IPV6, &bytes)
    }
}
