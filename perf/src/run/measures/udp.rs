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
        let Load { family, rate, size, flows } = load;
        let flows = if *flows == 1 { String::new() } else { format!(", {flows} flows") };
        match rate {
            0 => format!("UDP, {size} byte frames{flows}, all the sender can, {family}"),
            rate => format!("UDP, {size} byte frames{flows}, {} kpps offered, {family}", *rate as f64 / 1000.0),
        }
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "received", label: "received", unit: "kpps", better: Better::Higher },
            Figure { name: "loss", label: "lost on the path", unit: "%", better: Better::Lower },
            Figure { name: "offered", label: "offered", unit: "kpps", better: Better::Higher },
            Figure { name: "p50", label: "one way, p50", unit: "us", better: Better::Lower },
            Figure { name: "p99", label: "one way, p99", unit: "us", better: Better::Lower },
        ]
    }

    fn takes(&self) -> Takes {
        Takes { rates: true, sizes: true, flows: true }
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let run = stage.site.bench.udp_flows_over(&stage.way(load), load.flows, load.rate, load.size, stage.millis)?;
        let figures = [
            ("received", run.received / 1000.0),
            ("loss", run.loss_percent()),
            ("offered", run.offered / 1000.0),
            ("p50", run.latency.p50),
            ("p99", run.latency.p99),
        ];
        let packets = Packets {
            sent: run.sent_packets,
            received: run.received_packets,
            drops: [("server socket full".to_owned(), run.socket_drops)].into(),
        };
        let slow = || format!("the sender kept {:.1} of {} kpps", run.offered / 1000.0, load.rate / 1000);
        let mut remarks = if run.kept_rate() { Vec::new() } else { vec![slow()] };
        for (count, what) in [(run.duplicated, "twice"), (run.corrupted, "corrupted"), (run.reordered, "late")] {
            if count > 0 {
                remarks.push(format!("{count} packets came {what}"));
            }
        }
        Ok(Outcome { figures: figures.into(), packets: Some(packets), remarks })
    }
}
