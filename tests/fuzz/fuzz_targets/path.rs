//! The whole path over any bytes, read as bursts of packets. Input: for each packet its port, how it is given, its length,
//! and its bytes, as `sluice_world::any_bytes` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::any_bytes;

fuzz_target!(|input: &[u8]| any_bytes::exercise(input));
