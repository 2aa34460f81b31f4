//! `sluice-perf demo`: everything pods can do on one node and then on two, measured once, in under three minutes.

mod cluster;
mod manifests;

use std::net::IpAddr;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use sluice_host::Netns;
use sluice_lab::{Record, Stop};

use crate::args::{DemoArgs, PathKind};
use crate::generators::ping::Pinged;
use crate::generators::pingpong::Latency;
use crate::machine::Machine;
use crate::measure::{Bench, UdpRun};
use crate::peers::{Family, Path, sluice};
use crate::processors::CpuTime;
use crate::report::{self, AgentReport};
use crate::series::{Series, interleave};
use crate::session::Session;

/// Echo requests of one ping.
const PINGS: u32 = 200;

/// Rounds of TCP over all paths, and milliseconds of each.
const TCP_ROUNDS: u32 = 3;
const TCP_MILLIS: u64 = 1500;

/// Rounds of ping-pong over all paths, and milliseconds of each.
const LATENCY_ROUNDS: u32 = 5;
const LATENCY_MILLIS: u64 = 600;

/// Rates offered to the switch in turn, in packets a second, until it or the sender no longer keeps up.
const UDP_RATES: [u64; 9] = [25_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 600_000];
const UDP_MILLIS: u64 = 700;

/// Rounds of UDP at the rate the sender can, over all paths, and milliseconds of each.
const SATURATED_ROUNDS: u32 = 5;
const SATURATED_MILLIS: u64 = 400;

/// How often the gap between the last clean rate and the first other one is halved.
const UDP_HALVINGS: usize = 2;

/// Results of the demo.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'p> {
    machine: Machine,
    attach: Vec<(String, f64)>,
    ping: Vec<(String, Pinged)>,
    tcp_gbits: Vec<Series<'p, f64>>,
    latency: Vec<Series<'p, Latency>>,
    udp: Vec<UdpRun>,
    udp_saturated: Vec<Series<'p, UdpRun>>,
    steal_percent: f64,
    agent: AgentReport,
    cluster: cluster::Cluster,
}

/// Runs the demo; the lab is down when it returns.
pub(crate) fn run(args: &DemoArgs, stop: &Stop) -> Result<()> {
    let start = Instant::now();
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    machine.introduce();
    let session = Session::open(&args.name)?;
    let lab = session.raise_lab(&args.pods.manifests, &args.lab, &machine, stop)?;
    let bench = Bench { core: machine.load_core, stop: stop.clone() };
    let kinds = [PathKind::Direct, PathKind::DirectTwoCores, PathKind::Bridge, PathKind::Sluice];
    let paths = session.paths(&kinds, Some(&lab), &machine, &bench)?;

    let before = CpuTime::now()?;
    let attach = attach_times(&lab);
    let ping = pings(&lab, &bench, &paths)?;
    let tcp_gbits = tcp(&bench, &paths)?;
    let latency = latencies(&bench, &paths)?;
    let (udp, udp_saturated) = udp(&bench, &paths)?;
    let agent = session.agent_report(&lab)?;
    report::agent(&agent);
    // Its switch would take the core from those of the next lab.
    drop(session);
    let cluster = cluster::run(args, &machine, stop)?;
    let steal_percent = CpuTime::now()?.steal_percent_since(before);
    println!("\nsteal time {steal_percent:.2} %; {:.0} s in all", start.elapsed().as_secs_f64());
    let results =
        Results { machine, attach, ping, tcp_gbits, latency, udp, udp_saturated, steal_percent, agent, cluster };
    report::write_json(&results, args.lab.json.as_deref())
}

fn attach_times(lab: &Record) -> Vec<(String, f64)> {
    let pods = lab.pods.iter().filter_map(|(key, pod)| Some((key, pod.attached.as_ref()?)));
    let rows = pods.clone().map(|(key, attached)| {
        let addresses = attached.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        [key.clone(), format!("{:.1}", attached.millis), addresses]
    });
    report::table("Attach, from the call of sluice-cni to its answer", ["POD", "ms", "ADDRESSES"], rows);
    pods.map(|(key, attached)| (key.clone(), attached.millis)).collect()
}

/// Pings the other pod, the gateways, the node's addresses; and a pod from the node.
fn pings(lab: &Record, bench: &Bench, paths: &[Path]) -> Result<Vec<(String, Pinged)>> {
    let path = switched(paths)?;
    let mut targets: Vec<(String, &Netns, IpAddr)> = Vec::new();
    let mut add = |what: &str, from, to: IpAddr| targets.push((format!("{what} {to}"), from, to));
    for to in [path.server_v4, path.server_v6] {
        add("pod to pod", &path.client, to);
    }
    let client = lab.pods.values().next();
    if let Some(client) = client {
        for gateway in &sluice::attachment(client)?.gateways {
            add("pod to gateway", &path.client, *gateway);
        }
    }
    let node = client.and_then(|client| lab.nodes.get(&client.node));
    let node_netns = node.map(|node| Netns::open_named(&node.netns)).transpose()?;
    for address in node.iter().flat_map(|node| &node.addresses) {
        add("pod to node", &path.client, *address);
    }
    if let Some(netns) = &node_netns {
        for to in [path.server_v4, path.server_v6] {
            add("node to pod", netns, to);
        }
    }
    let mut results = Vec::new();
    for (what, from, to) in targets {
        results.push((what, bench.ping(from, path.interface, to, PINGS)?));
    }
    report::pings("Ping, 64 bytes, round trip", &results);
    Ok(results)
}

/// TCP over each path in turn, and over the switch with IPv6 too.
fn tcp<'p>(bench: &Bench, paths: &'p [Path]) -> Result<Vec<Series<'p, f64>>> {
    let mut series = Series::over_each(paths.iter().filter(|path| path.kind.has_rates()), &[Family::V4]);
    series.push(Series::over(switched(paths)?, Family::V6));
    interleave(&mut series, TCP_ROUNDS, |path, family| Ok(bench.tcp(path, family, TCP_MILLIS)?.gbits()))?;
    report::tcp(&interleaved("TCP, one flow", TCP_ROUNDS, TCP_MILLIS), &series);
    Ok(series)
}

fn latencies<'p>(bench: &Bench, paths: &'p [Path]) -> Result<Vec<Series<'p, Latency>>> {
    let mut series = Series::over_each(paths, &[Family::V4]);
    interleave(&mut series, LATENCY_ROUNDS, |path, family| bench.latency(path, family, LATENCY_MILLIS))?;
    let heading = interleaved("TCP ping-pong of 64 bytes, half a round trip", LATENCY_ROUNDS, LATENCY_MILLIS);
    report::table(&heading, report::LATENCY_COLUMNS, series.iter().map(report::latency_row));
    Ok(series)
}

/// A heading that says how the figures below it came about.
fn interleaved(what: &str, rounds: u32, millis: u64) -> String {
    let seconds = millis as f64 / 1000.0;
    format!("{what}; {rounds} interleaved rounds of {seconds} s: median (smallest to largest)")
}

/// The path through the switch.
fn switched(paths: &[Path]) -> Result<&Path> {
    paths.iter().find(|path| path.kind == PathKind::Sluice).context("the switch is not among the paths")
}

/// UDP over the switch at rising rates, then over each path with as much as the sender can.
fn udp<'p>(bench: &Bench, paths: &'p [Path]) -> Result<(Vec<UdpRun>, Vec<Series<'p, UdpRun>>)> {
    let runs = rising_rates(bench, switched(paths)?)?;
    let rows = runs.iter().map(|run| report::udp_row(PathKind::Sluice.name(), run));
    report::table("UDP, 64 byte frames, open loop", report::UDP_COLUMNS, rows);

    let mut saturated = Series::over_each(paths.iter().filter(|path| path.kind.has_rates()), &[Family::V4]);
    interleave(&mut saturated, SATURATED_ROUNDS, |path, _| bench.udp(path, 0, SATURATED_MILLIS))?;
    let heading = interleaved("UDP, 64 byte frames, all the sender can", SATURATED_ROUNDS, SATURATED_MILLIS);
    report::table(&heading, report::UDP_SERIES_COLUMNS, saturated.iter().map(report::udp_series_row));
    let switched = saturated.iter().filter(|one| one.path == PathKind::Sluice).flat_map(|one| &one.rounds);
    println!("{}", verdict(runs.iter().chain(switched)));
    Ok((runs, saturated))
}

/// Goes up until the path or the sender no longer keeps up, then halves the gap below the first rate with loss.
fn rising_rates(bench: &Bench, path: &Path) -> Result<Vec<UdpRun>> {
    let mut runs = Vec::new();
    let (mut lossless, mut lossy) = (0, None);
    for rate in UDP_RATES {
        let run = bench.udp(path, rate, UDP_MILLIS)?;
        runs.push(run);
        if !run.is_lossless() {
            lossy = Some(rate);
        } else {
            lossless = rate;
        }
        if lossy.is_some() || !run.kept_rate() {
            break;
        }
    }
    for _ in 0..UDP_HALVINGS {
        let Some(above) = lossy else { break };
        let rate = (lossless + above) / 2;
        let run = bench.udp(path, rate, UDP_MILLIS)?;
        runs.push(run);
        if run.is_lossless() { lossless = rate } else { lossy = Some(rate) }
    }
    runs.sort_by_key(|run| run.asked);
    Ok(runs)
}

/// The highest rate at which the switch lost nothing, and who was the limit.
fn verdict<'r>(runs: impl Iterator<Item = &'r UdpRun> + Clone) -> String {
    let best = runs.clone().filter(|run| run.is_lossless()).map(|run| run.offered).fold(0.0, f64::max) / 1000.0;
    let limit = match runs.filter(|run| !run.is_lossless()).map(|run| run.loss_percent()).reduce(f64::max) {
        None => "the core of sender and receiver is the limit, the path lost nothing".to_owned(),
        Some(worst) => format!("at most {worst:.2} % lost on the path at other rates"),
    };
    format!("sluice: highest rate without loss {best:.1} kpps; {limit}")
}
