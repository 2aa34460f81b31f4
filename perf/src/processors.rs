//! What the processors did meanwhile, from `/proc/stat`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Time the processors have spent since boot, in clock ticks, from `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTime {
    total: u64,
    steal: u64,
}

impl CpuTime {
    /// Reads it now.
    pub(crate) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        Self::parse(&stat).context("/proc/stat has no line of processor times")
    }

    /// The first line: user nice system idle iowait irq softirq steal (guest times are part of user).
    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        let times = fields.take(8).map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Self { total: times.iter().sum(), steal: *times.get(7)? })
    }

    /// What the hypervisor gave to others since `earlier`.
    fn steal_since(self, earlier: Self) -> Steal {
        let (ticks, total) = (self.steal.saturating_sub(earlier.steal), self.total.saturating_sub(earlier.total));
        Steal { ticks, total }
    }

    /// Percent of all processor time since `earlier` that the hypervisor gave to others.
    pub(crate) fn steal_percent_since(self, earlier: Self) -> f64 {
        self.steal_since(earlier).percent()
    }
}

/// Time that the hypervisor gave to others, in clock ticks, of all that passed on all cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steal {
    pub(crate) ticks: u64,
    pub(crate) total: u64,
}

impl Steal {
    /// Percent of all.
    pub(crate) fn percent(self) -> f64 {
        percent(self.ticks, self.total)
    }
}

fn percent(part: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { part as f64 * 100.0 / total as f64 }
}

/// The times of all processors and of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Processors {
    all: CpuTime,
    /// Of each core all ticks, and those without work: idle and iowait.
    cores: BTreeMap<usize, (u64, u64)>,
}

impl Processors {
    /// Reads them now.
    pub(crate) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        Self::parse(&stat).context("/proc/stat has no line of processor times")
    }

    fn parse(stat: &str) -> Option<Self> {
        let core = |line: &str| {
            let (number, times) = line.strip_prefix("cpu")?.split_once(' ')?;
            let times: Vec<u64> = times.split_ascii_whitespace().take(8).filter_map(|time| time.parse().ok()).collect();
            Some((number.parse().ok()?, (times.iter().sum(), times.get(3)? + times.get(4)?)))
        };
        Some(Self { all: CpuTime::parse(stat)?, cores: stat.lines().filter_map(core).collect() })
    }

    /// What the hypervisor gave to others since `earlier`.
    pub(crate) fn steal_since(&self, earlier: &Self) -> Steal {
        self.all.steal_since(earlier.all)
    }

    /// Percent of the time since `earlier` that each core was busy.
    pub(crate) fn busy_since(&self, earlier: &Self) -> BTreeMap<usize, f64> {
        let busy = |(core, now): (&usize, &(u64, u64))| {
            let then = earlier.cores.get(core)?;
            let (total, idle) = (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1));
            Some((*core, percent(total.saturating_sub(idle), total)))
        };
        self.cores.iter().filter_map(busy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_time() {
        let earlier = CpuTime::parse("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1\n").expect("well-formed");
        let later = CpuTime::parse("cpu  60 0 10 70 0 0 0 60 5 5\n").expect("well-formed");
        assert_eq!(earlier, CpuTime { total: 100, steal: 10 });
        assert_eq!(later.steal_percent_since(earlier), 50.0);
        assert_eq!(earlier.steal_percent_since(earlier), 0.0);
        for broken in ["", "cpu", "cpu  1 2 3", "cpu  a b c d e f g h"] {
            assert_eq!(CpuTime::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_core_is_busy_when_it_neither_idles_nor_waits_for_a_disk() {
        let of =
            |cores: &str| Processors::parse(&format!("cpu  0 0 0 0 0 0 0 0\n{cores}intr 5\n")).expect("well-formed");
        let earlier = of("cpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 5 0 0 5 0 0 0 0 0 0\n");
        let later = of("cpu0 30 0 10 50 10 0 0 0 0 0\ncpu1 5 0 0 5 0 0 0 0 0 0\n");
        assert_eq!(later.busy_since(&earlier), BTreeMap::from([(0, 40.0), (1, 0.0)]));
        assert_eq!(later.steal_since(&earlier), Steal { ticks: 0, total: 0 });
    }
}
