//! What a crash leaves, and that it goes.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_lab::ProcessId;
use sluice_netns::wait_for;

use crate::driver::Lab;

fn kill_hard(pid: i32) {
    let process = process(pid).expect("it runs");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    wait_for("the killed process to end", || (!process.is_running()).then_some(())).expect("a killed process ends");
}

fn process(pid: i32) -> Option<ProcessId> {
    ProcessId::of(u32::try_from(pid).expect("a process id"))
}

#[test]
fn down_after_the_agent_was_killed() {
    let lab = Lab::new("kill");
    lab.up();
    kill_hard(lab.agent_pid());
    let status = lab.status();
    assert_eq!((&status["nodes"][0]["pid"], &status["nodes"][0]["ready"]), (&serde_json::Value::Null, &false.into()));
    lab.ok(&["down"]);
    lab.assert_gone();
}

#[test]
fn up_after_the_agent_was_killed_repairs_the_lab() {
    let lab = Lab::new("repair");
    lab.up();
    let (agent, web) = (lab.agent_pid(), lab.addresses("web"));
    kill_hard(agent);
    lab.up();
    assert_ne!(lab.agent_pid(), agent);
    assert_eq!(lab.addresses("web"), web, "a pod keeps its addresses");
    for to in &web {
        lab.ok(&["exec", "client", "--", "ping", "-c", "3", "-i", "0.2", "-W", "5", to]);
    }
}

#[test]
fn up_while_the_killed_agent_still_dies() {
    let lab = Lab::new("dying");
    lab.up();
    // No wait: the kernel takes a while to close an agent's sockets, and until then its lock is held.
    kill(Pid::from_raw(lab.agent_pid()), Signal::SIGKILL).expect("it runs");
    lab.up();
    assert_eq!(lab.status()["nodes"][0]["ready"], true);
}

#[test]
fn down_after_up_was_killed_half_way() {
    let lab = Lab::new("half");
    let netns = lab.netns("node-a");
    let log = lab.directory().join("nodes/node-a/log");
    for made in [lab.directory().join("lab.json").as_path(), &netns, &log] {
        let mut up = lab.start(&["up"]);
        wait_for("up to get so far", || made.exists().then_some(())).expect("up makes it");
        up.kill().expect("it is ours");
        up.wait().expect("it ends");
        lab.ok(&["down"]);
        lab.assert_gone();
    }
}

#[test]
fn up_goes_on_where_a_killed_up_stopped() {
    let lab = Lab::new("resume");
    let mut up = lab.start(&["up"]);
    let log = lab.directory().join("nodes/node-a/log");
    wait_for("up to start the agent", || log.exists().then_some(())).expect("up starts it");
    up.kill().expect("it is ours");
    up.wait().expect("it ends");
    lab.up();
    assert_eq!(lab.status()["complete"], true);
    lab.ok(&["exec", "client", "--", "ping", "-c", "1", "-W", "5", &lab.addresses("web")[0]]);
}

#[test]
fn down_finds_everything_without_its_record() {
    let lab = Lab::new("lost");
    lab.up();
    let agent = lab.agent_pid();
    fs::write(lab.directory().join("lab.json"), "{ damaged").expect("writable");
    let up = lab.run(&["up"]);
    assert!(up.err.contains(&format!("sluice lab down --name {}", lab.name())), "{up:?}");
    fs::remove_dir_all(lab.directory()).expect("removable");
    lab.ok(&["down"]);
    lab.assert_gone();
    assert_eq!(process(agent), None, "the agent runs on");
}

#[test]
fn down_ends_what_runs_in_pods_and_nobody_else() {
    let lab = Lab::new("guests");
    lab.up();
    let mut guest = lab.start(&["exec", "web", "--", "sleep", "600"]);
    let inside = format!("/proc/{}/comm", guest.id());
    wait_for("the command to run", || (fs::read_to_string(&inside).ok()?.trim() == "sleep").then_some(()))
        .expect("exec becomes the command");
    let mut stranger = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().expect("sleep is there");
    lab.ok(&["down"]);
    assert!(!guest.wait().expect("it is ours").success(), "it was ended by a signal");
    assert_eq!(stranger.try_wait().expect("it is ours"), None, "a process outside goes on");
    stranger.kill().expect("it is ours");
    stranger.wait().expect("it ends");
}
