//! What the process keeps in memory.

use std::fs;

use anyhow::{Context, Result};

/// Anonymous memory of this process that is in RAM, in MiB.
pub(super) fn resident_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("the kernel tells no RssAnon")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().context("RssAnon is no number")?;
    Ok(kib / 1024.0)
}
