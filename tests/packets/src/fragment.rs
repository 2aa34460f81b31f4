//! Cutting a finished frame into IP fragments.

use sluice_wire::ethernet::{self, Frame, ethertype};
use sluice_wire::{extension, ipv4, ipv6, protocol};

/// The fragments of an untagged IPv4 or IPv6 frame for a link of `mtu` bytes, in order. IPv6 extension headers count as
/// payload, so they all end up behind the fragment header. A frame that fits is cut into one "last" fragment at offset 0
/// for IPv6 (an atomic fragment) and left as it is for IPv4.
///
/// # Panics
/// When the frame is not a whole IP packet, or `mtu` leaves no room for 8 bytes of payload.
pub fn split(frame: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let view = Frame::new_checked(frame).expect("an Ethernet frame");
    match view.ethertype() {
        ethertype::IPV4 => split_v4(frame, mtu, identification as u16),
        ethertype::IPV6 => split_v6(frame, mtu, identification),
        other => panic!("ethertype {other:#06x} is not cut into fragments"),
    }
}

/// Pieces of a payload with their offsets, all but the last a multiple of 8 long.
fn pieces(payload: &[u8], room: usize) -> impl Iterator<Item = (u16, bool, &[u8])> {
    let size = room / 8 * 8;
    assert!(size > 0, "no room for 8 bytes of payload");
    payload.chunks(size).enumerate().map(move |(at, piece)| {
        let offset = at * size;
        (offset as u16, offset + piece.len() < payload.len(), piece)
    })
}

fn split_v4(frame: &[u8], mtu: usize, identification: u16) -> Vec<Vec<u8>> {
    let (link, bytes) = frame.split_at(ethernet::HEADER_LEN);
    let whole = ipv4::Packet::new_checked(bytes).expect("an IPv4 packet");
    let header_len = whole.header_len();
    let header = &bytes[..header_len];
    pieces(whole.payload(), mtu - header_len)
        .map(|(offset, more, piece)| {
            let mut out = [link, header, piece].concat();
            let mut packet = ipv4::Packet::new_header(&mut out[ethernet::HEADER_LEN..]).expect("a copied header");
            packet.set_total_len((header_len + piece.len()) as u16);
            packet.set_identification(identification);
            packet.set_fragment(false, more, offset);
            packet.fill_checksum();
            out
        })
        .collect()
}

fn split_v6(frame: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let (link, bytes) = frame.split_at(ethernet::HEADER_LEN);
    let whole = ipv6::Packet::new_checked(bytes).expect("an IPv6 packet");
    let header = &bytes[..ipv6::HEADER_LEN];
    let next = whole.next_header();
    pieces(whole.payload(), mtu - ipv6::HEADER_LEN - extension::FRAGMENT_LEN)
        .map(|(offset, more, piece)| {
            let [high, low] = (offset | u16::from(more)).to_be_bytes();
            let fixed = [next, 0, high, low];
            let mut out = [link, header, &fixed, &identification.to_be_bytes(), piece].concat();
            let mut packet = ipv6::Packet::new_header(&mut out[ethernet::HEADER_LEN..]).expect("a copied header");
            packet.set_payload_len((extension::FRAGMENT_LEN + piece.len()) as u16);
            packet.set_next_header(protocol::FRAGMENT);
            out
        })
        .collect()
}
