//! `sluice-perf datapath`: what a packet costs in memory, without a kernel or a device: the path over tables, on one core.
//!
//! ```text
//! case (world, connections, packets) -> bed (batches, restored each time) -> timing: nanoseconds, by the clock
//!                                                                        -> instructions, by callgrind
//! million: memory of a connection, a million coming and going            -> rows: must, aim, measured
//! ```

mod addresses;
mod bed;
mod bookmarks;
mod case;
mod frames;
mod instructions;
mod million;
mod rows;
mod timing;
mod world;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::args::DatapathArgs;
use crate::machine::Machine;
use crate::processors::CpuTime;
use crate::report;

use instructions::Counts;
use million::Million;
use rows::{ROWS, Target};
use timing::Timings;

/// What the rows do not say.
const EXPLANATION: &str = "\
64 byte TCP frames in bursts of 32, each in its own 4 KiB, brought into the cache by the copy that restores it
the first row is the second without asking the connection table whether the connection is what it was
ns: median of the rounds' median batches of 256 packets (smallest to largest round); best: 1 batch in 100 is faster
large tables: 10,000 Services with 100,000 endpoints on 400 nodes, 1,000 policies on 250 pods; first packets go to another
Service each, through a connection table whose lines the last 262,144 connections have pushed out of the first caches";

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    timings: Timings,
    instructions: Counts,
    million: Option<Million>,
    steal_percent: f64,
}

/// Measures, or counts, as the arguments ask.
pub(crate) fn run(args: &DatapathArgs) -> Result<()> {
    if let Some(name) = &args.under_callgrind {
        return instructions::under_callgrind(name);
    }
    if args.instructions { count(args) } else { measure(args) }
}

fn measure(args: &DatapathArgs) -> Result<()> {
    let machine = Machine::look(None, args.core)?;
    machine.describe();
    rustix::thread::sched_setaffinity(None, &only(machine.switch_core))?;
    let before = CpuTime::now()?;
    let timings = timing::measure(&args.filter, args.seconds)?;
    let million = if args.filter.is_empty() { Some(million::measure()?) } else { None };
    let steal_percent = CpuTime::now()?.steal_percent_since(before);
    let instructions = Counts::recorded();
    print(&timings, &instructions);
    print_bursts(&timings);
    if let Some(million) = &million {
        print_million(million);
    }
    let allocations: u64 = timings.values().map(|timed| timed.allocations).sum();
    println!("\nallocations in a warm batch, all cases together: {allocations} (must: 0)");
    println!("steal time {steal_percent:.2} %\n{EXPLANATION}");
    let results = Results { machine, timings, instructions, million, steal_percent };
    report::write_json(&results, args.json.as_deref())
}

fn only(core: usize) -> rustix::thread::CpuSet {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    set
}

fn print(timings: &Timings, instructions: &Counts) {
    let rows = ROWS.iter().filter_map(|row| {
        let (spread, best) = timing::figure(timings, row.figure)?;
        let counted = instructions.figure(row.figure).map_or("-".to_owned(), |count| format!("{count:.0}"));
        let rate = if matches!(row.figure, rows::Figure::More(..)) { "-".to_owned() } else { mpps(spread.median) };
        let nanos = report::spread_cell(Some(spread));
        Some([row.name.to_owned(), cell(row.must), cell(row.aim), counted, nanos, format!("{best:.1}"), rate])
    });
    let columns = ["PACKET", "MUST", "AIM", "INSTRUCTIONS", "ns", "BEST", "Mpps"];
    report::table("A packet, one core: instructions (recorded) and ns", columns, rows);
}

fn mpps(nanos: f64) -> String {
    format!("{:.1}", 1000.0 / nanos)
}

fn cell(target: Target) -> String {
    let text = |value: Option<u32>, unit: &str| value.map(|value| format!("{value}{unit}"));
    let parts = [text(target.instructions, ""), text(target.nanos, " ns")];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" / ");
    if text.is_empty() { "-".to_owned() } else { text }
}

fn print_bursts(timings: &Timings) {
    let rows = timings.iter().filter(|(name, _)| name.contains(" in bursts of ")).map(|(name, timed)| {
        let spread = crate::stats::spread(timed.rounds.iter().copied());
        [name.clone(), report::spread_cell(spread), format!("{:.1}", timed.best)]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        report::table("Other sizes of burst", ["PACKET", "ns", "BEST"], rows);
    }
}

fn print_million(million: &Million) {
    let Million { bytes_v4, bytes_v6, insert_seconds, expire_seconds } = million;
    let whole = insert_seconds + expire_seconds;
    let rows = [
        ["memory a connection, IPv4", "128 B", "64 B", &format!("{bytes_v4:.1} B")],
        ["memory a connection, IPv6", "-", "-", &format!("{bytes_v6:.1} B")],
        [
            "insert and expire, processor time",
            "1 s",
            "-",
            &format!("{whole:.3} s ({insert_seconds:.3} + {expire_seconds:.3})"),
        ],
    ];
    let rows = rows.map(|row| row.map(str::to_owned));
    report::table("A million connections", ["MEASURE", "MUST", "AIM", "MEASURED"], rows);
}

/// Counts, and compares with the baselines or writes them.
fn count(args: &DatapathArgs) -> Result<()> {
    let counts = instructions::count(&args.filter)?;
    let baseline = match &args.baseline {
        Some(file) if !args.write_baseline => Counts::read(file)?,
        _ => Counts::recorded(),
    };
    let rows = counts.0.iter().map(|(name, count)| {
        let before = baseline.0.get(name).map_or("-".to_owned(), |before| format!("{before:.1}"));
        [name.clone(), before, format!("{count:.1}")]
    });
    report::table("Instructions a packet", ["CASE", "BASELINE", "NOW"], rows);
    let rows = ROWS.iter().filter_map(|row| {
        let figure = counts.figure(row.figure)?;
        Some([row.name.to_owned(), cell(row.must), cell(row.aim), format!("{figure:.0}")])
    });
    report::table("Against the targets", ["PACKET", "MUST", "AIM", "INSTRUCTIONS"], rows);
    if args.write_baseline {
        return report::write_json(&counts, args.baseline.as_deref());
    }
    report::write_json(&counts, args.json.as_deref())?;
    let risen = counts.risen_over(&baseline);
    if !risen.is_empty() {
        bail!(
            "a packet has become dearer by more than 3 %:\n  {}\nIf it has to be, change the baselines with it: \
             sluice-perf datapath --instructions --baseline perf/baselines/instructions.json --write-baseline",
            risen.join("\n  ")
        );
    }
    Ok(())
}
