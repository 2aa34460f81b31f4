//! The whole path of a node with Services, policies, a tunnel and an uplink, over packets of any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::any_world::{Meaning, exercise};

fuzz_target!(|input: &[u8]| exercise(input, Meaning::Packets));
