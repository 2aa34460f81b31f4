//! ICMP errors that quote packets of connections, changed anyhow.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::any_world::{Meaning, exercise};

fuzz_target!(|input: &[u8]| exercise(input, Meaning::Quotes));
