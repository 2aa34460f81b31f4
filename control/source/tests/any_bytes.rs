//! A manifest of any bytes: what holds for each. The fuzz target `manifest` calls the same function.

use std::path::Path;

use sluice_model::{Index, Inputs, Object, compile};
use sluice_source::{Text, read_text};

/// Reads the bytes as a manifest, takes its objects into an index, and makes tables of each Node.
pub fn exercise(bytes: &[u8]) {
    let Text { objects, faults } = read_text(Path::new("m.yaml"), bytes);
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
    for fault in &faults {
        let text = fault.to_string();
        assert!(text.starts_with("m.yaml") && !text.contains(char::is_control), "not one line: {text:?}");
        assert!(fault.line.is_none_or(|line| line <= lines), "{text} is beyond line {lines}");
    }
    let mut index = Index::new();
    for (object, line) in &objects {
        assert!((1..=lines).contains(line), "{object:?} is at line {line} of {lines}");
        index.apply(object.clone());
        if let Object::Node(node) = object {
            // Checked networks of one node always give tables.
            compile(&Inputs::new(1, 0, node)).unwrap_or_else(|error| panic!("{node:?}: {error}"));
        }
    }
    index.faults().iter().for_each(|fault| drop(fault.to_string()));
    for (object, _) in &objects {
        index.delete(&object.key());
    }
    assert_eq!(index, Index::new());
    assert_eq!(read_text(Path::new("m.yaml"), bytes), Text { objects, faults });
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = include_str!("../../../tests/fuzz/corpus/manifest/objects.yaml");

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            exercise(&bytes);
        }

        #[test]
        fn a_good_manifest_with_changes_is_read_or_refused(
            changes in vec((any::<prop::sample::Index>(), prop::sample::select(b"\n\r :-[]{}&*!|>'\"#%,\\\0\xff019az".to_vec())), 1..6),
            from in any::<prop::sample::Index>(),
            cut in 0..40usize,
        ) {
            let mut bytes = GOOD.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let from = from.index(bytes.len());
            bytes.drain(from..(from + cut).min(bytes.len()));
            exercise(&bytes);
        }
    }

    #[test]
    fn a_fault_is_on_one_line_whatever_the_names_hold() {
        let bytes = b"apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\nforged\\e[1m\", labels: {\"b\\u2028c\": d}}\n";
        exercise(bytes);
        let faults = read_text(Path::new("m.yaml"), bytes).faults;
        assert!(faults[0].to_string().contains(r"a\nforged\u{1b}[1m"), "{faults:?}");
    }

    #[test]
    fn the_good_manifest_is_good() {
        let Text { objects, faults } = read_text(Path::new("m.yaml"), GOOD.as_bytes());
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(objects.len(), 4);
        exercise(GOOD.as_bytes());
    }
}
