//! What a run gave, as it is kept in JSON; `docs/harness.md` describes every field.

mod read;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Machine;
use crate::peers::Cores;
use crate::run::{Better, Load, Packets};
use crate::scenario::{Target, Topology};
use crate::stats::spread;

pub(crate) use read::read;
#[cfg(test)]
pub(crate) use read::tests;
pub(crate) use summary::{Summary, judge};

/// The form of the document; another one is not read.
pub(crate) const SCHEMA: &str = "sluice-perf/1";

/// Everything that one run found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Document {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// Version of the program.
    pub(crate) version: String,
    /// Of the source tree that the program lies in, with `-dirty` where that has changes; `unknown` elsewhere.
    pub(crate) commit: String,
    /// As it was started.
    pub(crate) command_line: Vec<String>,
    /// When it was started (RFC 3339, UTC).
    pub(crate) started: String,
    /// How long it took in all.
    pub(crate) took_seconds: f64,
    /// Seconds of one measure in one trial.
    pub(crate) seconds: f64,
    /// Trials that count.
    pub(crate) trials: u32,
    /// False when the run was given up.
    pub(crate) complete: bool,
    pub(crate) machine: Machine,
    /// What is known about the numbers, by measure.
    pub(crate) measures: BTreeMap<String, Vec<FigureOf>>,
    pub(crate) scenarios: Vec<ScenarioResult>,
    /// What was to be measured and was not, and why.
    pub(crate) not_measured: Vec<String>,
}

/// A figure of a measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FigureOf {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
}

/// What one scenario gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScenarioResult {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) why: String,
    pub(crate) cases: Vec<CaseResult>,
    pub(crate) targets: Vec<Target>,
}

/// What one topology gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CaseResult {
    pub(crate) topology: Topology,
    /// The same in words.
    pub(crate) what: String,
    pub(crate) series: Vec<Series>,
    /// What the agents said of themselves at the end, by node; empty without the switch.
    pub(crate) agents: BTreeMap<String, Value>,
}

/// One measure of one peer under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Series {
    pub(crate) measure: String,
    /// Measure and load in words.
    pub(crate) title: String,
    pub(crate) load: Load,
    pub(crate) peer: String,
    pub(crate) cores: Cores,
    /// Raw data, in their order, the warm-up first.
    pub(crate) trials: Vec<Trial>,
    /// Of each figure, over the valid trials; over all that have it where none is valid.
    pub(crate) summary: BTreeMap<String, Summary>,
    /// What a reader has to know before believing the figures.
    pub(crate) notes: Vec<String>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Trial {
    /// The first is 0, the warm-up.
    pub(crate) number: u32,
    /// Seconds since the run began.
    pub(crate) at_seconds: f64,
    /// By name; empty where the measurement failed.
    pub(crate) figures: BTreeMap<String, f64>,
    /// Where packets are counted at both ends.
    pub(crate) packets: Option<Packets>,
    /// Percent of all processor time that the hypervisor gave to others meanwhile.
    pub(crate) steal_percent: f64,
    /// Percent of each core's time that it was busy, by its number.
    pub(crate) busy_percent: BTreeMap<usize, f64>,
    /// Why it does not count; empty for a valid trial.
    pub(crate) invalid: Vec<String>,
}

impl Trial {
    /// True for those that a summary is made of.
    pub(crate) fn counts(&self) -> bool {
        self.number > 0 && self.invalid.is_empty()
    }
}

impl Series {
    /// The values of a figure that a summary is made of.
    pub(crate) fn values(&self, figure: &str) -> Vec<f64> {
        let of = |trials: &mut dyn Iterator<Item = &Trial>| -> Vec<f64> {
            trials.filter_map(|trial| trial.figures.get(figure).copied()).collect()
        };
        let valid = of(&mut self.trials.iter().filter(|trial| trial.counts()));
        if valid.is_empty() { of(&mut self.trials.iter().filter(|trial| trial.number > 0)) } else { valid }
    }

    /// Percent of its time that each core was busy, median of the trials: `0: 100, 1: 34`. The one that is always busy limits.
    pub(crate) fn busy(&self) -> String {
        let cores = self.trials.iter().flat_map(|trial| trial.busy_percent.keys()).collect::<BTreeSet<_>>();
        let median = |core: &usize| {
            let counted = self.trials.iter().filter(|trial| trial.number > 0);
            let busy = spread(counted.filter_map(|trial| trial.busy_percent.get(core).copied()))?;
            Some(format!("{core}: {:.0}", busy.median))
        };
        cores.into_iter().filter_map(median).collect::<Vec<_>>().join(", ")
    }

    /// Trials that count, and all but the warm-up.
    pub(crate) fn valid(&self) -> (usize, usize) {
        let counted = self.trials.iter().filter(|trial| trial.number > 0);
        (counted.clone().filter(|trial| trial.counts()).count(), counted.count())
    }
}

impl CaseResult {
    /// The series of a peer that measures the same as this one.
    pub(crate) fn beside(&self, series: &Series, peer: &str) -> Option<&Series> {
        let same = |other: &&Series| other.peer == peer && other.measure == series.measure && other.load == series.load;
        self.series.iter().find(same)
    }
}

impl Document {
    /// What is known about a figure.
    pub(crate) fn figure(&self, measure: &str, name: &str) -> Option<&FigureOf> {
        self.measures.get(measure)?.iter().find(|figure| figure.name == name)
    }

    /// Series of which no trial is valid, in words.
    pub(crate) fn without_valid(&self) -> Vec<String> {
        let mut found = Vec::new();
        for scenario in &self.scenarios {
            for case in &scenario.cases {
                let none = case.series.iter().filter(|series| series.valid().0 == 0);
                found.extend(none.map(|series| format!("{}: {}: {}", scenario.name, series.peer, series.title)));
            }
        }
        found
    }
}
