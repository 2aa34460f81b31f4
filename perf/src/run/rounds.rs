//! One case: its peers stand beside each other and take turns.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_lab::LabError;

use super::measure::{Outcome, Packets, Stage};
use super::peer::{Peer, Site, Standing};
use super::progress::Progress;
use super::validity;
use crate::processors::{Processors, Steal};
use crate::results::{CaseResult, FigureOf, Series, Trial};
use crate::scenario::{Case, Plan};

/// The calibration: nothing is between its ends.
const CALIBRATION: &str = "direct";

/// How long counters may take to tell: a worker of the switch looks at the kernel's once a second.
const SETTLE: Duration = Duration::from_millis(2500);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is the same for all cases of a run.
pub(super) struct Run<'r> {
    /// Trials that count.
    pub(super) trials: u32,
    /// Milliseconds of one measure in one trial.
    pub(super) millis: u64,
    pub(super) progress: &'r Progress,
    pub(super) began: Instant,
}

/// A peer that stands, by its name.
type Present<'s> = (&'static dyn Peer, Box<dyn Standing + 's>);

/// True for what ends a run; anything else is told and the run goes on.
fn ends_run(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<LabError>(), Some(LabError::Interrupted))
}

/// An error with its causes on one line.
fn in_words(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

/// Measures a case; what cannot be brought up or measured is told in `problems`.
///
/// # Errors
/// Only an interruption; everything else becomes a problem or an invalid trial. The result holds what there is by then.
pub(super) fn case(
    run: &Run<'_>,
    site: &Site<'_>,
    case: &Case,
    peers: &[&'static dyn Peer],
    problems: &mut Vec<String>,
) -> (CaseResult, Result<()>) {
    let mut result = CaseResult {
        topology: case.topology.clone(),
        what: case.topology.to_string(),
        series: Vec::new(),
        agents: BTreeMap::new(),
    };
    let outcome = measure(run, site, case, peers, problems, &mut result);
    // A run that was given up has not come to all of them.
    result.series.retain(|series| !series.trials.is_empty());
    for series in &mut result.series {
        series.conclude(&figures(&series.measure));
    }
    calibrate(&mut result);
    (result, outcome)
}

fn measure(
    run: &Run<'_>,
    site: &Site<'_>,
    case: &Case,
    peers: &[&'static dyn Peer],
    problems: &mut Vec<String>,
    result: &mut CaseResult,
) -> Result<()> {
    let mut present: Vec<Present<'_>> = Vec::new();
    for peer in peers {
        run.progress.step(&format!("bringing up {}", peer.name()));
        match peer.up(site, &case.topology) {
            Ok(standing) => {
                standing.rest()?;
                present.push((*peer, standing));
            }
            Err(error) if ends_run(&error) => return Err(error),
            Err(error) => problems.push(format!("{}, {}: {}", peer.name(), case.topology, in_words(&error))),
        }
        run.progress.brought_up();
    }
    for plan in &case.plans {
        for (peer, standing) in &present {
            if takes_part(*peer, standing.as_ref(), plan) {
                result.series.push(empty(plan, *peer, standing.as_ref()));
            }
        }
    }
    for number in 0..=run.trials {
        for series in &mut result.series {
            let Some((_, standing)) = present.iter().find(|(peer, _)| peer.name() == series.peer) else { continue };
            run.progress.step(&format!("{} over {}, trial {number} of {}", series.measure, series.peer, run.trials));
            series.trials.push(trial(run, site, standing.as_ref(), series, number)?);
            run.progress.measured();
        }
    }
    for (_, standing) in &present {
        if let Some(cluster) = standing.cluster() {
            match cluster.status() {
                Ok(status) => result.agents = status,
                Err(error) => problems.push(in_words(&error)),
            }
        }
    }
    Ok(())
}

fn takes_part(peer: &dyn Peer, standing: &dyn Standing, plan: &Plan) -> bool {
    let needs_cluster = super::measure(&plan.measure).is_some_and(|measure| measure.needs_cluster());
    peer.suits(&plan.measure) && (!needs_cluster || standing.cluster().is_some())
}

fn empty(plan: &Plan, peer: &dyn Peer, standing: &dyn Standing) -> Series {
    let title = super::measure(&plan.measure).map(|measure| measure.title(&plan.load)).unwrap_or_default();
    Series {
        measure: plan.measure.clone(),
        title,
        load: plan.load,
        peer: peer.name().to_owned(),
        cores: standing.path().cores,
        trials: Vec::new(),
        summary: BTreeMap::new(),
        notes: Vec::new(),
    }
}

/// One measurement, and what is against it.
fn trial(run: &Run<'_>, site: &Site<'_>, standing: &dyn Standing, series: &Series, number: u32) -> Result<Trial> {
    site.stop.check()?;
    let at_seconds = run.began.elapsed().as_secs_f64();
    let mut trial = Trial {
        number,
        at_seconds,
        figures: BTreeMap::new(),
        packets: None,
        steal_percent: 0.0,
        busy_percent: BTreeMap::new(),
        invalid: Vec::new(),
    };
    match turn(run, site, standing, series) {
        Ok(turn) => {
            trial.figures = turn.outcome.figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            trial.packets = turn.outcome.packets;
            trial.steal_percent = turn.steal.percent();
            trial.busy_percent = turn.busy;
            trial.invalid = turn.reasons;
        }
        Err(error) if ends_run(&error) => return Err(error),
        Err(error) => trial.invalid.push(in_words(&error)),
    }
    Ok(trial)
}

/// What happened in one turn of a peer.
struct Turn {
    outcome: Outcome,
    steal: Steal,
    busy: BTreeMap<usize, f64>,
    reasons: Vec<String>,
}

fn turn(run: &Run<'_>, site: &Site<'_>, standing: &dyn Standing, series: &Series) -> Result<Turn> {
    let Some(measure) = super::measure(&series.measure) else {
        anyhow::bail!("there is no measure {}", series.measure)
    };
    let stage = Stage { site, standing, millis: run.millis };
    standing.wake()?;
    let (before, drops) = (Processors::now()?, standing.drops()?);
    let outcome = measure.measure(&stage, &series.load);
    let after = Processors::now()?;
    let dropped = match outcome.as_ref().ok().and_then(|outcome| outcome.packets.as_ref()) {
        Some(packets) => settled(site, standing, packets, &drops),
        None => standing.drops(),
    };
    // Also after a failure, or it would have the others' core.
    standing.rest()?;
    let (mut outcome, dropped) = (outcome?, dropped?);
    let steal = after.steal_since(&before);
    let reasons = validity::check(&mut outcome, &drops, &dropped, steal);
    Ok(Turn { outcome, steal, busy: after.busy_since(&before), reasons })
}

/// The drops once they explain what is missing, or for the longest time that they may take.
fn settled(
    site: &Site<'_>,
    standing: &dyn Standing,
    packets: &Packets,
    before: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, u64>> {
    let start = Instant::now();
    loop {
        site.stop.check()?;
        let drops = standing.drops()?;
        if validity::explains(packets, before, &drops) || start.elapsed() > SETTLE {
            return Ok(drops);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What is known about the figures of a measure.
pub(super) fn figures(measure: &str) -> Vec<FigureOf> {
    let figures = super::measure(measure).map(|measure| measure.figures()).unwrap_or_default();
    let of = |figure: &super::Figure| FigureOf {
        name: figure.name.to_owned(),
        label: figure.label.to_owned(),
        unit: figure.unit.to_owned(),
        better: figure.better,
    };
    figures.iter().map(of).collect()
}

/// Holds every series against that of the calibration.
fn calibrate(result: &mut CaseResult) {
    let direct: Vec<Series> = result.series.iter().filter(|series| series.peer == CALIBRATION).cloned().collect();
    for series in result.series.iter_mut().filter(|series| series.peer != CALIBRATION) {
        if super::measure(&series.measure).is_none_or(|measure| measure.needs_cluster()) {
            continue;
        }
        let beside = direct.iter().find(|one| one.measure == series.measure && one.load == series.load);
        if let Some(figure) = figures(&series.measure).first() {
            series.calibrate(beside, figure);
        }
    }
}
