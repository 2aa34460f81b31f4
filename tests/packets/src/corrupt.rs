//! Lies in finished frames: lengths and versions that contradict the bytes.

use sluice_wire::ethernet::HEADER_LEN;
use sluice_wire::parse::{self, L3};

/// The least an Ethernet frame has on a wire, without its check sequence.
pub const LEAST_FRAME: usize = 60;

/// What is changed. Each leaves the checksums as they were: a switch must not need them to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The IP version, 4 bits.
    Version(u8),
    /// IPv4 header length, in units of 4 bytes, 4 bits.
    Ipv4HeaderLen(u8),
    /// IPv4 total length, or IPv6 payload length.
    IpLen(u16),
    /// IPv6 next header, or IPv4 protocol.
    Protocol(u8),
    /// UDP length.
    UdpLen(u16),
    /// TCP data offset, in units of 4 bytes, 4 bits.
    TcpDataOffset(u8),
}

/// The frame with the lie told.
///
/// # Panics
/// When the frame is not a right IP packet to begin with, or the lie is not for its protocol and family.
pub fn lie(frame: &[u8], lie: Lie) -> Vec<u8> {
    let headers = parse::parse(frame, frame.len()).expect("a right frame to begin with");
    let v4 = match headers.l3 {
        L3::Ipv4 => true,
        L3::Ipv6 => false,
        other => panic!("a lie about IP in {other:?}"),
    };
    let mut out = frame.to_vec();
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    match lie {
        Lie::Version(version) => put(l3, &[version << 4 | frame[l3] & 0xf]),
        Lie::Ipv4HeaderLen(units) => {
            assert!(v4, "only IPv4 has a header length");
            put(l3, &[0x40 | units & 0xf]);
        }
        Lie::IpLen(length) => put(l3 + if v4 { 2 } else { 4 }, &length.to_be_bytes()),
        Lie::Protocol(protocol) => put(l3 + if v4 { 9 } else { 6 }, &[protocol]),
        Lie::UdpLen(length) => put(l4 + 4, &length.to_be_bytes()),
        Lie::TcpDataOffset(units) => put(l4 + 12, &[units << 4]),
    }
    out
}

/// The frame at every length from nothing to one byte short.
pub fn truncations(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..frame.len()).map(|length| frame[..length].to_vec())
}

/// The frame with zeros behind it, up to [`LEAST_FRAME`]; as it is when it is longer.
pub fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(LEAST_FRAME), 0);
    frame
}

/// The frame with another ethertype.
///
/// # Panics
/// When it is shorter than an Ethernet header.
pub fn with_ethertype(mut frame: Vec<u8>, ethertype: u16) -> Vec<u8> {
    frame[HEADER_LEN - 2..HEADER_LEN].copy_from_slice(&ethertype.to_be_bytes());
    frame
}
