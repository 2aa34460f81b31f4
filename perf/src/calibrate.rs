//! `sluice-perf calibrate`: the source and the sink of frame mode on a veth pair with nothing between: how many packets they do
//! on one core, and what they add to a latency.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use sluice_lab::{LabName, Stop};

use crate::args::PathKind;
use crate::generators::frames::{self, Distribution, Entry, FrameEnds, FramePlan, FrameTrial, Place, Sizes};
use crate::machine::{CpuTime, Machine};
use crate::peers::{self, Cores, Family, Path};
use crate::report;
use crate::session::Session;
use crate::stats::{Spread, spread};

/// A rate that is next to nothing, in packets a second.
const SLOW: u64 = 10_000;

/// What the harness has to reach itself.
const MUST_MPPS: f64 = 1.5;
const MUST_MICROS: f64 = 1.0;

#[derive(Debug, clap::Args)]
pub(crate) struct CalibrateArgs {
    /// Name of what is made; a lab of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "calibrate")]
    pub(crate) name: LabName,
    /// Trials of each row; one more before them does not count.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) trials: u32,
    /// Milliseconds of a trial.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub(crate) millis: u64,
    /// Core of source and sink [default: the first]
    #[arg(long, value_name = "N")]
    pub(crate) core: Option<usize>,
    /// IP version.
    #[arg(long, value_name = "FAMILY", default_value = "v4")]
    pub(crate) family: crate::args::FamilyChoice,
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What is tried.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    what: &'static str,
    #[serde(serialize_with = "as_text")]
    sizes: Sizes,
    flows: u32,
    /// Packets a second; 0 for as many as go.
    rate: u64,
    at_stack: bool,
}

fn as_text<S: serde::Serializer>(sizes: &Sizes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(sizes)
}

/// What was tried, and what came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Calibrated {
    row: Row,
    family: Family,
    trials: Vec<FrameTrial>,
    /// Of each trial.
    steal_percent: Vec<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    millis: u64,
    rows: Vec<Calibrated>,
}

impl Calibrated {
    fn spread(&self, figure: impl Fn(&FrameTrial) -> f64) -> Option<Spread> {
        spread(self.trials.iter().map(figure))
    }

    fn cells(&self) -> Vec<String> {
        let Row { what, sizes, flows, rate, at_stack } = self.row;
        let rate = if rate == 0 { "as many as go".to_owned() } else { format!("{:.2} Mpps", rate as f64 / 1e6) };
        let counted = if at_stack { "stack" } else { "driver" };
        let sum = |count: fn(&FrameTrial) -> u64| self.trials.iter().map(count).sum::<u64>().to_string();
        vec![
            what.to_owned(),
            self.family.to_string(),
            sizes.to_string(),
            flows.to_string(),
            counted.to_owned(),
            rate,
            report::spread_cell(self.spread(|trial| trial.carried() / 1e6)),
            report::spread_cell(self.spread(|trial| trial.latency.p50)),
            report::spread_cell(self.spread(|trial| trial.latency.p99)),
            sum(|trial| trial.lost),
            sum(|trial| trial.reordered + trial.duplicated + trial.corrupted),
        ]
    }
}

const COLUMNS: [&str; 11] =
    ["WHAT", "IP", "BYTES", "FLOWS", "COUNTED", "ASKED", "RECEIVED Mpps", "P50 us", "P99 us", "LOST", "WRONG"];

/// Calibrates; what it made is gone when it returns.
pub(crate) fn run(args: &CalibrateArgs, stop: &Stop) -> Result<()> {
    let machine = Machine::look(args.core, args.core)?;
    machine.describe();
    println!("source and sink share core {}", machine.load_core);
    let session = Session::open(&args.name)?;
    let path =
        peers::direct::make(session.name(), PathKind::Direct, Cores::of(PathKind::Direct, machine.load_core, 0))?;
    // For what is counted at the stack, which has no program in the driver.
    let _entry = Entry::open(&session.name().netns_prefix(), &path.client, path.interface)?;
    let mut rows = Vec::new();
    for &family in args.family.families() {
        let mut tried = Vec::new();
        for row in saturating(family) {
            tried.push(calibrate(args, &path, family, row, stop)?);
        }
        let most = tried.first().and_then(|row| row.spread(FrameTrial::carried)).map_or(0.0, |rate| rate.median);
        for row in below(family, most) {
            tried.push(calibrate(args, &path, family, row, stop)?);
        }
        rows.append(&mut tried);
    }
    let heading = format!("{} trials of {} ms: median (smallest to largest)", args.trials, args.millis);
    report::wide_table(&heading, COLUMNS.to_vec(), rows.iter().map(Calibrated::cells));
    judge(&rows);
    report::write_json(&Results { machine, millis: args.millis, rows }, args.json.as_deref())
}

/// The smallest frame of a family.
fn smallest(family: Family) -> Sizes {
    Sizes::Fixed(if family == Family::V4 { 64 } else { 84 })
}

/// As many as go: first the row that the figure is about.
fn saturating(family: Family) -> Vec<Row> {
    let first = Row { what: "most", sizes: smallest(family), flows: 1, rate: 0, at_stack: false };
    vec![
        first,
        Row { what: "many flows", flows: 1_000, ..first },
        Row { what: "many flows", flows: 100_000, ..first },
        Row { what: "mix", sizes: Sizes::Imix, ..first },
        Row { what: "long", sizes: Sizes::Fixed(1450), ..first },
        Row { what: "counted later", at_stack: true, ..first },
    ]
}

/// Latencies at next to no load, and at 10, 50 and 90 % of the most.
fn below(family: Family, most: f64) -> Vec<Row> {
    let row = |what, rate, at_stack| Row { what, sizes: smallest(family), flows: 1, rate, at_stack };
    let part = |part: f64| (most * part) as u64;
    vec![
        row("idle", SLOW, false),
        row("idle, counted later", SLOW, true),
        row("10 %", part(0.1).max(1), false),
        row("50 %", part(0.5).max(1), false),
        row("90 %", part(0.9).max(1), false),
    ]
}

fn calibrate(args: &CalibrateArgs, path: &Path, family: Family, row: Row, stop: &Stop) -> Result<Calibrated> {
    let ends = FrameEnds {
        client: &path.client,
        server: &path.server,
        interface: path.interface,
        cores: (path.cores.client, path.cores.server),
    };
    let plan = FramePlan {
        to: (path.server_address(family), *frames::PORTS.start()).into(),
        targets: 1,
        one_port: false,
        arriving: frames::PORTS,
        flows: row.flows,
        distribution: Distribution::Uniform,
        sizes: row.sizes,
        rate: row.rate,
        millis: args.millis,
        at: if row.at_stack { Place::Stack } else { Place::Driver },
    };
    let (mut trials, mut steal_percent) = (Vec::new(), Vec::new());
    for number in 0..=args.trials {
        let before = CpuTime::now()?;
        let trial = frames::run(&ends, &plan, stop).with_context(|| format!("calibrating {}", row.what))?;
        if number > 0 {
            trials.push(trial);
            steal_percent.push(CpuTime::now()?.steal_percent_since(before));
        }
    }
    Ok(Calibrated { row, family, trials, steal_percent })
}

/// Says whether the harness reaches what it has to.
fn judge(rows: &[Calibrated]) {
    let median = |row: &Calibrated, figure: fn(&FrameTrial) -> f64| row.spread(figure).map_or(0.0, |one| one.median);
    for row in rows {
        if row.row.what == "most" {
            let mpps = median(row, |trial| trial.carried() / 1e6);
            let verdict = if mpps >= MUST_MPPS { "reached" } else { "NOT reached" };
            println!("{} frames on one core: {mpps:.2} Mpps; at least {MUST_MPPS} are wanted: {verdict}", row.family);
        }
        if row.row.what == "idle" {
            let micros = median(row, |trial| trial.latency.p50);
            let verdict = if micros < MUST_MICROS { "reached" } else { "NOT reached" };
            println!(
                "{} latency of source, veth and sink: {micros:.2} us p50; under {MUST_MICROS} is wanted: {verdict}",
                row.family
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_taken_at_parts_of_the_most() {
        let rates: Vec<u64> = below(Family::V4, 2_000_000.0).iter().map(|row| row.rate).collect();
        assert_eq!(rates, [SLOW, SLOW, 200_000, 1_000_000, 1_800_000]);
        assert!(below(Family::V6, 0.0).iter().all(|row| row.rate > 0), "0 would be as many as go");
        assert_eq!(saturating(Family::V6)[0].sizes, Sizes::Fixed(84), "64 bytes have no room for IPv6");
    }
}
