//! The clock's side: every case in turn, several times over.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;

use super::bed::{BURST, Bed, Table};
use super::bookmarks::Bookmarks;
use super::case::{CASES, Case};
use super::rows::Figure;
use crate::stats::{Spread, spread};

/// The name that asking bookmarks alone goes under, beside those of the cases.
pub(super) const BOOKMARKS: &str = "bookmarks";

/// The case that is also run in bursts of other sizes, and those.
const BURSTS_OF: &str = "full";
const OTHER_BURSTS: [usize; 4] = [1, 8, 64, 256];

/// Rounds over all cases; one more before them is thrown away.
const ROUNDS: u32 = 7;

/// What one case took, in nanoseconds a packet.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timed {
    /// The median batch of each round, in their order.
    pub(super) rounds: Vec<f64>,
    /// The batch that one in a hundred is faster than: what is left when nobody else disturbs.
    pub(super) best: f64,
    /// Allocations over a batch of a case that is warm.
    pub(super) allocations: u64,
}

/// All that was timed, by case and, where it is not [`BURST`], size of burst.
pub(super) type Timings = BTreeMap<String, Timed>;

/// One that takes its turn.
enum Turn {
    Case { bed: Box<Bed>, burst: usize },
    Bookmarks(Box<Bookmarks>),
}

impl Turn {
    fn name(&self) -> String {
        match self {
            Self::Case { bed, burst: BURST } => bed.case.name.to_owned(),
            Self::Case { bed, burst } => format!("{} in bursts of {burst}", bed.case.name),
            Self::Bookmarks(_) => BOOKMARKS.to_owned(),
        }
    }

    fn trial(&mut self, length: Duration) -> Vec<f64> {
        match self {
            Self::Case { bed, burst } => bed.trial(*burst, length),
            Self::Bookmarks(bookmarks) => bookmarks.trial(length),
        }
    }

    /// What a batch allocates; the case is warm.
    fn allocations(&mut self) -> u64 {
        match self {
            Self::Case { bed, burst } => {
                bed.run(|world, packets| allocation_counter::measure(|| world.run(packets, *burst)).count_total)
            }
            Self::Bookmarks(bookmarks) => {
                allocation_counter::measure(|| {
                    std::hint::black_box(bookmarks.run());
                })
                .count_total
            }
        }
    }
}

/// Times the cases whose name holds `filter`, in about `seconds` after they are set up.
pub(super) fn measure(filter: &str, seconds: u64) -> Result<Timings> {
    let mut turns = set_up(filter)?;
    let trials = (turns.len() as u32).max(1) * (ROUNDS + 1);
    let length = Duration::from_secs(seconds) / trials;
    let mut timings: BTreeMap<String, (Timed, Vec<f64>)> = BTreeMap::new();
    let progress = ProgressBar::new(u64::from(trials)).with_message("measuring");
    for round in 0..=ROUNDS {
        for turn in &mut turns {
            let samples = turn.trial(length);
            progress.inc(1);
            if round == 0 {
                continue;
            }
            let (timed, all) = timings.entry(turn.name()).or_default();
            timed.rounds.extend(spread(samples.iter().copied()).map(|spread| spread.median));
            timed.allocations = timed.allocations.max(turn.allocations());
            all.extend(samples);
        }
    }
    progress.finish_and_clear();
    Ok(timings.into_iter().map(|(name, (timed, all))| (name, Timed { best: best(all), ..timed })).collect())
}

fn set_up(filter: &str) -> Result<Vec<Turn>> {
    let wanted: Vec<&'static Case> = CASES.iter().filter(|case| case.name.contains(filter)).collect();
    let progress = ProgressBar::new(wanted.len() as u64).with_message("setting up");
    let mut turns = vec![Turn::Bookmarks(Box::new(Bookmarks::new()?))];
    for case in wanted {
        turns.push(Turn::Case { bed: Box::new(Bed::new(case, Table::Used)?), burst: BURST });
        if case.name == BURSTS_OF {
            for burst in OTHER_BURSTS {
                turns.push(Turn::Case { bed: Box::new(Bed::new(case, Table::Used)?), burst });
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(turns)
}

fn best(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 100).copied().unwrap_or_default()
}

/// Median and range over the rounds, and the best, of a row's figure; `None` where a case of it was not timed.
pub(super) fn figure(timings: &Timings, figure: Figure) -> Option<(Spread, f64)> {
    let of = |name: &str| timings.get(name);
    let (timed, less) = match figure {
        Figure::Of(name) => (of(name)?, None),
        Figure::More(name, other) => (of(name)?, Some(of(other)?)),
        Figure::WithoutBookmarks(name) => (of(name)?, Some(of(BOOKMARKS)?)),
    };
    let Some(less) = less else { return Some((spread(timed.rounds.iter().copied())?, timed.best)) };
    // Round by round, as what disturbs the machine disturbs both.
    let differences = timed.rounds.iter().zip(&less.rounds).map(|(timed, less)| timed - less);
    Some((spread(differences)?, timed.best - less.best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_taken_round_by_round() {
        let timed = |rounds: &[f64], best| Timed { rounds: rounds.to_vec(), best, allocations: 0 };
        let timings: Timings =
            [("a".to_owned(), timed(&[30.0, 50.0, 31.0], 29.0)), ("b".to_owned(), timed(&[20.0, 40.0, 20.0], 20.0))]
                .into();
        let (spread, best) = figure(&timings, Figure::More("a", "b")).expect("both are there");
        assert_eq!((spread.median, spread.max, best), (10.0, 11.0, 9.0));
        assert_eq!(figure(&timings, Figure::WithoutBookmarks("a")), None);
    }

    #[test]
    fn the_best_is_not_an_accident() {
        assert_eq!(best((0..1000).map(f64::from).collect()), 10.0);
        assert_eq!(best(vec![5.0]), 5.0);
    }
}
