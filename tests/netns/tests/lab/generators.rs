//! The generators of `sluice-perf` count every packet, and peers that have processes of their own leave none behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sluice_netns::wait_for;

use crate::driver::{Lab, program};

#[test]
fn what_is_lost_between_source_and_sink_is_what_their_device_dropped() {
    let lab = Lab::new("calib");
    let file = lab.manifest("results.out");
    let mut command = Command::new(program("sluice-perf"));
    command.args(["calibrate", "--name", lab.name(), "--trials", "1", "--millis", "150", "--json"]).arg(&file);
    let ran = command.output().expect("sluice-perf starts");
    assert!(ran.status.success(), "{ran:?}");
    let results: Value = serde_json::from_str(&fs::read_to_string(&file).expect("written")).expect("JSON");
    let rows = results["rows"].as_array().expect("a list of rows");
    let trials: Vec<&Value> = rows.iter().flat_map(|row| row["trials"].as_array().expect("a list")).collect();
    assert_eq!(trials.len(), rows.len());
    let count = |trial: &Value, field: &str| trial[field].as_u64().expect("a number");
    for trial in &trials {
        assert_eq!(count(trial, "sent"), count(trial, "received") + count(trial, "lost"), "{trial}");
        assert_eq!(count(trial, "lost"), count(trial, "lostAtEntry"), "{trial}");
        for wrong in ["duplicated", "corrupted", "reordered"] {
            assert_eq!(count(trial, wrong), 0, "{trial}");
        }
        assert_eq!(count(&trial["latency"], "samples"), count(trial, "received"), "{trial}");
    }
    // A machine that is busy enough lets the time of one trial pass, but not of all.
    assert!(trials.iter().any(|trial| count(trial, "received") > 0), "{results}");
    lab.assert_gone();
}

#[test]
fn open_v_switch_carries_packets_and_goes_with_an_interrupted_run() {
    let lab = Lab::new("ovs");
    let directory = lab.manifest("scenarios");
    fs::create_dir_all(&directory).expect("writable");
    let text = "name = \"rival\"\ntitle = \"a\"\nwhy = \"a\"\ntopology = \"node\"\nservices = [2]\n\
                peers = [\"openvswitch\"]\n[[measure]]\nkind = \"connect\"\n";
    fs::write(directory.join("rival.toml"), text).expect("writable");
    let mut run = Command::new(program("sluice-perf"));
    run.args(["run", "rival", "--name", lab.name(), "--seconds", "600", "--scenarios"]).arg(&directory);
    run.arg("--lock").arg(lab.manifest("lock")).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = run.spawn().expect("sluice-perf starts");
    // One after another, as each may take its time: a server is there only once the bridge has carried pings.
    let daemons = Path::new("/run/sluice-lab").join(lab.name()).join("openvswitch");
    let server = format!("slu-{}-peer.openvswitch.server", lab.name());
    let served = || {
        let output = Command::new("ip").args(["netns", "pids", &server]).output().expect("ip is there");
        !output.stdout.is_empty()
    };
    let carried = wait_for("the node", || lab.netns("peer.openvswitch.node").exists().then_some(()))
        .and_then(|()| wait_for("the database", || daemons.join("db.sock").exists().then_some(())))
        .and_then(|()| wait_for("the bridge", || daemons.join("br0.mgmt").exists().then_some(())))
        .and_then(|()| wait_for("a server in the pod", || served().then_some(())));
    if carried.is_err() {
        let _ = running.kill();
        panic!("{carried:?}: {:?}", running.wait_with_output());
    }
    kill(Pid::from_raw(i32::try_from(running.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    let ended = running.wait_with_output().expect("it is ours");
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    lab.assert_gone();
}
