//! `sluice-perf cni`: how long pods take to be attached, by the plugin as a container runtime executes it.

mod calls;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use sluice_cni_protocol::{Client, Request};
use sluice_host::Netns;
use sluice_lab::{Binaries, Layout, Stop};

use crate::args::CniArgs;
use crate::machine::Machine;
use crate::report;
use crate::session::Session;
use crate::stats::{quantile, sorted};

use calls::{Plugin, Seat};

const NODE: &str = "node";
const NAMESPACE: &str = "cni";
/// Room for as many addresses as are given out before the first ones may be given again.
const NODE_MANIFEST: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node}
spec:
  podCIDR: 10.244.0.0/20
  podCIDRs: [10.244.0.0/20, fd00:10:244:1::/64]
status:
  addresses:
    - {type: InternalIP, address: 192.0.2.11}
    - {type: InternalIP, address: 2001:db8::11}
";
/// Calls of STATUS.
const STATUSES: usize = 300;

const EXPLANATION: &str = "\
a call is a process: from before it is started until its end is known. The pods' namespaces are made before, as runtimes do
the round trip alone is one connection to the agent's socket, one question and its answer, in this process";

/// Times of calls of one kind, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    what: String,
    calls: usize,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Times {
    fn of(what: impl Into<String>, millis: Vec<f64>) -> Result<Self> {
        let all = sorted(millis);
        let at = |part| quantile(&all, part).context("no call was made");
        let (p50, p90, p99, max) = (at(0.5)?, at(0.9)?, at(0.99)?, at(1.0)?);
        Ok(Self { what: what.into(), calls: all.len(), p50, p90, p99, max })
    }
}

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    pods: usize,
    parallel: usize,
    times: Vec<Times>,
    /// Seconds until all pods were attached to a node that had none, for each round.
    all_attached_seconds: Vec<f64>,
}

/// Attaches pods to a node of their own and detaches them, several times over; the lab is down when it returns.
pub(crate) fn run(args: &CniArgs, stop: &Stop) -> Result<()> {
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    machine.describe();
    let session = Session::open(&args.name)?;
    let layout = Layout::of(&args.name);
    let manifests = layout.root().join("manifests");
    fs::create_dir_all(&manifests).with_context(|| format!("cannot create {}", manifests.display()))?;
    write(&manifests.join("node.yaml"), NODE_MANIFEST)?;
    let lab = session.raise_lab(&manifests, &args.lab, &machine, stop)?;
    let binaries = Binaries::find()?;
    let plugin = Plugin {
        program: &binaries.sluice_cni,
        node: &Netns::open_named(&lab.node(&args.name, NODE)?.netns)?,
        run_dir: layout.run_dir(NODE),
        state_dir: layout.state_dir(NODE),
        namespace: NAMESPACE,
    };
    let pods = usize::from(args.pods);
    let seats: Vec<Seat> = (0..pods).map(|number| seat(&args.name, number)).collect::<Result<_>>()?;
    // The runtime is told of a pod by the API server, as the agent is: it knows them all by the time of their ADDs.
    let (beside, file) = (manifests.join("pods.new"), manifests.join("pods.yaml"));
    write(&beside, &pods_manifest(&seats))?;
    fs::rename(&beside, &file).with_context(|| format!("cannot rename to {}", file.display()))?;
    let results = measure(args, &plugin, &seats, machine, stop)?;
    print(&results);
    report::write_json(&results, args.lab.json.as_deref())
}

fn measure(args: &CniArgs, plugin: &Plugin<'_>, seats: &[Seat], machine: Machine, stop: &Stop) -> Result<Results> {
    let parallel = usize::from(args.parallel);
    let mut times = Vec::new();
    let mut all_attached_seconds = Vec::new();
    // A round that does not count brings the agent's memory and the kernel's caches to where they stay.
    for verb in ["ADD", "DEL"] {
        plugin.all(verb, seats, parallel, stop)?;
    }
    for (at_a_time, rounds) in [(parallel, args.rounds), (1, 1)] {
        let (mut adds, mut dels) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (millis, total) = plugin.all("ADD", seats, at_a_time, stop)?;
            adds.extend(millis);
            if at_a_time == parallel {
                all_attached_seconds.push(total);
            }
            dels.extend(plugin.all("DEL", seats, at_a_time, stop)?.0);
        }
        times.push(Times::of(format!("ADD, {at_a_time} at a time"), adds)?);
        times.push(Times::of(format!("DEL, {at_a_time} at a time"), dels)?);
    }
    let mut statuses = Vec::new();
    let mut questions = Vec::new();
    let client = Client::in_run_dir(&plugin.run_dir);
    for _ in 0..STATUSES {
        stop.check()?;
        statuses.push(plugin.status()?.as_secs_f64() * 1000.0);
        let start = Instant::now();
        client.call(Request::Availability)?;
        questions.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.push(Times::of("STATUS, the whole process", statuses)?);
    times.push(Times::of("STATUS, the round trip alone", questions)?);
    Ok(Results { machine, pods: seats.len(), parallel, times, all_attached_seconds })
}

fn seat(lab: &sluice_lab::LabName, number: usize) -> Result<Seat> {
    let pod = format!("pod-{number}");
    // Names of this lab, so that they go with it.
    let name = lab.host_netns(&format!("seat{number}"));
    Netns::create(&name)?;
    Ok(Seat { pod, netns: Path::new("/run/netns").join(name) })
}

fn pods_manifest(seats: &[Seat]) -> String {
    seats.iter().fold(String::new(), |mut text, Seat { pod, .. }| {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: {NAMESPACE}}}\n\
             spec:\n  nodeName: {NODE}\n  containers: [{{name: pause, image: registry.example/pause}}]"
        );
        text
    })
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn print(results: &Results) {
    let Results { pods, parallel, times, all_attached_seconds, machine: _ } = results;
    let rows = times.iter().map(|Times { what, calls, p50, p90, p99, max }| {
        let millis = |value: &f64| format!("{value:.2}");
        [what.clone(), calls.to_string(), millis(p50), millis(p90), millis(p99), millis(max)]
    });
    report::table("Calls of the plugin", ["CALL", "CALLS", "P50 ms", "P90 ms", "P99 ms", "MAX ms"], rows);
    let rounds: Vec<String> = all_attached_seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
    println!("{pods} pods attached, {parallel} at a time, s: {}", rounds.join(", "));
    println!("{EXPLANATION}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_calls_in_order() {
        let times = Times::of("ADD", (1..=101).rev().map(f64::from).collect()).expect("calls");
        assert_eq!((times.calls, times.p50, times.p90, times.p99, times.max), (101, 51.0, 91.0, 100.0, 101.0));
        assert!(Times::of("ADD", Vec::new()).is_err());
    }

    #[test]
    fn every_pod_is_on_the_node() {
        let seats = [0, 1].map(|number| Seat { pod: format!("pod-{number}"), netns: "/run/netns/x".into() });
        let text = pods_manifest(&seats);
        assert_eq!(text.matches("nodeName: node\n").count(), 2);
        assert!(text.contains("name: pod-1, namespace: cni"));
    }
}
