//! Fragments of a few datagrams in any order, by every way in; none of those that wait is forgotten.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_world::any_world::{Meaning, exercise};

fuzz_target!(|input: &[u8]| exercise(input, Meaning::Fragments));
