//! Scripts of any bytes: every packet ends in one place, what waits is released once, what leaves is right.

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_world::script::{Focus, compare, exercise};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn whatever_comes_out_of_tunnels_leaks_nothing(bytes in vec(any::<u8>(), 0..1500)) {
        exercise(Focus::Decapsulation, &bytes);
    }

    #[test]
    fn errors_that_quote_anything_leak_nothing(bytes in vec(any::<u8>(), 0..1500)) {
        exercise(Focus::Quotes, &bytes);
    }

    #[test]
    fn fragments_in_any_order_leak_nothing(bytes in vec(any::<u8>(), 0..1500)) {
        exercise(Focus::Fragments, &bytes);
    }

    #[test]
    fn anything_on_a_node_with_everything_leaks_nothing(bytes in vec(any::<u8>(), 0..1500)) {
        exercise(Focus::Cluster, &bytes);
    }

    #[test]
    fn with_and_without_the_shortcut_the_same_leaves_and_is_counted(bytes in vec(any::<u8>(), 0..1500)) {
        compare(Focus::Known, &bytes);
    }
}
