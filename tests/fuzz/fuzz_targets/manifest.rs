//! A manifest, from its bytes to checked objects and tables. Input: the file's bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../control/source/tests/any_bytes.rs"]
mod any_bytes;

fuzz_target!(|input: &[u8]| any_bytes::exercise(input));
