//! Changes to a packet that was right.

use sluice_wire::{ethernet, ipv4};

use super::bytes::Bytes;

/// Where the inner IP header of a tunnel packet is: behind Ethernet, IPv4, UDP, eight bytes of the tunnel, Ethernet.
pub(super) const INNER: usize = 14 + 20 + 8 + 8 + 14;

/// Changes a few bytes, the length, or nothing. What begins as an IPv4 header gets a right checksum again, mostly, so that
/// lies go further.
pub(super) fn apply(frame: &mut Vec<u8>, bytes: &mut Bytes<'_>) {
    let count = match bytes.byte() {
        0..144 => 0,
        144..200 => 1,
        200..240 => 2,
        _ => 4,
    };
    for _ in 0..count {
        change(frame, bytes);
    }
    if count > 0 && !bytes.seldom(40) {
        seal(frame, ethernet::HEADER_LEN);
        seal(frame, INNER);
    }
}

fn change(frame: &mut Vec<u8>, bytes: &mut Bytes<'_>) {
    let kind = bytes.byte();
    // Mostly in the headers.
    let at = usize::from(bytes.byte()) % if kind & 1 == 0 { 54 } else { 160 };
    let value = bytes.byte();
    match kind >> 1 & 7 {
        0 | 1 => frame.get_mut(at).into_iter().for_each(|byte| *byte = value),
        2 => frame.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (value & 7)),
        3 => frame.get_mut(at).into_iter().for_each(|byte| *byte = byte.wrapping_add(value)),
        4 => frame.truncate(at),
        5 => frame.truncate(frame.len().saturating_sub(usize::from(value))),
        6 => frame.extend_from_slice(bytes.take(usize::from(value))),
        _ => {
            if let Some(field) = frame.get_mut(at..at + 2) {
                field.copy_from_slice(&[value, bytes.byte()]);
            }
        }
    }
}

/// Gives the IPv4 header at `at` its checksum, if there is one.
pub(super) fn seal(frame: &mut [u8], at: usize) {
    if let Some(Ok(mut header)) = frame.get_mut(at..).map(ipv4::Packet::new_header) {
        header.fill_checksum();
    }
}
