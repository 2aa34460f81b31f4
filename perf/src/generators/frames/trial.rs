//! One trial in frame mode: source and sink as processes of their own, and what came of it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sluice_host::Netns;
use sluice_lab::Stop;

use super::sink::{Counting, FramesReceived};
use super::source::FramesSent;
use super::{Distribution, Place, Sizes};
use crate::generators::pingpong::Latency;
use crate::worker::Worker;

/// What a result may take beyond the time that is sent for: a million flows are written into a map first.
const SLACK: Duration = Duration::from_secs(30);

/// A source that sends less than this part of what it should is what limits the trial.
const KEPT: f64 = 0.97;

/// The two ends of a trial.
#[derive(Debug)]
pub(crate) struct FrameEnds<'n> {
    pub(crate) client: &'n Netns,
    pub(crate) server: &'n Netns,
    /// The device of both, by name.
    pub(crate) interface: &'n str,
    /// Core of the source, and that of the sink's process; what a program counts is counted where the packet comes in.
    pub(crate) cores: (usize, usize),
}

/// What to send in a trial.
#[derive(Debug, Clone)]
pub(crate) struct FramePlan {
    /// First address and port that packets go to.
    pub(crate) to: SocketAddr,
    /// Addresses that packets go to, one after the other.
    pub(crate) targets: u32,
    /// Whether a packet may go to that port only, as to a Service.
    pub(crate) one_port: bool,
    /// Ports that packets arrive at.
    pub(crate) arriving: RangeInclusive<u16>,
    pub(crate) flows: u32,
    pub(crate) distribution: Distribution,
    pub(crate) sizes: Sizes,
    /// Packets a second; 0 for as many as go.
    pub(crate) rate: u64,
    pub(crate) millis: u64,
    /// Where packets are counted.
    pub(crate) at: Place,
}

/// What limits a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Limit {
    /// The source's core: it could not send what it should, or was to send as many as go.
    Source,
    /// The path: packets were lost.
    Path,
    /// Nothing: all came, and in time.
    None,
}

/// What became of the packets of a trial: sent = received + corrupted + lost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FrameTrial {
    /// Packets a second asked for; 0 for as many as go.
    pub(crate) asked: u64,
    pub(crate) sent: u64,
    /// Packets that came whole, each once.
    pub(crate) received: u64,
    pub(crate) lost: u64,
    /// Of the lost, those that the device next to the source had no room for.
    pub(crate) lost_at_entry: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicated: u64,
    pub(crate) corrupted: u64,
    /// Seconds that were sent for.
    pub(crate) seconds: f64,
    /// Packets that go at once.
    pub(crate) burst: u32,
    /// How long after its time a burst went at most, in microseconds.
    pub(crate) late: f64,
    /// From when a packet was due until it came.
    pub(crate) latency: Latency,
    pub(crate) limit: Limit,
}

impl FrameTrial {
    fn of(plan: &FramePlan, sent: &FramesSent, received: &FramesReceived) -> Self {
        let lost = sent.sent.saturating_sub(received.received + received.corrupted);
        let should = plan.rate as f64 * sent.seconds;
        let limit = match () {
            () if plan.rate > 0 && (sent.sent as f64) < KEPT * should => Limit::Source,
            () if lost > 0 => Limit::Path,
            () if plan.rate == 0 => Limit::Source,
            () => Limit::None,
        };
        Self {
            asked: plan.rate,
            sent: sent.sent,
            received: received.received,
            lost,
            lost_at_entry: sent.refused.min(lost),
            reordered: received.reordered,
            duplicated: received.duplicated,
            corrupted: received.corrupted,
            seconds: sent.seconds,
            burst: sent.burst,
            late: sent.late,
            latency: received.latency,
            limit,
        }
    }

    /// Packets a second that were sent.
    pub(crate) fn offered(&self) -> f64 {
        if self.seconds > 0.0 { self.sent as f64 / self.seconds } else { 0.0 }
    }

    /// Packets a second that came.
    pub(crate) fn carried(&self) -> f64 {
        if self.seconds > 0.0 { self.received as f64 / self.seconds } else { 0.0 }
    }

    /// The part of the packets that did not come whole, from 0 to 1. What the source could not send counts as lost, so that a
    /// search does not take a rate that was never offered for one that is carried.
    pub(crate) fn loss(&self) -> f64 {
        let asked = self.asked as f64 * self.seconds;
        let should = if self.limit == Limit::Source && self.asked > 0 { asked } else { self.sent as f64 };
        if should > 0.0 { (1.0 - self.received as f64 / should).max(0.0) } else { 0.0 }
    }
}

/// Sends and counts.
pub(crate) fn run(ends: &FrameEnds<'_>, plan: &FramePlan, stop: &Stop) -> Result<FrameTrial> {
    let text = |number: u64| number.to_string();
    let at = if plan.at == Place::Driver { "driver" } else { "stack" };
    let (from, through) = (text((*plan.arriving.start()).into()), text((*plan.arriving.end()).into()));
    let flows = text(plan.flows.into());
    let sink = [
        "frame-sink",
        "--interface",
        ends.interface,
        "--from",
        &from,
        "--through",
        &through,
        "--flows",
        &flows,
        "--at",
        at,
    ];
    let mut sink = Worker::spawn(ends.server, ends.cores.1, &sink, stop)?;
    sink.answer::<Counting>(SLACK)?;
    let distribution = if plan.distribution == Distribution::Zipf { "zipf" } else { "uniform" };
    let (to, targets, size) = (plan.to.to_string(), text(plan.targets.into()), plan.sizes.to_string());
    let (rate, millis) = (text(plan.rate), text(plan.millis));
    let mut source = vec![
        "frame-source",
        "--interface",
        ends.interface,
        "--to",
        &to,
        "--targets",
        &targets,
        "--flows",
        &flows,
        "--distribution",
        distribution,
        "--size",
        &size,
        "--rate",
        &rate,
        "--millis",
        &millis,
    ];
    if plan.one_port {
        source.push("--one-port");
    }
    let mut source = Worker::spawn(ends.client, ends.cores.0, &source, stop)?;
    let bound = Duration::from_millis(plan.millis) * 2 + SLACK;
    let sent: FramesSent = source.answer(bound)?;
    sink.no_more();
    let received: FramesReceived = sink.answer(bound)?;
    Ok(FrameTrial::of(plan, &sent, &received))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;

    fn trial(rate: u64, sent: u64, received: u64, corrupted: u64) -> FrameTrial {
        let plan = FramePlan {
            to: ([192, 0, 2, 2], 9000).into(),
            targets: 1,
            one_port: false,
            arriving: super::super::PORTS,
            flows: 1,
            distribution: Distribution::Uniform,
            sizes: Sizes::Fixed(64),
            rate,
            millis: 2000,
            at: Place::Stack,
        };
        let latency = Latency::of(&Histogram::new(3).expect("valid"));
        let sent = FramesSent { sent, refused: 5, seconds: 2.0, burst: 1, late: 0.0, idle: true };
        let (bytes, seconds) = (received * 60, 2.0);
        FrameTrial::of(
            &plan,
            &sent,
            &FramesReceived { received, bytes, reordered: 0, duplicated: 0, corrupted, seconds, latency },
        )
    }

    #[test]
    fn packets_are_received_or_corrupted_or_lost() {
        let some = trial(500, 1000, 900, 10);
        assert_eq!((some.lost, some.lost_at_entry, some.limit), (90, 5, Limit::Path));
        assert!((some.loss() - 0.1).abs() < 1e-9);
        assert_eq!((some.offered(), some.carried()), (500.0, 450.0));
        let none = trial(500, 1000, 1000, 0);
        assert_eq!((none.lost, none.lost_at_entry, none.limit), (0, 0, Limit::None));
        assert_eq!(none.loss(), 0.0);
    }

    #[test]
    fn a_rate_that_was_not_offered_is_not_carried() {
        let slow = trial(1000, 1000, 1000, 0);
        assert_eq!((slow.lost, slow.limit), (0, Limit::Source));
        assert!((slow.loss() - 0.5).abs() < 1e-9);
        assert_eq!(trial(0, 1000, 1000, 0).limit, Limit::Source, "as many as go");
        assert_eq!(trial(0, 1000, 1000, 0).loss(), 0.0);
    }
}
