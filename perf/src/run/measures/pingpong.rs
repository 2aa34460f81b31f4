//! TCP ping-pong: one message in flight.

use anyhow::Result;

use crate::run::{Better, Figure, Load, Measure, Outcome, Stage};

/// Fewer round trips than this say nothing about the 99th percentile.
const FEW: u64 = 100;

const fn micros(name: &'static str, label: &'static str) -> Figure {
    Figure { name, label, unit: "us", better: Better::Lower }
}

/// Half round trips of 64 bytes.
pub(in crate::run) struct PingPong;

impl Measure for PingPong {
    fn name(&self) -> &'static str {
        "ping-pong"
    }

    fn title(&self, load: &Load) -> String {
        format!("TCP ping-pong of 64 bytes, half a round trip, {}", load.family)
    }

    fn figures(&self) -> &'static [Figure] {
        const FIGURES: &[Figure] = &[
            micros("p50", "p50"),
            micros("p90", "p90"),
            micros("p99", "p99"),
            micros("p999", "p99.9"),
            micros("max", "max"),
        ];
        FIGURES
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let latency = stage.site.bench.latency_over(&stage.way(load), stage.millis)?;
        let figures = [
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p99", latency.p99),
            ("p999", latency.p999),
            ("max", latency.max),
        ];
        let few = format!("only {} round trips, too few for percentiles", latency.samples);
        let remarks = if latency.samples < FEW { vec![few] } else { Vec::new() };
        Ok(Outcome { figures: figures.into(), packets: None, remarks })
    }
}
