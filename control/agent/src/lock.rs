//! One agent a directory: the lock that a second agent runs into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a holder may take to go. The kernel lets go of a killed process's lock only when its last thread has ended,
/// which a thread inside a system call delays, and each AF_XDP socket: the kernel waits some tens of milliseconds before it is gone.
/// A node has hundreds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

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
    #[error("cannot lock {path}: {source}; can sluiced write there, and does it run as root?")]
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
    /// Makes `directory` if need be and takes it. Waits for a holder to go, at most `patience`.
    pub(crate) fn take(directory: &Path, patience: Duration) -> Result<Self, LockError> {
        let path = directory.join(LOCK_NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        let mut file = open(&path).map_err(failed)?;
        match try_until(&file, patience) {
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

    /// Whether some process holds the lock of `directory`, and goes on doing so for `patience`. A directory or file that is
    /// not there is not held.
    pub(crate) fn is_held(directory: &Path, patience: Duration) -> bool {
        let Ok(file) = File::open(directory.join(LOCK_NAME)) else { return false };
        matches!(try_until(&file, patience), Err(TryLockError::WouldBlock))
    }
}

/// Tries at least once.
fn try_until(file: &File, patience: Duration) -> Result<(), TryLockError> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => thread::sleep(PAUSE),
            tried => return tried,
        }
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
        let first = DirectoryLock::take(&run, Duration::ZERO).unwrap();
        assert!(DirectoryLock::is_held(&run, Duration::ZERO));
        let refused = DirectoryLock::take(&run, Duration::ZERO).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        assert!(!DirectoryLock::is_held(&run, Duration::ZERO));
        DirectoryLock::take(&run, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let refused = DirectoryLock::take(&dir.path().join("file"), PATIENCE).unwrap_err().to_string();
        assert!(refused.contains("file/sluiced.lock"), "{refused}");
    }

    #[test]
    fn a_holder_that_goes_in_time_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(dir.path(), Duration::ZERO).unwrap();
        let path = dir.path().to_owned();
        let (trying, tries) = std::sync::mpsc::channel();
        let second = thread::spawn(move || {
            trying.send(()).unwrap();
            // Far more than the holder takes: a slow machine makes the test slow, not red.
            DirectoryLock::take(&path, 6 * PATIENCE)
        });
        tries.recv().unwrap();
        drop(first);
        second.join().unwrap().unwrap();
    }
}
