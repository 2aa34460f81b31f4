//! What the daemon puts on the node for the container runtime: the plugin's binary, and a network list that names it.
//!
//! Both are written beside their place and renamed, so that a runtime sees a whole file or none, and the list comes last: a
//! runtime takes a node for ready as soon as there is one. A restart or an upgrade leaves both; [`Installation::withdraw`] is
//! for good.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::version::CniVersion;

/// Name of the plugin's binary, and its type in network lists.
pub const PLUGIN: &str = "sluice-cni";
/// Name of the network list. Runtimes take the first by name.
pub const CONFLIST: &str = "10-sluice.conflist";

/// Where runtimes look for network lists when nothing else is said.
pub const DEFAULT_CONF_DIR: &str = "/etc/cni/net.d";
/// Where runtimes look for plugins when nothing else is said.
pub const DEFAULT_BIN_DIR: &str = "/opt/cni/bin";

/// Why something is not as it was to be.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The file system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The network list of our name is somebody else's.
    #[error("{} does not name {PLUGIN}; it is not Sluice's to remove", .0.display())]
    NotOurs(PathBuf),
}

/// The two directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where the network list goes.
    pub conf_dir: PathBuf,
    /// Where the binary goes.
    pub bin_dir: PathBuf,
}

/// What a network list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkList {
    /// The network's name.
    pub name: String,
    /// The version for runtimes that know of no choice; others take the highest that both know.
    pub version: CniVersion,
    /// The agent's run directory.
    pub run_dir: PathBuf,
    /// The agent's state directory.
    pub state_dir: PathBuf,
}

impl NetworkList {
    /// The list as it is written.
    pub fn render(&self) -> Value {
        json!({
            "cniVersion": self.version.as_str(),
            "cniVersions": CniVersion::ALL.map(CniVersion::as_str),
            "name": self.name,
            "plugins": [{
                "type": PLUGIN,
                "runDir": self.run_dir,
                "stateDir": self.state_dir,
                "capabilities": { "portMappings": true, "bandwidth": true, "ips": true, "mac": true, "dns": true },
            }],
        })
    }
}

impl Installation {
    /// Puts the binary, a copy of `plugin`, and then the list into place; what is there already as it is to be is not touched.
    /// Returns whether anything was written.
    ///
    /// # Errors
    /// Names the file. The list is not there unless the binary is.
    pub fn install(&self, plugin: &Path, list: &NetworkList) -> Result<bool, InstallationError> {
        let binary = fs::read(plugin).map_err(failed("read", plugin))?;
        let mut text = serde_json::to_vec_pretty(&list.render()).unwrap_or_default();
        text.push(b'\n');
        let binary_is_new = put(&self.bin_dir, PLUGIN, &binary, 0o755)?;
        Ok(put(&self.conf_dir, CONFLIST, &text, 0o600)? || binary_is_new)
    }

    /// Takes the list away: the runtime attaches no further pod. Returns whether it was there.
    ///
    /// # Errors
    /// [`InstallationError::NotOurs`] for one that names another plugin.
    pub fn withdraw(&self) -> Result<bool, InstallationError> {
        let path = self.conf_dir.join(CONFLIST);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            text => text.map_err(failed("read", &path))?,
        };
        if !text.contains(PLUGIN) {
            return Err(InstallationError::NotOurs(path));
        }
        remove(&self.conf_dir, CONFLIST)
    }

    /// Takes the binary away; without it the runtime cannot detach any pod. Returns whether it was there.
    ///
    /// # Errors
    /// Names the file.
    pub fn remove_plugin(&self) -> Result<bool, InstallationError> {
        remove(&self.bin_dir, PLUGIN)
    }
}

/// Replaces a file unless it has these bytes; `false`: it has. The temporary file is in the same directory, which may be all that
/// can be written to, and has a name that no runtime takes for a list.
fn put(directory: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<bool, InstallationError> {
    let (target, temporary) = (directory.join(name), directory.join(format!(".{name}.tmp")));
    if fs::read(&target).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    fs::create_dir_all(directory).map_err(failed("create", directory))?;
    // What a kill left: its mode would stay.
    let _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    })();
    if let Err(source) = written {
        let _ = fs::remove_file(&temporary);
        return Err(failed("write", &target)(source));
    }
    sync(directory)?;
    Ok(true)
}

fn remove(directory: &Path, name: &str) -> Result<bool, InstallationError> {
    let path = directory.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        removed => removed.map_err(failed("remove", &path))?,
    }
    sync(directory)?;
    Ok(true)
}

fn sync(directory: &Path) -> Result<(), InstallationError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync", directory))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallationError {
    let path = path.to_owned();
    move |source| InstallationError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scene() -> (tempfile::TempDir, Installation, NetworkList) {
        let dir = tempfile::tempdir().expect("writable");
        fs::write(dir.path().join("plugin"), b"first").expect("writable");
        let installation = Installation { conf_dir: dir.path().join("net.d"), bin_dir: dir.path().join("bin") };
        let list = NetworkList {
            name: "sluice".into(),
            version: CniVersion::V1_0_0,
            run_dir: "/run/sluice".into(),
            state_dir: "/var/lib/sluice".into(),
        };
        (dir, installation, list)
    }

    #[test]
    fn both_files_are_put_in_place_once_and_nothing_else_is_left() {
        let (dir, installation, list) = scene();
        let plugin = dir.path().join("plugin");
        assert!(installation.install(&plugin, &list).expect("installs"));
        assert!(!installation.install(&plugin, &list).expect("it is there"), "nothing is written twice");
        let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(installation.bin_dir.join(PLUGIN)), 0o755);
        let text = fs::read(installation.conf_dir.join(CONFLIST)).expect("it is there");
        let written: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(written, list.render());
        fs::write(&plugin, b"second").expect("writable");
        fs::write(installation.bin_dir.join(".sluice-cni.tmp"), b"half").expect("writable");
        assert!(installation.install(&plugin, &list).expect("an upgrade"));
        assert_eq!(fs::read(installation.bin_dir.join(PLUGIN)).expect("it is there"), b"second");
        for directory in [&installation.conf_dir, &installation.bin_dir] {
            assert_eq!(fs::read_dir(directory).expect("readable").count(), 1, "{}", directory.display());
        }
    }

    #[test]
    fn the_list_is_one_that_the_plugin_takes_and_advertises_what_is_carried_out() {
        let (_dir, _, list) = scene();
        let written = list.render();
        let mut plugin = written["plugins"][0].clone();
        // As libcni hands it down.
        for version in written["cniVersions"].as_array().expect("versions") {
            plugin["cniVersion"] = version.clone();
            plugin["name"] = written["name"].clone();
            let config = crate::NetworkConfig::from_value(&plugin).expect("it is taken");
            assert_eq!((config.run_dir, config.state_dir), (list.run_dir.clone(), list.state_dir.clone()));
        }
        for capability in ["portMappings", "bandwidth", "ips", "mac", "dns"] {
            assert_eq!(plugin["capabilities"][capability], true, "{capability}");
        }
        assert_eq!(written["cniVersion"], "1.0.0", "for runtimes that know no choice");
    }

    #[test]
    fn without_a_plugin_no_list_is_written() {
        let (dir, installation, list) = scene();
        let refused = installation.install(&dir.path().join("nothing"), &list).expect_err("there is none").to_string();
        assert!(refused.contains("nothing") && !installation.conf_dir.exists(), "{refused}");
        fs::write(dir.path().join("bin"), b"a file").expect("writable");
        let refused = installation.install(&dir.path().join("plugin"), &list).expect_err("no directory").to_string();
        assert!(refused.contains("bin") && !installation.conf_dir.exists(), "{refused}");
    }

    #[test]
    fn what_is_withdrawn_is_gone_and_what_is_anothers_stays() {
        let (dir, installation, list) = scene();
        installation.install(&dir.path().join("plugin"), &list).expect("installs");
        assert!(installation.withdraw().expect("removes") && !installation.withdraw().expect("it is gone"));
        assert!(installation.bin_dir.join(PLUGIN).exists(), "pods that are there need it");
        assert!(installation.remove_plugin().expect("removes") && !installation.remove_plugin().expect("it is gone"));
        fs::write(installation.conf_dir.join(CONFLIST), b"{\"plugins\": [{\"type\": \"bridge\"}]}").expect("writable");
        assert!(matches!(installation.withdraw(), Err(InstallationError::NotOurs(_))));
        assert!(installation.conf_dir.join(CONFLIST).exists());
    }
}
