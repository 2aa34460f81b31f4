//! What a million connections cost: memory, and time to come and to go, on one core.

use std::fs;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use sluice_connections::{Action, Config, New, Owner, Segment, Table, Tick, Tuple};
use sluice_tables::Family;
use sluice_wire::{protocol, tcp};

use super::addresses::{BACKEND_PORT, PODS, SERVICE_PORT, pod, pod_of_peer, vip};
use super::case::MANY;
use crate::stats::spread;

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Million {
    /// Bytes of memory that a connection of IPv4 took, both directions and all of the index.
    pub(super) bytes_v4: f64,
    /// The same of IPv6.
    pub(super) bytes_v6: f64,
    /// Seconds of processor time for a million to be put in, into memory used before: the median of some rounds.
    pub(super) insert_seconds: f64,
    /// The same for all of them to be taken out because their time was up.
    pub(super) expire_seconds: f64,
}

/// Records that a call of [`Table::sweep`] looks at.
const SWEPT: usize = 256;

/// Rounds that count.
const ROUNDS: u32 = 3;

pub(super) fn measure() -> Result<Million> {
    let bytes_v6 = bytes(Family::V6)?;
    let bytes_v4 = bytes(Family::V4)?;
    let table = table();
    let (mut insert, mut expire) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let start = processor_seconds();
        fill(&table, Family::V4)?;
        let full = processor_seconds();
        while !table.is_empty() {
            table.sweep(Tick(100_000), SWEPT);
        }
        // The first round pays for the memory, as the agent's first million would; then the table is one in use.
        if round > 0 {
            insert.push(full - start);
            expire.push(processor_seconds() - full);
        }
    }
    let median = |seconds| spread(seconds).map_or(0.0, |spread| spread.median);
    let (insert_seconds, expire_seconds) = (median(insert), median(expire));
    Ok(Million { bytes_v4, bytes_v6, insert_seconds, expire_seconds })
}

/// Of this thread: what else runs on the core meanwhile is not in it.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn table() -> Table {
    Table::new(Config { capacity: MANY, pod_share: MANY, seed: 7, ..Config::default() })
}

/// By how much a million connections make this process larger, for each of them.
fn bytes(family: Family) -> Result<f64> {
    let table = table();
    let before = resident_bytes()?;
    fill(&table, family)?;
    Ok((resident_bytes()? - before) / f64::from(MANY))
}

fn fill(table: &Table, family: Family) -> Result<()> {
    for number in 0..MANY {
        table.insert(&new(number, family), Tick(1)).map_err(|refused| anyhow!("{refused:?}"))?;
    }
    Ok(())
}

/// A pod's connection to a Service.
fn new(number: u32, family: Family) -> New {
    let original = Tuple {
        source: pod(number % PODS).of(family),
        destination: vip(0).of(family),
        source_port: 1024 + (number / PODS) as u16,
        destination_port: SERVICE_PORT,
        protocol: protocol::TCP,
    };
    let behind =
        Tuple { destination: pod_of_peer(0, number % 97).of(family), destination_port: BACKEND_PORT, ..original };
    New {
        original,
        reply: behind.reversed(),
        actions: [Action::default(); 2],
        generation: 1,
        owner: Owner((number % PODS) as u16),
        flags: 0,
        mss: 0,
        segment: Segment::Tcp { flags: tcp::flag::SYN },
    }
}

/// The second field of `/proc/self/statm`, in bytes (proc_pid_statm(5)).
fn resident_bytes() -> Result<f64> {
    let path = "/proc/self/statm";
    let statm = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).context(path)?;
    Ok(pages * rustix::param::page_size() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_all_different() {
        let tuples: std::collections::HashSet<Tuple> =
            (0..MANY).step_by(101).map(|number| new(number, Family::V6).original).collect();
        assert_eq!(tuples.len(), (0..MANY).step_by(101).count());
    }
}
