//! Anything into a node with something of everything on it, with and without the shortcut for known connections. Input: a script.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::script::{Focus, compare};

fuzz_target!(|input: &[u8]| compare(Focus::Known, input));
