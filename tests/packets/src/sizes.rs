//! Lengths worth testing, and payloads of a length.

use sluice_wire::ethernet;

/// The chunk that holds one frame of a chain.
pub const CHUNK: usize = 4096;

/// The longest IP packet of a super-frame: what `gso_max_size` lets a pod build.
pub const SUPER_FRAME_IP_LEN: usize = 60_000;

/// Lengths of IP packets around the points where something changes: the least Ethernet payload, the path MTU, one
/// chunk, several chunks, the longest super-frame, the longest IPv4 packet.
pub const IP_LENGTHS: [usize; 11] = [
    46,
    576,
    1280,
    1499,
    1500,
    1501,
    CHUNK - ethernet::HEADER_LEN,
    CHUNK - ethernet::HEADER_LEN + 1,
    32_768,
    SUPER_FRAME_IP_LEN,
    65_535,
];

/// Bytes that differ from their neighbours, so that a shifted copy shows.
pub fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8) as u8).collect()
}

/// A frame cut into pieces of at most `chunk` bytes, as a chain of frames holds it. Never empty.
///
/// # Panics
/// When `chunk` is 0.
pub fn chain(frame: &[u8], chunk: usize) -> Vec<Vec<u8>> {
    if frame.is_empty() {
        return vec![Vec::new()];
    }
    frame.chunks(chunk).map(<[u8]>::to_vec).collect()
}
