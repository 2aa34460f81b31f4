//! How far a run is, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::scenario::Scenario;

/// What a measurement takes beside the time it measures, and what it takes to bring a peer up, in milliseconds. Only the time
/// left is reckoned with these.
const AROUND: u64 = 500;
const BRING_UP: u64 = 3000;

/// A bar with the time left; silent where standard error is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    millis: u64,
}

impl Progress {
    /// For a run of these scenarios, each over so many peers.
    pub(super) fn of(scenarios: &[(Scenario, usize)], trials: u32, millis: u64) -> Self {
        let of = |(scenario, peers): &(Scenario, usize)| {
            let plans: usize = scenario.cases.iter().map(|case| case.plans.len()).sum();
            let measured = plans as u64 * u64::from(trials + 1) * (millis + AROUND);
            (measured + scenario.cases.len() as u64 * BRING_UP) * *peers as u64
        };
        let bar = ProgressBar::new(scenarios.iter().map(of).sum());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent}% {eta} left, {msg}") {
            bar.set_style(style);
        }
        Self { bar, millis }
    }

    /// Says what comes next.
    pub(super) fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A peer was brought up, or could not be.
    pub(super) fn brought_up(&self) {
        self.bar.inc(BRING_UP);
    }

    /// A measurement is over.
    pub(super) fn measured(&self) {
        self.bar.inc(self.millis + AROUND);
    }

    /// Takes the bar away.
    pub(super) fn over(&self) {
        self.bar.finish_and_clear();
    }
}
