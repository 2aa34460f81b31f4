//! The headers around a packet that comes out of a tunnel over IPv4, in words.

use std::net::IpAddr;

use sluice_tables::{Encapsulation, Tables};
use sluice_wire::protocol;

use super::pattern::IP_MASK;

/// Ethernet, IPv4, UDP, VXLAN or Geneve without options: from the outer Ethernet header to the inner one.
pub(super) const OUTER: usize = 14 + 20 + 8 + 8;

/// Of bytes 12 to 15: type, version and header length, and of the traffic class the bit that congestion and ECT(1) have. Marks go
/// inwards, where it is not only this one that may have to be looked at.
const CLASS_MASK: u32 = u32::from_le_bytes([0xff, 0xff, 0xff, 1]);
/// Of bytes 30 to 37, all but the source port.
const PORT_MASK: u64 = u64::from_le_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff]);

/// What a tunnel packet for this node begins with, as little-endian numbers.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    /// The destination MAC, above two bytes of zeros.
    mac: u64,
    /// Bytes 12 to 15, 20 to 23, 30 to 37 and 42 to 49, as far as they have to be the same.
    class: u32,
    ip: u32,
    local: u64,
    header: u64,
    /// Sum of the destination address' halves.
    sum: u32,
    /// The MAC that the inner frame is for.
    pub(super) inner: [u8; 6],
}

impl Outer {
    /// `None` where there are no tunnels over IPv4.
    pub(super) fn of(tables: &Tables) -> Option<Self> {
        let (tunnel, uplink) = (tables.tunnel()?, tables.uplink()?);
        let IpAddr::V4(local) = tunnel.local else { return None };
        let first: u64 = match tunnel.encapsulation {
            Encapsulation::Vxlan => 0x0800_0000,
            Encapsulation::Geneve => 0x6558,
            Encapsulation::None => return None,
        };
        let [a, b, c, d, e, f] = uplink.mac.0;
        let [g, h, i, j] = local.octets();
        let [high, low] = tunnel.port.to_be_bytes();
        Some(Self {
            mac: u64::from_le_bytes([0, 0, a, b, c, d, e, f]),
            class: u32::from_le_bytes([8, 0, 0x45, 0]),
            ip: u32::from_le_bytes([0, 0, 0, protocol::UDP]),
            local: u64::from_le_bytes([g, h, i, j, 0, 0, high, low]),
            header: (first << 32 | u64::from(tunnel.vni) << 8).swap_bytes(),
            sum: u32::from(u16::from_le_bytes([g, h])) + u32::from(u16::from_le_bytes([i, j])),
            inner: tunnel.mac.0,
        })
    }

    /// The source address of a packet of `total_len` bytes, at least as many as its first are given, if it is a tunnel packet for this
    /// node with nothing special about it.
    #[inline(always)]
    pub(super) fn source(&self, frame: &[u8; OUTER], total_len: usize) -> Option<u32> {
        let (four, eight) = (|at| u32::from_le_bytes(bytes(frame, at)), |at| u64::from_le_bytes(bytes(frame, at)));
        let differs = eight(0) << 16 ^ self.mac
            | u64::from(four(12) & CLASS_MASK ^ self.class)
            | u64::from(four(20) & IP_MASK ^ self.ip)
            | eight(30) & PORT_MASK ^ self.local
            | eight(42) ^ self.header;
        let ip_len = u16::from_be_bytes(bytes(frame, 16));
        let udp_len = u16::from_be_bytes(bytes(frame, 38));
        let fits = differs == 0
            && usize::from(ip_len) + 14 == total_len
            && u32::from(udp_len) + 20 == u32::from(ip_len)
            && frame[22] > 1;
        // As in `Pattern::has_right_checksum`.
        let sum = eight(14).wrapping_add(u64::from(four(22)) + u64::from(four(26)) + u64::from(self.sum));
        (fits && sum.is_multiple_of(0xffff)).then_some(four(26))
    }
}

#[inline(always)]
fn bytes<const N: usize>(frame: &[u8; OUTER], at: usize) -> [u8; N] {
    frame[at..].first_chunk().copied().unwrap_or([0; N])
}
