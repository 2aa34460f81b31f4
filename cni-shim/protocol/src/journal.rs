//! DELs that came while the agent was away: `<stateDir>/cni-journal/`, one file for each container and interface.
//!
//! The shim writes a file under a temporary name, syncs and renames it, so the agent sees either none or all of it. The
//! agent removes a file only after the attachment is gone, and a replayed DEL that finds nothing succeeds, so a crash on
//! either side costs at most a repetition.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::AttachmentId;

const DIRECTORY: &str = "cni-journal";
const SUFFIX: &str = ".json";
/// Version of the file's form.
pub const JOURNAL_VERSION: u32 = 1;

/// A DEL to be done. An entry of another version is one, too: every version has `containerId` and `ifname`, and a DEL needs
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    /// [`JOURNAL_VERSION`] of the writer.
    pub version: u32,
    /// What to detach.
    #[serde(flatten)]
    pub attachment: AttachmentId,
    /// `CNI_NETNS` of the DEL, when there was one.
    pub netns: Option<PathBuf>,
    /// Name of the network.
    pub network: String,
}

impl JournalEntry {
    /// An entry in this crate's form.
    pub fn new(attachment: AttachmentId, netns: Option<PathBuf>, network: String) -> Self {
        Self { version: JOURNAL_VERSION, attachment, netns, network }
    }
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("CNI journal: cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A file is there that is not an entry.
    #[error("CNI journal: {path} is not an entry: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The journal of one state directory.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

impl Journal {
    /// The journal under `state_dir`; nothing is touched yet.
    pub fn in_state_dir(state_dir: &Path) -> Self {
        Self { directory: state_dir.join(DIRECTORY) }
    }

    /// Stores `entry` durably, replacing an earlier one for the same attachment.
    pub fn store(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        fs::create_dir_all(&self.directory).map_err(|e| failed("create", &self.directory, e))?;
        let target = self.path_of(&entry.attachment);
        // The runtime serialises calls for one container, but may have given one up that still runs.
        let temporary = self.directory.join(format!(".{}.{}", entry.attachment.container_id, std::process::id()));
        let written = write_synced(&temporary, entry).and_then(|()| fs::rename(&temporary, &target));
        if let Err(e) = written {
            // Best effort: the first error is the one to report.
            let _ = fs::remove_file(&temporary);
            return Err(failed("write", &target, e));
        }
        File::open(&self.directory).and_then(|d| d.sync_all()).map_err(|e| failed("sync", &self.directory, e))
    }

    /// Every stored entry, and an error for each file that is none. An absent directory is an empty journal.
    pub fn entries(&self) -> Result<Vec<Result<JournalEntry, JournalError>>, JournalError> {
        let listed = match fs::read_dir(&self.directory) {
            Ok(listed) => listed,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed("list", &self.directory, e)),
        };
        let mut paths = Vec::new();
        for file in listed {
            let file = file.map_err(|e| failed("list", &self.directory, e))?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(SUFFIX) && !name.starts_with('.') {
                paths.push(file.path());
            }
        }
        paths.sort();
        Ok(paths.iter().map(|path| read_entry(path)).collect())
    }

    /// Renames the file that `refused` is about, so that it is not listed again but can be looked at. Best effort: one
    /// that stays is refused again.
    pub fn set_aside(&self, refused: &JournalError) {
        if let JournalError::Malformed { path, .. } = refused {
            let _ = fs::rename(path, path.with_extension("refused"));
        }
    }

    /// Whether there is an entry of `attachment`.
    pub fn holds(&self, attachment: &AttachmentId) -> bool {
        self.path_of(attachment).exists()
    }

    /// Removes the entry of `attachment`; nothing there is a success.
    pub fn remove(&self, attachment: &AttachmentId) -> Result<(), JournalError> {
        let path = self.path_of(attachment);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, e)),
            _ => Ok(()),
        }
    }

    fn path_of(&self, attachment: &AttachmentId) -> PathBuf {
        self.directory.join(file_name(attachment))
    }
}

/// '@' is not in a container id, so two attachments never share a file.
fn file_name(attachment: &AttachmentId) -> String {
    format!("{}@{}{SUFFIX}", attachment.container_id, attachment.ifname)
}

fn as_text(value: &mut Value) {
    if !value.is_string() {
        *value = Value::String(String::new());
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { operation, path: path.to_owned(), source }
}

fn write_synced(path: &Path, entry: &JournalEntry) -> io::Result<()> {
    let mut file = File::create(path)?;
    serde_json::to_writer(&mut file, entry)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn read_entry(path: &Path) -> Result<JournalEntry, JournalError> {
    let bytes = fs::read(path).map_err(|e| failed("read", path, e))?;
    let malformed = |reason: String| JournalError::Malformed { path: path.to_owned(), reason };
    let entry: JournalEntry = match serde_json::from_slice::<Value>(&bytes).map_err(|e| malformed(e.to_string()))? {
        Value::Object(mut keys) => {
            if keys.get("version").and_then(Value::as_u64) != Some(JOURNAL_VERSION.into()) {
                // What other versions say of these may have another form.
                keys.insert("version".to_owned(), JOURNAL_VERSION.into());
                keys.insert("netns".to_owned(), Value::Null);
                keys.entry("network").and_modify(as_text).or_insert_with(|| "".into());
            }
            serde_json::from_value(Value::Object(keys)).map_err(|e| malformed(e.to_string()))?
        }
        _ => return Err(malformed("it is no JSON object".to_owned())),
    };
    let named = path.file_name().is_some_and(|name| name == file_name(&entry.attachment).as_str());
    if !named {
        // It could never be removed by its name, and another's entry may have the name.
        return Err(malformed(format!("it is about {}", entry.attachment)));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(container: &str) -> JournalEntry {
        let attachment = AttachmentId {
            container_id: container.to_owned().try_into().unwrap(),
            ifname: "eth0".to_owned().try_into().unwrap(),
        };
        JournalEntry::new(attachment, None, "sluice".into())
    }

    #[test]
    fn entries_are_stored_once_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::in_state_dir(dir.path());
        assert!(journal.entries().unwrap().is_empty());
        for container in ["b", "a", "b"] {
            journal.store(&entry(container)).unwrap();
        }
        let stored: Vec<_> = journal.entries().unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(stored, [entry("a"), entry("b")]);
        assert!(journal.holds(&entry("a").attachment));
        journal.remove(&entry("a").attachment).unwrap();
        assert!(!journal.holds(&entry("a").attachment));
        journal.remove(&entry("a").attachment).unwrap();
        assert_eq!(journal.entries().unwrap().len(), 1);
    }

    #[test]
    fn a_half_written_file_is_not_seen_and_a_foreign_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::in_state_dir(dir.path());
        journal.store(&entry("a")).unwrap();
        fs::write(dir.path().join(DIRECTORY).join(".c.12"), b"{\"ver").unwrap();
        fs::write(dir.path().join(DIRECTORY).join("c@eth0.json"), b"{\"ver").unwrap();
        let listed = journal.entries().unwrap();
        assert_eq!(listed.len(), 2);
        let named = listed[1].as_ref().unwrap_err().to_string();
        assert!(named.contains("c@eth0.json"), "{named}");
        listed.iter().filter_map(|one| one.as_ref().err()).for_each(|refused| journal.set_aside(refused));
        assert_eq!(journal.entries().unwrap().len(), 1);
    }

    #[test]
    fn an_entry_of_another_version_is_a_del_all_the_same_and_one_in_anothers_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::in_state_dir(dir.path());
        journal.store(&entry("a")).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(DIRECTORY).join(name), text).unwrap();
        write(
            "b@eth0.json",
            r#"{"version":2,"containerId":"b","ifname":"eth0","netns":{"id":7},"network":["n"],"more":1}"#,
        );
        write("c@eth0.json", r#"{"containerId":"c","ifname":"eth0"}"#);
        write("d@eth0.json", r#"{"version":1,"containerId":"a","ifname":"eth0","network":"n"}"#);
        write("e@eth0.json", r#"{"version":1,"containerId":"../e","ifname":"eth0","network":"n"}"#);
        let (good, bad): (Vec<_>, Vec<_>) = journal.entries().unwrap().into_iter().partition(Result::is_ok);
        let good: Vec<_> = good.into_iter().map(|one| one.unwrap().attachment.to_string()).collect();
        assert_eq!(good, ["a/eth0", "b/eth0", "c/eth0"]);
        assert_eq!(bad.len(), 2);
        bad.iter().filter_map(|one| one.as_ref().err()).for_each(|refused| journal.set_aside(refused));
        assert!(journal.holds(&entry("a").attachment), "what is about it and in another's file does not touch its own");
        assert_eq!(journal.entries().unwrap().len(), 3);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let refused = Journal::in_state_dir(&dir.path().join("file")).store(&entry("a")).unwrap_err().to_string();
        assert!(refused.contains("cni-journal"), "{refused}");
    }
}
