//! UDP at a fixed rate, whatever happens to the packets.

use anyhow::Result;

use crate::run::{Better, Figure, Load, Measure, Outcome, Packets, Stage, Takes};

/// Packets of one size at one rate.
pub(in crate::run) struct Udp;

impl Measure for Udp {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn title(&self, load: &Load) -> String {
        let Load { family, rate, size, .. } = load;
        match rate {
            0 => format!("UDP, {size} byte frames, all the sender can, {family}"),
            rate => format!("UDP, {size} byte frames, {} kpps offered, {family}", *rate as f64 / 1000.0),
        }
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "received", label: "received", unit: "kpps", better: Better::Higher },
            Figure { name: "loss", label: "lost on the path", unit: "%", better: Better::Lower },
            Figure { name: "offered", label: "offered", unit: "kpps", better: Better::Higher },
        ]
    }

    fn takes(&self) -> Takes {
        Takes { rates: true, sizes: true, flows: false }
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let run = stage.site.bench.udp_over(&stage.way(load), load.rate, load.size, stage.millis)?;
        let figures =
            [("received", run.received / 1000.0), ("loss", run.loss_percent()), ("offered", run.offered / 1000.0)];
        let packets = Packets {
            sent: run.sent_packets,
            received: run.received_packets,
            drops: [("server socket full".to_owned(), run.socket_drops)].into(),
        };
        let slow = || format!("the sender kept {:.1} of {} kpps", run.offered / 1000.0, load.rate / 1000);
        let remarks = if run.kept_rate() { Vec::new() } else { vec![slow()] };
        Ok(Outcome { figures: figures.into(), packets: Some(packets), remarks })
    }
}
