//! `sluice-perf` cleans up behind itself.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_netns::{require_root, wait_for};

use crate::driver::{Lab, program};

fn foundation(lab: &Lab, seconds: &str) -> Command {
    let mut command = Command::new(program("sluice-perf"));
    command.args(["foundation", "--trials", "1", "--paths", "direct,bridge", "--name", lab.name()]);
    command.args(["--seconds", seconds]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn an_interrupted_measurement_leaves_nothing() {
    let lab = Lab::new("testctrlc");
    let server = std::path::Path::new("/run/netns/slu-testctrlc-peer.bridge.server");
    let mut running = foundation(&lab, "600").spawn().expect("sluice-perf starts");
    wait_for("the last path to be made", || server.exists().then_some(())).expect("it is made");
    kill(Pid::from_raw(i32::try_from(running.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    assert_eq!(running.wait().expect("it is ours").code(), Some(130));
    lab.assert_gone();
}

#[test]
fn what_a_killed_measurement_left_does_not_disturb_the_next() {
    let lab = Lab::new("testkillperf");
    let server = std::path::Path::new("/run/netns/slu-testkillperf-peer.bridge.server");
    let mut running = foundation(&lab, "600").spawn().expect("sluice-perf starts");
    wait_for("the last path to be made", || server.exists().then_some(())).expect("it is made");
    running.kill().expect("it is ours");
    running.wait().expect("it ends");
    let next = foundation(&lab, "1").output().expect("sluice-perf starts");
    let out = String::from_utf8_lossy(&next.stdout).into_owned();
    assert!(next.status.success() && out.contains("TCP, one flow"), "{next:?}");
    lab.assert_gone();
}

#[test]
fn a_core_that_is_not_there_is_refused() {
    require_root();
    let ran = Command::new(program("sluice-perf")).args(["demo", "--switch-core", "1023"]).output().expect("it starts");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("core 1023"), "{ran:?}");
}
