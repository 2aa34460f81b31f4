//! Frame mode as measures: packets that no socket sees, at a rate, or at the highest rate that a path carries.
//!
//! They are never in one table with what sockets send: a packet of a socket has the kernel's work for it in it.

use anyhow::Result;

use super::measure::{Better, Figure, Load, Measure, Outcome, Packets, Stage, Takes};
use super::peer::SERVER_PORT;
use crate::args::PathKind;
use crate::generators::frames::{self, Distribution, Entry, FrameEnds, FramePlan, FrameTrial, Limit, Place, Sizes};
use crate::generators::pingpong::Latency;
use crate::search::{Found, Goal, search};

/// The highest rate that is searched for, in packets a second: what one core can send.
const HIGHEST: u64 = 4_000_000;
const LOWEST: u64 = 2_000;

/// A trial of a search is so many times shorter than the time of the measure, but not below the second in milliseconds.
const SHORTER: u64 = 5;
const SHORTEST: u64 = 200;

const fn figure(name: &'static str, label: &'static str, unit: &'static str, better: Better) -> Figure {
    Figure { name, label, unit, better }
}

const fn micros(name: &'static str, label: &'static str) -> Figure {
    figure(name, label, "us", Better::Lower)
}

/// Frames at one rate.
pub(super) struct Frames;

impl Measure for Frames {
    fn name(&self) -> &'static str {
        "frames"
    }

    fn title(&self, load: &Load) -> String {
        let Load { family, rate, size, flows } = load;
        let rate = if *rate == 0 { "all the source can".to_owned() } else { format!("{} kpps", *rate as f64 / 1000.0) };
        format!("Frames of {size} bytes, {flows} flows, {rate}, {family}")
    }

    fn figures(&self) -> &'static [Figure] {
        const FIGURES: &[Figure] = &[
            figure("received", "received", "Mpps", Better::Higher),
            figure("loss", "lost", "%", Better::Lower),
            micros("p50", "one way, p50"),
            micros("p99", "one way, p99"),
            micros("p999", "one way, p99.9"),
            figure("offered", "offered", "Mpps", Better::Higher),
        ];
        FIGURES
    }

    fn takes(&self) -> Takes {
        Takes { rates: true, sizes: true, flows: true }
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let trial = Sender::on(stage, load)?.trial(load.rate, stage.millis)?;
        let Latency { p50, p99, p999, .. } = trial.latency;
        let lost = if trial.sent > 0 { 100.0 * trial.lost as f64 / trial.sent as f64 } else { 0.0 };
        let figures = [
            ("received", trial.carried() / 1e6),
            ("loss", lost),
            ("p50", p50),
            ("p99", p99),
            ("p999", p999),
            ("offered", trial.offered() / 1e6),
        ];
        Ok(Outcome { figures: figures.into(), packets: Some(packets(&trial)), remarks: remarks(&trial) })
    }
}

/// The highest rates without loss and with next to none, and the latency below.
pub(super) struct FrameRate;

impl Measure for FrameRate {
    fn name(&self) -> &'static str {
        "frame-rate"
    }

    fn title(&self, load: &Load) -> String {
        let Load { family, size, flows, .. } = load;
        format!("Highest rate of frames of {size} bytes, {flows} flows, {family}")
    }

    fn figures(&self) -> &'static [Figure] {
        const FIGURES: &[Figure] = &[
            figure("ndr", "without loss", "Mpps", Better::Higher),
            figure("pdr", "with 0.5 % lost", "Mpps", Better::Higher),
            micros("p50-0", "p50 idle"),
            micros("p99-0", "p99 idle"),
            micros("p50-10", "p50 at 10 %"),
            micros("p99-10", "p99 at 10 %"),
            micros("p50-50", "p50 at 50 %"),
            micros("p99-50", "p99 at 50 %"),
            micros("p50-90", "p50 at 90 %"),
            micros("p99-90", "p99 at 90 %"),
        ];
        FIGURES
    }

    fn takes(&self) -> Takes {
        Takes { rates: false, sizes: true, flows: true }
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let sender = Sender::on(stage, load)?;
        let millis = (stage.millis / SHORTER).max(SHORTEST);
        let mut trial = |rate| Ok(sender.trial(rate, millis)?.loss());
        let partial = search(Goal::pdr(LOWEST, HIGHEST), &mut trial)?;
        // What loses more than a little loses something.
        let above = partial.rate.unwrap_or(LOWEST);
        let none = search(Goal::ndr(LOWEST, above), &mut trial)?;
        let mut outcome = Outcome::default();
        for (name, found) in [("ndr", &none), ("pdr", &partial)] {
            outcome.figures.insert(name, found.rate.unwrap_or(0) as f64 / 1e6);
            outcome.remarks.extend(doubt(name, found));
        }
        for ((part, rate), [p50, p99]) in partial.loads().into_iter().zip(PERCENTILES) {
            let trial = sender.trial(rate, millis)?;
            outcome.figures.extend([(p50, trial.latency.p50), (p99, trial.latency.p99)]);
            if trial.latency.samples == 0 {
                outcome.remarks.push(format!("nothing came at {} % of the rate found", part * 100.0));
            }
        }
        Ok(outcome)
    }
}

/// Names of figures, in the order of the loads.
const PERCENTILES: [[&str; 2]; 4] =
    [["p50-0", "p99-0"], ["p50-10", "p99-10"], ["p50-50", "p99-50"], ["p50-90", "p99-90"]];

/// What speaks against a rate that was found.
fn doubt(name: &str, found: &Found) -> Option<String> {
    let curve = || {
        let points = found.curve().into_iter().map(|(rate, loss)| format!("{rate}: {:.2} %", loss * 100.0));
        points.collect::<Vec<_>>().join(", ")
    };
    match (found.rate, found.confirmed) {
        (None, _) => Some(format!("{name}: packets were lost at every rate ({})", curve())),
        (Some(_), false) => Some(format!("{name}: a second trial at the rate found was not possible ({})", curve())),
        (Some(_), true) => None,
    }
}

/// A stage with its entry open to frames.
struct Sender<'s> {
    stage: &'s Stage<'s>,
    load: Load,
    /// Set back with this value.
    _entry: Entry,
}

impl<'s> Sender<'s> {
    fn on(stage: &'s Stage<'s>, load: &Load) -> Result<Self> {
        let path = stage.standing.path();
        let entry = Entry::open(&stage.site.session.name().netns_prefix(), &path.client, path.interface)?;
        Ok(Self { stage, load: *load, _entry: entry })
    }

    fn trial(&self, rate: u64, millis: u64) -> Result<FrameTrial> {
        let path = self.stage.standing.path();
        let server = path.server_address(self.load.family);
        let frontend = self.stage.standing.frontend(self.load.family);
        let ends = FrameEnds {
            client: &path.client,
            server: &path.server,
            interface: path.interface,
            cores: (path.cores.client, path.cores.server),
        };
        let plan = FramePlan {
            to: frontend.unwrap_or((server, *frames::PORTS.start()).into()),
            targets: 1,
            one_port: frontend.is_some(),
            arriving: if frontend.is_some() { SERVER_PORT..=SERVER_PORT } else { frames::PORTS },
            flows: self.load.flows,
            distribution: Distribution::Uniform,
            sizes: Sizes::Fixed(self.load.size),
            rate,
            millis,
            // Nothing between the ends makes socket buffers of frames.
            at: if path.kind == PathKind::Direct { Place::Driver } else { Place::Stack },
        };
        frames::run(&ends, &plan, &self.stage.site.stop.clone())
    }
}

fn packets(trial: &FrameTrial) -> Packets {
    let drops = [("corrupted".to_owned(), trial.corrupted), ("entry".to_owned(), trial.lost_at_entry)];
    Packets { sent: trial.sent, received: trial.received, drops: drops.into() }
}

/// What speaks against a trial.
fn remarks(trial: &FrameTrial) -> Vec<String> {
    let mut remarks = Vec::new();
    if trial.limit == Limit::Source && trial.asked > 0 {
        let (kept, asked) = (trial.offered() / 1000.0, trial.asked as f64 / 1000.0);
        remarks.push(format!("the source's core kept {kept:.1} of {asked:.1} kpps"));
    }
    for (count, what) in [(trial.duplicated, "twice"), (trial.corrupted, "corrupted"), (trial.reordered, "late")] {
        if count > 0 {
            remarks.push(format!("{count} packets came {what}"));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Point;

    #[test]
    fn every_latency_has_a_figure() {
        let names: Vec<&str> = FrameRate.figures().iter().map(|figure| figure.name).collect();
        assert!(PERCENTILES.iter().flatten().all(|name| names.contains(name)), "{names:?}");
        let found = Found { rate: Some(1_000_000), confirmed: true, points: Vec::new() };
        assert_eq!(found.loads().len(), PERCENTILES.len());
    }

    #[test]
    fn a_rate_that_is_in_doubt_comes_with_the_curve_of_loss() {
        let point = Point { rate: 5000, loss: 0.25, carried: false };
        let found = |rate, confirmed| Found { rate, confirmed, points: vec![point] };
        assert_eq!(doubt("ndr", &found(Some(1), true)), None);
        assert!(doubt("ndr", &found(Some(1), false)).is_some_and(|text| text.contains("5000: 25.00 %")));
        assert!(doubt("ndr", &found(None, false)).is_some_and(|text| text.contains("at every rate")));
    }
}
