//! `sluice-perf` measures what it says, and cleans up behind itself. No test here looks at how fast anything was.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sluice_netns::{require_root, wait_for};

use crate::driver::{Lab, program};
use crate::scenarios::{self, ENDED, measured, series};

fn foundation(lab: &Lab, seconds: &str) -> Command {
    let mut command = scenarios::run(lab, &["foundation"]);
    command.args(["--trials", "1", "--peers", "direct,bridge", "--seconds", seconds]);
    command
}

fn perf(lab: &Lab, command: &str) -> Command {
    let mut perf = Command::new(program("sluice-perf"));
    perf.args([command, "--name", lab.name()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    perf
}

/// What a command that must succeed wrote as JSON, and printed.
fn results(mut command: Command, lab: &Lab) -> (Value, String) {
    let file = lab.manifest("results.out");
    let ran = command.arg("--json").arg(&file).output().expect("sluice-perf starts");
    assert!(ran.status.success(), "{ran:?}");
    let text = fs::read_to_string(&file).expect("the results are written");
    (serde_json::from_str(&text).expect("JSON"), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn an_interrupted_measurement_leaves_nothing() {
    let lab = Lab::new("ctrlc");
    let server = lab.netns("peer.bridge.server");
    let mut running = foundation(&lab, "600").spawn().expect("sluice-perf starts");
    wait_for("the last path to be made", || server.exists().then_some(())).expect("it is made");
    kill(Pid::from_raw(i32::try_from(running.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    assert_eq!(running.wait().expect("it is ours").code(), Some(130));
    lab.assert_gone();
}

#[test]
fn what_a_killed_measurement_left_does_not_disturb_the_next() {
    let lab = Lab::new("killperf");
    let server = lab.netns("peer.bridge.server");
    let mut running = foundation(&lab, "600").spawn().expect("sluice-perf starts");
    wait_for("the last path to be made", || server.exists().then_some(())).expect("it is made");
    running.kill().expect("it is ours");
    running.wait().expect("it ends");
    let next = foundation(&lab, "1").output().expect("sluice-perf starts");
    let out = String::from_utf8_lossy(&next.stdout).into_owned();
    assert!(ENDED.contains(&next.status.code()) && out.contains("TCP, one flow"), "{next:?}");
    lab.assert_gone();
}

#[test]
fn the_demo_prints_its_figures_and_takes_everything_down() {
    let lab = Lab::new("demo");
    let mut command = perf(&lab, "demo");
    command.arg("-f").arg(lab.manifest(""));
    let (results, out) = results(command, &lab);
    for heading in
        ["Attach", "Ping", "TCP, one flow", "TCP ping-pong", "UDP, 64 byte frames", "drops:", "features:", "xdpMode:"]
    {
        assert!(out.contains(heading), "{heading}: {out}");
    }
    for ping in [&results["ping"], &results["cluster"]["ping"]].into_iter().flat_map(|pings| pings.as_array()).flatten()
    {
        // An answer counts within a second, which on a loaded machine one may not be.
        let [answered, sent] = ["answered", "sent"].map(|field| ping[1][field].as_u64().expect("a number"));
        assert!(10 * answered >= 9 * sent && sent > 0, "{ping}");
    }
    the_second_act_counts_what_it_shows(&results["cluster"], &out);
    lab.assert_gone();
}

/// Two nodes: each row says who answered, as whom they saw the client, and what the switches dropped.
fn the_second_act_counts_what_it_shows(cluster: &Value, out: &str) {
    for heading in ["Ping between nodes", "TCP between nodes", "TCP connections", "INTO TUNNEL", "node-b drops:"] {
        assert!(out.contains(heading), "{heading}: {out}");
    }
    let rows = cluster["calls"].as_array().expect("a list of rows");
    assert_eq!(rows.len(), 12, "six kinds of calls in two families: {rows:?}");
    for row in rows {
        let (calls, count) = (&row["calls"], |of: &Value| of.as_u64().expect("a number"));
        let asked = count(&calls["asked"]);
        let answered: u64 = calls["answered"].as_object().expect("counts").values().map(count).sum();
        let seen = calls["seen"].as_object().expect("counts").keys().cloned().collect::<Vec<_>>().concat();
        let dropped = |reason: &str| row["dropped"][reason].as_u64();
        match row["what"].as_str().expect("text") {
            "ClusterIP" | "NodePort" => {
                let servers = calls["answered"].as_object().expect("counts").len();
                assert_eq!((answered, servers), (asked, 2), "backends on both nodes: {row}");
            }
            "ClusterIP, port undefined" => {
                assert_eq!(count(&calls["refused"]), asked, "{row}");
                assert!(dropped("node-a service_no_port") >= Some(asked), "each of them was dropped there: {row}");
            }
            "masquerade" => {
                let node = ["192.0.2.11", "2001:db8::11"].contains(&seen.as_str());
                assert!(node && answered == asked && calls["ports"][0].as_u64() >= Some(61000), "{row}");
            }
            "policy lets in" => assert_eq!(answered, asked, "{row}"),
            "policy shuts out" => {
                assert_eq!((answered, count(&calls["silent"])), (0, asked), "{row}");
                assert!(dropped("node-b policy_ingress") >= Some(asked), "each of them was dropped there: {row}");
            }
            other => panic!("a row that nobody described: {other}"),
        }
    }
}

#[test]
fn a_core_that_is_not_there_is_refused() {
    require_root();
    let ran = Command::new(program("sluice-perf")).args(["demo", "--switch-core", "1023"]).output().expect("it starts");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("core 1023"), "{ran:?}");
}

#[test]
fn a_pair_on_two_cores_is_measured_beside_the_others_over_both_families() {
    let lab = Lab::new("twocores");
    let text = "topology = \"node\"\nfamily = [\"v4\", \"v6\"]\npeers = [\"direct\", \"direct-2\"]\n\
                [[measure]]\nkind = \"tcp\"\n[[measure]]\nkind = \"ping-pong\"\n";
    let (results, out) = measured(&lab, "two-cores", text);
    let machine = &results["machine"];
    assert!(machine["wakeUp"]["hypervisor"].is_boolean() && machine["loadAverage"].is_array(), "{machine}");

    let of = |measure: &str| -> Vec<&Value> {
        series(&results).into_iter().filter(|one| one["measure"] == measure).collect()
    };
    let order = [("direct", "v4"), ("direct-2", "v4"), ("direct", "v6"), ("direct-2", "v6")];
    assert_eq!(of("ping-pong").len(), order.len());
    for (one, (peer, family)) in of("ping-pong").into_iter().zip(order) {
        assert_eq!((&one["peer"], &one["load"]["family"]), (&Value::from(peer), &Value::from(family)));
        let server = if peer == "direct" { "loadCore" } else { "switchCore" };
        assert_eq!((&one["cores"]["client"], &one["cores"]["server"]), (&machine["loadCore"], &machine[server]));
        assert!(one["trials"][1]["figures"]["p50"].as_f64() > Some(0.0), "{one}");
    }
    let tcp: Vec<_> = of("tcp").iter().map(|one| (one["peer"].as_str(), one["load"]["family"].as_str())).collect();
    assert_eq!(tcp, [(Some("direct"), Some("v4")), (Some("direct"), Some("v6"))], "rates are not for direct-2");
    let server = format!("server {}", machine["switchCore"]);
    assert!(out.contains("idle cores: driver") && out.contains("direct-2") && out.contains(&server), "{out}");
    lab.assert_gone();
}

#[test]
fn the_cost_of_idle_pods_is_told_and_the_pods_go() {
    let lab = Lab::new("idle");
    let mut command = perf(&lab, "idle-cost");
    command.args(["--pods", "2", "--seconds", "1"]);
    let (results, out) = results(command, &lab);
    assert_eq!((&results["pods"], &results["before"]["packetMemoryKib"]), (&Value::from(2), &Value::from(0.0)));
    let (before, after) = (&results["before"], &results["after"]);
    assert!(after["packetMemoryKib"].as_f64() > Some(0.0), "the metrics tell what the ports hold: {results}");
    for usage in [before, after] {
        assert!(usage["agentRssKib"].as_f64() > Some(0.0) && usage["slabKib"].as_f64() > Some(0.0), "{results}");
    }
    assert_eq!(results["perPod"]["packetMemoryKib"].as_f64(), after["packetMemoryKib"].as_f64().map(|kib| kib / 2.0));
    assert!(out.contains("PER POD") && out.contains("attach, ms"), "{out}");
    lab.assert_gone();
}

#[test]
fn an_interrupted_idle_cost_leaves_nothing() {
    let lab = Lab::new("idlectrl");
    let node = lab.netns("node");
    let mut running = perf(&lab, "idle-cost").args(["--seconds", "600"]).spawn().expect("sluice-perf starts");
    wait_for("the node to be made", || node.exists().then_some(())).expect("it is made");
    kill(Pid::from_raw(i32::try_from(running.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    assert_eq!(running.wait().expect("it is ours").code(), Some(130));
    lab.assert_gone();
}
