//! What the kernel's devices lost, and which programs make them.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use sluice_host::Netns;

/// Packets that devices of these namespaces were given to send and dropped, by `NAME DEVICE`. A veth device counts there what
/// its other end had no room for (drivers/net/veth.c, `veth_xmit`), so nothing is counted twice.
pub(crate) fn drops(namespaces: &[(&str, &Netns)]) -> Result<BTreeMap<String, u64>> {
    let mut drops = BTreeMap::new();
    for (name, netns) in namespaces {
        let text = netns.run(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
        let text = text.with_context(|| format!("cannot read the devices' counters of {}", netns.label()))?;
        for (device, count) in dropped(&text) {
            *drops.entry(format!("{name} {device}")).or_default() += count;
        }
    }
    Ok(drops)
}

/// Of each device the twelfth counter, `drop` of the sending side; two lines of headings go before (net/core/net-procfs.c).
fn dropped(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().skip(2).filter_map(|line| {
        let (device, counters) = line.split_once(':')?;
        let count = counters.split_ascii_whitespace().nth(11)?.parse().ok()?;
        Some((device.trim(), count))
    })
}

/// What to install for the programs that are not there: each with its package of Debian.
pub(crate) fn missing_programs(programs: &[(&str, &str)]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    let missing: Vec<String> = programs
        .iter()
        .filter(|(program, _)| !there(program))
        .map(|(program, package)| format!("{program} (package {package})"))
        .collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_did_not_send_is_its_twelfth_counter() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    eth0:100 0 0 9 0 0 0 0 5 5 5 7 0 0 0 0\nbroken: 1 2\n";
        assert_eq!(dropped(text).collect::<Vec<_>>(), [("lo", 12), ("eth0", 7)]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        assert_eq!(missing_programs(&[("sh", "dash")]), None);
        let missing = missing_programs(&[("sh", "dash"), ("no-such-program", "nothing")]);
        assert_eq!(missing.as_deref(), Some("not installed: no-such-program (package nothing)"));
    }
}
