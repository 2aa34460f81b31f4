//! What goes wrong between a watch and the server: it is told, nothing is taken away, and it is over by itself.

use std::time::Duration;

use sluice_source::kube::{KindState, Timing};

use crate::server::{Ending, Reply, Server, bookmark, line, pod, pods, status};
use crate::told::{self, Told, timing};

/// Where no other test listens, so that none gets the port in between.
const LATE: &str = "127.0.0.3:0";

/// A list with one Pod, as a stream that goes on as its watch.
fn good() -> Reply {
    Reply::lines(&[line("ADDED", &pod("a", 3)), bookmark("Pod", 5, true)])
}

/// The same list, and then the watch ends as it is told to.
fn good_then(ending: Ending) -> Reply {
    good().ending(ending)
}

/// A watch on which something happens, to show that it goes on.
fn goes_on() -> Reply {
    Reply::lines(&[line("ADDED", &pod("later", 9))])
}

#[tokio::test]
async fn a_server_that_never_answers_is_told_and_asked_again() {
    let server = Server::start().await;
    server.answer_pods([vec![Reply::silent(); 2], vec![good(); 20]].concat());
    let mut told = Told::with(&server, Timing { answer: Duration::from_millis(500), ..timing() });
    told.fault_with("the server has said nothing for 0.5 s").await;
    told.until("apply Pod default/a").await;
}

#[tokio::test]
async fn a_watch_on_which_not_even_bookmarks_come_is_begun_anew_without_a_fault() {
    let server = Server::start().await;
    let how_far = Reply::json(200, pods(&[pod("a", 3)], 7, "more"));
    server.answer_pods([vec![good(), how_far], vec![goes_on(); 10]].concat());
    let mut told = Told::with(&server, Timing { quiet: Duration::from_millis(200), ..timing() });
    told.expect(&["apply Pod default/a", "apply Pod default/later"]).await;
    let asked = server.asked("pods");
    assert!(asked[1].path.ends_with("/pods?limit=1") && asked[2].path.ends_with("&resourceVersion=5"), "{asked:?}");
}

#[tokio::test]
async fn a_missing_right_is_named_the_other_kinds_go_on_and_the_sync_waits() {
    let server = Server::start().await;
    let forbidden = "pods is forbidden: User cannot watch resource";
    // As long as the others may take.
    server.answer_pods(vec![Reply::status(403, forbidden); 10_000]);
    let mut told = Told::of(&server);
    let fault = told.fault_with("forbidden").await;
    let text =
        "fault watch of Pod: watch pods is forbidden; grant get, list and watch of pods to sluiced (the server says: ";
    assert_eq!(fault, format!("{text}{forbidden})"));
    let handle = told.watch.status();
    let status = told::pods(&handle, |pods| pods.state == KindState::Forbidden && pods.failures > 2).await;
    assert!(!status.synced && status.last_failure.is_some());
    told::all_but_one_synced(&handle).await;
    assert!(!told.is_synced());
    server.answer_now("pods", [good()]);
    // Told once, cleared when the right is granted.
    told.expect(&["apply Pod default/a", "cleared watch of Pod"]).await;
    told.until_synced().await;
}

#[tokio::test]
async fn a_right_of_a_group_is_named_with_the_group() {
    let server = Server::start().await;
    let forbidden = Reply::status(403, "no");
    server.answer("endpointslices", [Reply::status(400, "no streams"), forbidden]);
    let mut told = Told::of(&server);
    let fault = told.next().await;
    let text = "list endpointslices.discovery.k8s.io is forbidden; grant get, list and watch of endpointslices.discovery.k8s.io";
    assert!(fault.contains(text), "{fault}");
}

#[tokio::test]
async fn credentials_that_are_refused_are_read_again() {
    let server = Server::start().await;
    server.answer_pods([vec![Reply::status(401, "Unauthorized"); 20], vec![good()]].concat());
    let mut told = Told::of(&server);
    told.fault_with("does not accept the credentials; renew the token").await;
    let path = told.directory.path().join("kubeconfig");
    let text = std::fs::read_to_string(&path).expect("the kubeconfig").replace("secret", "renewed");
    std::fs::write(&path, text).expect("a kubeconfig");
    told.until("apply Pod default/a").await;
    let last = server.asked("pods").pop().expect("a request");
    assert_eq!(last.headers.get("authorization").map(String::as_str), Some("Bearer renewed"));
}

#[tokio::test]
async fn answers_that_make_no_sense_are_told_as_such_and_the_watch_goes_on_where_it_was() {
    let html = Reply::json(200, "<html>Sign in</html>").header("content-type", "text/html");
    let no_type = Reply { headers: Vec::new(), ..Reply::json(200, "{}") };
    let wrong_kind = line("ADDED", &pod("a", 6).replace("\"Pod\"", "\"Secret\""));
    let cases = [
        (html, "it is of type text/html where application/json is due"),
        (no_type, "it is of type no type"),
        (Reply::lines(&["{\"type\":\"ADDED\",\"obj".to_owned()]), r#"begins with "{\"type\":"#),
        (Reply::lines(&["<html>".to_owned()]), "it is not what the API writes"),
        (Reply::lines(&["{}".to_owned()]), "missing field `type`"),
        (Reply::lines(&[wrong_kind]), "the kind in its watch is Secret where Pod is due"),
        (Reply::lines(&[line("CHANGED", &pod("a", 6))]), "an event of its watch is of type CHANGED"),
        (Reply::lines(&[line("BOOKMARK", r#"{"kind":"Pod"}"#)]), "a bookmark has no resourceVersion"),
    ];
    for (reply, text) in cases {
        let server = Server::start().await;
        server.answer_pods([good_then(Ending::Whole), reply, goes_on()]);
        let mut told = Told::of(&server);
        told.expect(&["apply Pod default/a"]).await;
        told.fault_with(text).await;
        told.until("apply Pod default/later").await;
        assert!(server.asked("pods")[2].path.ends_with("&resourceVersion=5"), "{text}");
    }
}

#[tokio::test]
async fn lists_that_make_no_sense_take_nothing_away() {
    let secrets = pods(&[], 9, "").replace("PodList", "SecretList");
    let no_version = pods(&[], 9, "").replace("\"9\"", "\"\"");
    let half = pods(&[pod("a", 3)], 9, "");
    let half = &half[..half.len() / 2];
    let cases = [
        (Reply::json(200, secrets), "its kind is SecretList where PodList is due"),
        (Reply::json(200, no_version), "PodList has no metadata.resourceVersion"),
        (Reply::json(200, half), "it is not what the API writes"),
        (Reply::json(200, half).ending(Ending::Broken), "the server ended its answer before it was whole"),
    ];
    for (reply, text) in cases {
        let server = Server::start().await;
        let (first, second) = (pods(&[pod("a", 3), pod("b", 4)], 5, ""), pods(&[pod("a", 3)], 9, ""));
        server.answer_pods([
            Reply::status(400, "no streams"),
            Reply::json(200, first),
            Reply::status(410, "too old"),
            reply,
            Reply::json(200, second),
        ]);
        let mut told = Told::of(&server);
        told.expect(&["apply Pod default/a", "apply Pod default/b"]).await;
        told.fault_with(text).await;
        told.until("delete Pod default/b").await;
    }
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let server = Server::start().await;
    let in_body = r#"{"kind":"Status","code":503,"message":"starting","details":{"retryAfterSeconds":1}}"#;
    server.answer_pods([
        Reply::status(429, "too many requests").header("retry-after", "1"),
        Reply::json(503, in_body),
        good(),
    ]);
    let mut told = Told::with(&server, Timing { backoff_limit: Duration::from_secs(1), ..timing() });
    told.fault_with("the server answers with status 429: too many requests").await;
    told.fault_with("the server answers with status 503: starting").await;
    told.until("apply Pod default/a").await;
    let asked = server.asked("pods");
    for pair in asked.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_error_in_a_watch_is_told_and_the_watch_goes_on() {
    let server = Server::start().await;
    let error = line("ERROR", &status(500, "etcdserver: leader changed"));
    server.answer_pods([good_then(Ending::Broken), Reply::lines(&[error]), goes_on()]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a"]).await;
    told.fault_with("status 500: etcdserver: leader changed").await;
    told.until("apply Pod default/later").await;
}

#[tokio::test]
async fn a_store_that_cannot_stream_lists_is_found_out_in_the_middle_of_the_stream() {
    let server = Server::start().await;
    let error = "a watch stream was requested but the required storage feature RequestWatchProgress is disabled";
    server.answer_pods([
        Reply::lines(&[line("ERROR", &status(500, error))]),
        Reply::json(200, pods(&[pod("a", 3)], 5, "")),
        goes_on(),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/later"]).await;
}

#[tokio::test]
async fn a_list_whose_stream_breaks_off_is_read_in_pages() {
    let server = Server::start().await;
    server.answer_pods([
        Reply::lines(&[line("ADDED", &pod("a", 3))]).ending(Ending::Broken),
        Reply::json(200, pods(&[pod("a", 3), pod("b", 4)], 5, "")),
        goes_on(),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a"]).await;
    told.fault_with("the server ended its answer before it was whole").await;
    told.until("apply Pod default/b").await;
    told.until("apply Pod default/later").await;
}

#[tokio::test]
async fn a_server_that_comes_late_is_found() {
    let server = Server::start_at(LATE, None).await;
    let address = server.address.to_string();
    drop(server);
    let directory = tempfile::tempdir().expect("a directory");
    let path = told::kubeconfig(directory.path(), &format!("http://{address}"), "");
    let mut told = Told::from(directory, sluice_source::kube::Access::kubeconfig(&path, None), timing());
    told.fault_with("the server cannot be reached: ").await;
    let server = Server::start_at(&address, None).await;
    server.answer_pods([good()]);
    told.until("apply Pod default/a").await;
    told.until_synced().await;
}
