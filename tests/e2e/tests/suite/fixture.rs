//! The API server itself: what the other tests stand on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_e2e::{API_V4, ApiServer, ApiServerOptions, Client, E2eError, Etcd, path_of};
use sluice_netns::Namespace;
use tempfile::TempDir;

/// A server without a lab, on the loopback of a namespace.
pub(crate) struct Alone {
    pub(crate) server: ApiServer,
    _directory: TempDir,
    _namespace: Namespace,
}

pub(crate) fn alone(label: &str, etcd: Etcd) -> Alone {
    let namespace = Namespace::new(label);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = ApiServerOptions { etcd, flags: Vec::new() };
    let server = ApiServer::start(namespace.name(), directory.path(), &[API_V4.into()], options);
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    Alone { server, _directory: directory, _namespace: namespace }
}

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "spec": { "podCIDRs": ["10.244.1.0/24"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.11" }] },
    })
}

/// What a watch tells in its first second, or in as many as it takes until there is this word in it.
fn watch(client: &Client, query: &str, word: &str) -> Result<String, E2eError> {
    let mut told = String::new();
    for seconds in [1, 2, 4, 8, 16] {
        told = match client.get(&format!("/api/v1/namespaces?watch=1&timeoutSeconds={seconds}&{query}"))? {
            Value::String(lines) => lines,
            one => one.to_string(),
        };
        if told.contains(word) {
            break;
        }
    }
    Ok(told)
}

#[test]
fn what_is_applied_is_there_with_its_status_until_it_is_deleted() {
    let Alone { server, .. } = &alone("applied", Etcd::Current);
    let admin = server.admin();
    let path = path_of(&node("a")).expect("a path");
    for _ in 0..2 {
        let applied = admin.apply(&node("a")).expect("a Node");
        assert_eq!(applied["status"]["addresses"][0]["address"], "192.0.2.11");
        assert_eq!(admin.get(&path).expect("it is there")["spec"]["podCIDR"], "10.244.1.0/24");
    }
    admin.delete(&path).expect("it was there");
    assert_eq!(admin.get(&path).expect_err("it is gone").code(), Some(404));
}

#[test]
fn a_killed_server_comes_back_with_its_objects_and_a_hanging_one_answers_once_it_goes_on() {
    let Alone { server, .. } = &mut alone("killed", Etcd::Current);
    server.admin().apply(&node("a")).expect("a Node");
    let path = path_of(&node("a")).expect("a path");
    server.kill();
    assert!(matches!(server.admin().get(&path), Err(E2eError::Unreachable { .. })));
    server.restart().expect("it starts again");
    server.admin().get(&path).expect("etcd has kept it");

    server.hang().expect("it stops");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| (server.admin().get(&path), Instant::now()));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!asked.is_finished(), "who hangs does not answer");
        let resumed = Instant::now();
        server.resume();
        let (answer, at) = asked.join().expect("the request ends");
        answer.expect("it goes on where it was");
        assert!(at >= resumed);
    });
}

#[test]
fn who_knew_the_first_certificates_trusts_no_others() {
    let Alone { server, _namespace: namespace, .. } = &mut alone("others", Etcd::Current);
    let netns = || sluice_host::Netns::open_named(namespace.name()).expect("the namespace");
    let kubeconfig = server.write_kubeconfig("old.kubeconfig", "https://127.0.0.1:6443", "none").expect("writable");
    let old = Client::new(netns(), &kubeconfig).expect("a client");
    assert_eq!(old.get("/api/v1/nodes").expect_err("the token is none").code(), Some(401), "but the server is trusted");

    let replaced = server.restart_with_other_certificates().expect("it starts");
    let error = old.get("/api/v1/nodes").expect_err("another server").to_string();
    assert!(error.contains("certificate"), "{error}");
    server.admin().get("/api/v1/nodes").expect("its administrator knows it");
    server.restore_certificates(replaced).expect("it starts");
    assert_eq!(old.get("/api/v1/nodes").expect_err("the token is none").code(), Some(401));
}

#[test]
fn what_was_before_a_compaction_is_gone() {
    let Alone { server, .. } = &mut alone("compact", Etcd::Current);
    let first = server.admin().get("/api/v1/namespaces").expect("a list")["metadata"]["resourceVersion"].clone();
    let first = first.as_str().expect("a version").to_owned();
    server.admin().apply(&node("a")).expect("a Node");
    let exact = format!("/api/v1/namespaces?resourceVersion={first}&resourceVersionMatch=Exact");
    server.admin().get(&exact).expect("it is remembered");
    server.forget().expect("etcd compacts");
    assert_eq!(server.admin().get(&exact).expect_err("it is gone").code(), Some(410));
    let watched = watch(server.admin(), &format!("resourceVersion={first}"), "410").map_err(|error| error.to_string());
    assert!(
        watched.clone().is_ok_and(|told| told.contains("410")) || watched.clone().is_err_and(|e| e.contains("410")),
        "{watched:?}"
    );
}

#[test]
fn lists_are_streamed_with_the_etcd_of_this_release_and_refused_with_an_older_one() {
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let (all, reason) = ("k8s.io/initial-events-end", "RequestWatchProgress");
    let streamed = watch(alone("stream", Etcd::Current).server.admin(), query, all).expect("a stream");
    assert!(streamed.contains(all), "{streamed}");
    let refused = watch(alone("refuse", Etcd::Debian).server.admin(), query, reason);
    let refused = refused.unwrap_or_else(|error| error.to_string());
    assert!(refused.contains(reason), "{refused}");
}
