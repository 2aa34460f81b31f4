//! New TCP connections, many at once.

use anyhow::Result;

use crate::run::{Better, Figure, Load, Measure, Outcome, Stage, Takes};

/// Connections of many callers in a second: each is opened, answered and closed.
pub(in crate::run) struct Connections;

impl Measure for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn title(&self, load: &Load) -> String {
        match load.rate {
            0 => format!("New TCP connections, 16 at once, {}", load.family),
            rate => format!("New TCP connections, {rate} a second, {}", load.family),
        }
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "rate", label: "connections", unit: "1/s", better: Better::Higher },
            Figure { name: "p50", label: "until closed, p50", unit: "us", better: Better::Lower },
            Figure { name: "p99", label: "until closed, p99", unit: "us", better: Better::Lower },
            Figure { name: "failed", label: "failed", unit: "", better: Better::Lower },
        ]
    }

    fn takes(&self) -> Takes {
        Takes { rates: true, ..Takes::default() }
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let run = stage.site.bench.connections_over(&stage.way(load), load.rate, stage.millis)?;
        let rate = if run.seconds > 0.0 { run.answered as f64 / run.seconds } else { 0.0 };
        let figures =
            [("rate", rate), ("p50", run.latency.p50), ("p99", run.latency.p99), ("failed", run.failed as f64)];
        let failed = format!("{} of {} connections failed", run.failed, run.failed + run.answered);
        let remarks = if run.failed > 0 { vec![failed] } else { Vec::new() };
        Ok(Outcome { figures: figures.into(), packets: None, remarks })
    }
}
