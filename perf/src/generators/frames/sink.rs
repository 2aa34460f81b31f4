//! The process that counts packets.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use sluice_ebpf::traffic::{Hook, Sink};
use sluice_host::Netlink;

use crate::generators::pingpong::Latency;
use crate::generators::{parent_gone, print};

/// The sink has everything when nothing came for this long after the sender ended.
const QUIET: Duration = Duration::from_millis(100);
/// Between two looks.
const TICK: Duration = Duration::from_millis(10);

/// Where packets are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Place {
    /// In the driver: for a sender at the other end of the veth.
    Driver,
    /// Before the stack: for what comes as socket buffers.
    #[default]
    Stack,
}

/// What to count.
#[derive(Debug, Clone, Args)]
pub(crate) struct SinkArgs {
    /// Device to count at.
    #[arg(long)]
    pub(crate) interface: String,
    /// First port.
    #[arg(long)]
    pub(crate) from: u16,
    /// Last port.
    #[arg(long)]
    pub(crate) through: u16,
    /// Flows to tell apart.
    #[arg(long, default_value_t = 1)]
    pub(crate) flows: u32,
    /// Where to count.
    #[arg(long, default_value = "stack")]
    pub(crate) at: Place,
}

/// A sink counts from now on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Counting {
    /// The first port.
    pub(crate) counting: u16,
}

/// What the sink saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FramesReceived {
    /// Packets, each once.
    pub(crate) received: u64,
    /// Bytes of frames without check sequence, duplicates among them.
    pub(crate) bytes: u64,
    /// Packets that came after later ones of their flow.
    pub(crate) reordered: u64,
    /// Packets that came once more.
    pub(crate) duplicated: u64,
    /// Packets whose stamp is not whole.
    pub(crate) corrupted: u64,
    /// Seconds from the first to the last.
    pub(crate) seconds: f64,
    /// From when packets were due until they came.
    pub(crate) latency: Latency,
}

/// Counts until the parent closes our standard input and the line has gone quiet.
pub(crate) fn sink(args: &SinkArgs) -> Result<FramesReceived> {
    let link = Netlink::open()?.link_by_name(&args.interface)?;
    let hook = match args.at {
        Place::Driver => Hook::Native,
        Place::Stack => Hook::Traffic,
    };
    let sink = Sink::attach((&args.interface, link.index.0), hook, args.from..=args.through, args.flows)?;
    let ended = parent_gone();
    print(&Counting { counting: args.from })?;
    let mut last = (sink.counts()?, Instant::now());
    loop {
        // Read before the counters: what was sent before the end is then given its time.
        let over = ended.load(Ordering::Acquire);
        std::thread::sleep(TICK);
        let counts = sink.counts()?;
        if !over || counts != last.0 {
            last = (counts, Instant::now());
        } else if last.1.elapsed() >= QUIET {
            break;
        }
    }
    let counts = last.0;
    Ok(FramesReceived {
        received: counts.received.saturating_sub(counts.duplicated),
        bytes: counts.bytes,
        reordered: counts.reordered,
        duplicated: counts.duplicated,
        corrupted: counts.corrupted,
        seconds: counts.last.saturating_sub(counts.first) as f64 / 1e9,
        latency: percentiles(&sink.latencies()?)?,
    })
}

/// Percentiles of values in nanoseconds with their numbers.
fn percentiles(latencies: &[(u64, u64)]) -> Result<Latency> {
    // One nanosecond to an hour.
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)?;
    for (nanos, count) in latencies {
        histogram.saturating_record_n(*nanos, *count);
    }
    Ok(Latency::of(&histogram))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_as_often_as_it_was_seen() {
        let latency = percentiles(&[(1_000, 900), (50_000, 95), (2_000_000, 5)]).expect("bounds are valid");
        assert_eq!(latency.samples, 1000);
        assert!((latency.p50 - 1.0).abs() < 0.01 && (latency.p99 - 50.0).abs() < 0.1, "{latency:?}");
        assert!((latency.p999 - 2000.0).abs() < 2.0 && (latency.max - 2000.0).abs() < 2.0, "{latency:?}");
        assert_eq!(percentiles(&[]).expect("bounds are valid").samples, 0);
    }
}
