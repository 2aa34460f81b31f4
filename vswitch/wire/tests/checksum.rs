//! Checksums against the definition, word by word.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_wire::checksum::{Sum, is_partial, of, pseudo_v4, pseudo_v6, update, update_u32};
use sluice_wire::ipv4;

/// RFC 1071 as written: big-endian words, the last byte padded, carries added back one by one.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        if sum > 0xffff {
            sum = (sum & 0xffff) + 1;
        }
    }
    !(sum as u16)
}

#[test]
fn the_example_of_rfc_1071() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::new().add_bytes(&bytes).folded(), 0xddf2);
    assert_eq!(of(&bytes), 0x220d);
}

#[test]
fn edges() {
    assert_eq!(of(&[]), 0xffff);
    assert_eq!(of(&[0; 64]), 0xffff);
    assert_eq!(of(&[0xff; 64]), 0);
    assert_eq!(of(&[0xff; 65_535]), naive(&[0xff; 65_535]));
    assert_eq!(Sum::new().add_bytes(&[0xff; 2]).finish(), 0);
    assert_eq!(Sum::new().add_bytes(&[0xff; 2]).finish_udp(), 0xffff);
}

#[test]
fn pseudo_headers_are_the_sums_of_their_bytes() {
    let (s, d) = (Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(192, 168, 255, 254));
    let bytes = [&s.octets()[..], &d.octets(), &[0, 17], &[0x12, 0x34]].concat();
    assert_eq!(pseudo_v4(s, d, 17, 0x1234).finish(), naive(&bytes));

    let (s, d): (Ipv6Addr, Ipv6Addr) = ("fd00::1:2".parse().unwrap(), "fe80::ffff:1".parse().unwrap());
    let bytes = [&s.octets()[..], &d.octets(), &[0, 1, 0, 2], &[0, 0, 0, 6]].concat();
    assert_eq!(pseudo_v6(s, d, 6, 0x1_0002).finish(), naive(&bytes));
}

#[test]
fn a_checksum_that_looks_partial_by_chance_survives_being_completed() {
    let pseudo = pseudo_v4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, 24);
    let mut segment = [0x5a; 24];
    segment[16..18].fill(0);
    // The payload is chosen so that the right checksum equals the pseudo-header sum.
    segment[22..24].fill(0);
    let rest = pseudo.add_bytes(&segment).folded();
    let word = Sum::new().add_u16(!pseudo.folded()).add_u16(!rest).folded();
    segment[22..24].copy_from_slice(&word.to_be_bytes());

    let right = pseudo.add_bytes(&segment).finish();
    assert!(is_partial(right, pseudo));
    segment[16..18].copy_from_slice(&right.to_be_bytes());
    assert_eq!(Sum::new().add_bytes(&segment).finish(), right, "completing it once more changed it");
}

#[test]
fn decrementing_every_ttl_keeps_the_header_checksum_right() {
    for ttl in 0..=255u8 {
        for identification in [0, 1, 0xfffe, 0xffff] {
            let mut bytes = [0; 20];
            let mut packet = ipv4::Packet::init(&mut bytes[..], 20).unwrap();
            packet.set_ttl(ttl);
            packet.set_protocol(17);
            packet.set_identification(identification);
            packet.fill_checksum();
            packet.decrement_ttl();
            assert_eq!(packet.ttl(), ttl.saturating_sub(1));
            assert!(packet.checksum_ok(), "ttl {ttl}, identification {identification}");
        }
    }
}

proptest! {
    #[test]
    fn one_slice(bytes in vec(any::<u8>(), 0..4000)) {
        prop_assert_eq!(of(&bytes), naive(&bytes));
    }

    #[test]
    fn any_cut_into_slices_gives_the_same(slices in vec(vec(any::<u8>(), 0..40), 0..20)) {
        let sum = slices.iter().fold(Sum::new(), |sum, slice| sum.add_bytes(slice));
        prop_assert_eq!(sum.finish(), naive(&slices.concat()));
    }

    #[test]
    fn numbers_are_the_words_of_their_bytes(words in vec(any::<u16>(), 0..20), long in any::<u32>()) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(long.to_be_bytes());
        let sum = words.iter().fold(Sum::new(), |sum, word| sum.add_u16(*word)).add_u32(long);
        prop_assert_eq!(sum.finish(), naive(&bytes));
        let joined = Sum::new().add_sum(Sum::new().add_bytes(&bytes[..bytes.len() - 4])).add_u32(long);
        prop_assert_eq!(joined.finish(), naive(&bytes));
    }

    #[test]
    fn an_update_gives_what_a_new_sum_gives(mut bytes in vec(any::<u8>(), 20..60), at in 0usize..8, new in any::<u32>()) {
        // One word stays 1, as in real packets: the sum of nothing but zeros has two representations.
        bytes[..2].copy_from_slice(&[0, 1]);
        let at = 2 + at * 2;
        let before = naive(&bytes);
        let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
        prop_assert_eq!(update_u32(before, old, new), naive(&bytes));
        let step = update(update(before, (old >> 16) as u16, (new >> 16) as u16), old as u16, new as u16);
        prop_assert_eq!(step, naive(&bytes));
    }

    /// What Linux does with a partial checksum: the field holds the pseudo-header sum, the device sums the segment,
    /// field included, and writes the complement.
    #[test]
    fn completing_a_partial_checksum_gives_the_right_one(mut segment in vec(any::<u8>(), 20..200)) {
        let pseudo = pseudo_v4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, segment.len() as u32);
        segment[16..18].fill(0);
        let right = pseudo.add_bytes(&segment).finish();
        prop_assert_eq!(is_partial(right, pseudo), right == pseudo.folded());
        segment[16..18].copy_from_slice(&pseudo.folded().to_be_bytes());
        prop_assert!(is_partial(pseudo.folded(), pseudo));
        prop_assert_eq!(Sum::new().add_bytes(&segment).finish(), right);
    }
}
