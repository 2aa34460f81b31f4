//! Lists and watches as they go when nothing is wrong.

use std::time::Duration;

use sluice_source::kube::KindState;

use crate::server::{Ending, Reply, Server, bad_pod, bookmark, line, pod, pods};
use crate::told::{self, Told};

#[tokio::test]
async fn a_streamed_list_is_told_then_synced_and_the_same_stream_goes_on_as_the_watch() {
    let server = Server::start().await;
    let lines = [
        line("ADDED", &pod("a", 3)),
        line("ADDED", &pod("b", 2)),
        bookmark("Pod", 5, true),
        line("MODIFIED", &pod("b", 6)),
        line("DELETED", &pod("a", 7)),
        bookmark("Pod", 9, false),
    ];
    server.answer_pods([Reply::lines(&lines)]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/b", "apply Pod default/b", "delete Pod default/a"]).await;
    told.until_synced().await;
    let status = told::pods(&told.watch.status(), |pods| pods.resource_version == "9").await;
    assert_eq!((status.state, status.synced, status.objects, status.lists), (KindState::Watching, true, 1, 1));
    let asked = server.asked("pods");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.contains("resourceVersionMatch=NotOlderThan&") || asked[0].path.ends_with("NotOlderThan"));
    assert!(asked[0].path.contains("allowWatchBookmarks=true"));
    assert_eq!(asked[0].headers.get("authorization").map(String::as_str), Some("Bearer secret"));
}

#[tokio::test]
async fn a_list_is_read_in_pages_where_the_server_does_not_stream_it() {
    let server = Server::start().await;
    let refused = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
    server.answer_pods([
        Reply::status(422, refused),
        Reply::json(200, pods(&[pod("a", 1)], 0, "more of it/="))
            .header("content-type", "application/json; charset=utf-8"),
        Reply::json(200, pods(&[pod("b", 2)], 5, "")),
        Reply::lines(&[line("ADDED", &pod("c", 6))]),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/b", "apply Pod default/c"]).await;
    told.until_synced().await;
    let paths: Vec<String> = server.asked("pods").into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths[1], "/api/v1/pods?limit=500");
    assert_eq!(paths[2], "/api/v1/pods?limit=500&continue=more%20of%20it%2F%3D");
    assert!(paths[3].contains("watch=true") && paths[3].ends_with("&resourceVersion=5"), "{}", paths[3]);
}

#[tokio::test]
async fn a_server_that_passes_over_what_it_does_not_know_is_asked_for_pages() {
    let server = Server::start().await;
    // An old server takes the stream for a plain watch, and never says that the list is complete.
    server.answer_pods([
        Reply::lines(&[line("ADDED", &pod("a", 3))]),
        Reply::json(200, pods(&[pod("a", 3), pod("b", 4)], 5, "")),
        Reply::lines(&[]),
    ]);
    let mut told =
        Told::with(&server, sluice_source::kube::Timing { answer: Duration::from_secs(2), ..told::timing() });
    told.expect(&["apply Pod default/a"]).await;
    told.until("apply Pod default/b").await;
    told.until_synced().await;
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was_and_tells_nothing_twice() {
    let server = Server::start().await;
    server.answer_pods([
        Reply::lines(&[line("ADDED", &pod("a", 3)), bookmark("Pod", 5, true)]).ending(Ending::Whole),
        Reply::lines(&[line("ADDED", &pod("b", 6)), bookmark("Pod", 8, false)]).ending(Ending::Broken),
        Reply::lines(&[line("MODIFIED", &pod("b", 9))]),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/b", "apply Pod default/b"]).await;
    let paths: Vec<String> = server.asked("pods").into_iter().map(|asked| asked.path).collect();
    assert!(paths[1].ends_with("&resourceVersion=5"), "{}", paths[1]);
    assert!(paths[2].ends_with("&resourceVersion=8"), "the bookmark counts: {}", paths[2]);
}

#[tokio::test]
async fn events_that_come_twice_or_late_change_nothing() {
    let server = Server::start().await;
    let lines = [
        line("ADDED", &pod("a", 3)),
        bookmark("Pod", 5, true),
        line("ADDED", &pod("a", 3)),
        line("MODIFIED", &pod("a", 8)),
        line("MODIFIED", &pod("a", 7)),
        line("DELETED", &pod("a", 6)),
        line("ADDED", &pod("b", 9)),
        line("DELETED", &pod("b", 10)),
        line("MODIFIED", &pod("b", 9)),
        line("ADDED", &pod("end", 11)),
    ];
    server.answer_pods([Reply::lines(&lines)]);
    let mut told = Told::of(&server);
    let first = ["apply Pod default/a", "apply Pod default/a"];
    told.expect(&[&first[..], &["apply Pod default/b", "delete Pod default/b", "apply Pod default/end"]].concat())
        .await;
}

#[tokio::test]
async fn a_forgotten_place_is_made_good_by_a_new_list_that_tells_the_difference() {
    let server = Server::start().await;
    let gone = line("ERROR", &crate::server::status(410, "too old resource version"));
    server.answer_pods([
        Reply::lines(&[
            line("ADDED", &pod("a", 1)),
            line("ADDED", &pod("b", 2)),
            line("ADDED", &pod("c", 3)),
            bookmark("Pod", 5, true),
            gone,
        ]),
        Reply::lines(&[line("ADDED", &pod("b", 2)), line("ADDED", &pod("c", 7)), bookmark("Pod", 9, true)]),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/b", "apply Pod default/c"]).await;
    // No fault: it is a matter of course. Nothing goes before the new list is complete.
    told.expect(&["apply Pod default/c", "delete Pod default/a"]).await;
    let status = told::pods(&told.watch.status(), |pods| pods.lists == 2).await;
    assert_eq!((status.objects, status.failures), (2, 1));
    assert!(server.asked("pods")[1].is_stream());
}

#[tokio::test]
async fn a_list_that_the_server_forgets_between_pages_begins_anew_and_takes_nothing_away() {
    let server = Server::start().await;
    server.answer_pods([
        Reply::status(400, "unknown parameter"),
        Reply::json(200, pods(&[pod("a", 1)], 0, "next")),
        Reply::status(410, "The provided continue parameter is too old"),
        Reply::json(200, pods(&[pod("a", 1), pod("b", 2)], 5, "")),
        Reply::lines(&[]),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/b"]).await;
    told.until_synced().await;
    assert!(server.asked("pods")[3].path.contains("limit=2000"), "fewer pages, so that it fits");
}

#[tokio::test]
async fn versions_that_run_back_with_the_servers_store_are_taken_from_a_new_list() {
    let server = Server::start().await;
    server.answer_pods([
        Reply::lines(&[line("ADDED", &pod("a", 100)), bookmark("Pod", 100, true)]).ending(Ending::Whole),
        Reply::status(504, "Too large resource version: 100, current: 9"),
        Reply::lines(&[line("ADDED", &pod("a", 7)), bookmark("Pod", 9, true), line("MODIFIED", &pod("a", 10))]),
    ]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a", "apply Pod default/a", "apply Pod default/a"]).await;
}

#[tokio::test]
async fn an_object_that_makes_no_sense_is_a_fault_of_it_keeps_its_last_good_form_and_stops_nobody() {
    let server = Server::start().await;
    let lines = [
        line("ADDED", &pod("a", 1)),
        line("ADDED", &bad_pod("b", 2)),
        bookmark("Pod", 3, true),
        line("MODIFIED", &bad_pod("a", 4)),
        line("ADDED", &pod("c", 5)),
        line("MODIFIED", &pod("a", 6)),
        line("DELETED", &bad_pod("b", 7)),
        line(
            "MODIFIED",
            r#"{"kind":"Pod","metadata":{"name":"c","namespace":"default","resourceVersion":"8"},"spec":7}"#,
        ),
        line("DELETED", &pod("c", 9)),
    ];
    server.answer_pods([Reply::lines(&lines)]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a"]).await;
    let fault = told.next().await;
    assert!(fault.starts_with("fault Pod default/b: spec.nodeName \"N_1\""), "{fault}");
    let fault = told.next().await;
    assert!(fault.starts_with("fault Pod default/a: spec.nodeName"), "{fault}");
    told.expect(&["apply Pod default/c", "cleared Pod default/a", "apply Pod default/a", "cleared Pod default/b"])
        .await;
    let fault = told.next().await;
    assert!(fault.starts_with("fault Pod default/c: spec has the wrong type"), "{fault}");
    told.expect(&["cleared Pod default/c", "delete Pod default/c"]).await;
    told.until_synced().await;
}

#[tokio::test]
async fn all_kinds_are_synced_only_once_the_slowest_list_is_complete() {
    let server = Server::start().await;
    server.answer_pods([Reply::lines(&[line("ADDED", &pod("a", 1))]).ending(Ending::Whole), Reply::silent()]);
    let mut told = Told::of(&server);
    told.expect(&["apply Pod default/a"]).await;
    let status = told.watch.status();
    told::all_but_one_synced(&status).await;
    assert!(!told.is_synced());
}
