//! New TCP connections, one after another: each is opened, answered and closed.

use anyhow::Result;

use crate::run::{Better, Figure, Load, Measure, Outcome, Stage};

/// Connections that tell how many fit in the time.
const SCOUTS: u32 = 50;

/// Milliseconds after which a connection counts as silent.
const PATIENCE: u64 = 1000;

/// Most connections of one trial: a client has 28,000 source ports, and the server keeps what it has closed for a minute.
const MOST: u32 = 20_000;

/// Connections of one client in a second.
pub(in crate::run) struct Connect;

impl Measure for Connect {
    fn name(&self) -> &'static str {
        "connect"
    }

    fn title(&self, load: &Load) -> String {
        format!("New TCP connections, one after another, {}", load.family)
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "rate", label: "connections", unit: "1/s", better: Better::Higher },
            Figure { name: "mean", label: "open, answer and close, mean", unit: "us", better: Better::Lower },
        ]
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let (bench, way) = (stage.site.bench, stage.way(load));
        let (server, to) = bench.answer_over(&way)?;
        let scouts = bench.call(&way.path.client, to, SCOUTS, PATIENCE)?;
        let count = stage.millis.saturating_mul(1000 * u64::from(SCOUTS)) / scouts.micros.max(1);
        let count = u32::try_from(count).unwrap_or(MOST).clamp(SCOUTS, MOST);
        let calls = bench.call(&way.path.client, to, count, PATIENCE)?;
        drop(server);
        let answered: u32 = calls.answered.values().sum();
        let seconds = calls.micros as f64 / 1e6;
        let rate = if seconds > 0.0 { f64::from(answered) / seconds } else { 0.0 };
        let mean = if answered > 0 { calls.micros as f64 / f64::from(answered) } else { 0.0 };
        let unanswered = calls.asked - answered.min(calls.asked);
        let remark = format!("{unanswered} of {} connections were not answered", calls.asked);
        let remarks = if unanswered > 0 { vec![remark] } else { Vec::new() };
        Ok(Outcome { figures: [("rate", rate), ("mean", mean)].into(), packets: None, remarks })
    }
}
