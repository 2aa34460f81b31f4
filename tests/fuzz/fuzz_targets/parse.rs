//! The parse and every view over any bytes. Input: two bytes, big-endian, that say how much longer the chain is than its
//! first buffer, then the buffer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_packets::every_view;

fuzz_target!(|input: &[u8]| {
    if let Some((beyond, head)) = input.split_first_chunk::<2>() {
        every_view::exercise(head, head.len() + usize::from(u16::from_be_bytes(*beyond)));
    }
});
