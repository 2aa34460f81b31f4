//! What is put on the node for the container runtime.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sluice_cni_protocol::installation::DEFAULT_BIN_DIR;
use sluice_cni_protocol::{CniVersion, Installation, NetworkList};

use super::check::absolute;
use super::{Config, ConfigError};

/// The keys of `cni`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CniKeys {
    /// Where the container runtime looks for network lists; one is put there once sluiced is ready [default: nothing is put
    /// anywhere]
    #[arg(long = "cni-conf-dir", value_name = "DIR")]
    pub conf_dir: Option<PathBuf>,
    /// Where the container runtime looks for plugins [default: /opt/cni/bin]
    #[arg(long = "cni-bin-dir", value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// The plugin that is put there [default: sluice-cni beside sluiced]
    #[arg(id = "cni-plugin", long = "cni-plugin", value_name = "FILE")]
    pub plugin: Option<PathBuf>,
    /// The network's name in the list [default: sluice]
    #[arg(id = "cni-network", long = "cni-network", value_name = "NAME")]
    pub network: Option<String>,
    /// The list's cniVersion, for runtimes that know no cniVersions [default: 1.0.0]
    #[arg(id = "cni-version", long = "cni-version", value_name = "VERSION")]
    pub version: Option<String>,
}

/// What is put on the node, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cni {
    /// The two directories.
    pub installation: Installation,
    /// The plugin that is copied; `None` for the one beside this program.
    pub plugin: Option<PathBuf>,
    /// The network's name.
    pub network: String,
    /// The list's version.
    pub version: CniVersion,
}

/// What containerd 1.6 still takes; the list offers newer runtimes more.
const DEFAULT_VERSION: CniVersion = CniVersion::V1_0_0;

/// `None` without a directory for the list.
pub(super) fn check(keys: CniKeys) -> Result<Option<Cni>, ConfigError> {
    let CniKeys { conf_dir, bin_dir, plugin, network, version } = keys;
    let Some(conf_dir) = conf_dir.filter(|path| !path.as_os_str().is_empty()) else { return Ok(None) };
    let version = match version {
        None => DEFAULT_VERSION,
        Some(value) => value.parse().map_err(|_| ConfigError::BadCniVersion { value })?,
    };
    let network = network.unwrap_or_else(|| "sluice".to_owned());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !network.starts_with(|c: char| c.is_ascii_alphanumeric()) || !network.bytes().all(inner) {
        return Err(ConfigError::BadCniNetwork { value: network });
    }
    Ok(Some(Cni {
        installation: Installation {
            conf_dir: absolute("cni.confDir", conf_dir)?,
            bin_dir: absolute("cni.binDir", bin_dir.unwrap_or_else(|| DEFAULT_BIN_DIR.into()))?,
        },
        plugin: plugin.map(|path| absolute("cni.plugin", path)).transpose()?,
        network,
        version,
    }))
}

impl CniKeys {
    pub(super) fn over(self, base: Self) -> Self {
        let Self { conf_dir, bin_dir, plugin, network, version } = self;
        Self {
            conf_dir: conf_dir.or(base.conf_dir),
            bin_dir: bin_dir.or(base.bin_dir),
            plugin: plugin.or(base.plugin),
            network: network.or(base.network),
            version: version.or(base.version),
        }
    }
}

impl From<&Option<Cni>> for CniKeys {
    fn from(cni: &Option<Cni>) -> Self {
        let Some(Cni { installation: Installation { conf_dir, bin_dir }, plugin, network, version }) = cni else {
            return Self::default();
        };
        Self {
            conf_dir: Some(conf_dir.clone()),
            bin_dir: Some(bin_dir.clone()),
            plugin: plugin.clone(),
            network: Some(network.clone()),
            version: Some(version.to_string()),
        }
    }
}

impl Config {
    /// The network list that is put on the node; `None` when none is.
    pub fn network_list(&self) -> Option<NetworkList> {
        let Cni { network, version, .. } = self.cni.as_ref()?;
        Some(NetworkList {
            name: network.clone(),
            version: *version,
            run_dir: self.run_dir.clone(),
            state_dir: self.state_dir.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(keys: CniKeys) -> Result<Option<Cni>, String> {
        check(keys).map_err(|error| error.to_string())
    }

    fn in_dir(dir: &str) -> CniKeys {
        CniKeys { conf_dir: Some(dir.into()), ..CniKeys::default() }
    }

    #[test]
    fn nothing_is_installed_unless_it_is_said_where() {
        assert_eq!(checked(CniKeys::default()), Ok(None));
        assert_eq!(checked(CniKeys { bin_dir: Some("/opt".into()), ..in_dir("") }), Ok(None));
        let cni = checked(in_dir("/etc/cni/net.d")).expect("good").expect("it is said");
        assert_eq!((cni.network.as_str(), cni.version), ("sluice", CniVersion::V1_0_0));
        assert_eq!(cni.installation.bin_dir, PathBuf::from("/opt/cni/bin"));
        let again = CniKeys::from(&Some(cni.clone()));
        assert_eq!(checked(again), Ok(Some(cni)));
    }

    #[test]
    fn bad_values_are_refused_by_their_key() {
        for (keys, key) in [
            (in_dir("net.d"), "cni.confDir"),
            (CniKeys { bin_dir: Some("bin".into()), ..in_dir("/c") }, "cni.binDir"),
            (CniKeys { plugin: Some("x".into()), ..in_dir("/c") }, "cni.plugin"),
            (CniKeys { version: Some("0.2.0".into()), ..in_dir("/c") }, "cni.version"),
            (CniKeys { network: Some("a/b".into()), ..in_dir("/c") }, "cni.network"),
            (CniKeys { network: Some(String::new()), ..in_dir("/c") }, "cni.network"),
        ] {
            let refused = checked(keys).expect_err("it is bad");
            assert!(refused.contains(key), "{refused}");
        }
    }
}
