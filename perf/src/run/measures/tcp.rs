//! One TCP flow, as fast as it goes.

use anyhow::Result;

use crate::run::{Better, Figure, Load, Measure, Outcome, Stage};

/// Payload of one flow, as the receiver saw it.
pub(in crate::run) struct Tcp;

impl Measure for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn title(&self, load: &Load) -> String {
        format!("TCP, one flow, {}", load.family)
    }

    fn figures(&self) -> &'static [Figure] {
        &[Figure { name: "gbits", label: "payload", unit: "Gbit/s", better: Better::Higher }]
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let (sent, received) = stage.site.bench.tcp_over(&stage.way(load), stage.millis)?;
        let mut remarks = Vec::new();
        if sent.bytes != received.bytes {
            remarks.push(format!("{} bytes were sent and {} arrived", sent.bytes, received.bytes));
        }
        Ok(Outcome { figures: [("gbits", received.gbits())].into(), packets: None, remarks })
    }
}
