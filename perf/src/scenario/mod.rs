//! What can be measured: the scenarios built into this program, or those of a directory.
//!
//! A file names a place, the objects around it, the peers and the measures; lists of numbers in it multiply into cases and
//! plans. The keys are described in `docs/harness.md`.

mod builtin;
mod file;
mod topology;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::nearest::nearest;
use crate::run::Load;

pub(crate) use topology::{Encapsulation, Place, Topology};

/// One thing worth knowing about a node's network, and how to find it out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scenario {
    /// What it is called on the command line.
    pub(crate) name: String,
    /// What it is, in a few words.
    pub(crate) title: String,
    /// What its figures are good for.
    pub(crate) why: String,
    /// Who takes part, in this order.
    pub(crate) peers: Vec<String>,
    /// What is brought up, one after another.
    pub(crate) cases: Vec<Case>,
    /// What the figures are to reach.
    pub(crate) targets: Vec<Target>,
}

/// A topology and all that is measured on it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) topology: Topology,
    pub(crate) plans: Vec<Plan>,
}

/// One measure under one load.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// The measure's name.
    pub(crate) measure: String,
    pub(crate) load: Load,
}

/// What a figure of one peer is to reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) measure: String,
    pub(crate) figure: String,
    pub(crate) peer: String,
    /// The peer it is compared with.
    pub(crate) against: Option<String>,
    pub(crate) comparison: Comparison,
    /// Short of this it has failed.
    pub(crate) must: Option<f64>,
    /// What it is to become.
    pub(crate) aim: Option<f64>,
}

/// What of two medians a target is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Comparison {
    /// The one divided by the other.
    #[default]
    Ratio,
    /// The one less the other.
    Difference,
    /// The one alone.
    Value,
}

/// Every scenario there is: those of `directory`, or else the built-in ones; by name.
///
/// # Errors
/// Names file, line and key of what is wrong; and a directory without scenarios.
pub(crate) fn all(directory: Option<&Path>) -> Result<Vec<Scenario>> {
    let mut scenarios = match directory {
        Some(directory) => of_directory(directory)?,
        None => builtin::FILES.iter().map(|(name, text)| file::parse(name, text)).collect::<Result<Vec<_>>>()?,
    };
    scenarios.sort_by(|one, other| one.name.cmp(&other.name));
    for pair in scenarios.windows(2) {
        if let [one, other] = pair
            && one.name == other.name
        {
            bail!("two files call their scenario {}; rename one", one.name);
        }
    }
    Ok(scenarios)
}

fn of_directory(directory: &Path) -> Result<Vec<Scenario>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut scenarios = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            scenarios.push(file::parse(&path.display().to_string(), &text)?);
        }
    }
    if scenarios.is_empty() {
        bail!("{} has no scenario: no file ends with .toml", directory.display());
    }
    Ok(scenarios)
}

/// The scenarios of these names, in this order.
///
/// # Errors
/// A name that there is not, with the nearest that there is.
pub(crate) fn chosen(all: &[Scenario], names: &[String]) -> Result<Vec<Scenario>> {
    let find = |name: &String| {
        all.iter().find(|scenario| scenario.name == *name).cloned().with_context(|| {
            let hint = nearest(name, all.iter().map(|scenario| scenario.name.as_str()));
            format!("there is no scenario {name}{hint}; `sluice-perf list` shows all")
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests;
