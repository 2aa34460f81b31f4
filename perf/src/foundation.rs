//! `sluice-perf foundation`: interleaved trials of one-node traffic, with medians and spread.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sluice_lab::Stop;

use crate::args::{FoundationArgs, PathKind};
use crate::generators::pingpong::Latency;
use crate::machine::Machine;
use crate::measure::{Bench, UdpRun};
use crate::peers::{Cores, Family, Path};
use crate::processors::CpuTime;
use crate::report::{self, AgentReport};
use crate::series::{Series, interleave};
use crate::session::Session;
use crate::stats::{Spread, spread};

/// A UDP rate that every path carries, in packets a second: what is lost here is lost below capacity.
const UDP_BELOW_CAPACITY: u64 = 100_000;

/// Rounds that share the seconds of ping-pong and of UDP at full rate in one trial: of all measures these two vary
/// most with what else the machine does, so the paths take turns quickly.
const SHORT_ROUNDS: u32 = 5;

/// Every round of every measure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trials<'p> {
    tcp_gbits: Vec<Series<'p, f64>>,
    latency: Vec<Series<'p, Latency>>,
    udp_below_capacity: Vec<Series<'p, UdpRun>>,
    udp_saturated: Vec<Series<'p, UdpRun>>,
    /// Of each trial; within one, all paths had the same.
    steal_percent: Vec<f64>,
}

/// One measure on one path, in short.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    measure: String,
    path: PathKind,
    figure: Option<Spread>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'p> {
    machine: Machine,
    seconds: u64,
    summaries: Vec<Summary>,
    trials: Trials<'p>,
    agent: Option<AgentReport>,
}

/// Runs the trials; the lab is down when it returns.
pub(crate) fn run(args: &FoundationArgs, stop: &Stop) -> Result<()> {
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    machine.introduce();
    let session = Session::open(&args.name)?;
    let with_switch = args.paths.contains(&PathKind::Sluice);
    let raise = || session.raise_lab(&args.pods.manifests, &args.lab, &machine, stop);
    let lab = with_switch.then(raise).transpose()?;
    let bench = Bench { core: machine.load_core, stop: stop.clone() };
    let paths = session.paths(&args.paths, lab.as_ref(), &machine, &bench)?;
    let mut trials = Trials::over(&paths, args.family.families());
    trials.run(&bench, args)?;
    let summaries = trials.summaries();
    let placement: Vec<(PathKind, Cores)> = paths.iter().map(|path| (path.kind, path.cores)).collect();
    print(&placement, &summaries, &trials, args);
    let agent = lab.map(|lab| session.agent_report(&lab)).transpose()?;
    if let Some(agent) = &agent {
        report::agent(agent);
    }
    let results = Results { machine, seconds: args.seconds, summaries, trials, agent };
    report::write_json(&results, args.lab.json.as_deref())
}

impl<'p> Trials<'p> {
    fn over(paths: &'p [Path], families: &[Family]) -> Self {
        let with_rates = paths.iter().filter(|path| path.kind.has_rates());
        Self {
            tcp_gbits: Series::over_each(with_rates.clone(), families),
            latency: Series::over_each(paths, families),
            udp_below_capacity: Series::over_each(with_rates.clone(), &[Family::V4]),
            udp_saturated: Series::over_each(with_rates, &[Family::V4]),
            steal_percent: Vec::new(),
        }
    }

    /// Each trial takes the measures one after another, each of them over all paths in turn.
    fn run(&mut self, bench: &Bench, args: &FoundationArgs) -> Result<()> {
        let progress = ProgressBar::new(u64::from(args.trials) * self.measures());
        progress.set_style(ProgressStyle::with_template("{pos}/{len} {msg} {elapsed}")?);
        let step = |measure: &str, path: &Path| {
            progress.set_message(format!("{measure} {}", path.kind.name()));
            progress.inc(1);
        };
        let long = args.seconds * 1000;
        let short = long / u64::from(SHORT_ROUNDS);
        for _ in 0..args.trials {
            let before = CpuTime::now()?;
            interleave(&mut self.tcp_gbits, 1, |path, family| {
                step("TCP", path);
                Ok(bench.tcp(path, family, long)?.gbits())
            })?;
            interleave(&mut self.latency, SHORT_ROUNDS, |path, family| {
                step("ping-pong", path);
                bench.latency(path, family, short)
            })?;
            interleave(&mut self.udp_below_capacity, 1, |path, _| {
                step("UDP", path);
                bench.udp(path, UDP_BELOW_CAPACITY, long)
            })?;
            interleave(&mut self.udp_saturated, SHORT_ROUNDS, |path, _| {
                step("UDP", path);
                bench.udp(path, 0, short)
            })?;
            self.steal_percent.push(CpuTime::now()?.steal_percent_since(before));
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Measures of one trial.
    fn measures(&self) -> u64 {
        let long = self.tcp_gbits.len() + self.udp_below_capacity.len();
        let short = self.latency.len() + self.udp_saturated.len();
        long as u64 + short as u64 * u64::from(SHORT_ROUNDS)
    }

    /// All measures in the order of the table.
    fn summaries(&self) -> Vec<Summary> {
        let below = format!("UDP lost at {} kpps, %", UDP_BELOW_CAPACITY / 1000);
        let mut lines = summarize(&self.tcp_gbits, |ip| format!("TCP, one flow, {ip}, Gbit/s"), |gbits| *gbits);
        let half_trip = |quantile: &'static str| move |ip| format!("TCP 64 B half round trip, {ip}, {quantile} us");
        lines.extend(summarize(&self.latency, half_trip("p50"), |round| round.p50));
        lines.extend(summarize(&self.latency, half_trip("p99"), |round| round.p99));
        let udp = |name: &str| {
            let name = name.to_owned();
            move |_| name.clone()
        };
        lines
            .extend(summarize(&self.udp_saturated, udp("UDP 64 B frames received, kpps"), |run| run.received / 1000.0));
        lines.extend(summarize(&self.udp_saturated, udp("UDP lost at that, %"), UdpRun::loss_percent));
        lines.extend(summarize(&self.udp_below_capacity, udp(&below), UdpRun::loss_percent));
        lines
    }
}

fn summarize<T>(series: &[Series<'_, T>], name: impl Fn(Family) -> String, figure: impl Fn(&T) -> f64) -> Vec<Summary> {
    let summary =
        |one: &Series<'_, T>| Summary { measure: name(one.family), path: one.path, figure: one.spread(&figure) };
    series.iter().map(summary).collect()
}

fn print(placement: &[(PathKind, Cores)], summaries: &[Summary], trials: &Trials<'_>, args: &FoundationArgs) {
    let heading = format!(
        "{} trials of {} s a measure, paths interleaved (ping-pong and UDP received in {SHORT_ROUNDS} rounds a trial): \
         median (smallest to largest)",
        args.trials, args.seconds
    );
    let columns = std::iter::once("MEASURE").chain(placement.iter().map(|(kind, _)| kind.name())).collect();
    let cores = placement.iter().map(|(_, cores)| cores.to_string());
    let first = std::iter::once("cores".to_owned()).chain(cores).collect();
    let kinds: Vec<PathKind> = placement.iter().map(|(kind, _)| *kind).collect();
    report::wide_table(&heading, columns, std::iter::once(first).chain(rows(&kinds, summaries)));
    println!("steal time, %: {}", report::spread_cell(spread(trials.steal_percent.iter().copied())));
}

/// A row for each measure, a cell for each path.
fn rows(kinds: &[PathKind], summaries: &[Summary]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for Summary { measure, .. } in summaries {
        if rows.iter().any(|row| row.first() == Some(measure)) {
            continue;
        }
        let of = |kind| summaries.iter().find(|summary| summary.measure == *measure && summary.path == kind);
        let cell = |kind: &PathKind| report::spread_cell(of(*kind).and_then(|summary| summary.figure));
        rows.push(std::iter::once(measure.clone()).chain(kinds.iter().map(cell)).collect());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_measure_has_an_empty_cell() {
        let summary =
            |measure: &str, path, value| Summary { measure: measure.to_owned(), path, figure: spread([value]) };
        let summaries = [
            summary("TCP", PathKind::Direct, 2.0),
            summary("p50", PathKind::Direct, 7.0),
            summary("p50", PathKind::DirectTwoCores, 9.0),
        ];
        let rows = rows(&[PathKind::Direct, PathKind::DirectTwoCores], &summaries);
        let expected = [["TCP", "2.00 (2.00 to 2.00)", "-"], ["p50", "7.00 (7.00 to 7.00)", "9.00 (9.00 to 9.00)"]];
        assert_eq!(rows, expected);
    }
}
