//! Words in a file, shared with whoever opens it next: memory that outlives the process.
#![allow(unsafe_code, reason = "memory mapping; the argument is at `map`")]

use std::fs::{File, OpenOptions};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use rustix::fs::{FallocateFlags, FlockOperation, FsWord, fallocate, flock, fstatfs};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use thiserror::Error;

/// `TMPFS_MAGIC`, `HUGETLBFS_MAGIC` (`include/uapi/linux/magic.h`) and that of ramfs (`fs/ramfs/inode.c`).
const IN_MEMORY: [FsWord; 3] = [0x0102_1994, 0x9584_58f6, 0x8584_58f6];

/// Why there is no such memory.
#[derive(Debug, Error)]
pub enum SharedWordsError {
    /// A step failed.
    #[error("{path}: {step}: {source}; check that its directory exists, is writable and has {bytes} bytes free")]
    Step {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// Bytes asked for.
        bytes: u64,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Another process has it mapped, or this one has already.
    #[error("{0} is in use by another process: only one agent may run on a node; stop the other")]
    InUse(PathBuf),
    /// It is something else than a file of this user alone.
    #[error("{0} is not an ordinary file that belongs to this user and nobody else may open: remove it")]
    NotOurs(PathBuf),
    /// No words, or more than can be addressed.
    #[error("{words} words of 8 bytes cannot be mapped")]
    Size {
        /// Words asked for.
        words: usize,
    },
}

/// A file mapped as words, for the rest of the process's life.
///
/// The file stays when the process ends, however it ends, and holds what was last written: each word whole. Whoever maps it
/// next decides whether it can use the contents.
#[derive(Debug, Clone, Copy)]
pub struct SharedWords {
    words: &'static [AtomicU64],
    kept: bool,
    in_memory: bool,
}

impl SharedWords {
    /// Maps `words` words at `path`, which is made if it is not there. A file of that size keeps its contents; one of another
    /// size starts anew, all zeroes. Room for all of it is taken at once: a word that found none later would be a signal (SIGBUS)
    /// in the middle of a packet.
    ///
    /// The file is locked (`flock`) until the process ends, so that no other maps it at the same time. It must lie in a directory
    /// that only this user can write to.
    ///
    /// # Errors
    /// [`SharedWordsError`]; then nothing is mapped.
    pub fn open(path: impl AsRef<Path>, words: usize) -> Result<SharedWords, SharedWordsError> {
        let path = path.as_ref();
        let bytes = words.checked_mul(8).filter(|bytes| (1..=isize::MAX as usize).contains(bytes));
        let bytes = bytes.ok_or(SharedWordsError::Size { words })?;
        let fail = |step| {
            move |source: std::io::Error| SharedWordsError::Step {
                path: path.to_owned(),
                step,
                bytes: bytes as u64,
                source,
            }
        };
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(path).map_err(fail("opening"))?;
        check(&file, path).map_err(fail("looking at it"))??;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(SharedWordsError::InUse(path.to_owned())),
            Err(errno) => return Err(fail("locking")(errno.into())),
        }
        let kept = file.metadata().map_err(fail("asking for its size"))?.len() == bytes as u64;
        if !kept {
            file.set_len(0).and_then(|()| file.set_len(bytes as u64)).map_err(fail("setting its size"))?;
        }
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64).map_err(|e| fail("taking its room")(e.into()))?;
        let in_memory = fstatfs(&file).is_ok_and(|fs| IN_MEMORY.contains(&fs.f_type));
        let words = map(&file, words).map_err(|e| fail("mapping")(e.into()))?;
        // Never closed: that would release the lock.
        let _ = file.into_raw_fd();
        Ok(SharedWords { words, kept, in_memory })
    }

    /// The words.
    pub fn words(&self) -> &'static [AtomicU64] {
        self.words
    }

    /// Whether the file was there with this size, so that the words hold what an earlier process left.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whether the file lies in memory (tmpfs). On a disk it works as well, but the kernel writes the words back now and then.
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }
}

/// Refuses what another user may have prepared: then the size could be changed under the mapping.
fn check(file: &File, path: &Path) -> std::io::Result<Result<(), SharedWordsError>> {
    let found = file.metadata()?;
    let ours = found.is_file()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.permissions().mode() & 0o077 == 0
        && found.nlink() == 1;
    Ok(if ours { Ok(()) } else { Err(SharedWordsError::NotOurs(path.to_owned())) })
}

/// Maps the file's first `words` words, shared, and never unmaps them.
fn map(file: &File, words: usize) -> Result<&'static [AtomicU64], Errno> {
    // SAFETY: why needed: mmap has no safe form. Why sound: the kernel chooses the address (null hint, no MAP_FIXED), so no
    // existing mapping is touched; `words * 8` does not overflow, as the caller has checked.
    let ptr = unsafe {
        mmap(std::ptr::null_mut(), words * 8, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)?
    };
    // SAFETY: why needed: a slice over memory that the allocator does not know. Why sound: the mapping is page-aligned, at least
    // `words * 8` bytes long and never unmapped, hence 'static; any bits are a valid `AtomicU64`, and only as atomics are they
    // ever accessed: this is the one reference that is made, and the lock keeps other processes from making theirs. The file has
    // room for all of it, and nobody else may open it to make it shorter.
    Ok(unsafe { std::slice::from_raw_parts(ptr.cast::<AtomicU64>(), words) })
}
