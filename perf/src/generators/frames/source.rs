//! The process that injects packets.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use sluice_ebpf::traffic::{Injection, Injector, MAX_BURST};
use sluice_host::Netlink;

use super::{Distribution, Sizes, monotonic, next_hop, order};

/// Bursts of one rate are this far apart at least, in nanoseconds, so that the kernel's work for a batch does not count.
const BETWEEN_BURSTS: u64 = 10_000;

/// From the program's start to the first burst, in nanoseconds: the first page pool, the first look at maps.
const LEAD: u64 = 20_000_000;

/// What to send, how fast, for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// Device to send from.
    #[arg(long)]
    pub(crate) interface: String,
    /// First address and port to send to.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Addresses to send to, one after the other.
    #[arg(long, default_value_t = 1)]
    pub(crate) targets: u32,
    /// Tell flows apart by their source alone.
    #[arg(long)]
    pub(crate) one_port: bool,
    /// Flows.
    #[arg(long, default_value_t = 1)]
    pub(crate) flows: u32,
    /// How packets are spread over flows.
    #[arg(long, default_value = "uniform")]
    pub(crate) distribution: Distribution,
    /// Bytes of a frame with its check sequence, or imix.
    #[arg(long, default_value = "64")]
    pub(crate) size: Sizes,
    /// Packets a second; 0 sends as many as go.
    #[arg(long)]
    pub(crate) rate: u64,
    /// Milliseconds to send for.
    #[arg(long)]
    pub(crate) millis: u64,
    /// What the order of flows is drawn from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What the source did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FramesSent {
    /// Packets.
    pub(crate) sent: u64,
    /// Of these, packets that the other end of the device had no room for.
    pub(crate) refused: u64,
    /// Seconds it should take.
    pub(crate) seconds: f64,
    /// Packets that went at once, all with the same time.
    pub(crate) burst: u32,
    /// How long after its time a burst went at most, in microseconds.
    pub(crate) late: f64,
    /// Whether it ever had nothing to do.
    pub(crate) idle: bool,
}

/// Packets that go at once at a rate: 1 up to 100,000 a second.
pub(crate) fn burst(rate: u64) -> u32 {
    if rate == 0 {
        return MAX_BURST;
    }
    let due = u128::from(rate) * u128::from(BETWEEN_BURSTS) / 1_000_000_000;
    (due.min(MAX_BURST.into()) as u32).max(1)
}

/// Sends, and tells what it sent.
pub(crate) fn source(args: &SourceArgs) -> Result<FramesSent> {
    let mut netlink = Netlink::open()?;
    let link = netlink.link_by_name(&args.interface)?;
    let hop = next_hop::find(&mut netlink, &link, args.to)?;
    let flows = order::flows(hop.source, args.to, args.targets, args.flows, args.one_port)?;
    let order = order::order(args.flows, args.distribution, args.size, args.to.is_ipv6(), link.mtu, args.seed)?;
    let injection = Injection {
        device: link.index.0,
        source: link.mac.with_context(|| format!("{} is no Ethernet device", link.name))?,
        destination: hop.mac,
        flows: &flows,
        order: &order,
        burst: burst(args.rate),
    };
    let mut injector = Injector::load(&injection)?;
    let before = refused(&args.interface)?;
    let start = monotonic() + LEAD;
    let injected = injector.run(start, start + args.millis * 1_000_000, args.rate)?;
    Ok(FramesSent {
        sent: injected.sent,
        refused: refused(&args.interface)?.saturating_sub(before),
        seconds: args.millis as f64 / 1000.0,
        burst: injection.burst,
        late: injected.late as f64 / 1000.0,
        idle: injected.idle > 0,
    })
}

/// Packets that a device was given to send and dropped: the twelfth of its counters (net/core/net-procfs.c). A veth counts there
/// what its other end had no room for (drivers/net/veth.c, `veth_get_stats64`).
fn refused(interface: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/dev").context("cannot read the devices' counters")?;
    let counters = text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
    let count = counters.and_then(|line| line.split_ascii_whitespace().nth(11)?.parse().ok());
    count.with_context(|| format!("no counters of {interface}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_go_one_by_one_at_low_rates_and_in_bursts_at_high_ones() {
        let bursts: Vec<u32> = [1, 100_000, 199_999, 1_500_000, 6_400_000, u64::MAX, 0].map(burst).to_vec();
        assert_eq!(bursts, [1, 1, 1, 15, 64, 64, 64]);
    }
}
