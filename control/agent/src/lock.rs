//! One agent a directory: the lock that a second agent runs into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

const LOCK_NAME: &str = "sluiced.lock";

/// Why the directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another agent has it.
    #[error("{directory} is in use by another sluiced ({}); stop that one, or give this one another directory", pid_text(.pid))]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The holder's process id, when its file tells.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot lock {path}: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

fn pid_text(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "pid not known".to_owned(), |pid| format!("pid {pid}"))
}

/// A directory that is ours until this value goes or the process dies: the kernel lets go of the lock, the file stays.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes `directory` if need be and takes it.
    pub(crate) fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        let mut file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                Err(LockError::Held { directory: directory.to_owned(), pid: pid_in(&mut file) })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Whether some process holds the lock of `directory` now. A directory or file that is not there is not held.
    pub(crate) fn is_held(directory: &Path) -> bool {
        let Ok(file) = File::open(directory.join(LOCK_NAME)) else { return false };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let first = DirectoryLock::take(&run).unwrap();
        assert!(DirectoryLock::is_held(&run));
        let refused = DirectoryLock::take(&run).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        assert!(!DirectoryLock::is_held(&run));
        DirectoryLock::take(&run).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let refused = DirectoryLock::take(&dir.path().join("file")).unwrap_err().to_string();
        assert!(refused.contains("file/sluiced.lock"), "{refused}");
    }
}
