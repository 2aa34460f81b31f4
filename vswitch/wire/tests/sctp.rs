//! SCTP's header and its CRC32c: examples of the RFCs, and a sum taken bit by bit.

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_packets::samples::{v4, v6};
use sluice_packets::sctp::{checksum_ok, crc32c as bit_by_bit, init};
use sluice_wire::sctp::{HEADER_LEN, Packet, crc32c, update};
use sluice_wire::{Layer, Malformed};

/// RFC 3720 appendix B.4, and the check value of the polynomial. The RFC prints the bytes as they are sent, lowest first.
#[test]
fn examples_of_rfc_3720() {
    let rising: Vec<u8> = (0..32).collect();
    let falling: Vec<u8> = (0..32).rev().collect();
    assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
    assert_eq!(crc32c(&[0xff; 32]).to_le_bytes(), [0x43, 0xab, 0xa8, 0x62]);
    assert_eq!(crc32c(&rising).to_le_bytes(), [0x4e, 0x79, 0xdd, 0x46]);
    assert_eq!(crc32c(&falling).to_le_bytes(), [0x5c, 0xdb, 0x3f, 0x11]);
    let mut read = [0; 48];
    (read[0], read[1], read[16], read[22]) = (0x01, 0xc0, 0x14, 0x04);
    (read[27], read[31], read[32], read[40]) = (0x14, 0x18, 0x28, 0x02);
    assert_eq!(crc32c(&read).to_le_bytes(), [0x56, 0x3a, 0x96, 0xd9]);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(b""), 0);
}

#[test]
fn every_field_and_how_it_is_built() {
    let frame = v4().sctp(1000, 80, 0x0102_0304, &init(9));
    let bytes = &frame[34..];
    let packet = Packet::new_checked(bytes).expect("an SCTP packet");
    assert_eq!((packet.source_port(), packet.destination_port(), packet.tag()), (1000, 80, 0x0102_0304));
    assert_eq!(packet.payload(), init(9));
    assert!(packet.checksum_ok());

    let mut built = vec![0xee; bytes.len()];
    built[HEADER_LEN..].copy_from_slice(&init(9));
    let mut packet = Packet::init(&mut built[..]).expect("room");
    packet.set_source_port(1000);
    packet.set_destination_port(80);
    packet.set_tag(0x0102_0304);
    packet.fill_checksum();
    assert_eq!(built, bytes);
    let error = Malformed::Truncated { layer: Layer::Sctp, need: 12, have: 11 };
    assert_eq!(Packet::new_checked(&bytes[..11]).expect_err("too short"), error);
}

#[test]
fn a_wrong_checksum_is_found() {
    let mut frame = v6().sctp(1, 2, 3, &init(4));
    frame[60] ^= 1;
    assert!(!Packet::new_checked(&frame[54..]).expect("an SCTP packet").checksum_ok());
}

proptest! {
    #[test]
    fn eight_bytes_at_a_time_give_what_single_bits_give(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(crc32c(&bytes), bit_by_bit(&bytes));
    }

    #[test]
    fn an_update_gives_what_a_new_sum_gives(
        mut bytes in vec(any::<u8>(), 4..3000), at in any::<prop::sample::Index>(), new in any::<[u8; 4]>(),
    ) {
        let at = at.index(bytes.len() - 3);
        let before = crc32c(&bytes);
        let old = bytes[at..at + 4].try_into().expect("four bytes");
        bytes[at..at + 4].copy_from_slice(&new);
        prop_assert_eq!(update(before, old, new, bytes.len() - at - 4), crc32c(&bytes));
    }

    #[test]
    fn an_update_reaches_the_front_of_the_longest_packet(more in 60_000usize..131_000, new in any::<[u8; 4]>()) {
        let mut bytes = vec![0x5a; 4 + more];
        let before = crc32c(&bytes);
        bytes[..4].copy_from_slice(&new);
        prop_assert_eq!(update(before, [0x5a; 4], new, more), crc32c(&bytes));
    }

    #[test]
    fn other_ports_keep_the_checksum_right(ports in any::<(u16, u16)>(), chunks in vec(any::<u8>(), 0..200)) {
        let frame = v4().sctp(1000, 80, 7, &chunks);
        let mut bytes = frame[34..].to_vec();
        let behind = bytes.len() - 4;
        let mut packet = Packet::new_checked(&mut bytes[..]).expect("an SCTP packet");
        let old = [1000u16.to_be_bytes(), 80u16.to_be_bytes()].concat().try_into().expect("four bytes");
        let new = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat().try_into().expect("four bytes");
        packet.set_source_port(ports.0);
        packet.set_destination_port(ports.1);
        // The field itself counts as zeros, and is no part of the change.
        packet.set_checksum(update(packet.checksum(), old, new, behind));
        prop_assert!(packet.checksum_ok());
        prop_assert!(checksum_ok(&bytes));
    }
}
