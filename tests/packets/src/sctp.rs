//! SCTP packets (RFC 9260) with their CRC32c, computed bit by bit so that it can judge a faster one.

use sluice_wire::protocol;

use crate::{ChecksumMode, Ip};

/// Reversed polynomial of CRC32c (Castagnoli).
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Bytes of the common header.
const HEADER_LEN: usize = 12;

/// CRC32c as SCTP has it (RFC 9260 appendix A), to be written least significant byte first.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    !crc
}

/// Whether the checksum of an SCTP packet, from its common header on, is right.
///
/// # Panics
/// When it is shorter than the common header.
#[must_use]
pub fn checksum_ok(packet: &[u8]) -> bool {
    let mut zeroed = packet.to_vec();
    zeroed[8..HEADER_LEN].fill(0);
    crc32c(&zeroed).to_le_bytes() == packet[8..HEADER_LEN]
}

/// One chunk: its type, flags and value, padded to 4 bytes.
#[must_use]
pub fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len() + 4).expect("a chunk's length has 16 bits").to_be_bytes();
    let mut bytes = [&[kind, flags, high, low], value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The chunk that opens an association: tag, window and streams (RFC 9260 section 3.3.2).
#[must_use]
pub fn init(tag: u32) -> Vec<u8> {
    let [a, b, c, d] = tag.to_be_bytes();
    chunk(1, 0, &[a, b, c, d, 0, 0, 0x40, 0, 0, 1, 0, 1, 0, 0, 0, 1])
}

impl Ip {
    /// An SCTP packet of these chunks under verification tag `tag`.
    pub fn sctp(&self, source_port: u16, destination_port: u16, tag: u32, chunks: &[u8]) -> Vec<u8> {
        let mut bytes = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(chunks);
        let checksum = match self.checksum_mode() {
            ChecksumMode::Complete => crc32c(&bytes),
            ChecksumMode::Zero | ChecksumMode::Partial => 0,
            ChecksumMode::Wrong => crc32c(&bytes) ^ 0x5a,
        };
        bytes[8..HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        self.packet(protocol::SCTP, &bytes)
    }
}
