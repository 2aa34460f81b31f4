//! What waking another core costs on this machine: read, never set.
//!
//! A message to another core waits until that core runs. A virtual core that has halted is started again by the
//! hypervisor, which takes longer than all of the packet's way; one that polls for a while before it halts is there
//! at once. So a latency figure is the machine's as much as the path's, and is told together with this.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// How idle cores wait on this machine; none where the kernel does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WakeUp {
    /// Whether the processor says that a hypervisor is below (x86's CPUID flag).
    pub(crate) hypervisor: bool,
    /// Driver of idle states.
    pub(crate) cpuidle_driver: Option<String>,
    /// What chooses among them.
    pub(crate) cpuidle_governor: Option<String>,
    /// Nanoseconds that an idle guest polls at most before it halts (Documentation/virt/guest-halt-polling.rst).
    pub(crate) guest_halt_poll_ns: Option<u64>,
}

impl WakeUp {
    /// Reads it from this machine.
    pub(crate) fn look() -> Self {
        Self::of(|path| fs::read_to_string(path).ok())
    }

    fn of(read: impl Fn(&str) -> Option<String>) -> Self {
        let word = |path: &str| Some(read(path)?.trim().to_owned()).filter(|word| !word.is_empty());
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
        Self {
            hypervisor: flags.split_ascii_whitespace().any(|flag| flag == "hypervisor"),
            cpuidle_driver: word("/sys/devices/system/cpu/cpuidle/current_driver"),
            cpuidle_governor: word("/sys/devices/system/cpu/cpuidle/current_governor")
                .or_else(|| word("/sys/devices/system/cpu/cpuidle/current_governor_ro")),
            guest_halt_poll_ns: word("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
                .and_then(|nanos| nanos.parse().ok()),
        }
    }

    /// True when an idle core is given back to the hypervisor at once.
    pub(crate) fn halts_at_once(&self) -> bool {
        self.hypervisor && self.guest_halt_poll_ns.is_none_or(|nanos| nanos == 0)
    }
}

impl fmt::Display for WakeUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |word: &Option<String>| word.clone().unwrap_or_else(|| "none".to_owned());
        f.write_str(if self.hypervisor { "virtual machine" } else { "no hypervisor flag" })?;
        let (driver, governor) = (or_none(&self.cpuidle_driver), or_none(&self.cpuidle_governor));
        write!(f, "; idle cores: driver {driver}, governor {governor}")?;
        if let Some(nanos) = self.guest_halt_poll_ns {
            write!(f, ", guest_halt_poll_ns {nanos}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> WakeUp {
        WakeUp::of(|path| files.iter().find(|(name, _)| path.ends_with(name)).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn a_guest_that_halts_is_told_from_one_that_polls() {
        let files = [
            ("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor sse\n"),
            ("cpuidle/current_driver", "haltpoll\n"),
            ("cpuidle/current_governor", "haltpoll\n"),
            ("parameters/guest_halt_poll_ns", "0\n"),
        ];
        let halts = machine(&files);
        assert!(halts.hypervisor && halts.halts_at_once());
        assert_eq!((halts.cpuidle_driver.as_deref(), halts.guest_halt_poll_ns), (Some("haltpoll"), Some(0)));
        let text = halts.to_string();
        assert_eq!(text, "virtual machine; idle cores: driver haltpoll, governor haltpoll, guest_halt_poll_ns 0");

        let polls = WakeUp { guest_halt_poll_ns: Some(200_000), ..halts };
        assert!(!polls.halts_at_once());
    }

    #[test]
    fn a_machine_that_tells_nothing_is_no_failure() {
        let bare = machine(&[("/proc/cpuinfo", "flags : fpu nohypervisor\n"), ("current_driver", "\n")]);
        let expected =
            WakeUp { hypervisor: false, cpuidle_driver: None, cpuidle_governor: None, guest_halt_poll_ns: None };
        assert_eq!(bare, expected);
        assert_eq!(bare.to_string(), "no hypervisor flag; idle cores: driver none, governor none");
        let broken = machine(&[("guest_halt_poll_ns", "many")]);
        assert_eq!(broken.guest_halt_poll_ns, None);
    }

    #[test]
    fn the_older_name_of_the_governor_is_known_too() {
        assert_eq!(machine(&[("current_governor_ro", "menu\n")]).cpuidle_governor.as_deref(), Some("menu"));
    }
}
