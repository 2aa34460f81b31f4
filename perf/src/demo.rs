//! `sluice-perf demo`: everything pods on one node can do, measured once, in under two minutes.

use std::net::IpAddr;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use sluice_host::Netns;
use sluice_lab::{Record, Stop};

use crate::args::{DemoArgs, PathKind};
use crate::generators::ping::Pinged;
use crate::generators::pingpong::Latency;
use crate::machine::{CpuTime, Machine};
use crate::measure::{Bench, UdpRun};
use crate::peers::{Path, sluice};
use crate::report::{self, AgentReport};
use crate::session::Session;
use crate::stats::{Spread, spread};

/// Echo requests of one ping.
const PINGS: u32 = 200;

/// Rounds of TCP over all paths, and milliseconds of each.
const TCP_ROUNDS: usize = 3;
const TCP_MILLIS: u64 = 1500;

/// Milliseconds of ping-pong on one path.
const LATENCY_MILLIS: u64 = 3000;

/// Rates offered to the switch in turn, in packets a second, until it or the sender no longer keeps up.
const UDP_RATES: [u64; 9] = [25_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 600_000];
const UDP_MILLIS: u64 = 700;

/// How often the gap between the last clean rate and the first other one is halved.
const UDP_HALVINGS: usize = 2;

/// Results of the demo.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    attach: Vec<(String, f64)>,
    ping: Vec<(String, Pinged)>,
    tcp_gbits: Vec<(&'static str, Option<Spread>)>,
    latency: Vec<(&'static str, Latency)>,
    udp: Vec<UdpRun>,
    udp_saturated: Vec<(&'static str, UdpRun)>,
    steal_percent: f64,
    agent: AgentReport,
}

/// Runs the demo; the lab is down when it returns.
pub(crate) fn run(args: &DemoArgs, stop: &Stop) -> Result<()> {
    let start = Instant::now();
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    machine.introduce();
    let session = Session::open(&args.name)?;
    let lab = session.raise_lab(&args.lab, &machine, stop)?;
    let bench = Bench { core: machine.load_core, stop: stop.clone() };
    let paths = [PathKind::Direct, PathKind::Bridge, PathKind::Sluice];
    let paths = paths.into_iter().map(|kind| session.path(kind, Some(&lab))).collect::<Result<Vec<_>>>()?;
    for path in &paths {
        bench.await_path(path)?;
    }

    let before = CpuTime::now()?;
    let attach = attach_times(&lab);
    let ping = pings(&lab, &bench, &paths)?;
    let tcp_gbits = tcp(&bench, &paths)?;
    let latency = latencies(&bench, &paths)?;
    let (udp, udp_saturated) = udp(&bench, &paths)?;
    let agent = session.agent_report(&lab)?;
    report::agent(&agent);
    let steal_percent = CpuTime::now()?.steal_percent_since(before);
    println!("\nsteal time {steal_percent:.2} %; {:.0} s in all", start.elapsed().as_secs_f64());
    let results = Results { machine, attach, ping, tcp_gbits, latency, udp, udp_saturated, steal_percent, agent };
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
    let rows = results.iter().map(|(what, Pinged { sent, answered, p50, max })| {
        [what.clone(), format!("{answered}/{sent}"), format!("{p50:.0}"), format!("{max:.0}")]
    });
    report::table("Ping, 64 bytes, round trip", ["FROM AND TO", "ANSWERED", "P50 us", "MAX us"], rows);
    Ok(results)
}

/// TCP over each path in turn, several rounds, so that a slow moment of the machine does not hit one path alone.
fn tcp(bench: &Bench, paths: &[Path]) -> Result<Vec<(&'static str, Option<Spread>)>> {
    let mut rates = vec![Vec::new(); paths.len()];
    for _ in 0..TCP_ROUNDS {
        for (path, rates) in paths.iter().zip(&mut rates) {
            rates.push(bench.tcp(path, TCP_MILLIS)?.gbits());
        }
    }
    let results: Vec<_> = paths.iter().zip(rates).map(|(path, rates)| (path.name, spread(rates))).collect();
    let rows = results.iter().map(|(name, rate)| [(*name).to_owned(), report::spread_cell(*rate)]);
    report::table("TCP, one flow", ["PATH", "Gbit/s: median (range)"], rows);
    Ok(results)
}

fn latencies(bench: &Bench, paths: &[Path]) -> Result<Vec<(&'static str, Latency)>> {
    let measured = paths.iter().map(|path| Ok((path.name, bench.latency(path, LATENCY_MILLIS)?)));
    let results = measured.collect::<Result<Vec<_>>>()?;
    let rows = results.iter().map(|(name, latency)| report::latency_row(name, latency));
    report::table("TCP ping-pong of 64 bytes, half a round trip", report::LATENCY_COLUMNS, rows);
    Ok(results)
}

/// The path through the switch.
fn switched(paths: &[Path]) -> Result<&Path> {
    paths.iter().find(|path| path.name == "sluice").context("the switch is not among the paths")
}

/// UDP runs of the switch at rising rates, and each path with as much as the sender can.
type Udp = (Vec<UdpRun>, Vec<(&'static str, UdpRun)>);

fn udp(bench: &Bench, paths: &[Path]) -> Result<Udp> {
    let sluice = switched(paths)?;
    let mut runs = Vec::new();
    let (mut lossless, mut lossy) = (0, None);
    for rate in UDP_RATES {
        let run = bench.udp(sluice, rate, UDP_MILLIS)?;
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
        let run = bench.udp(sluice, rate, UDP_MILLIS)?;
        runs.push(run);
        if run.is_lossless() { lossless = rate } else { lossy = Some(rate) }
    }
    runs.sort_by_key(|run| run.asked);
    let saturated = paths.iter().map(|path| Ok((path.name, bench.udp(path, 0, UDP_MILLIS)?)));
    let saturated = saturated.collect::<Result<Vec<_>>>()?;
    let rows = runs.iter().map(|run| report::udp_row(sluice.name, run));
    let rows = rows.chain(saturated.iter().map(|(name, run)| report::udp_row(name, run)));
    report::table("UDP, 64 byte frames, open loop", report::UDP_COLUMNS, rows);
    let with_all = runs.iter().chain(saturated.iter().filter(|(name, _)| *name == sluice.name).map(|(_, run)| run));
    println!("{}", verdict(with_all));
    Ok((runs, saturated))
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
