//! The machine that is measured on.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::wakeup::WakeUp;

/// What a result depends on and a reader cannot know.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// Model name of the processor.
    pub(crate) processor: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Cores this process may use.
    pub(crate) cores: Vec<usize>,
    /// Core of clients and servers.
    pub(crate) load_core: usize,
    /// Core of the switch.
    pub(crate) switch_core: usize,
    /// How idle cores wait.
    pub(crate) wake_up: WakeUp,
    /// Load averages over 1, 5 and 15 minutes when this program started, by `/proc/loadavg`.
    pub(crate) load_average: Option<[f64; 3]>,
    /// Whether this program, and so most likely the agent beside it, was built with `--release`.
    pub(crate) release_build: bool,
}

impl Machine {
    /// Looks at the machine and chooses cores: the first for the load, the last for the switch.
    pub(crate) fn look(load_core: Option<usize>, switch_core: Option<usize>) -> Result<Self> {
        let allowed = rustix::thread::sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let (Some(first), Some(last)) = (cores.first(), cores.last()) else { bail!("no core to run on") };
        let (load_core, switch_core) = (load_core.unwrap_or(*first), switch_core.unwrap_or(*last));
        for core in [load_core, switch_core] {
            if !cores.contains(&core) {
                bail!("core {core} is not among the cores this process may use: {cores:?}");
            }
        }
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            processor: processor.map_or("unknown processor".to_owned(), |(_, model)| model.to_owned()),
            kernel: kernel.trim().to_owned(),
            cores,
            load_core,
            switch_core,
            wake_up: WakeUp::look(),
            load_average: load_average(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
            release_build: !cfg!(debug_assertions),
        })
    }

    /// Says what is measured on, where what runs, and how to read the figures.
    pub(crate) fn introduce(&self) {
        self.describe();
        println!("{}", self.placement());
        if self.wake_up.halts_at_once() {
            println!(
                "a core with nothing to do halts, and the hypervisor starts it again: that is in the latency of every \
                 path that uses two cores, and not in that of direct and bridge"
            );
        }
    }

    /// Says what is measured on, and whether the figures are worth keeping.
    pub(crate) fn describe(&self) {
        println!("{}, Linux {}, {} cores", self.processor, self.kernel, self.cores.len());
        println!("{}", self.wake_up);
        if let Some([one, five, fifteen]) = self.load_average {
            println!("load average at the start: {one:.2} {five:.2} {fifteen:.2}");
        }
        if !self.release_build {
            println!("a debug build: the switch is slower than it can be; build with --release for figures to keep");
        }
    }

    /// Who runs where, in a sentence.
    fn placement(&self) -> String {
        let Self { load_core, switch_core, .. } = self;
        if load_core == switch_core {
            return format!(
                "clients, servers and the switch share core {load_core}: figures of the switch are too low"
            );
        }
        format!(
            "clients and servers on core {load_core}, switch on core {switch_core} (direct and bridge leave it idle, \
             direct-2 has its server there)"
        )
    }
}

/// The first three fields: tasks that ran or wanted to, over 1, 5 and 15 minutes.
fn load_average(loadavg: &str) -> Option<[f64; 3]> {
    let mut fields = loadavg.split_ascii_whitespace().map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??])
}

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

    /// Percent of all processor time since `earlier` that the hypervisor gave to others.
    pub(crate) fn steal_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        if total == 0 { 0.0 } else { self.steal.saturating_sub(earlier.steal) as f64 * 100.0 / total as f64 }
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
    fn load_averages_are_the_first_three() {
        assert_eq!(load_average("1.23 1.50 0.80 2/120 4711\n"), Some([1.23, 1.5, 0.8]));
        for broken in ["", "1.0 2.0", "a b c"] {
            assert_eq!(load_average(broken), None, "{broken:?}");
        }
    }
}
