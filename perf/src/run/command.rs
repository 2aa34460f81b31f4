//! The command itself.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use sluice_lab::Stop;

use super::lock::RunLock;
use super::output::Output;
use super::peer::{Peer, Site};
use super::progress::Progress;
use super::{rounds, table};
use crate::args::RunArgs;
use crate::machine::Machine;
use crate::measure::Bench;
use crate::nearest::nearest;
use crate::results::{Document, SCHEMA, ScenarioResult};
use crate::scenario::{self, Scenario};
use crate::session::Session;
use crate::{commit, html, load};

/// A run that came to its end, and yet not all of it means something.
#[derive(Debug, thiserror::Error)]
#[error("no trial is valid of: {}", .0.join("; "))]
pub(crate) struct NothingValid(Vec<String>);

/// Runs scenarios; whatever was brought up is down when it returns.
pub(crate) fn run(args: &RunArgs, stop: &Stop) -> Result<()> {
    let all = scenario::all(args.scenarios.as_deref())?;
    let mut not_measured = Vec::new();
    let mut chosen = Vec::new();
    for scenario in scenario::chosen(&all, &args.scenario)? {
        let peers = peers(&scenario, args.peers.as_deref(), &mut not_measured)?;
        chosen.push((scenario, peers));
    }
    let machine = able(args)?;
    let outputs = Outputs::prepare(args)?;
    let _lock = RunLock::take(&args.lock)?;
    machine.introduce();

    let mut document = begin(args, machine, &chosen, not_measured);
    let began = Instant::now();
    let measured = measure(args, stop, &chosen, &mut document, began);
    document.took_seconds = began.elapsed().as_secs_f64();
    document.complete = measured.is_ok();
    table::print(&document);
    println!("\n{:.0} s in all", document.took_seconds);
    outputs.write(&document)?;
    conclude(&document, measured?)
}

/// The peers of a scenario that are to take part and can.
fn peers(scenario: &Scenario, wanted: Option<&[String]>, left_out: &mut Vec<String>) -> Result<Vec<&'static dyn Peer>> {
    for name in wanted.into_iter().flatten() {
        if super::peer(name).is_none() {
            let hint = nearest(name, super::peers().iter().map(|peer| peer.name()));
            bail!("there is no peer {name}{hint}; `sluice-perf list` shows all");
        }
        if !scenario.peers.contains(name) {
            bail!("scenario {} has no peer {name}, only {}", scenario.name, scenario.peers.join(", "));
        }
    }
    let mut peers = Vec::new();
    for name in &scenario.peers {
        if wanted.is_some_and(|wanted| !wanted.contains(name)) {
            continue;
        }
        let peer = super::peer(name).with_context(|| format!("there is no peer {name}"))?;
        match (peer.missing(), wanted) {
            (None, _) => peers.push(peer),
            (Some(missing), Some(_)) => bail!("peer {name} cannot be brought up: {missing}"),
            (Some(missing), None) => left_out.push(format!("{}: peer {name}: {missing}", scenario.name)),
        }
    }
    Ok(peers)
}

/// Looks whether this process may and can measure at all.
fn able(args: &RunArgs) -> Result<Machine> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a run makes network namespaces, devices and BPF programs: it needs root, or a user namespace's root with \
             CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN and CAP_BPF"
        );
    }
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    let said = args.lab.load_core.is_some() && args.lab.switch_core.is_some();
    if machine.load_core == machine.switch_core && !said {
        bail!(
            "a run needs two cores, one for generators and one for the switch, and this process may use {:?} alone; give it \
             another, or say --load-core and --switch-core to share one (figures are then too low)",
            machine.cores
        );
    }
    Ok(machine)
}

/// The files that were asked for.
struct Outputs {
    json: Option<Output>,
    html: Option<Output>,
}

impl Outputs {
    fn prepare(args: &RunArgs) -> Result<Self> {
        let prepare = |path: Option<&Path>| path.map(Output::prepare).transpose();
        Ok(Self { json: prepare(args.lab.json.as_deref())?, html: prepare(args.html.as_deref())? })
    }

    /// Writes both, also when one of them fails.
    fn write(self, document: &Document) -> Result<()> {
        let json = self.json.map(|file| file.write(&(serde_json::to_string_pretty(document)? + "\n")));
        let html = self.html.map(|file| file.write(&html::page(document)));
        json.unwrap_or(Ok(())).and(html.unwrap_or(Ok(())))
    }
}

/// A document without results.
fn begin(
    args: &RunArgs,
    machine: Machine,
    chosen: &[(Scenario, Vec<&'static dyn Peer>)],
    not_measured: Vec<String>,
) -> Document {
    let plans = chosen.iter().flat_map(|(scenario, _)| &scenario.cases).flat_map(|case| &case.plans);
    Document {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit::of_this_program(),
        command_line: std::env::args().collect(),
        started: load::now(),
        took_seconds: 0.0,
        seconds: args.seconds,
        trials: args.trials,
        complete: false,
        machine,
        measures: plans.map(|plan| (plan.measure.clone(), rounds::figures(&plan.measure))).collect(),
        scenarios: Vec::new(),
        not_measured,
    }
}

/// Measures all of it into the document; gives how much could not be brought up or asked.
fn measure(
    args: &RunArgs,
    stop: &Stop,
    chosen: &[(Scenario, Vec<&'static dyn Peer>)],
    document: &mut Document,
    began: Instant,
) -> Result<usize> {
    let millis = (args.seconds * 1000.0) as u64;
    let counted: Vec<(Scenario, usize)> = chosen.iter().map(|(one, peers)| (one.clone(), peers.len())).collect();
    let progress = Progress::of(&counted, args.trials, millis);
    let run = rounds::Run { trials: args.trials, millis, progress: &progress, began };
    let bench = Bench { core: document.machine.load_core, stop: stop.clone() };
    let machine = document.machine.clone();
    let mut failed = 0;
    for (scenario, peers) in chosen {
        let Scenario { name, title, why, targets, .. } = scenario.clone();
        document.scenarios.push(ScenarioResult { name, title, why, cases: Vec::new(), targets });
        for case in &scenario.cases {
            let session = Session::open(&args.name)?;
            let site = Site { session: &session, machine: &machine, bench: &bench, lab: &args.lab, stop };
            let mut problems = Vec::new();
            let (result, outcome) = rounds::case(&run, &site, case, peers, &mut problems);
            failed += problems.len();
            document.not_measured.extend(problems.into_iter().map(|problem| format!("{}: {problem}", scenario.name)));
            if let Some(last) = document.scenarios.last_mut() {
                last.cases.push(result);
            }
            outcome?;
        }
    }
    progress.over();
    Ok(failed)
}

/// What a run that came to its end has to complain about.
fn conclude(document: &Document, failed: usize) -> Result<()> {
    if failed > 0 {
        bail!("{failed} of what was to be measured failed, by \"Not measured\" above");
    }
    if document.scenarios.iter().flat_map(|one| &one.cases).all(|case| case.series.is_empty()) {
        bail!("nothing was measured: none of the peers can be brought up here");
    }
    let nothing = document.without_valid();
    if nothing.is_empty() { Ok(()) } else { Err(NothingValid(nothing).into()) }
}
