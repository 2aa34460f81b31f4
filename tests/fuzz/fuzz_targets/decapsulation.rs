//! Packets out of tunnels, VXLAN and Geneve, into a node with something of everything. Input: a script.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::script::{Focus, exercise};

fuzz_target!(|input: &[u8]| exercise(Focus::Decapsulation, input));
