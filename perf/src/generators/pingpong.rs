//! TCP ping-pong: one message in flight, half its round trip into a histogram.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Serve;
use super::tcp::{accept_one, connect};

/// Bytes of one message.
pub(crate) const MESSAGE: usize = 64;

/// Time spent before samples count: ARP, TCP's first round trips, cold caches, sleeping cores.
const WARM_UP: Duration = Duration::from_millis(200);

/// Whom to talk to, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Echo server to connect to.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Milliseconds to measure for.
    #[arg(long)]
    pub(crate) millis: u64,
}

/// Half round trips, or the one way of what bears the time when it was due, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// How many were measured.
    pub(crate) samples: u64,
    /// Median.
    pub(crate) p50: f64,
    /// 90th percentile.
    pub(crate) p90: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// 99.9th percentile.
    pub(crate) p999: f64,
    /// Largest.
    pub(crate) max: f64,
}

impl Latency {
    /// Reads the percentiles out of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            samples: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1000.0,
        }
    }
}

/// Messages an echo server has answered.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Echoed {
    /// Whole messages sent back.
    pub(crate) messages: u64,
}

/// Sends every message of one connection back.
pub(crate) fn echo(serve: &Serve) -> Result<Echoed> {
    let mut stream = accept_one(serve)?;
    stream.set_nodelay(true)?;
    let mut message = [0; MESSAGE];
    let mut messages = 0;
    loop {
        match stream.read_exact(&mut message) {
            Ok(()) => stream.write_all(&message)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Echoed { messages }),
            Err(error) => return Err(error).context("the client sends nothing"),
        }
        messages += 1;
    }
}

/// Plays ping-pong and gives the percentiles of half the round trip.
pub(crate) fn client(args: &ClientArgs) -> Result<Latency> {
    let mut stream = connect(args.to)?;
    stream.set_nodelay(true)?;
    let mut message = [0x42; MESSAGE];
    // One nanosecond to ten seconds, three significant digits.
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3)?;
    let warm = Instant::now() + WARM_UP;
    let end = warm + Duration::from_millis(args.millis);
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(Latency::of(&histogram));
        }
        stream.write_all(&message).context("the echo server takes nothing")?;
        stream.read_exact(&mut message).context("no answer from the echo server")?;
        if sent >= warm {
            histogram.saturating_record(sent.elapsed().as_nanos() as u64 / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_in_microseconds() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3).expect("bounds are valid");
        for micros in 1..=1000u64 {
            histogram.record(micros * 1000).expect("within bounds");
        }
        let latency = Latency::of(&histogram);
        assert_eq!(latency.samples, 1000);
        assert!((latency.p50 - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p99 - 990.0).abs() < 2.0, "{latency:?}");
        assert!((latency.max - 1000.0).abs() < 2.0, "{latency:?}");
    }
}
