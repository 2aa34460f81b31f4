//! Anything into two workers over rings, which lose no frame. Input: a script.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../vswitch/worker/tests/any_frames.rs"]
mod any_frames;

fuzz_target!(|input: &[u8]| any_frames::exercise(input));
