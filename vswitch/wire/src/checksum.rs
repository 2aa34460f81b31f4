//! The Internet checksum (RFC 1071), its incremental update (RFC 1624), and partial checksums as Linux leaves them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A ones' complement sum over any number of slices.
///
/// A slice may have an odd length: the next one goes on in the other half of the 16-bit word, so a packet cut over
/// several frames is summed slice by slice as if it were in one piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// In the machine's own byte order: RFC 1071 section 2(B) lets the swap wait for the end.
    total: u64,
    odd: bool,
}

impl Sum {
    /// The empty sum.
    #[inline]
    pub const fn new() -> Self {
        Self { total: 0, odd: false }
    }

    /// The sum with `bytes` appended.
    #[inline]
    #[must_use]
    pub fn add_bytes(mut self, bytes: &[u8]) -> Self {
        let part = fold(sum_native(bytes));
        self.total += u64::from(if self.odd { part.swap_bytes() } else { part });
        self.odd ^= bytes.len() % 2 == 1;
        self
    }

    /// The sum with one number of the wire added as an aligned 16-bit word, wherever the slices stand.
    #[inline]
    #[must_use]
    pub const fn add_u16(mut self, value: u16) -> Self {
        self.total += value.to_be() as u64;
        self
    }

    /// As [`Sum::add_u16`], for two words.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, value: u32) -> Self {
        self.add_u16((value >> 16) as u16).add_u16(value as u16)
    }

    /// The sum with another sum of whole words added (a pseudo-header).
    #[inline]
    #[must_use]
    pub fn add_sum(mut self, other: Sum) -> Self {
        self.total += u64::from(fold(other.total));
        self
    }

    /// The 16-bit sum, not complemented. What a partial checksum field holds.
    #[inline]
    pub const fn folded(self) -> u16 {
        u16::from_be(fold(self.total))
    }

    /// The checksum: the complement of the sum. A sum that already contains a right checksum gives 0.
    #[inline]
    pub const fn finish(self) -> u16 {
        !self.folded()
    }

    /// The checksum for UDP, where 0 on the wire means "none" and is sent as 0xffff (RFC 768).
    #[inline]
    pub const fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

#[inline]
const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// Sums 32-bit words into 64 bits; carries cannot be lost below 2^32 words, more than any packet has.
#[inline]
fn sum_native(bytes: &[u8]) -> u64 {
    // Four independent lanes, so that the compiler turns the loop into vector additions.
    let mut lanes = [0u64; 4];
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let mut total = lanes[0] + lanes[1] + lanes[2] + lanes[3];
    let (pairs, last) = rest.as_chunks::<2>();
    for pair in pairs {
        total += u64::from(u16::from_ne_bytes(*pair));
    }
    if let [byte] = last {
        total += u64::from(u16::from_ne_bytes([*byte, 0]));
    }
    total
}

/// The checksum of one slice, as ICMPv4 and the IPv4 header use it.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    Sum::new().add_bytes(bytes).finish()
}

/// The IPv4 pseudo-header (RFC 793 section 3.1): `length` counts the transport header and its payload.
#[inline]
pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u32) -> Sum {
    Sum::new().add_u32(source.to_bits()).add_u32(destination.to_bits()).add_u16(u16::from(protocol)).add_u32(length)
}

/// The IPv6 pseudo-header (RFC 8200 section 8.1): `length` counts the transport header and its payload, without
/// extension headers; `protocol` is the transport's number, not the fixed header's next header.
#[inline]
pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: u32) -> Sum {
    Sum::new().add_bytes(&source.octets()).add_bytes(&destination.octets()).add_u32(length).add_u16(u16::from(protocol))
}

/// The checksum after one 16-bit word of what it covers went from `old` to `new` (RFC 1624 equation 3).
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = !checksum as u64 + !old as u64 + new as u64;
    !fold(sum)
}

/// As [`update`], for two words.
#[inline]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    let high = update(checksum, (old >> 16) as u16, (new >> 16) as u16);
    update(high, old as u16, new as u16)
}

/// True when the field holds what Linux leaves there with `CHECKSUM_PARTIAL`: the folded pseudo-header sum, not
/// complemented (include/linux/skbuff.h, "Checksumming on output").
///
/// A complete checksum can equal that sum by chance. Completing it once more then gives the same field again, so taking
/// it for partial is harmless as long as whoever acts on it completes the checksum or passes the field on unchanged.
/// A zero field is "none" for UDP, and no pseudo-header of an IP packet sums to zero.
#[inline]
pub const fn is_partial(field: u16, pseudo: Sum) -> bool {
    field == pseudo.folded()
}
