//! Writing what of the packet itself changes: addresses, ports, checksums and the hop.

use sluice_connections::Known;
use sluice_wire::{protocol, tcp, udp};

use super::Plain;
use crate::Checksum;
use crate::translate::{add, updated};

/// Where the transport header is.
const L4: usize = 34;

/// What translated packets become, and what that does to their checksums ([`crate::translate::Deltas`]).
#[derive(Clone, Copy)]
pub(crate) struct Becomes {
    /// Source above destination.
    pub(crate) addresses: u64,
    /// Source above destination.
    pub(crate) ports: u32,
    pub(crate) l3_delta: u16,
    pub(crate) l4_delta: u16,
}

impl Becomes {
    #[inline(always)]
    pub(super) fn of(known: &Known<'_>) -> Self {
        let Known { addresses, ports, l3_delta, l4_delta, .. } = *known;
        Self { addresses, ports, l3_delta, l4_delta }
    }
}

/// Makes the packet in `head` one of what it becomes, if it is translated, and takes a hop. Returns the state of the transport's
/// checksum.
#[inline(always)]
pub(super) fn inner(head: &mut [u8], plain: &Plain, becomes: Option<&Becomes>) -> Checksum {
    let offset = if plain.protocol == protocol::TCP { tcp::CHECKSUM_OFFSET } else { udp::CHECKSUM_OFFSET };
    let at = L4 + offset;
    // Reading has seen to it that both are there.
    let Some(field) = head.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])) else {
        return Checksum::Complete;
    };
    let partial = field == pseudo(plain);
    let Some(headers) = head.first_chunk_mut::<38>() else { return Checksum::Complete };
    let mut header_checksum = u16::from_be_bytes([headers[24], headers[25]]);
    let mut sum = field;
    if let Some(becomes) = becomes {
        headers[26..34].copy_from_slice(&becomes.addresses.to_be_bytes());
        headers[34..38].copy_from_slice(&becomes.ports.to_be_bytes());
        header_checksum = updated(header_checksum, becomes.l3_delta);
        sum = if partial { add(field, becomes.l3_delta) } else { updated(field, becomes.l4_delta) };
        if plain.protocol == protocol::UDP {
            sum = udp_sum(field, sum);
        }
    }
    header_checksum = a_hop_less(header_checksum);
    // Reading has seen to it that there are two left.
    headers[22] = headers[22].wrapping_sub(1);
    headers[24..26].copy_from_slice(&header_checksum.to_be_bytes());
    if becomes.is_some()
        && let Some(bytes) = head.get_mut(at..at + 2)
    {
        bytes.copy_from_slice(&sum.to_be_bytes());
    }
    if partial { Checksum::Partial { start: L4 as u16, offset: offset as u16 } } else { Checksum::Complete }
}

/// A UDP checksum that `field` has become by its differences: no checksum stays none, and one of 0 is sent as its other form
/// (RFC 768).
#[inline(always)]
pub(super) const fn udp_sum(field: u16, sum: u16) -> u16 {
    match (field, sum) {
        (0, _) => 0,
        (_, 0) => 0xffff,
        (_, sum) => sum,
    }
}

/// What is added to the complement of a header checksum when the header's TTL becomes one less: the old word's complement and
/// the new word, whatever they are.
pub(super) const A_HOP_LESS: u16 = 0xffff - 0x100;

/// A header checksum once the header's TTL is one less: [`sluice_wire::checksum::update`] for the word that has it.
#[inline(always)]
const fn a_hop_less(checksum: u16) -> u16 {
    let sum = !checksum as u32 + A_HOP_LESS as u32;
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// The sum over the pseudo-header: what a sender with checksum offload leaves in the field.
#[inline(always)]
fn pseudo(plain: &Plain) -> u16 {
    let halves = (plain.addresses & 0xffff_ffff) + (plain.addresses >> 32);
    let sum = halves + u64::from(plain.protocol) + u64::from(plain.ip_len - 20);
    // At most 0x2_0001_00fd: after the first fold 0x3_0000, after the second 0x1_0002.
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The same but for the length of the IP packet: what has to be added to that.
pub(super) fn pseudo_but_length(plain: &Plain) -> u16 {
    let halves = (plain.addresses & 0xffff_ffff) + (plain.addresses >> 32);
    // The IP header's length is not in it; all ones change nothing and keep the difference above zero.
    let sum = halves + u64::from(plain.protocol) + 0xffff - 20;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use sluice_wire::checksum;

    use super::a_hop_less;

    #[test]
    fn a_hop_less_is_what_the_update_of_the_word_gives() {
        for field in 0..=u16::MAX {
            for old in [0x0200, 0x4006, 0xff11] {
                assert_eq!(a_hop_less(field), checksum::update(field, old, old - 0x100), "{field:#x} {old:#x}");
            }
        }
    }
}
