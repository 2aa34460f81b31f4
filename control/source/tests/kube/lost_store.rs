//! A server that lost its store, or had it put back: it is found out, and nothing is taken away by it.

use std::time::Duration;

use sluice_model::NodeName;
use sluice_source::kube::{Access, KindState, Timing, watch_for};

use crate::server::{Reply, Server, bookmark, line, pod, pods, status};
use crate::told::{self, Told, timing};

fn node(name: &str, version: u64) -> String {
    format!(r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#)
}

fn gone() -> String {
    line("ERROR", &status(410, "too old resource version"))
}

/// A list as a stream whose watch is served until the place is forgotten.
fn then_gone(lines: &[String]) -> Reply {
    Reply::lines(&[lines, &[gone()]].concat())
}

/// The watches of node n1.
fn told_for_n1(server: &Server, timing: Timing) -> Told {
    let directory = tempfile::tempdir().expect("a directory");
    let path = told::kubeconfig(directory.path(), &format!("http://{}", server.address), "");
    let watch = watch_for(NodeName::new("n1").expect("a name"), Access::kubeconfig(&path, None), timing);
    Told::over(directory, watch)
}

/// Passes over what else is told, until this comes.
async fn until(told: &mut Told, expected: &str) -> Vec<String> {
    let mut before = Vec::new();
    loop {
        let next = told.next().await;
        if next.contains(expected) {
            return before;
        }
        before.push(next);
    }
}

#[tokio::test]
async fn a_server_without_the_own_node_tells_nothing_but_that_until_it_has_it_again() {
    let server = Server::start().await;
    let missing = || Reply::status(404, "nodes n1 not found");
    let nodes = [line("ADDED", &node("n1", 3)), line("ADDED", &node("n2", 4)), bookmark("Node", 5, true)];
    let found = Reply::json(200, "{}");
    let again = [line("ADDED", &node("n1", 3)), line("ADDED", &node("n3", 2)), bookmark("Node", 7, true)];
    // The Node is asked for by each kind that would list again: the other four only watch.
    server.answer("nodes", [vec![then_gone(&nodes)], vec![missing(); 6]].concat());
    let mut told = told_for_n1(&server, timing());
    told.expect(&["apply Node n1", "apply Node n2"]).await;
    let before = until(&mut told, "fault watch of Node: the server has no Node n1 any more").await;
    assert_eq!(before, ["delete Node n1"], "and no other object goes");
    let status = told.watch.status();
    told::eventually("five failures", || (status.kinds()[0].failures >= 5).then_some(())).await;
    let lists = server.asked("nodes").iter().filter(|asked| asked.is_stream()).count();
    assert_eq!(
        (lists, status.kinds()[0].state),
        (1, KindState::BackingOff),
        "what such a server lists is not asked for"
    );
    server.answer("nodes", [vec![found], vec![Reply::lines(&again)]].concat());
    let before = until(&mut told, "delete Node n2").await;
    assert!(before.contains(&"apply Node n1".to_owned()), "it is told again, though it is the same: {before:?}");
    assert!(before.contains(&"apply Node n3".to_owned()), "{before:?}");
}

#[tokio::test]
async fn another_kind_asks_for_the_node_before_it_lists_again() {
    let server = Server::start().await;
    let nodes = Reply::lines(&[line("ADDED", &node("n1", 3)), bookmark("Node", 5, true)]);
    server.answer("nodes", [vec![nodes], vec![Reply::status(404, "no such Node"); 1000]].concat());
    // Until the Node is known the lists are believed.
    let list = [line("ADDED", &pod("a", 3)), bookmark("Pod", 5, true)];
    server.answer_pods(vec![then_gone(&list); 1000]);
    let mut told = told_for_n1(&server, timing());
    let before = until(&mut told, "fault watch of Pod: the server has no Node n1 any more").await;
    assert!(!before.iter().any(|told| told.starts_with("delete")), "{before:?}");
    let (lists, questions) = (server.asked("pods").len(), server.asked("nodes").len());
    told::eventually("five more questions", || (server.asked("nodes").len() >= questions + 5).then_some(())).await;
    assert_eq!(server.asked("pods").len(), lists, "one small question takes the place of a list");
}

#[tokio::test]
async fn a_list_of_nodes_that_lacks_the_own_one_takes_nothing_else_away() {
    let server = Server::start().await;
    let nodes = [line("ADDED", &node("a", 2)), line("ADDED", &node("n1", 3)), bookmark("Node", 5, true)];
    let other = [line("ADDED", &node("b", 1)), bookmark("Node", 4, true)];
    // It goes between the question for it and the list.
    let replies = [then_gone(&nodes), Reply::json(200, "{}"), Reply::lines(&other)];
    server.answer("nodes", [replies.to_vec(), vec![Reply::status(404, "no such Node"); 20]].concat());
    let mut told = told_for_n1(&server, timing());
    told.expect(&["apply Node a", "apply Node n1", "apply Node b", "delete Node n1"]).await;
    let before = until(&mut told, "fault watch of Node: the server has no Node n1 any more").await;
    assert_eq!(before, [] as [String; 0]);
}

#[tokio::test]
async fn a_silent_watch_of_what_the_store_has_yet_to_reach_is_found_out() {
    let server = Server::start().await;
    let list = |name: &str, version| Reply::lines(&[line("ADDED", &pod(name, 1)), bookmark("Pod", version, true)]);
    server.answer_pods([list("a", 100), Reply::json(200, pods(&[], 9, "")), list("b", 9)]);
    let mut told = Told::with(&server, Timing { quiet: Duration::from_millis(200), ..timing() });
    told.expect(&["apply Pod default/a", "apply Pod default/b", "delete Pod default/a"]).await;
}

#[tokio::test]
async fn a_server_that_forgets_what_it_has_just_listed_is_told_of_and_asked_ever_less_often() {
    let server = Server::start().await;
    let list = [line("ADDED", &pod("a", 3)), bookmark("Pod", 5, true)];
    server.answer_pods(vec![then_gone(&list); 20]);
    let (first, limit) = (Duration::from_millis(20), Duration::from_secs(60));
    let mut told = Told::with(&server, Timing { backoff: first, backoff_limit: limit, ..timing() });
    told.expect(&["apply Pod default/a"]).await;
    told.fault_with("the server has forgotten the changes since").await;
    told::pods(&told.watch.status(), |pods| pods.failures >= 6).await;
    let at: Vec<_> = server.asked("pods").into_iter().map(|asked| asked.at).collect();
    for (failures, pair) in at.windows(2).enumerate() {
        assert!(pair[1] - pair[0] >= first * (1 << failures) / 2, "try {failures}");
    }
}
