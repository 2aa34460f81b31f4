//! The way back to the API.

use std::time::Duration;

use sluice_model::{Kind, NodeName, Subject};
use sluice_source::kube::{Access, NodeCondition, NodeFacts, ObjectFault, Reporter, ReporterStatus, ReporterTiming};
use tempfile::TempDir;

use crate::server::{Asked, Reply, Server};
use crate::told::{eventually, kubeconfig};

fn reporter(server: &Server, timing: ReporterTiming) -> (Reporter, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = kubeconfig(directory.path(), &format!("http://{}", server.address), "");
    let node = NodeName::new("n1").expect("a name");
    (Reporter::start(Access::kubeconfig(&path, None), node, timing), directory)
}

fn timing() -> ReporterTiming {
    ReporterTiming {
        spread: Duration::ZERO,
        backoff: Duration::from_millis(10),
        backoff_limit: Duration::from_millis(50),
        pause: Duration::from_millis(1),
        ..ReporterTiming::default()
    }
}

fn facts(mtu: u32) -> NodeFacts {
    let tunnel_addresses = vec!["192.0.2.1".parse().expect("an address")];
    NodeFacts { tunnel_addresses, mtu: Some(mtu), ..NodeFacts::default() }
}

fn unavailable(holds: bool) -> NodeCondition {
    let (kind, reason) = ("NetworkUnavailable", if holds { "IsDown" } else { "IsUp" });
    NodeCondition { kind, holds, reason, message: String::new() }
}

fn fault(name: &str, note: &str) -> ObjectFault {
    let subject = Subject { kind: Kind::Pod, namespace: Some("shop".to_owned()), name: Some(name.to_owned()) };
    ObjectFault { subject, reason: "Invalid", note: note.to_owned() }
}

/// The status, once it is as wanted.
async fn status(reporter: &Reporter, wanted: impl Fn(&ReporterStatus) -> bool) -> ReporterStatus {
    eventually("a status as wanted", || Some(reporter.status()).filter(&wanted)).await
}

async fn asked(server: &Server, resource: &str, count: usize) -> Vec<Asked> {
    eventually("the requests", || Some(server.asked(resource)).filter(|asked| asked.len() >= count)).await
}

#[tokio::test]
async fn facts_become_annotations_of_the_own_node_and_conditions_its_status() {
    let server = Server::start().await;
    let known = r#"{"status":{"conditions":[{"type":"NetworkUnavailable","status":"False","reason":"IsUp"}]}}"#;
    server.answer("nodes", [Reply::json(200, "{}"), Reply::json(200, known), Reply::json(200, known)]);
    let (reporter, _directory) = reporter(&server, timing());
    reporter.publish_conditions(vec![unavailable(false)]);
    reporter.publish_node(facts(1450));
    let first = asked(&server, "nodes", 2).await;
    assert_eq!((first[0].method.as_str(), first[0].path.as_str()), ("PATCH", "/api/v1/nodes/n1"));
    assert_eq!(first[0].headers["content-type"], "application/merge-patch+json");
    assert!(first[0].body.contains(r#""sluice.io/tunnel-address":"192.0.2.1""#), "{}", first[0].body);
    assert_eq!(first[1].path, "/api/v1/nodes/n1/status");
    assert_eq!(first[1].headers["content-type"], "application/strategic-merge-patch+json");
    assert!(first[1].body.contains(r#""type":"NetworkUnavailable""#), "{}", first[1].body);
    status(&reporter, |status| status.node_written.is_some()).await;
    // The same is not written again; what is new is, without the condition, which is there.
    reporter.publish_node(facts(1450));
    reporter.publish_node(facts(1400));
    let all = asked(&server, "nodes", 3).await;
    assert!(all.len() == 3 && all[2].body.contains(r#""sluice.io/mtu":"1400""#), "{all:?}");
}

#[tokio::test]
async fn a_node_that_was_made_anew_gets_its_annotations_and_its_condition_again() {
    let server = Server::start().await;
    let (reporter, _directory) = reporter(&server, ReporterTiming { refresh: Duration::from_millis(50), ..timing() });
    reporter.publish_conditions(vec![unavailable(false)]);
    reporter.publish_node(facts(1450));
    // Nothing the server answers has the condition.
    let paths: Vec<String> = asked(&server, "nodes", 4).await.into_iter().map(|asked| asked.path).collect();
    let node = "/api/v1/nodes/n1";
    assert_eq!(paths[..4], [node.to_owned(), format!("{node}/status"), node.to_owned(), format!("{node}/status")]);
}

#[tokio::test]
async fn a_missing_right_to_write_is_a_line_of_the_status_and_tried_again() {
    let server = Server::start().await;
    server.answer("nodes", [Reply::json(200, "{}"), Reply::status(403, "no")]);
    server.answer("nodes", vec![Reply::json(200, "{}"); 10]);
    let (reporter, _directory) = reporter(&server, ReporterTiming { backoff: Duration::from_millis(500), ..timing() });
    reporter.publish_conditions(vec![unavailable(false)]);
    reporter.publish_node(facts(1450));
    let failed = status(&reporter, |status| status.node_failure.is_some()).await;
    let text = "patch nodes/status is forbidden; grant patch of nodes/status to sluiced (the server says: no)";
    assert_eq!(failed.node_failure.as_deref(), Some(text));
    status(&reporter, |status| status.node_failure.is_none() && status.node_written.is_some()).await;
}

#[tokio::test]
async fn conditions_are_told_before_there_are_facts_and_each_change_of_them_once() {
    let server = Server::start().await;
    let node = |status: &str, reason: &str| {
        format!(
            r#"{{"status":{{"conditions":[{{"type":"NetworkUnavailable","status":"{status}","reason":"{reason}"}}]}}}}"#
        )
    };
    let down = node("True", "IsDown");
    let replies = ["{}".to_owned(), "{}".to_owned(), down.clone(), down, "{}".to_owned()];
    server.answer("nodes", replies.map(|body| Reply::json(200, body)));
    let (reporter, _directory) = reporter(&server, timing());
    reporter.publish_conditions(vec![unavailable(true)]);
    let first = asked(&server, "nodes", 2).await;
    assert_eq!((first[0].method.as_str(), first[0].path.as_str()), ("GET", "/api/v1/nodes/n1"));
    assert_eq!((first[1].method.as_str(), first[1].path.as_str()), ("PATCH", "/api/v1/nodes/n1/status"));
    assert!(first[1].body.contains(r#""status":"True""#), "{}", first[1].body);
    status(&reporter, |status| status.node_written.is_some()).await;
    reporter.publish_conditions(vec![unavailable(true)]);
    // A type that nobody speaks of any more stays as it is.
    reporter.publish_conditions(Vec::new());
    asked(&server, "nodes", 3).await;
    reporter.publish_conditions(vec![unavailable(false)]);
    let all = asked(&server, "nodes", 5).await;
    let methods: Vec<&str> = all.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["GET", "PATCH", "GET", "GET", "PATCH"]);
    assert!(all[4].body.contains(r#""status":"False""#), "{}", all[4].body);
}

#[tokio::test]
async fn a_fault_becomes_one_event_on_its_object() {
    let server = Server::start().await;
    server.answer("pods", [Reply::json(200, r#"{"kind":"PartialObjectMetadata","metadata":{"uid":"u-1"}}"#)]);
    let (reporter, _directory) = reporter(&server, timing());
    let faults = [fault("web", "spec.nodeName is no name")];
    reporter.report(&faults);
    reporter.report(&faults);
    status(&reporter, |status| status.events_written == 1).await;
    let events = server.asked("events");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (events[0].method.as_str(), events[0].path.as_str()),
        ("POST", "/apis/events.k8s.io/v1/namespaces/shop/events")
    );
    for text in [r#""uid":"u-1""#, r#""note":"spec.nodeName is no name""#, r#""reportingInstance":"n1""#] {
        assert!(events[0].body.contains(text), "{}", events[0].body);
    }
    assert_eq!(server.asked("pods")[0].path, "/api/v1/namespaces/shop/pods/web");
}

#[tokio::test]
async fn what_another_node_told_or_whose_object_is_gone_is_no_failure() {
    let server = Server::start().await;
    server.answer("pods", [Reply::json(200, "{}"), Reply::status(404, "gone")]);
    server.answer("events", [Reply::status(409, "events \"web\" already exists")]);
    let (reporter, _directory) = reporter(&server, timing());
    reporter.report(&[fault("web", "a"), fault("gone", "b")]);
    let status = status(&reporter, |status| status.events_written == 2).await;
    assert_eq!((status.event_failure, status.events_dropped), (None, 0));
    assert_eq!(server.asked("events").len(), 1);
}

#[tokio::test]
async fn a_missing_right_to_make_events_is_a_line_of_the_status() {
    let server = Server::start().await;
    server.answer("events", [Reply::status(403, "no")]);
    let (reporter, _directory) = reporter(&server, timing());
    reporter.report(&[fault("web", "a")]);
    let status = status(&reporter, |status| status.event_failure.is_some()).await;
    let text = "create events.events.k8s.io is forbidden; grant create of events.events.k8s.io to sluiced";
    assert!(status.event_failure.expect("a failure").starts_with(text));
    assert_eq!((status.events_written, status.events_dropped), (0, 1));
}

#[tokio::test]
async fn more_faults_than_wait_are_dropped_and_counted_and_nobody_waits() {
    let server = Server::start().await;
    server.answer("pods", [Reply::silent()]);
    let (reporter, _directory) = reporter(&server, timing());
    let faults: Vec<ObjectFault> = (0..1000).map(|number| fault(&format!("web-{number}"), "a")).collect();
    reporter.report(&faults);
    let dropped = reporter.status().events_dropped;
    assert!((700..800).contains(&dropped), "{dropped}");
}

#[tokio::test]
async fn names_that_are_none_do_not_become_paths() {
    let server = Server::start().await;
    let (reporter, _directory) = reporter(&server, timing());
    let mut nameless = fault("web", "a");
    nameless.subject.name = None;
    reporter.report(&[nameless, fault("../../secrets/x?y=", "a"), fault("web", "b")]);
    status(&reporter, |status| status.events_written == 1).await;
    assert_eq!((server.asked("pods").len(), server.asked("?").len()), (1, 0));
}
