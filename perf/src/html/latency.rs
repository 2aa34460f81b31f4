//! Percentiles of a time, each higher than the one before, on a logarithmic axis.

use std::fmt::Write;

use super::axis::Axis;
use super::groups::{Colours, Group};
use super::{WIDTH, legend, letters, line, svg};
use crate::results::{FigureOf, Summary};

const LEFT: f64 = 34.0;
const RIGHT: f64 = WIDTH - 16.0;
const HEIGHT: f64 = 170.0;

/// The plot of all percentiles that the group has.
pub(super) fn plot(title: &str, group: &Group<'_>, colours: &Colours<'_>) -> String {
    let figures: Vec<&FigureOf> = group.figures.iter().filter(|figure| figure.unit == "us").collect();
    let mut body = String::new();
    let top = legend(&mut body, &colours.with(&group.peers())) + 6.0;
    let bottom = top + HEIGHT;
    let all = || group.series.iter().flat_map(|one| figures.iter().filter_map(|figure| one.summary.get(&figure.name)));
    let axis = Axis::logarithmic(all().flat_map(|summary| [summary.min, summary.max]), bottom, top);
    for y in axis.between() {
        line(&mut body, (LEFT, y), (RIGHT, y), "g h");
    }
    for (y, label) in axis.ticks() {
        line(&mut body, (LEFT, y), (RIGHT, y), "g");
        letters(&mut body, LEFT - 4.0, y + 3.5, "t e", &label);
    }
    // Half a column free at both ends.
    let column = (RIGHT - LEFT) / figures.len().max(1) as f64;
    let x = |number: usize| LEFT + (number as f64 + 0.5) * column;
    for (number, figure) in figures.iter().enumerate() {
        letters(&mut body, x(number), bottom + 13.0, "t m", &figure.label);
    }
    for (place, one) in group.series.iter().enumerate() {
        let colour = colours.of_peer(&one.peer);
        // Beside each other, or whiskers hide one another.
        let aside = (place as f64 - (group.series.len() as f64 - 1.0) / 2.0) * 4.0;
        let points: Vec<(f64, Summary)> = figures
            .iter()
            .enumerate()
            .filter_map(|(number, figure)| Some((x(number) + aside, *one.summary.get(&figure.name)?)))
            .collect();
        let way: Vec<String> =
            points.iter().map(|(x, summary)| format!("{x:.1},{:.1}", axis.at(summary.median))).collect();
        let _ = write!(body, "<polyline points=\"{}\" class=\"p{colour}\"/>", way.join(" "));
        for (x, summary) in points {
            line(&mut body, (x, axis.at(summary.min)), (x, axis.at(summary.max)), &format!("p{colour}"));
            let y = axis.at(summary.median);
            let _ = write!(body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" class=\"f{colour}\"/>");
        }
    }
    letters(&mut body, RIGHT, bottom + 27.0, "t e", "percentiles, us, logarithmic; medians and range of the trials");
    svg(bottom + 32.0, &format!("{title}: percentiles of the latency in microseconds"), &body)
}
