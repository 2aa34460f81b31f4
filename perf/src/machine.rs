//! The machine that is measured on.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

pub(crate) use crate::processors::CpuTime;
use crate::wakeup::WakeUp;

/// What a result depends on and a reader cannot know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What the kernel does about the processor's faults, by fault; each costs something on every system call.
    pub(crate) mitigations: BTreeMap<String, String>,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
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
            mitigations: mitigations(),
            memory_mib: memory_mib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
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

/// `/sys/devices/system/cpu/vulnerabilities`, but for the faults that this processor has not.
fn mitigations() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).ok()?.trim().to_owned();
        (text != "Not affected").then_some((entry.file_name().into_string().ok()?, text))
    };
    entries.filter_map(of).collect()
}

fn memory_mib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    total.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The first three fields: tasks that ran or wanted to, over 1, 5 and 15 minutes.
fn load_average(loadavg: &str) -> Option<[f64; 3]> {
    let mut fields = loadavg.split_ascii_whitespace().map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_mebibytes() {
        assert_eq!(memory_mib("MemTotal:       16384000 kB\nMemFree: 1 kB\n"), 16_000);
        assert_eq!(memory_mib(""), 0);
    }

    #[test]
    fn load_averages_are_the_first_three() {
        assert_eq!(load_average("1.23 1.50 0.80 2/120 4711\n"), Some([1.23, 1.5, 0.8]));
        for broken in ["", "1.0 2.0", "a b c"] {
            assert_eq!(load_average(broken), None, "{broken:?}");
        }
    }
}
