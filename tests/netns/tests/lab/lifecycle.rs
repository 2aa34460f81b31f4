//! Up, again, changed, beside another, down.

use std::fs;

use sluice_netns::wait_for;

use crate::driver::{Lab, machine_network};

#[test]
fn up_shows_what_the_manifests_ask_for_and_down_leaves_nothing() {
    let before = machine_network();
    let lab = Lab::new("up");
    lab.up();
    let status = lab.status();
    assert_eq!(status["complete"], true, "{status}");
    assert_eq!(status["nodes"][0]["name"], "node-a");
    assert_eq!(status["nodes"][0]["ready"], true, "{status}");
    assert_eq!(status["nodes"][0]["netns"], lab.netns("node-a").to_str().expect("text"));
    assert_eq!(status["pods"].as_array().map(Vec::len), Some(3), "{status}");
    for pod in ["web", "client", "db"] {
        let addresses = lab.addresses(pod);
        assert!(addresses[0].starts_with("10.244.1."), "{addresses:?}");
        assert!(addresses[1].starts_with("fd00:10:244:1:"), "{addresses:?}");
    }
    assert!(lab.ok(&["status"]).contains("ready, pid"));
    assert_eq!(machine_network(), before, "a lab leaves the machine's own devices alone");

    let down = lab.ok(&["down"]);
    assert!(down.contains("4 namespaces removed"), "{down}");
    lab.assert_gone();
    assert!(lab.ok(&["down"]).contains("nothing to do"));
    assert_eq!(machine_network(), before);
}

#[test]
fn a_second_up_changes_nothing() {
    let lab = Lab::new("twice");
    lab.up();
    let (agent, container) = (lab.agent_pid(), lab.pod("web", "containerId"));
    let again = lab.up();
    assert!(again.contains("nothing to do"), "{again}");
    assert_eq!((lab.agent_pid(), lab.pod("web", "containerId")), (agent, container));
}

#[test]
fn up_follows_changed_manifests() {
    let lab = Lab::new("change");
    lab.up();
    let (agent, web) = (lab.agent_pid(), lab.pod("web", "containerId"));
    let pods = fs::read_to_string(lab.manifest("pods.yaml")).expect("readable");
    fs::write(lab.manifest("pods.yaml"), pods.replace("name: db", "name: cache")).expect("writable");
    let changes = lab.up();
    assert!(changes.contains("pod demo/db: removed") && changes.contains("pod demo/cache: attached"), "{changes}");
    assert_eq!((lab.agent_pid(), lab.pod("web", "containerId")), (agent, web), "the rest stays as it is");
    assert_eq!(lab.run(&["exec", "db", "--", "true"]).code, Some(1));
    lab.ok(&["exec", "cache", "--", "true"]);
}

#[test]
fn another_setting_restarts_the_agent_and_keeps_the_pods() {
    let lab = Lab::new("set");
    lab.up();
    let (agent, addresses) = (lab.agent_pid(), lab.addresses("web"));
    lab.ok(&["up", "--set", "log.level=debug"]);
    assert_ne!(lab.agent_pid(), agent);
    assert_eq!(lab.addresses("web"), addresses);
}

#[test]
fn two_labs_beside_each_other_do_not_meet() {
    let one = Lab::new("one");
    let two = Lab::new("two");
    one.up();
    two.up();
    assert_ne!(one.agent_pid(), two.agent_pid());
    one.ok(&["down"]);
    one.assert_gone();
    assert_eq!(two.status()["nodes"][0]["ready"], true);
    two.ok(&["exec", "client", "--", "ping", "-c", "1", "-W", "5", &two.addresses("web")[0]]);
}

#[test]
fn two_commands_on_one_lab_do_not_mix() {
    let lab = Lab::new("busy");
    let mut first = lab.start(&["up"]);
    wait_for("the lab's record", || lab.directory().join("lab.json").exists().then_some(())).expect("up begins");
    let second = lab.run(&["down"]);
    let first = first.wait().expect("it is ours");
    // Either it came in between and was told so, or the first had ended already.
    match second.code {
        Some(1) => assert!(second.err.contains("another command is working on lab"), "{second:?}"),
        Some(0) => assert!(first.success()),
        _ => panic!("{second:?}"),
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_made() {
    let lab = Lab::new("wrong");
    let not_up = lab.run(&["status"]);
    assert_eq!(not_up.code, Some(1));
    assert!(not_up.err.contains(&format!("start it with `sluice lab up --name {}`", lab.name())), "{not_up:?}");

    fs::write(lab.manifest("pods.yaml"), "kind: Pod\nmetadata: [\n").expect("writable");
    let broken = lab.run(&["up"]);
    assert_eq!(broken.code, Some(1));
    assert!(broken.err.contains("pods.yaml"), "{broken:?}");
    assert_eq!(lab.run(&["up", "--no-such-flag"]).code, Some(2));
    lab.assert_gone();
}

#[test]
fn an_agent_that_does_not_start_is_shown_with_its_log() {
    let lab = Lab::new("badset");
    let ran = lab.run(&["up", "--set", "noSuchKey=1"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("sluiced of node node-a ended") && ran.err.contains("noSuchKey"), "{ran:?}");
    lab.ok(&["down"]);
    lab.assert_gone();
}
