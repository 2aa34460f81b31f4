//! One command at a time works on a lab.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::LabError;
use crate::layout::{LABS, Layout};
use crate::name::LabName;

/// Held while a lab changes. The lock is on the lab's directory itself, so it leaves no file of its own.
#[derive(Debug)]
pub(crate) struct LabLock(#[expect(dead_code, reason = "held for its lock")] File);

impl LabLock {
    /// Locks a lab, whose directory is made when it is missing.
    pub(crate) fn create(name: &LabName, layout: &Layout) -> Result<Self, LabError> {
        loop {
            let root = layout.root();
            fs::create_dir_all(root).map_err(LabError::file("create", root))?;
            if let Some(lock) = Self::existing(name, layout)? {
                return Ok(lock);
            }
            // `down` removed the directory between our two steps; make it again.
        }
    }

    /// Locks a lab that has a directory; none when it has not.
    pub(crate) fn existing(name: &LabName, layout: &Layout) -> Result<Option<Self>, LabError> {
        let root = layout.root();
        let directory = match File::open(root) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LabError::file("open", root)(error)),
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LabError::Busy { name: name.to_string() }),
            Err(errno) => return Err(LabError::file("lock", root)(errno.into())),
        }
        // Whoever held the lock before us may have removed the directory: then this is a lock on nothing.
        Ok(is_same(&directory, root).then_some(Self(directory)))
    }
}

fn is_same(open: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (open.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// Removes the labs' directory when the last lab has gone.
pub(crate) fn remove_labs_directory_if_empty() {
    // Not empty, or gone already: both are right.
    let _ = fs::remove_dir(LABS);
}
