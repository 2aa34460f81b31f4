//! One run at a time: two would measure each other.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held for the time of a run. The kernel lets go of it with the process, so that nothing a killed run left stands in the way.
#[derive(Debug)]
pub(super) struct RunLock {
    _held: Flock<File>,
}

impl RunLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(file: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file);
        let opened = opened.with_context(|| format!("cannot open the lock {}", file.display()))?;
        let mut held = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((mut other, Errno::EWOULDBLOCK)) => {
                let mut owner = String::new();
                let _ = other.read_to_string(&mut owner);
                bail!(
                    "another run is going on: process {}, by the lock {}; two would measure each other, so wait for it or end it",
                    owner.trim(),
                    file.display()
                );
            }
            Err((_, errno)) => return Err(errno).with_context(|| format!("cannot lock {}", file.display())),
        };
        held.set_len(0)?;
        held.rewind()?;
        write!(held, "{}", std::process::id()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { _held: held })
    }
}

/// Where the lock is unless somebody says otherwise.
pub(crate) const DEFAULT_LOCK: &str = "/run/sluice-perf.lock";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_second_run_is_refused_by_the_first_one_s_process() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("lock");
        let first = RunLock::take(&file).expect("nobody has it");
        let error = RunLock::take(&file).expect_err("the first has it").to_string();
        assert!(error.contains(&format!("process {},", std::process::id())), "{error}");
        drop(first);
        RunLock::take(&file).expect("the first has let go");
    }

    #[test]
    fn what_a_killed_run_left_is_taken_over() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("lock");
        fs::write(&file, "4194304999").expect("writable");
        let _held = RunLock::take(&file).expect("no process holds it");
        assert_eq!(fs::read_to_string(&file).expect("readable"), std::process::id().to_string());
    }
}
