//! Which packet a fragment is of, and which part of it.

use std::net::IpAddr;

use sluice_wire::parse::{Headers, L3};
use sluice_wire::{extension, ipv4, ipv6, protocol};

use crate::DropReason;

/// What all fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) identification: u32,
    /// 0 in IPv6, where only the first fragment's counts (RFC 8200 section 4.5).
    pub(crate) protocol: u8,
}

/// One fragment: whose it is, and which bytes of the packet's payload it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) key: Key,
    pub(crate) start: u16,
    /// Behind its last byte; above `start`.
    pub(crate) end: u16,
    /// No other follows.
    pub(crate) last: bool,
}

impl Piece {
    /// Reads it from the head that was parsed as `headers`, those of a fragment.
    ///
    /// # Errors
    /// [`DropReason::Malformed`] when it is no fragment, an empty one, or not the last and no multiple of 8 bytes long (RFC 8200
    /// section 4.5).
    pub(crate) fn of(head: &[u8], headers: &Headers) -> Result<Piece, DropReason> {
        let read = match headers.l3 {
            L3::Ipv4 => v4(head, headers),
            L3::Ipv6 => v6(head, headers),
            L3::Arp | L3::Other(_) => None,
        };
        let cut = |piece: &Piece| piece.last || (piece.end - piece.start).is_multiple_of(8);
        read.filter(|piece| piece.start < piece.end && cut(piece)).ok_or(DropReason::Malformed)
    }
}

fn v4(head: &[u8], headers: &Headers) -> Option<Piece> {
    let ip = ipv4::Packet::new_header(head.get(usize::from(headers.l3_offset)..)?).ok()?;
    let key = Key {
        source: ip.source().into(),
        destination: ip.destination().into(),
        identification: u32::from(ip.identification()),
        protocol: ip.protocol(),
    };
    let start = ip.fragment_offset();
    let end = start.checked_add(u16::try_from(headers.l4_len()).ok()?)?;
    let last = !ip.more_fragments();
    (start > 0 || !last).then_some(Piece { key, start, end, last })
}

fn v6(head: &[u8], headers: &Headers) -> Option<Piece> {
    let l3 = usize::from(headers.l3_offset);
    let ip = ipv6::Packet::new_header(head.get(l3..)?).ok()?;
    let payload = head.get(l3 + ipv6::HEADER_LEN..)?;
    let header = extension::walk(ip.next_header(), payload).ok()?.fragment?;
    let key = Key {
        source: ip.source().into(),
        destination: ip.destination().into(),
        identification: header.identification,
        protocol: 0,
    };
    // Behind the first fragment's header more extension headers may follow: they are payload of the packet.
    let length = ip.payload_len().checked_sub(behind_fragment_header(ip.next_header(), payload)?)?;
    let end = header.offset.checked_add(u16::try_from(length).ok()?)?;
    let last = !header.more;
    (header.offset > 0 || !last).then_some(Piece { key, start: header.offset, end, last })
}

/// Where the fragment header in `payload` ends.
fn behind_fragment_header(first: u8, payload: &[u8]) -> Option<usize> {
    let (mut kind, mut at) = (first, 0);
    for _ in 0..extension::LIMIT {
        let [next, units, ..] = *payload.get(at..)? else { return None };
        match kind {
            protocol::FRAGMENT => return Some(at + extension::FRAGMENT_LEN),
            protocol::AUTHENTICATION => at += usize::from(units) * 4 + 8,
            _ => at += usize::from(units) * 8 + 8,
        }
        kind = next;
    }
    None
}
