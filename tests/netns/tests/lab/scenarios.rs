//! `sluice-perf run` and what is made of its results. No test here looks at how fast anything was, nor at whether a trial is
//! valid: on a loaded machine few are.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sluice_netns::wait_for;

use crate::driver::{Lab, program};

/// A run came to its end; with 3, of some series no trial is valid.
pub(crate) const ENDED: [Option<i32>; 2] = [Some(0), Some(3)];

/// `sluice-perf run` in a lab, with a lock of the test's own: other tests may run beside it.
pub(crate) fn run(lab: &Lab, scenarios: &[&str]) -> Command {
    let mut command = Command::new(program("sluice-perf"));
    command.arg("run").args(scenarios).args(["--name", lab.name(), "--lock"]).arg(lab.manifest("lock"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A directory with one scenario in it, which the lab takes away.
fn scenario(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let directory = lab.manifest("scenarios");
    fs::create_dir_all(&directory).expect("writable");
    let heading = format!("name = \"{name}\"\ntitle = \"Of a test\"\nwhy = \"To see that it runs.\"\n");
    fs::write(directory.join("one.toml"), heading + text).expect("writable");
    directory
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run of a scenario of the test's own with one short trial, its results, and what it printed.
pub(crate) fn measured(lab: &Lab, name: &str, scenario_text: &str) -> (Value, String) {
    let file = lab.manifest("results.out");
    let mut command = run(lab, &[name]);
    command.args(["--trials", "1", "--seconds", "0.3", "--scenarios"]).arg(scenario(lab, name, scenario_text));
    let ran = command.arg("--json").arg(&file).output().expect("sluice-perf starts");
    assert!(ENDED.contains(&ran.status.code()), "{ran:?}");
    let results = fs::read_to_string(&file).expect("the results are written");
    (serde_json::from_str(&results).expect("JSON"), text(&ran.stdout))
}

/// The series of all cases.
pub(crate) fn series(results: &Value) -> Vec<&Value> {
    let cases = results["scenarios"][0]["cases"].as_array().expect("a list of cases");
    cases.iter().flat_map(|case| case["series"].as_array().expect("a list of series")).collect()
}

/// Every series has its warm-up and its one trial, and figures wherever the trial has any.
fn assert_whole(results: &Value) {
    assert_eq!((&results["schema"], &results["complete"]), (&Value::from("sluice-perf/1"), &Value::from(true)));
    assert_eq!(results["notMeasured"], Value::Array(Vec::new()), "{}", results["notMeasured"]);
    for one in series(results) {
        let trials = one["trials"].as_array().expect("a list of trials");
        assert_eq!(trials.len(), 2, "{one}");
        for trial in trials {
            let figures = trial["figures"].as_object().expect("figures by name");
            let valid = trial["invalid"].as_array().expect("reasons").is_empty();
            assert!(!valid || !figures.is_empty(), "a valid trial without figures: {one}");
            assert!(figures.values().all(|value| value.as_f64() >= Some(0.0)), "{one}");
        }
        assert_eq!(
            one["summary"].as_object().expect("by figure").is_empty(),
            trials[1]["figures"] == serde_json::json!({})
        );
    }
}

const EVERYTHING: &str = r#"
topology = "node"
peers = ["direct", "bridge", "sluice"]
[[measure]]
kind = "tcp"
[[measure]]
kind = "ping-pong"
[[measure]]
kind = "udp"
rates = [1000]
[[measure]]
kind = "connect"
"#;

#[test]
fn a_run_gives_a_table_results_and_a_page_and_these_can_be_read_again() {
    let lab = Lab::new("runs");
    let (results, out) = measured(&lab, "everything", EVERYTHING);
    assert_whole(&results);
    let found: Vec<_> = series(&results).iter().map(|one| (one["measure"].as_str(), one["peer"].as_str())).collect();
    assert_eq!(found.len(), 12, "four measures over three peers: {found:?}");
    for one in series(&results).into_iter().filter(|one| one["measure"] == "udp") {
        let packets = &one["trials"][1]["packets"];
        assert!(packets["sent"].as_u64() > Some(0) || one["trials"][1]["figures"] == serde_json::json!({}), "{one}");
    }
    assert!(results["scenarios"][0]["cases"][0]["agents"]["node-a"]["ready"].is_boolean(), "the agent is heard");
    assert!(out.contains("TCP, one flow, IPv4") && out.contains("connections, 1/s"), "{out}");
    lab.assert_gone();

    let (file, page) = (lab.manifest("results.out"), lab.manifest("page.html"));
    let told = Command::new(program("sluice-perf")).arg("report").arg(&file).arg("--html").arg(&page).output();
    let told = told.expect("sluice-perf starts");
    assert!(told.status.success() && text(&told.stdout).contains("TCP ping-pong"), "{told:?}");
    let html = fs::read_to_string(&page).expect("the page is written");
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n") && html.contains("<svg "), "{html}");

    let compared = Command::new(program("sluice-perf")).arg("compare").arg(&file).arg(&file).output();
    let compared = compared.expect("sluice-perf starts");
    let said = text(&compared.stdout);
    assert!(compared.status.success() && said.contains("no difference shown"), "{compared:?}");
    assert!(!said.contains("only in one"), "{said}");
}

#[test]
fn services_policies_nodes_and_the_host_are_brought_up_as_asked() {
    let lab = Lab::new("runall");
    let connect = "\n[[measure]]\nkind = \"connect\"\n";
    for (name, keys) in [
        (
            "services",
            "topology = \"node\"\nservices = [3]\npolicies = [2]\nfamily = [\"v4\", \"v6\"]\npeers = [\"sluice\"]",
        ),
        ("nodes", "topology = \"nodes\"\nencapsulation = [\"geneve\", \"none\"]\npeers = [\"sluice\"]"),
        ("host", "topology = \"host\"\npeers = [\"sluice\"]"),
    ] {
        let (results, _) = measured(&lab, name, &format!("{keys}{connect}"));
        assert_whole(&results);
        for one in series(&results) {
            let rate = one["trials"][1]["figures"]["rate"].as_f64();
            assert!(rate > Some(0.0), "{name}: connections are answered: {one}");
        }
    }
    lab.assert_gone();
}

#[test]
fn the_agent_is_measured_while_it_attaches_idles_and_starts_again() {
    let lab = Lab::new("runagent");
    let text = "topology = \"node\"\npeers = [\"direct\", \"sluice\"]\n[[measure]]\nkind = \"attach\"\n[[measure]]\nkind = \"idle\"\n\
                [[measure]]\nkind = \"restart\"\nrates = [1000]\n";
    let (results, _) = measured(&lab, "agent", text);
    assert_whole(&results);
    let found = series(&results);
    assert_eq!(
        found.iter().map(|one| one["peer"].as_str()).collect::<Vec<_>>(),
        [Some("sluice"); 3],
        "direct has no agent"
    );
    for (one, figure) in found.iter().zip(["attach", "memory", "ready"]) {
        assert!(one["trials"][1]["figures"][figure].as_f64() > Some(0.0), "{one}");
    }
    lab.assert_gone();
}

#[test]
fn a_second_run_is_refused_while_the_first_one_lasts() {
    let lab = Lab::new("runlock");
    let server = lab.netns("peer.bridge.server");
    let mut long = run(&lab, &["foundation"]);
    let mut first = long.args(["--peers", "direct,bridge", "--seconds", "600"]).spawn().expect("sluice-perf starts");
    wait_for("the last path to be made", || server.exists().then_some(())).expect("it is made");
    let second = run(&lab, &["foundation"]).output().expect("sluice-perf starts");
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {},", first.id())), "{said}");
    assert!(server.exists(), "the second has left the first one's path alone");
    kill(Pid::from_raw(i32::try_from(first.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    assert_eq!(first.wait().expect("it is ours").code(), Some(130));
    lab.assert_gone();
}

#[test]
fn results_are_printed_also_when_their_file_cannot_be_written() {
    let lab = Lab::new("runfull");
    let directory = scenario(&lab, "short", "topology = \"node\"\npeers = [\"direct\"]\n[[measure]]\nkind = \"tcp\"\n");
    let mut command = run(&lab, &["short"]);
    command.args(["--trials", "1", "--seconds", "0.1", "--json", "/dev/full", "--scenarios"]).arg(directory);
    let Output { status, stdout, stderr } = command.output().expect("sluice-perf starts");
    let (out, said) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        out.contains("TCP, one flow") && said.contains("/dev/full") && said.contains("No space left"),
        "{out}{said}"
    );
    lab.assert_gone();
}

#[test]
fn what_there_is_not_is_refused_with_the_nearest_that_there_is() {
    let lab = Lab::new("runwrong");
    let refused = |command: &mut Command| {
        let ran = command.output().expect("sluice-perf starts");
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        text(&ran.stderr)
    };
    let said = refused(&mut run(&lab, &["fundation"]));
    assert!(said.contains("no scenario fundation (did you mean foundation?)"), "{said}");
    let said = refused(run(&lab, &["foundation"]).args(["--peers", "brigde"]));
    assert!(said.contains("no peer brigde (did you mean bridge?)"), "{said}");
    let said = refused(run(&lab, &["attach"]).args(["--peers", "bridge"]));
    assert!(said.contains("scenario attach has no peer bridge"), "{said}");
    let said = refused(run(&lab, &["foundation"]).args(["--json", "/nowhere/at/all.json"]));
    assert!(said.contains("cannot write /nowhere/at/all.json"), "{said}");
    let directory = scenario(&lab, "mine", "topology = \"node\"\npeer = [\"direct\"]\n");
    let said = refused(run(&lab, &["mine"]).arg("--scenarios").arg(directory));
    assert!(said.contains("one.toml: line 5, `peer = [\"direct\"]`: unknown field `peer`"), "{said}");
}
