//! Messages on the agent's socket and network configurations. Input: any bytes, taken as each of them.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../cni-shim/protocol/tests/any_bytes.rs"]
mod any_bytes;

fuzz_target!(|input: &[u8]| any_bytes::exercise(input));
