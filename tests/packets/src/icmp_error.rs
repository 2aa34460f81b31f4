//! ICMP errors about a packet, as a router or a receiver sends them.

use sluice_wire::ethernet::HEADER_LEN;
use sluice_wire::{icmpv4, icmpv6};

use crate::Ip;

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// Nobody listens on the port.
    PortUnreachable,
    /// Nobody has the address.
    HostUnreachable,
    /// The packet is longer than the next link takes.
    TooBig {
        /// What it takes, in bytes.
        mtu: u16,
    },
    /// TTL or hop limit ran out.
    TimeExceeded,
}

/// What an IPv4 host quotes at least: 8 bytes behind the IP header (RFC 792).
pub const LEAST_QUOTE: usize = 8;

/// The first `length` bytes of the IP packet in `frame`, as an error quotes it.
///
/// # Panics
/// When the frame is shorter than an Ethernet header.
#[must_use]
pub fn quote(frame: &[u8], length: usize) -> &[u8] {
    let packet = &frame[HEADER_LEN..];
    &packet[..length.min(packet.len())]
}

impl Ip {
    /// The error with `quoted`, a packet from its IP header on.
    pub fn icmp_error(&self, error: IcmpError, quoted: &[u8]) -> Vec<u8> {
        let (kind, code, rest) = if self.is_v6() { v6(error) } else { v4(error) };
        self.icmp(kind, code, rest, quoted)
    }
}

fn v4(error: IcmpError) -> (u8, u8, u32) {
    use icmpv4::{kind, unreachable};
    match error {
        IcmpError::PortUnreachable => (kind::UNREACHABLE, unreachable::PORT, 0),
        IcmpError::HostUnreachable => (kind::UNREACHABLE, unreachable::HOST, 0),
        IcmpError::TooBig { mtu } => (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED, u32::from(mtu)),
        IcmpError::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
    }
}

fn v6(error: IcmpError) -> (u8, u8, u32) {
    use icmpv6::{kind, unreachable};
    match error {
        IcmpError::PortUnreachable => (kind::UNREACHABLE, unreachable::PORT, 0),
        IcmpError::HostUnreachable => (kind::UNREACHABLE, unreachable::ADDRESS, 0),
        IcmpError::TooBig { mtu } => (kind::PACKET_TOO_BIG, 0, u32::from(mtu)),
        IcmpError::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
    }
}
