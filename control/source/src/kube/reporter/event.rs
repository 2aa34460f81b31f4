//! A fault of an object as an Event of the API (`events.k8s.io/v1`).

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::reporter::ObjectFault;
use crate::kube::resource::resource;

/// Bytes that a note may have (validation of `events.k8s.io`: less than 1 KiB).
const NOTE_MAX: usize = 1000;
/// Bytes that the name of the instance may have.
const INSTANCE_MAX: usize = 128;
/// Bytes of an object's name in that of its Event, which has 253 in all.
const NAME_MAX: usize = 230;
/// Where Events of objects without a namespace are.
const DEFAULT_NAMESPACE: &str = "default";

/// Where the Events of a fault's object are kept.
pub(crate) fn namespace(fault: &ObjectFault) -> &str {
    fault.subject.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
}

/// Where Events are made.
pub(crate) fn path(fault: &ObjectFault) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{}/events", namespace(fault))
}

/// The Event. Its name is made of what it says and of `period`, a number that goes up from time to time: of many nodes that
/// say the same of an object, one makes the Event, and the others are told that it is there.
pub(crate) fn event(fault: &ObjectFault, uid: Option<&str>, node: &str, now: Timestamp, period: u64) -> Value {
    let resource = resource(fault.subject.kind);
    let name = fault.subject.name.as_deref().unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (fault, uid, period).hash(&mut hasher);
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{}.{:016x}", cut(name, NAME_MAX).trim_end_matches(['.', '-']), hasher.finish()),
            "namespace": namespace(fault),
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "type": "Warning",
        "reason": fault.reason,
        "action": "Read",
        "note": cut(&fault.note, NOTE_MAX),
        "regarding": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": fault.subject.namespace,
            "name": name,
            "uid": uid,
        },
        "reportingController": "sluice.io/sluiced",
        "reportingInstance": cut(node, INSTANCE_MAX),
    })
}

/// At most so many bytes of a text, whole letters.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use sluice_model::{Kind, Subject};

    use super::*;

    fn fault(kind: Kind, namespace: Option<&str>, note: &str) -> ObjectFault {
        let subject = Subject { kind, namespace: namespace.map(str::to_owned), name: Some("web".to_owned()) };
        ObjectFault { subject, reason: "Invalid", note: note.to_owned() }
    }

    fn now() -> Timestamp {
        Timestamp::from_microsecond(1_700_000_000_000_042).expect("a time")
    }

    #[test]
    fn an_event_names_its_object_and_lies_beside_it() {
        let event = event(&fault(Kind::EndpointSlice, Some("shop"), "a note"), Some("u-1"), "n1", now(), 0);
        assert_eq!(event["metadata"]["namespace"], "shop");
        assert_eq!(event["regarding"]["apiVersion"], "discovery.k8s.io/v1");
        assert_eq!(event["regarding"]["uid"], "u-1");
        assert_eq!(event["eventTime"], "2023-11-14T22:13:20.000042Z");
        assert_eq!(path(&fault(Kind::Node, None, "")), "/apis/events.k8s.io/v1/namespaces/default/events");
    }

    #[test]
    fn nodes_that_say_the_same_make_one_event_and_other_notes_and_times_make_others() {
        let name = |note: &str, node: &str, period: u64| {
            let event = event(&fault(Kind::Service, Some("shop"), note), None, node, now(), period);
            event["metadata"]["name"].as_str().expect("a name").to_owned()
        };
        assert_eq!(name("a", "n1", 0), name("a", "n2", 0));
        assert_ne!(name("a", "n1", 0), name("b", "n1", 0));
        assert_ne!(name("a", "n1", 0), name("a", "n1", 1));
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let event = event(&fault(Kind::Pod, Some("shop"), &"\u{e4}".repeat(2000)), None, "n1", now(), 0);
        assert_eq!(event["note"].as_str().map(str::len), Some(NOTE_MAX));
        assert_eq!(cut("a\u{e4}", 2), "a");
        assert_eq!(cut("", 2), "");
    }
}
