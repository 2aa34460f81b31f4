//! IPv6 extension headers (RFC 8200 section 4): a bounded walk to the transport header.

use crate::bytes::{u16_at, u32_at};
use crate::{Layer, Malformed, protocol};

/// How many extension headers are followed. RFC 8504 section 5.3 lets a node set such a limit; hosts send one or two.
pub const LIMIT: u8 = 8;

/// Bytes of a fragment header.
pub const FRAGMENT_LEN: usize = 8;

/// The fragment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Where this fragment's payload starts in the original one, in bytes.
    pub offset: u16,
    /// True when more fragments follow.
    pub more: bool,
    /// Identification, common to the fragments of a packet.
    pub identification: u32,
}

/// Where the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The first protocol that is not a known extension header. [`protocol::NO_NEXT_HEADER`] when nothing follows.
    pub protocol: u8,
    /// Where it starts, from the start of the bytes that were walked.
    pub offset: usize,
    /// The fragment header met on the way.
    pub fragment: Option<FragmentHeader>,
}

/// Walks from `first`, the fixed header's next header, over `payload`, which is what follows the fixed header. Of a
/// fragment that is not the first, the walk ends behind its fragment header: the rest is payload.
///
/// # Errors
/// [`Malformed::Truncated`] when a header ends outside the payload, [`Malformed::TooManyExtensions`] after [`LIMIT`],
/// [`Malformed::MisplacedHopByHop`].
#[inline]
pub fn walk(first: u8, payload: &[u8]) -> Result<End, Malformed> {
    let mut end = End { protocol: first, offset: 0, fragment: None };
    if !is_extension(first) {
        return Ok(end);
    }
    for _ in 0..LIMIT {
        let rest = &payload[end.offset..];
        let [next, length, ..] = *rest else {
            return Err(Malformed::truncated(Layer::Ipv6Extension, 8, rest.len()));
        };
        let length = match end.protocol {
            protocol::HOP_BY_HOP if end.offset > 0 => return Err(Malformed::MisplacedHopByHop),
            protocol::FRAGMENT => FRAGMENT_LEN,
            // Alone counts in units of 4 bytes, less 2 (RFC 4302 section 2.2).
            protocol::AUTHENTICATION => usize::from(length) * 4 + 8,
            _ => usize::from(length) * 8 + 8,
        };
        if rest.len() < length {
            return Err(Malformed::truncated(Layer::Ipv6Extension, length, rest.len()));
        }
        if end.protocol == protocol::FRAGMENT {
            let word = u16_at(rest, 2);
            let fragment =
                FragmentHeader { offset: word & 0xfff8, more: word & 1 == 1, identification: u32_at(rest, 4) };
            end.fragment = Some(fragment);
        }
        end.protocol = next;
        end.offset += length;
        if !is_extension(next) || end.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return Ok(end);
        }
    }
    Err(Malformed::TooManyExtensions { limit: LIMIT })
}

#[inline]
const fn is_extension(kind: u8) -> bool {
    matches!(
        kind,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
    )
}
