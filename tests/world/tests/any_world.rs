//! Bytes of any kind into a node with everything on it: each packet ends in one place, and no frame leaks.

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_world::any_world::{Meaning, exercise};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn packets_of_any_bytes_end_in_one_place(bytes in vec(any::<u8>(), 0..800)) {
        exercise(&bytes, Meaning::Packets);
    }

    #[test]
    fn anything_in_a_tunnel_ends_in_one_place(bytes in vec(any::<u8>(), 0..800)) {
        exercise(&bytes, Meaning::Tunnelled);
    }

    #[test]
    fn changed_quotes_end_in_one_place(bytes in vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..800)) {
        exercise(&bytes, Meaning::Quotes);
    }

    #[test]
    fn fragments_in_any_order_end_in_one_place(bytes in vec(any::<u8>(), 0..300)) {
        exercise(&bytes, Meaning::Fragments);
    }
}
