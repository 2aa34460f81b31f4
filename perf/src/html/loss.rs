//! What is lost at the rates that were offered.

use std::fmt::Write;

use super::axis::Axis;
use super::groups::{Colours, Group};
use super::{WIDTH, legend, letters, line, svg};
use crate::results::{Series, Summary};

const LEFT: f64 = 34.0;
const RIGHT: f64 = WIDTH - 16.0;
const HEIGHT: f64 = 150.0;

/// What was offered and what of it was lost.
fn point(series: &Series) -> Option<(f64, Summary, bool)> {
    Some((series.summary.get("offered")?.median, *series.summary.get("loss")?, series.valid().0 > 0))
}

/// The plot, a line a peer.
pub(super) fn plot(title: &str, group: &Group<'_>, colours: &Colours<'_>) -> String {
    let mut body = String::new();
    let peers = group.peers();
    let top = legend(&mut body, &colours.with(&peers)) + 6.0;
    let bottom = top + HEIGHT;
    let points = || group.series.iter().filter_map(|one| point(one));
    let along = Axis::linear(points().map(|(offered, ..)| offered).fold(0.0, f64::max), LEFT, RIGHT);
    let up = Axis::linear(points().map(|(_, loss, _)| loss.max).fold(1.0, f64::max), bottom, top);
    for (x, label) in along.ticks() {
        line(&mut body, (x, top), (x, bottom), "g");
        letters(&mut body, x, bottom + 13.0, "t m", &label);
    }
    for (y, label) in up.ticks() {
        line(&mut body, (LEFT, y), (RIGHT, y), "g");
        letters(&mut body, LEFT - 4.0, y + 3.5, "t e", &label);
    }
    for peer in peers {
        let colour = colours.of_peer(peer);
        let mut points: Vec<(f64, Summary, bool)> =
            group.series.iter().filter(|one| one.peer == peer).filter_map(|one| point(one)).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let way: Vec<String> = points
            .iter()
            .map(|(offered, loss, _)| format!("{:.1},{:.1}", along.at(*offered), up.at(loss.median)))
            .collect();
        let _ = write!(body, "<polyline points=\"{}\" class=\"p{colour}\"/>", way.join(" "));
        for (offered, loss, valid) in points {
            let (x, y) = (along.at(offered), up.at(loss.median));
            line(&mut body, (x, up.at(loss.min)), (x, up.at(loss.max)), &format!("p{colour}"));
            let class = if valid { format!("f{colour}") } else { "d i".to_owned() };
            let _ = write!(body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" class=\"{class}\"/>");
        }
    }
    letters(&mut body, LEFT, bottom + 27.0, "t", "up: % lost on the path");
    let unit = group.figures.iter().find(|figure| figure.name == "offered").map_or("", |figure| figure.unit.as_str());
    letters(&mut body, RIGHT, bottom + 27.0, "t e", &format!("along: {unit} offered"));
    svg(bottom + 32.0, &format!("{title}: percent lost at the rates offered"), &body)
}
