//! `sluice-perf foundation`: interleaved trials of one-node traffic, with medians and spread.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sluice_lab::Stop;

use crate::args::{FoundationArgs, PathKind};
use crate::generators::pingpong::Latency;
use crate::machine::{CpuTime, Machine};
use crate::measure::{Bench, UdpRun};
use crate::peers::Path;
use crate::report::{self, AgentReport};
use crate::session::Session;
use crate::stats::{Spread, spread};

/// A UDP rate that every path carries, in packets a second: what is lost here is lost below capacity.
const UDP_BELOW_CAPACITY: u64 = 100_000;

/// One trial on one path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trial {
    path: &'static str,
    tcp_gbits: f64,
    latency: Latency,
    udp_below_capacity: UdpRun,
    udp_saturated: UdpRun,
    steal_percent: f64,
}

/// All trials of one path, in short.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    path: &'static str,
    tcp_gbits: Option<Spread>,
    p50: Option<Spread>,
    p99: Option<Spread>,
    udp_received_kpps: Option<Spread>,
    udp_loss_percent: Option<Spread>,
    udp_loss_percent_below_capacity: Option<Spread>,
    steal_percent: Option<Spread>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    seconds: u64,
    summaries: Vec<Summary>,
    trials: Vec<Trial>,
    agent: Option<AgentReport>,
}

/// Runs the trials; the lab is down when it returns.
pub(crate) fn run(args: &FoundationArgs, stop: &Stop) -> Result<()> {
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    machine.introduce();
    let session = Session::open(&args.name)?;
    let with_switch = args.paths.contains(&PathKind::Sluice);
    let lab = with_switch.then(|| session.raise_lab(&args.lab, &machine, stop)).transpose()?;
    let bench = Bench { core: machine.load_core, stop: stop.clone() };
    let paths = args.paths.iter().map(|kind| session.path(*kind, lab.as_ref())).collect::<Result<Vec<_>>>()?;
    for path in &paths {
        bench.await_path(path)?;
    }
    let trials = trials(&bench, &paths, args)?;
    let summaries: Vec<Summary> = paths.iter().map(|path| summary(path.name, &trials)).collect();
    print(&summaries, args);
    let agent = lab.map(|lab| session.agent_report(&lab)).transpose()?;
    if let Some(agent) = &agent {
        report::agent(agent);
    }
    let results = Results { machine, seconds: args.seconds, summaries, trials, agent };
    report::write_json(&results, args.lab.json.as_deref())
}

/// A B C A B C, so that what happens to the machine meanwhile happens to all.
fn trials(bench: &Bench, paths: &[Path], args: &FoundationArgs) -> Result<Vec<Trial>> {
    let progress = ProgressBar::new(u64::from(args.trials) * paths.len() as u64);
    progress.set_style(ProgressStyle::with_template("{pos}/{len} {msg} {elapsed}")?);
    let mut trials = Vec::new();
    for _ in 0..args.trials {
        for path in paths {
            progress.set_message(path.name);
            trials.push(trial(bench, path, args.seconds * 1000)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(trials)
}

fn trial(bench: &Bench, path: &Path, millis: u64) -> Result<Trial> {
    let before = CpuTime::now()?;
    Ok(Trial {
        path: path.name,
        tcp_gbits: bench.tcp(path, millis)?.gbits(),
        latency: bench.latency(path, millis)?,
        udp_below_capacity: bench.udp(path, UDP_BELOW_CAPACITY, millis)?,
        udp_saturated: bench.udp(path, 0, millis)?,
        steal_percent: CpuTime::now()?.steal_percent_since(before),
    })
}

fn summary(path: &'static str, trials: &[Trial]) -> Summary {
    let over = |value: fn(&Trial) -> f64| spread(trials.iter().filter(|trial| trial.path == path).map(value));
    Summary {
        path,
        tcp_gbits: over(|trial| trial.tcp_gbits),
        p50: over(|trial| trial.latency.p50),
        p99: over(|trial| trial.latency.p99),
        udp_received_kpps: over(|trial| trial.udp_saturated.received / 1000.0),
        udp_loss_percent: over(|trial| trial.udp_saturated.loss_percent()),
        udp_loss_percent_below_capacity: over(|trial| trial.udp_below_capacity.loss_percent()),
        steal_percent: over(|trial| trial.steal_percent),
    }
}

fn print(summaries: &[Summary], args: &FoundationArgs) {
    let heading =
        format!("{} trials of {} s each, interleaved: median (smallest to largest)", args.trials, args.seconds);
    let below = format!("UDP lost at {} kpps, %", UDP_BELOW_CAPACITY / 1000);
    type Row = (&'static str, fn(&Summary) -> Option<Spread>);
    let rows: [Row; 7] = [
        ("TCP, one flow, Gbit/s", |summary| summary.tcp_gbits),
        ("TCP 64 B half round trip, p50 us", |summary| summary.p50),
        ("TCP 64 B half round trip, p99 us", |summary| summary.p99),
        ("UDP 64 B frames received, kpps", |summary| summary.udp_received_kpps),
        ("UDP lost at that, %", |summary| summary.udp_loss_percent),
        ("", |summary| summary.udp_loss_percent_below_capacity),
        ("steal time, %", |summary| summary.steal_percent),
    ];
    let rows = rows.iter().map(|(name, value)| {
        let name = if name.is_empty() { below.clone() } else { (*name).to_owned() };
        std::iter::once(name).chain(summaries.iter().map(|summary| report::spread_cell(value(summary)))).collect()
    });
    let columns = std::iter::once("MEASURE").chain(summaries.iter().map(|summary| summary.path)).collect();
    report::wide_table(&heading, columns, rows);
}
