//! Keys to the checked configuration: every refusal names the key and what to write.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sluice_model::NodeName;

use super::{Config, ConfigError, DEFAULT_HTTP, Features, Keys, Log, Surroundings, cni, network, source};

/// Bytes of a socket's path (unix(7)) less the final zero and `/sluiced.sock`.
const RUN_DIR_LIMIT: usize = 107 - "/sluiced.sock".len();

/// Workers are numbered by a byte.
const CORES_LIMIT: u64 = 256;

/// Path MTU in bytes: the least of IPv6 (RFC 8200 section 5) to the usual jumbo frame.
const POD_MTU: (u64, u64) = (1280, 9000);

/// Frames of 4096 bytes: 4 MiB to 4 GiB.
const UMEM_FRAMES: (u64, u64) = (1 << 10, 1 << 20);

/// 16 MiB, which quiet ports of 110 pods, the usual limit of a node, leave room in. More is better for many busy pods, but the
/// kernel keeps 128 bytes a frame for each of them, so that with twice as many frames a pod costs a megabyte.
const DEFAULT_UMEM_FRAMES: u64 = 1 << 12;

pub(super) fn check(keys: Keys, surroundings: &Surroundings) -> Result<Config, ConfigError> {
    let pod_mtu = keys.pod_mtu.map(|mtu| within("podMtu", mtu, POD_MTU)).transpose()?;
    let umem_frames = within("umemFrames", keys.umem_frames.unwrap_or(DEFAULT_UMEM_FRAMES), UMEM_FRAMES)?;
    let http = match keys.http {
        None => DEFAULT_HTTP,
        Some(value) => value.parse().map_err(|_| ConfigError::BadHttp { value })?,
    };
    let source = source::check(keys.source, surroundings)?;
    let network = network::check(keys.uplink, keys.tunnel, keys.services, keys.masquerade, keys.connections)?;
    Ok(Config {
        node_name: node_name(keys.node_name, surroundings)?,
        run_dir: run_dir(keys.run_dir)?,
        state_dir: absolute("stateDir", keys.state_dir.unwrap_or_else(|| PathBuf::from("/var/lib/sluice")))?,
        source,
        cores: cores(keys.cores, &surroundings.cores)?,
        idle: keys.idle.unwrap_or_default(),
        idle_cores: keys.idle_cores.unwrap_or_default(),
        pod_mtu,
        super_frames: keys.super_frames.unwrap_or_default(),
        xdp_mode: keys.xdp_mode.unwrap_or_default(),
        zero_copy: keys.zero_copy.unwrap_or_default(),
        huge_pages: keys.huge_pages.unwrap_or_default(),
        umem_frames,
        features: Features {
            multi_buffer: keys.features.multi_buffer.unwrap_or_default(),
            tx_metadata: keys.features.tx_metadata.unwrap_or_default(),
            tx_budget: keys.features.tx_budget.unwrap_or_default(),
            need_wakeup: keys.features.need_wakeup.unwrap_or_default(),
        },
        network,
        cni: cni::check(keys.cni)?,
        http,
        log: Log { format: keys.log.format.unwrap_or_default(), level: keys.log.level.unwrap_or_default() },
    })
}

/// Narrowing cannot fail for the ranges used; should one be widened past its type, it is refused as out of range.
pub(super) fn within<T: TryFrom<u64>>(
    key: &'static str,
    value: u64,
    (low, high): (u64, u64),
) -> Result<T, ConfigError> {
    let narrowed = (low..=high).contains(&value).then(|| T::try_from(value).ok()).flatten();
    narrowed.ok_or(ConfigError::OutOfRange { key, value, low, high })
}

/// kubelet registers a node under the host's name in lower case.
fn node_name(key: Option<String>, surroundings: &Surroundings) -> Result<NodeName, ConfigError> {
    let set = |name: &String| !name.is_empty();
    let hostname = || surroundings.hostname.as_ref().map(|name| name.to_ascii_lowercase());
    let value = key
        .or_else(|| surroundings.node_name.clone().filter(set))
        .or_else(|| hostname().filter(set))
        .ok_or(ConfigError::NoNodeName)?;
    NodeName::new(&value).map_err(|reason| ConfigError::BadNodeName { value, reason })
}

fn run_dir(key: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let path = absolute("runDir", key.unwrap_or_else(|| PathBuf::from("/run/sluice")))?;
    if path.as_os_str().as_bytes().len() > RUN_DIR_LIMIT {
        return Err(ConfigError::RunDirTooLong { path, limit: RUN_DIR_LIMIT });
    }
    Ok(path)
}

pub(super) fn absolute(key: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() { Ok(path) } else { Err(ConfigError::NotAbsolute { key, path }) }
}

/// Without a choice the highest core: the lowest usually takes the machine's interrupts.
fn cores(key: Option<Vec<usize>>, available: &[usize]) -> Result<Vec<usize>, ConfigError> {
    let cores = key.unwrap_or_else(|| available.iter().max().copied().into_iter().collect());
    if cores.is_empty() {
        return Err(ConfigError::NoCores { available: available.to_vec() });
    }
    let mut seen = HashSet::new();
    for &core in &cores {
        if !available.contains(&core) {
            return Err(ConfigError::NoSuchCore { core, available: available.to_vec() });
        }
        if !seen.insert(core) {
            return Err(ConfigError::CoreTwice(core));
        }
    }
    within::<u64>("the number of cores", cores.len() as u64, (1, CORES_LIMIT))?;
    Ok(cores)
}
