//! A manifest of any bytes: what holds for each. The fuzz target `manifest` calls the same function.

use std::path::Path;

use sluice_model::{
    Family, Index, Inputs, Node, PeersConfig, ServicesConfig, compile, compile_peers, compile_policies,
    compile_services, health_checks, masquerade,
};
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
    }
    index.faults().iter().for_each(|fault| drop(fault.to_string()));
    // Each Node costs a generation, and a manifest may hold thousands.
    for node in index.nodes().take(4) {
        generation(&index, node);
    }
    for (object, _) in &objects {
        index.delete(&object.key());
    }
    assert_eq!(index, Index::new());
    assert_eq!(read_text(Path::new("m.yaml"), bytes), Text { objects, faults });
}

/// Objects that are each good give a generation, whatever they say of each other: what does not fit is told and left out.
fn generation(index: &Index, node: &Node) {
    let config = ServicesConfig { external_ips: true, tunnel_port: Some(4789), ..ServicesConfig::default() };
    let (services, service_faults) = compile_services(index, node, &config, 0);
    let peers = compile_peers(index, node, &PeersConfig::of(Family::V4));
    let policies = compile_policies(index, &node.name, &[], 0);
    for fault in service_faults.iter().chain(&peers.faults).chain(&policies.faults) {
        assert!(fault.subject.name.is_some(), "{fault}");
    }
    health_checks(index, node, &config);
    let inputs = Inputs {
        services: services.into(),
        identities: policies.identities,
        policies: &policies.by_port,
        peers: &peers.peers,
        masquerade: masquerade(node, config.masquerade_ports, Vec::new(), true),
        ..Inputs::new(1, 0, node)
    };
    compile(&inputs).unwrap_or_else(|error| panic!("{node:?}: {error}"));
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = concat!(
        include_str!("../../../tests/fuzz/corpus/manifest/objects.yaml"),
        "---\n",
        include_str!("../../../tests/fuzz/corpus/manifest/services.yaml"),
        "---\n",
        include_str!("../../../tests/fuzz/corpus/manifest/policies.yaml"),
    );

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
        assert_eq!(objects.len(), 11);
        exercise(GOOD.as_bytes());
    }
}
