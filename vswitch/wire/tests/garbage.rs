//! Bytes of any kind: no parse, view or setter panics, and what they say stays inside the bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_packets::corrupt::truncations;
use sluice_packets::every_view::exercise;
use sluice_packets::samples::{self, v4};

fn kinds() -> Vec<Vec<u8>> {
    samples::one_of_each().into_iter().map(|(_, frame)| frame).collect()
}

#[test]
fn every_truncation_of_every_kind() {
    for frame in kinds() {
        exercise(&frame, frame.len());
        for cut in truncations(&frame) {
            // The packet ends there; or the chain goes on in another buffer.
            exercise(&cut, cut.len());
            exercise(&cut, frame.len());
        }
    }
}

#[test]
fn every_value_of_every_header_byte() {
    for frame in kinds() {
        for at in 12..frame.len().min(80) {
            let mut lying = frame.clone();
            for value in 0..=255 {
                lying[at] = value;
                exercise(&lying, lying.len());
            }
        }
    }
}

#[test]
fn a_head_longer_than_the_chain_counts_only_as_far_as_the_chain() {
    let frame = v4().udp(1, 2, b"data");
    for total_len in 0..frame.len() {
        assert!(sluice_wire::parse::parse(&frame, total_len).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..160), beyond in 0usize..70_000) {
        exercise(&bytes, bytes.len());
        exercise(&bytes, bytes.len() + beyond);
    }

    /// Random bytes are seldom IP: here the ethertype and version are right and the rest is not.
    #[test]
    fn arbitrary_bytes_behind_a_right_start(six in any::<bool>(), rest in vec(any::<u8>(), 0..160), beyond in 0usize..70_000) {
        let mut bytes = vec![2; 12];
        bytes.extend_from_slice(if six { &[0x86, 0xdd] } else { &[0x08, 0x00] });
        bytes.extend_from_slice(&rest);
        if let Some(first) = bytes.get_mut(14) {
            *first = *first & 0x0f | if six { 0x60 } else { 0x40 };
        }
        exercise(&bytes, bytes.len());
        exercise(&bytes, bytes.len() + beyond);
    }

    #[test]
    fn right_frames_with_a_few_bytes_changed(
        kind in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        let kinds = kinds();
        let mut frame = kinds[kind.index(kinds.len())].clone();
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        exercise(&frame, frame.len());
        let head = length.index(frame.len() + 1);
        exercise(&frame[..head], frame.len());
    }
}
