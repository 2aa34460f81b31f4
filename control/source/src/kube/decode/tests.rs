use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::kube::status::KINDS;

const NODE: &str = r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n1","resourceVersion":"7"},"spec":{"podCIDRs":["10.7.1.0/24"]}}"#;

fn watch_line(event: &str, object: &str) -> Vec<u8> {
    format!(r#"{{"type":"{event}","object":{object}}}"#).into_bytes()
}

#[test]
fn an_object_of_a_list_needs_no_kind_of_its_own() {
    let item = NODE.replace(r#""kind":"Node","apiVersion":"v1","#, "");
    let text = format!(r#"{{"kind":"NodeList","metadata":{{"resourceVersion":"9"}},"items":[{item}]}}"#);
    let page = page(Kind::Node, text.as_bytes()).expect("a page");
    assert_eq!((page.resource_version.as_str(), page.next), ("9", None));
    assert_eq!(page.items[0].version, Version::Number(7));
    assert!(matches!(&page.items[0].form, Ok(Object::Node(node)) if node.name.as_str() == "n1"));
}

#[test]
fn a_bookmark_says_whether_the_list_is_complete() {
    let bookmark = |annotations: &str| {
        let object = format!(r#"{{"kind":"Node","metadata":{{"resourceVersion":"9","annotations":{annotations}}}}}"#);
        line(Kind::Node, &watch_line("BOOKMARK", &object)).expect("a line")
    };
    let expected = |complete| Line::Bookmark { resource_version: "9".to_owned(), complete };
    assert_eq!(bookmark(r#"{"k8s.io/initial-events-end":"true"}"#), expected(true));
    assert_eq!(bookmark("null"), expected(false));
}

#[test]
fn a_field_of_the_wrong_type_is_told_with_its_place_and_the_object_with_its_name() {
    let object = NODE.replace(r#""10.7.1.0/24""#, r#""10.7.1.0/24", 7"#);
    let Ok(Line::There(item, _)) = line(Kind::Node, &watch_line("ADDED", &object)) else { panic!("an object") };
    let faults = item.form.expect_err("a fault");
    assert_eq!(item.subject.name.as_deref(), Some("n1"));
    let told = faults[0].to_string();
    assert!(told.starts_with("Node n1: spec.podCIDRs[1] has the wrong type: invalid type: integer"), "{told}");
}

#[test]
fn metadata_of_the_wrong_type_leave_an_object_without_a_name() {
    let object = r#"{"kind":"Node","metadata":7}"#;
    let Ok(Line::There(item, _)) = line(Kind::Node, &watch_line("ADDED", object)) else { panic!("an object") };
    assert_eq!(item.subject.name, None);
    assert!(item.form.is_err());
}

#[test]
fn a_refusal_is_read_and_other_texts_are_cut() {
    let status = |text: &str| status(503, text.as_bytes());
    let read = status(r#"{"kind":"Status","message":"busy","code":500,"details":{"retryAfterSeconds":3}}"#);
    assert_eq!((read.code, read.message.as_str(), read.retry_after), (503, "busy", Some(Duration::from_secs(3))));
    assert_eq!(status(r#"{"kind":"Status","details":{"retryAfterSeconds":-3}}"#).retry_after, None);
    let page = status(&"<html>".repeat(1000));
    assert!(page.message.len() < 250 && page.message.ends_with("..."));
}

#[test]
fn an_error_of_a_watch_has_its_own_code() {
    let error = line(Kind::Pod, &watch_line("ERROR", r#"{"kind":"Status","code":410,"message":"too old"}"#));
    assert!(matches!(error, Ok(Line::Error(Status { code: 410, .. }))));
    let odd = line(Kind::Pod, &watch_line("ERROR", r#"{"kind":"Status","code":99999999}"#));
    assert!(matches!(odd, Ok(Line::Error(Status { code: 0, .. }))));
}

#[test]
fn deep_nesting_and_huge_numbers_are_survived() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for object in [deep.as_str(), "1e999", "99999999999999999999999999", "\"\\ud800\""] {
        let _ = line(Kind::Pod, &watch_line("ADDED", object));
        let nested = NODE.replace(r#""n1""#, object);
        let _ = line(Kind::Node, &watch_line("ADDED", &nested));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_survived(kind in select(&KINDS[..]), bytes in vec(any::<u8>(), 0..200)) {
        let _ = line(kind, &bytes);
        let _ = page(kind, &bytes);
        let _ = status(500, &bytes);
    }

    /// A good line with some bytes changed is read, or refused, or its object has a fault; never more.
    #[test]
    fn a_line_with_other_bytes_is_survived(
        event in select(vec!["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = watch_line(event, NODE);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = line(Kind::Node, &bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(line(Kind::Node, &bytes).is_err(), "half a line is none");
    }
}
