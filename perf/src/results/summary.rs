//! Many trials in a few numbers, and whether those reach what they are to reach.

use serde::{Deserialize, Serialize};

use super::{CaseResult, FigureOf, Series};
use crate::run::Better;
use crate::scenario::{Comparison, Target};
use crate::stats::{quantile, sorted};

/// The middle half of the trials may spread over this part of the median before a note says so.
const UNSTEADY: f64 = 0.25;

/// From this part of the calibration on, the generators are the limit and not the path.
const GENERATORS: f64 = 0.95;

/// One figure over the trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// A quarter of the trials is below.
    pub(crate) lower: f64,
    /// A quarter of the trials is above.
    pub(crate) upper: f64,
    /// Trials it is made of.
    pub(crate) trials: usize,
}

impl Summary {
    /// None of nothing.
    pub(crate) fn of(values: Vec<f64>) -> Option<Self> {
        let sorted = sorted(values);
        Some(Self {
            median: quantile(&sorted, 0.5)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
            lower: quantile(&sorted, 0.25)?,
            upper: quantile(&sorted, 0.75)?,
            trials: sorted.len(),
        })
    }

    fn is_unsteady(&self) -> bool {
        self.trials >= 4 && self.median > 0.0 && (self.upper - self.lower) / self.median > UNSTEADY
    }
}

impl Series {
    /// Works out summary and notes; `figures` are those of its measure, the first the most telling.
    pub(crate) fn conclude(&mut self, figures: &[FigureOf]) {
        let of = |figure: &FigureOf| Some((figure.name.clone(), Summary::of(self.values(&figure.name))?));
        self.summary = figures.iter().filter_map(of).collect();
        let (valid, all) = self.valid();
        if valid < all {
            self.notes.push(if valid == 0 {
                format!("none of {all} trials is valid, so the figures are those of invalid ones")
            } else {
                format!("{} of {all} trials are invalid", all - valid)
            });
        }
        let main = figures.first().and_then(|figure| Some((figure, self.summary.get(&figure.name)?)));
        if let Some((figure, summary)) = main
            && summary.is_unsteady()
        {
            let percent = (summary.upper - summary.lower) / summary.median * 100.0;
            self.notes.push(format!(
                "unsteady: the middle half of {} spreads over {percent:.0} % of its median",
                figure.label
            ));
        }
    }

    /// Notes what the calibration beside it says; none is there for a measure of the agent alone.
    pub(crate) fn calibrate(&mut self, direct: Option<&Series>, figure: &FigureOf) {
        let Some(direct) = direct else {
            self.notes.push("no calibration: direct was not measured beside it".to_owned());
            return;
        };
        let median = |series: &Series| Some(series.summary.get(&figure.name)?.median);
        let (Some(own), Some(limit)) = (median(self), median(direct)) else { return };
        if figure.better == Better::Higher && limit > 0.0 && own >= GENERATORS * limit {
            let percent = own / limit * 100.0;
            self.notes.push(format!("bound by the generators, not by the path: {percent:.0} % of direct"));
        }
    }
}

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    /// The ratio, difference or value.
    pub(crate) reached: f64,
    pub(crate) must: Option<bool>,
    pub(crate) aim: Option<bool>,
}

impl Verdict {
    /// In a word or two.
    pub(crate) fn word(&self) -> &'static str {
        match (self.must, self.aim) {
            (Some(false), _) => "missed",
            (_, Some(true)) => "aim reached",
            (Some(true), _) => "held, aim not reached",
            (None, _) => "aim not reached",
        }
    }
}

/// Compares what a series reached with a target, where both sides were measured.
pub(crate) fn judge(case: &CaseResult, series: &Series, target: &Target, better: Better) -> Option<Verdict> {
    if series.measure != target.measure || series.peer != target.peer {
        return None;
    }
    let median = |series: &Series| Some(series.summary.get(&target.figure)?.median);
    let own = median(series)?;
    let other = || median(case.beside(series, target.against.as_deref()?)?);
    let reached = match target.comparison {
        Comparison::Value => own,
        Comparison::Difference => own - other()?,
        Comparison::Ratio => Some(other()?).filter(|other| *other > 0.0).map(|other| own / other)?,
    };
    let holds = |bound: f64| if better == Better::Higher { reached >= bound } else { reached <= bound };
    Some(Verdict { reached, must: target.must.map(holds), aim: target.aim.map(holds) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::read::tests::{document, series};

    #[test]
    fn invalid_trials_and_the_warm_up_are_shown_and_not_counted() {
        let mut series = series("sluice", &[99.0, 1.0, 2.0, 3.0, 50.0]);
        series.trials[4].invalid.push("steal".to_owned());
        series.summary.clear();
        let figures = document(&[]).measures["tcp"].clone();
        series.conclude(&figures);
        let summary = series.summary["gbits"];
        assert_eq!((summary.median, summary.max, summary.trials), (2.0, 3.0, 3));
        assert_eq!(series.notes, ["1 of 4 trials are invalid"]);
    }

    #[test]
    fn where_no_trial_is_valid_that_is_said() {
        let mut series = series("sluice", &[99.0, 1.0, 2.0]);
        series.trials.iter_mut().for_each(|trial| trial.invalid.push("steal".to_owned()));
        let figures = document(&[]).measures["tcp"].clone();
        series.conclude(&figures);
        assert_eq!(series.summary["gbits"].median, 1.5);
        assert!(series.notes[0].starts_with("none of 2 trials is valid"), "{:?}", series.notes);
    }

    #[test]
    fn a_wide_spread_is_noted() {
        let figures = document(&[]).measures["tcp"].clone();
        let mut wide = series("sluice", &[0.0, 1.0, 5.0, 9.0, 13.0]);
        wide.conclude(&figures);
        assert!(wide.notes.iter().any(|note| note.starts_with("unsteady")), "{:?}", wide.notes);
        let mut narrow = series("sluice", &[0.0, 9.0, 9.1, 9.2, 9.3]);
        narrow.conclude(&figures);
        assert!(narrow.notes.is_empty(), "{:?}", narrow.notes);
    }

    #[test]
    fn what_reaches_the_calibration_is_bound_by_the_generators() {
        let figures = document(&[]).measures["tcp"].clone();
        let concluded = |peer: &str, values: &[f64]| {
            let mut series = series(peer, values);
            series.conclude(&figures);
            series
        };
        let direct = concluded("direct", &[0.0, 10.0]);
        let mut near = concluded("sluice", &[0.0, 9.9]);
        near.calibrate(Some(&direct), &figures[0]);
        assert!(near.notes[0].starts_with("bound by the generators"), "{:?}", near.notes);
        let mut far = concluded("sluice", &[0.0, 5.0]);
        far.calibrate(Some(&direct), &figures[0]);
        assert!(far.notes.is_empty(), "{:?}", far.notes);
        far.calibrate(None, &figures[0]);
        assert!(far.notes[0].starts_with("no calibration"), "{:?}", far.notes);
    }

    #[test]
    fn targets_are_judged_by_medians() {
        let document = document(&[("direct", &[0.0, 10.0]), ("sluice", &[0.0, 6.0])]);
        let (scenario, case) = (&document.scenarios[0], &document.scenarios[0].cases[0]);
        let verdict = |target: &Target| judge(case, &case.series[1], target, Better::Higher);
        let target = scenario.targets[0].clone();
        let found = verdict(&target).expect("both were measured");
        assert!((found.reached - 0.6).abs() < 1e-9);
        assert_eq!((found.must, found.aim, found.word()), (Some(true), Some(false), "held, aim not reached"));
        let harder = Target { must: Some(0.7), ..target.clone() };
        assert_eq!(verdict(&harder).map(|verdict| verdict.word()), Some("missed"));
        let difference =
            Target { comparison: Comparison::Difference, must: Some(-5.0), aim: Some(-4.0), ..target.clone() };
        assert_eq!(verdict(&difference).map(|verdict| (verdict.reached, verdict.word())), Some((-4.0, "aim reached")));
        let value =
            Target { comparison: Comparison::Value, against: None, must: None, aim: Some(7.0), ..target.clone() };
        assert_eq!(verdict(&value).map(|verdict| verdict.word()), Some("aim not reached"));
        let other = Target { against: Some("bridge".to_owned()), ..target };
        assert_eq!(verdict(&other), None, "it was not measured");
    }
}
