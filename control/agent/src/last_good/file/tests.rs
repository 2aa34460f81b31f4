//! Written, read back, and damaged in every way.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use sluice_model::{Index, Node};

use super::*;

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a name")
}

/// A file with so many Nodes, in a directory that goes with the value.
fn saved(nodes: usize) -> (tempfile::TempDir, ObjectsFile, Vec<Object>) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = ObjectsFile::new(directory.path(), name("n1"));
    let mut index = Index::new();
    for at in 0..nodes {
        let pod_cidrs = vec![format!("10.{}.{}.0/24", at / 256, at % 256).parse().expect("a network")];
        index.apply(Object::Node(Node { pod_cidrs, ..Node::named(name(&format!("node-{at}"))) }));
    }
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    assert_eq!(file.save(now, |after, most| index.page(after, most)).expect("written"), nodes as u64);
    (directory, file, index.page(None, usize::MAX))
}

fn bytes(directory: &tempfile::TempDir) -> Vec<u8> {
    fs::read(directory.path().join(FILE)).expect("readable")
}

#[test]
fn what_is_written_is_read_back() {
    for nodes in [0, 1, PAGE, 3 * PAGE + 1] {
        let (directory, file, objects) = saved(nodes);
        let stored = file.load().expect("readable").expect("there");
        assert_eq!(stored.objects, objects);
        assert_eq!(stored.written, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert!(!directory.path().join(TEMPORARY).exists());
        let mode = fs::metadata(directory.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else's business");
    }
}

#[test]
fn without_a_file_there_is_nothing_and_that_is_no_error() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(ObjectsFile::new(directory.path(), name("n1")).load().expect("no error").is_none());
}

#[test]
fn what_a_kill_left_half_written_means_nothing() {
    let (directory, file, objects) = saved(3);
    fs::write(directory.path().join(TEMPORARY), b"half of").expect("writable");
    assert_eq!(file.load().expect("readable").expect("there").objects, objects);
}

#[test]
fn a_write_that_fails_leaves_no_half_of_a_file_and_the_one_before_whole() {
    let (directory, file, objects) = saved(3);
    // Nothing is renamed over a directory.
    fs::rename(directory.path().join(FILE), directory.path().join("aside")).expect("renamed");
    fs::create_dir(directory.path().join(FILE)).expect("made");
    let page = |after: Option<&Key>, _: usize| if after.is_none() { objects.clone() } else { Vec::new() };
    assert!(matches!(file.save(UNIX_EPOCH, page), Err(ObjectsError::Io { operation: "rename", .. })));
    assert!(!directory.path().join(TEMPORARY).exists());
    fs::remove_dir(directory.path().join(FILE)).expect("removed");
    fs::rename(directory.path().join("aside"), directory.path().join(FILE)).expect("renamed");
    assert_eq!(file.load().expect("readable").expect("there").objects, objects);
}

#[test]
fn a_file_of_another_version_or_node_is_refused_by_name_and_set_aside() {
    let (directory, file, _) = saved(1);
    let text = String::from_utf8(bytes(&directory)).expect("text");
    fs::write(directory.path().join(FILE), text.replace("\"version\":1,", "\"version\":2,")).expect("writable");
    let refused = file.load().expect_err("another version");
    assert!(refused.is_refusal() && refused.to_string().contains("has version 2"), "{refused}");
    assert!(file.set_aside().expect("renamed").ends_with(REFUSED));
    assert!(file.load().expect("no error").is_none(), "the next start does not meet it again");

    let (directory, _, _) = saved(1);
    let refused = ObjectsFile::new(directory.path(), name("n2")).load().expect_err("another node");
    assert!(refused.is_refusal() && refused.to_string().contains("is of node n1"), "{refused}");
}

#[test]
fn an_object_that_makes_no_sense_any_more_is_left_out_of_a_whole_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = ObjectsFile::new(directory.path(), name("n1"));
    let good = Object::Node(Node::named(name("n1")));
    let body =
        format!("{}\n{{\"Node\": {{\"metadata\": {{\"name\": \"-\"}}}}}}\n", serde_json::to_string(&good).unwrap());
    let mut hasher = Hasher::new();
    hasher.update(body.as_bytes());
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        node: "n1".to_owned(),
        written: "2026-01-31T09:00:00Z".to_owned(),
        count: 2,
        bytes: body.len() as u64,
        checksum: hasher.finalize(),
    };
    let mut whole = serde_json::to_vec(&header).unwrap();
    whole.resize(HEADER, b' ');
    whole.extend(body.as_bytes());
    fs::write(directory.path().join(FILE), whole).expect("writable");
    assert_eq!(file.load().expect("readable").expect("there").objects, [good]);
}

#[test]
fn times_are_told_as_the_api_writes_them() {
    assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).to_string(), "2023-11-14T22:13:20Z");
    assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "1970-01-01T00:00:00Z");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever becomes of the file, it is refused, or it says what was written.
    #[test]
    fn a_damaged_file_is_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<bool>()) {
        let (directory, file, objects) = saved(3);
        let mut damaged = bytes(&directory);
        let at = at.index(damaged.len());
        if cut { damaged.truncate(at) } else { damaged[at] ^= 1 << bit }
        fs::write(directory.path().join(FILE), damaged).expect("writable");
        match file.load() {
            Err(error) => prop_assert!(error.is_refusal(), "{error}"),
            // A blank of the header, or the time in it.
            Ok(stored) => prop_assert_eq!(stored.expect("there").objects, objects),
        }
    }
}
