//! ICMP errors that quote what left a node, or what never was. Input: a script.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::script::{Focus, exercise};

fuzz_target!(|input: &[u8]| exercise(Focus::Quotes, input));
