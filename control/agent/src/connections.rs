//! The memory of connections: in a file of the run directory, so that they outlive the process.

use std::path::Path;
use std::sync::Arc;

use sluice_connections::{Config as TableConfig, Outcome, Table};
use sluice_path::{Shared, SharedConfig};
use sluice_xsk::SharedWords;
use tracing::{info, warn};

use crate::config::Network;
use crate::generations::random_seed;

/// Name of the file.
const FILE: &str = "connections";
/// Bytes of the machine's memory for which one connection is kept, where nothing else is asked for.
const MEMORY_EACH: u64 = 64 << 10;
/// Bounds of that.
const FEWEST: u64 = 1 << 16;
const MOST: u64 = 1 << 20;

/// Opens the connections that an earlier process left, or begins with none. Without the file they end with this process.
pub(crate) fn open(network: &Network, run_dir: &Path) -> Arc<Shared> {
    let capacity = network.connections.unwrap_or_else(|| by_memory(total_memory()));
    let share = u64::from(capacity) * u64::from(network.pod_share) / 100;
    let connections = TableConfig {
        capacity,
        pod_share: u32::try_from(share.max(1)).unwrap_or(u32::MAX),
        owners: u16::try_from(sluice_ebpf::MAX_PORTS).unwrap_or(u16::MAX),
        seed: random_seed(),
        ..TableConfig::default()
    };
    let config = SharedConfig { connections, affinity: capacity.min(1 << 16) };
    let path = run_dir.join(FILE);
    let words = match SharedWords::open(&path, Table::words(&connections)) {
        Ok(words) => words,
        Err(error) => {
            warn!(%error, "connections will not outlive this process");
            return Arc::new(Shared::new(config));
        }
    };
    if !words.is_in_memory() {
        warn!(file = %path.display(), "the run directory is not in memory (tmpfs): the kernel writes connections to its disk now and then");
    }
    match Table::over(words.words(), connections) {
        Ok(adopted) => {
            match &adopted.outcome {
                Outcome::Kept { .. } => info!(connections = adopted.table.len(), "earlier connections go on"),
                other => info!(file = %path.display(), outcome = ?other, "beginning without connections"),
            }
            Arc::new(Shared::over(adopted.table, config))
        }
        Err(error) => {
            warn!(%error, "connections will not outlive this process");
            Arc::new(Shared::new(config))
        }
    }
}

/// A power of two, so that the number looks chosen.
fn by_memory(total: u64) -> u32 {
    let wanted = (total / MEMORY_EACH).clamp(FEWEST, MOST);
    u32::try_from(1_u64 << wanted.ilog2()).unwrap_or(u32::MAX)
}

/// The machine's memory in bytes; 0 where it cannot be read, which gives the least.
fn total_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_follows_the_memory_within_bounds() {
        assert_eq!(by_memory(0), 65_536);
        assert_eq!(by_memory(8 << 30), 131_072);
        assert_eq!(by_memory(24 << 30), 262_144);
        assert_eq!(by_memory(1 << 40), 1_048_576);
    }
}
