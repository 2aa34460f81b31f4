//! Anything into a node with something of everything on it. Input: a script.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::script::{Focus, exercise};

fuzz_target!(|input: &[u8]| exercise(Focus::Cluster, input));
