//! What the node must not forget: `<stateDir>/state.json`, versioned, replaced whole.
//!
//! A save writes `state.json.tmp` beside it, brings that to the disk, and renames it over the old file, so after a
//! crash at any point the file is either the old one or the new one, and a left-over temporary file means nothing.
//! A file that cannot be read whole is refused ([`StateError`]); the agent then sets it aside and starts without,
//! because guessing half of it would give addresses twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod check;
mod mac_text;
mod requested;

pub use check::Contradiction;
pub use requested::Requested;

/// Version of the file's form. Any change of a field changes it.
pub const VERSION: u32 = 2;

/// The oldest version that is read. What version 1 lacks has its default.
const OLDEST: u32 = 1;

/// Name of the file in the state directory.
const FILE: &str = "state.json";
/// Name under which the next one is written.
const TEMPORARY: &str = "state.json.tmp";
/// Files set aside that are kept; beyond them the last is overwritten.
const SET_ASIDE_LIMIT: u32 = 10;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// What is attached to the switch.
    pub attachments: Vec<StoredAttachment>,
    /// Addresses that cool off, oldest first.
    pub cooling: Vec<IpAddr>,
}

/// One interface of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredAttachment {
    /// CNI_CONTAINERID of the ADD.
    pub container_id: String,
    /// CNI_IFNAME of the ADD: the interface's name in the pod.
    pub ifname: String,
    /// CNI_NETNS of the ADD.
    pub netns: PathBuf,
    /// Name of the veth's end on the node.
    pub host_veth: String,
    /// MAC of the pod's end; written as `02:00:00:00:00:01`.
    #[serde(with = "mac_text")]
    pub mac: [u8; 6],
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's uid, when the runtime told it.
    pub pod_uid: Option<String>,
    /// The switch's port.
    pub port: u16,
    /// The network's name in the CNI configuration.
    pub network: String,
    /// What was asked for beyond the usual.
    #[serde(default)]
    pub requested: Requested,
}

/// The file: the version first, then the state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<S> {
    version: u32,
    state: S,
}

/// Only the version, to refuse another form by its number and not by its first unknown field.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}; check stateDir, its owner and the space left", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not a state file, or one cut short.
    #[error("{} is not a whole state file: {source}; move it aside to start with no attachments", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Written by another version of the agent.
    #[error("{} has version {found}, this agent reads {OLDEST} to {VERSION}; run the agent that wrote it, or move it aside to \
             start with no attachments", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Two attachments claim one thing.
    #[error("{} contradicts itself: {source}; move it aside to start with no attachments", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Which attachments and what they claim.
        source: Contradiction,
    },
}

impl StateError {
    /// Whether the file is there and can never be read, so that setting it aside is the remedy.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, StateError::Io { .. })
    }
}

/// The state file of one state directory. One process at a time uses it.
#[derive(Clone, Debug)]
pub struct StateFile {
    directory: PathBuf,
}

impl StateFile {
    /// The file in this directory, which is made (mode 0700) when it is missing. The file itself need not exist.
    pub fn open(directory: &Path) -> Result<StateFile, StateError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(io_error("make", directory))?;
        Ok(StateFile { directory: directory.to_owned() })
    }

    /// The file's path.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Reads the file; `None` when there is none. A left-over temporary file is not looked at.
    ///
    /// # Errors
    /// See [`StateError::is_refusal`] for those that [`StateFile::set_aside`] remedies.
    pub fn load(&self) -> Result<Option<State>, StateError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        parse(&path, &bytes).map(Some)
    }

    /// Replaces the file. When it returns, the new one is on the disk.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        self.write_temporary(state)?;
        self.publish()
    }

    /// Renames a refused file to the first free of `state.json.refused-1` and so on, and returns that path.
    pub fn set_aside(&self) -> Result<PathBuf, StateError> {
        let name = |number: u32| self.directory.join(format!("{FILE}.refused-{number}"));
        let free = (1..SET_ASIDE_LIMIT).map(name).find(|path| !path.exists());
        let target = free.unwrap_or_else(|| name(SET_ASIDE_LIMIT));
        fs::rename(self.path(), &target).map_err(io_error("rename", &self.path()))?;
        self.sync_directory()?;
        Ok(target)
    }

    fn write_temporary(&self, state: &State) -> Result<(), StateError> {
        let path = self.directory.join(TEMPORARY);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let mut bytes = serde_json::to_vec_pretty(&Stored { version: VERSION, state })?;
            bytes.push(b'\n');
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().map_err(io_error("write", &path))
    }

    fn publish(&self) -> Result<(), StateError> {
        let temporary = self.directory.join(TEMPORARY);
        fs::rename(&temporary, self.path()).map_err(io_error("rename", &temporary))?;
        self.sync_directory()
    }

    /// A rename is on the disk only when its directory is.
    fn sync_directory(&self) -> Result<(), StateError> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(io_error("sync", &self.directory))
    }
}

/// What the file's bytes say; `path` is for the error alone.
fn parse(path: &Path, bytes: &[u8]) -> Result<State, StateError> {
    let corrupt = |source| StateError::Corrupt { path: path.to_owned(), source };
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(corrupt)?;
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(StateError::UnknownVersion { path: path.to_owned(), found: version });
    }
    let Stored { version: _, state } = serde_json::from_slice::<Stored<State>>(bytes).map_err(corrupt)?;
    check::check(&state).map_err(|source| StateError::Contradiction { path: path.to_owned(), source })?;
    Ok(state)
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { operation, path, source }
}

#[cfg(test)]
mod tests;
