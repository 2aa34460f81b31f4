//! Anything in tunnel packets of a peer: VXLAN, Geneve, and the frames inside.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::any_world::{Meaning, exercise};

fuzz_target!(|input: &[u8]| exercise(input, Meaning::Tunnelled));
