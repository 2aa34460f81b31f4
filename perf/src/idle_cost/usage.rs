//! What an agent and its machine use at one time, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// Bytes of a frame of packet memory: a chunk of the switch's UMEM, a page.
const FRAME_KIB: f64 = 4.0;

/// Memory in KiB, processor time in percent of one core; a difference of two is of the same type.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    /// `VmRSS` of the agent.
    pub(super) agent_rss_kib: f64,
    /// Frames held by the ports of pods.
    pub(super) packet_memory_kib: f64,
    /// `MemAvailable` of the machine.
    pub(super) mem_available_kib: f64,
    /// `Slab` of the machine.
    pub(super) slab_kib: f64,
    /// The agent's processor time, all threads together.
    pub(super) cpu_percent: f64,
}

impl Usage {
    /// Reads it now; frames and processor time are the caller's findings.
    pub(super) fn read(pid: u32, frames_held: u64, cpu_percent: f64) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let meminfo = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let missing = |name: &str, path: &str| format!("{path} has no {name}");
        Ok(Self {
            agent_rss_kib: kib(&status, "VmRSS").with_context(|| missing("VmRSS", &path))?,
            packet_memory_kib: frames_held as f64 * FRAME_KIB,
            mem_available_kib: kib(&meminfo, "MemAvailable").with_context(|| missing("MemAvailable", "meminfo"))?,
            slab_kib: kib(&meminfo, "Slab").with_context(|| missing("Slab", "meminfo"))?,
            cpu_percent,
        })
    }

    /// What it is more than earlier.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        self.with(earlier, |now, then| now - then)
    }

    /// The share of one pod.
    pub(super) fn divided_by(&self, pods: u16) -> Self {
        self.with(self, |value, _| value / f64::from(pods))
    }

    fn with(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            agent_rss_kib: combine(self.agent_rss_kib, other.agent_rss_kib),
            packet_memory_kib: combine(self.packet_memory_kib, other.packet_memory_kib),
            mem_available_kib: combine(self.mem_available_kib, other.mem_available_kib),
            slab_kib: combine(self.slab_kib, other.slab_kib),
            cpu_percent: combine(self.cpu_percent, other.cpu_percent),
        }
    }
}

/// Resident memory of a process in KiB less what it shares: packet memory and connection table.
pub(crate) fn own_memory_kib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the agent ended?"))?;
    let own = kib(&status, "VmRSS").zip(kib(&status, "RssShmem")).map(|(all, shared)| all - shared);
    own.with_context(|| format!("{path} has no VmRSS and RssShmem"))
}

/// The value of a line such as `VmRSS:     1234 kB`, which is KiB.
fn kib(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Processor time of a process, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTicks(u64);

impl CpuTicks {
    /// User and system time of all threads of a process until now.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the agent ended?"))?;
        Self::parse(&stat).with_context(|| format!("{path} has no processor times"))
    }

    /// Fields 14 and 15 (proc_pid_stat(5)), counted behind the name in parentheses, which may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, behind) = stat.rsplit_once(')')?;
        let mut times = behind.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
        Some(Self(times.next()?? + times.next()??))
    }

    /// Percent of one core since `earlier`, `elapsed` ago.
    pub(crate) fn percent_since(self, earlier: Self, elapsed: Duration) -> f64 {
        self.percent(earlier, elapsed, rustix::param::clock_ticks_per_second())
    }

    fn percent(self, earlier: Self, elapsed: Duration, ticks_per_second: u64) -> f64 {
        let seconds = self.0.saturating_sub(earlier.0) as f64 / ticks_per_second.max(1) as f64;
        if elapsed.is_zero() { 0.0 } else { seconds * 100.0 / elapsed.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_its_whole_name() {
        let meminfo = "MemTotal:       100 kB\nSlabReclaimable: 7 kB\nSlab:             42 kB\nHugePages_Total:   3\n";
        assert_eq!(kib(meminfo, "Slab"), Some(42.0));
        assert_eq!(kib(meminfo, "HugePages_Total"), None, "a number of pages");
        assert_eq!(kib(meminfo, "VmRSS"), None);
        assert_eq!(kib("Slab: x kB", "Slab"), None);
    }

    #[test]
    fn processor_time_is_found_whatever_the_process_is_called() {
        let stat = "7 (a) b 1) S 1 7 7 0 -1 4194560 10 0 0 0 250 50 9 9 20 0 3 0 100 0 0\n";
        let ticks = CpuTicks::parse(stat).expect("well-formed");
        assert_eq!(ticks, CpuTicks(300));
        assert_eq!(ticks.percent(CpuTicks(200), Duration::from_secs(5), 100), 20.0);
        assert_eq!(ticks.percent(CpuTicks(400), Duration::ZERO, 0), 0.0);
        for broken in ["", "7 (a", "7 (a) S 1 2", "7 (a) S 1 7 7 0 -1 4194560 10 0 0 0 x y"] {
            assert_eq!(CpuTicks::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::read(std::process::id(), 3, 0.5).expect("we run");
        assert!(usage.agent_rss_kib > 0.0 && usage.mem_available_kib > 0.0, "{usage:?}");
        assert_eq!((usage.packet_memory_kib, usage.cpu_percent), (12.0, 0.5));
        CpuTicks::of(std::process::id()).expect("we run");
    }

    #[test]
    fn a_pod_s_share_is_the_difference_over_all_pods() {
        let of = |value| Usage {
            agent_rss_kib: value,
            packet_memory_kib: value,
            mem_available_kib: -value,
            slab_kib: value,
            cpu_percent: 0.0,
        };
        assert_eq!(of(50.0).since(&of(10.0)).divided_by(4), of(10.0));
    }
}
