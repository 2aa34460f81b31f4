//! One figure of each peer as a bar: the median, its range, and every trial.

use std::fmt::Write;

use super::axis::Axis;
use super::groups::Colours;
use super::{WIDTH, letters, line, svg};
use crate::results::{FigureOf, Series};
use crate::run::short;

/// Units: a peer's row with its name above the bar, the bar, the numbers below.
const ROW: f64 = 34.0;
const BAR: f64 = 12.0;
const RIGHT: f64 = WIDTH - 14.0;
const LEFT: f64 = 6.0;

/// The plot; a figure that no series has makes none.
pub(super) fn plot(title: &str, figure: &FigureOf, series: &[&Series], colours: &Colours<'_>) -> String {
    let known: Vec<_> = series.iter().filter_map(|one| Some((*one, one.summary.get(&figure.name)?))).collect();
    let trials = |one: &Series| -> Vec<(f64, bool)> {
        let counted = one.trials.iter().filter(|trial| trial.number > 0);
        counted.filter_map(|trial| Some((*trial.figures.get(&figure.name)?, trial.counts()))).collect()
    };
    let highest = known.iter().flat_map(|(one, _)| trials(one)).map(|(value, _)| value).fold(0.0, f64::max);
    if known.is_empty() {
        return String::new();
    }
    let axis = Axis::linear(highest, LEFT, RIGHT);
    let bottom = ROW * known.len() as f64 + 6.0;
    let mut body = String::new();
    for (x, label) in axis.ticks() {
        line(&mut body, (x, 4.0), (x, bottom), "g");
        letters(&mut body, x, bottom + 12.0, "t m", &label);
    }
    for (number, (one, summary)) in known.iter().enumerate() {
        let top = ROW * number as f64 + 4.0;
        let (bar, middle) = (top + 15.0, top + 15.0 + BAR / 2.0);
        let colour = colours.of_peer(&one.peer);
        let invalid = if one.valid().0 == 0 { " i" } else { "" };
        letters(&mut body, LEFT, top + 10.0, "s", &one.peer);
        let numbers = format!("{} ({} to {})", short(summary.median), short(summary.min), short(summary.max));
        letters(&mut body, RIGHT, top + 10.0, "s e", &numbers);
        let _ = write!(
            body,
            "<rect x=\"{LEFT}\" y=\"{bar:.1}\" width=\"{:.1}\" height=\"{BAR}\" class=\"f{colour}{invalid}\"/>",
            (axis.at(summary.median) - LEFT).max(0.5)
        );
        line(&mut body, (axis.at(summary.min), middle), (axis.at(summary.max), middle), "w");
        for end in [summary.min, summary.max] {
            line(&mut body, (axis.at(end), middle - 4.0), (axis.at(end), middle + 4.0), "w");
        }
        for (value, valid) in trials(one) {
            let class = if valid { "d" } else { "d i" };
            let _ = write!(body, "<circle cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"2\" class=\"{class}\"/>", axis.at(value));
        }
    }
    let label = format!("{title}: {}, {}", figure.label, figure.unit);
    letters(&mut body, RIGHT, bottom + 25.0, "t e", &format!("{}, {}", figure.label, figure.unit));
    svg(bottom + 30.0, &label, &body)
}
