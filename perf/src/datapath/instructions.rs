//! Instructions a packet, counted by callgrind: the same on every run, so that a test may hold them.
//!
//! This program runs itself under valgrind, once for each case, and tells callgrind to count while one function of it runs.
//! What valgrind emulates has no AVX-512, and nothing here is built for more than x86-64 has.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sluice_path::Packet;

use super::bed::{BATCH, BURST, Bed, Table};
use super::bookmarks::Bookmarks;
use super::case::{CASES, named};
use super::rows::Figure;
use super::timing::BOOKMARKS;
use super::world::World;

/// Batches that are counted, after as many that are not.
const BATCHES: usize = 16;

/// By how much a count may rise over its baseline before that has to be said: 3 %.
const TOLERANCE: f64 = 0.03;

/// The baselines as they were when this program was built.
const RECORDED: &str = include_str!("../../baselines/instructions.json");

/// Instructions a packet by case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Counts(pub(super) BTreeMap<String, f64>);

impl Counts {
    /// Those recorded in the repository.
    pub(super) fn recorded() -> Self {
        serde_json::from_str(RECORDED).unwrap_or_default()
    }

    /// Those in a file.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} holds no counts by case", file.display()))
    }

    /// A row's figure.
    pub(super) fn figure(&self, figure: Figure) -> Option<f64> {
        let of = |name: &str| self.0.get(name);
        Some(match figure {
            Figure::Of(name) => *of(name)?,
            Figure::More(name, other) => of(name)? - of(other)?,
            Figure::WithoutBookmarks(name) => of(name)? - of(BOOKMARKS)?,
        })
    }

    /// What has risen over its baseline, or has none, in sentences.
    pub(super) fn risen_over(&self, baseline: &Counts) -> Vec<String> {
        let judge = |(name, count): (&String, &f64)| match baseline.0.get(name) {
            None => Some(format!("{name}: {count:.1} instructions a packet, and no baseline")),
            Some(before) if *count > before * (1.0 + TOLERANCE) => {
                Some(format!("{name}: {count:.1} instructions a packet, {before:.1} before"))
            }
            Some(_) => None,
        };
        self.0.iter().filter_map(judge).collect()
    }
}

/// Counts every case whose name holds `filter`.
pub(super) fn count(filter: &str) -> Result<Counts> {
    let cases = CASES.iter().filter(|case| case.is_counted()).map(|case| case.name);
    let names: Vec<&str> = cases.chain([BOOKMARKS]).filter(|name| name.contains(filter)).collect();
    let progress = ProgressBar::new(names.len() as u64).with_message("counting");
    let mut counts = Counts::default();
    for name in names {
        counts.0.insert(name.to_owned(), count_one(name)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(counts)
}

fn count_one(name: &str) -> Result<f64> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let out = tempfile::NamedTempFile::new().context("cannot make a file for callgrind")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--toggle-collect=*counted_burst*", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.path().display()));
    valgrind.arg(program).args(["datapath", "--under-callgrind", name]);
    let output = valgrind.output().context("cannot run valgrind: install it with `make setup`")?;
    if !output.status.success() {
        bail!("{name} failed under valgrind:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let report = fs::read_to_string(out.path()).context("cannot read what callgrind wrote")?;
    let total = total(&report).with_context(|| format!("callgrind counted nothing for {name}"))?;
    Ok((total as f64 / (BATCH * BATCHES) as f64 * 10.0).round() / 10.0)
}

/// The sum over the program in callgrind's file: a line such as `totals: 1234`.
fn total(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok().filter(|total| *total > 0)
}

/// What runs under callgrind: the case, with everything but the path outside the function that is counted.
pub(super) fn under_callgrind(name: &str) -> Result<()> {
    if name == BOOKMARKS {
        let bookmarks = Bookmarks::new()?;
        for _ in 0..BATCHES {
            std::hint::black_box(bookmarks.run());
        }
        for _ in 0..BATCHES {
            counted_burst_of_bookmarks(&bookmarks);
        }
        return Ok(());
    }
    let case = named(name).with_context(|| format!("no case is called {name}"))?;
    let mut bed = Bed::new(case, Table::Fresh)?;
    for _ in 0..BATCHES {
        bed.run(|world, packets| world.run(packets, BURST));
    }
    for _ in 0..BATCHES {
        bed.run(counted_burst);
    }
    Ok(())
}

#[inline(never)]
fn counted_burst(world: &mut World, packets: &mut [Packet<'_>]) {
    world.run(packets, BURST);
}

#[inline(never)]
fn counted_burst_of_bookmarks(bookmarks: &Bookmarks) {
    std::hint::black_box(bookmarks.run());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[(&str, f64)]) -> Counts {
        Counts(values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }

    #[test]
    fn only_what_rises_beyond_the_tolerance_is_named() {
        let before = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0)]);
        let now = counts(&[("a", 102.9), ("b", 103.1), ("c", 50.0), ("d", 1.0)]);
        let risen = now.risen_over(&before);
        assert_eq!(risen.len(), 2, "{risen:?}");
        assert!(risen[0].starts_with("b: 103.1") && risen[1].starts_with("d: "), "{risen:?}");
    }

    #[test]
    fn the_total_is_found_in_what_callgrind_writes() {
        assert_eq!(total("version: 1\nsummary: 7\n\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("totals: 0\n"), None);
        assert_eq!(total(""), None);
    }

    #[test]
    fn every_case_that_is_counted_has_a_baseline() {
        let recorded = Counts::recorded();
        for case in CASES.iter().filter(|case| case.is_counted()) {
            assert!(recorded.0.contains_key(case.name), "{}", case.name);
        }
        assert!(recorded.0.contains_key(BOOKMARKS));
    }
}
