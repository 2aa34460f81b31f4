//! Namespaces with a name under `/run/netns`, laid out as iproute2 does, so that `ip netns` sees and removes them too.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{FlockOperation, flock};

use super::{HERE, Netns};
use crate::error::{Error, ErrorKind, Failure};

/// Where named namespaces are kept (`NETNS_RUN_DIR` of iproute2).
pub const NAMED_NAMESPACES: &str = "/run/netns";

const NO_PATH: Option<&Path> = None;

impl Netns {
    /// Makes a new, empty network namespace (its loopback is down) named `name` under [`NAMED_NAMESPACES`].
    ///
    /// It stays until [`Netns::delete`], or a reboot.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] for a taken name, [`ErrorKind::BadName`], [`ErrorKind::NotPermitted`] without
    /// CAP_SYS_ADMIN. Nothing is left behind by a failure.
    pub fn create(name: &str) -> Result<Self, Error> {
        let fail = |failure| Error::new("create network namespace", name, HERE, failure);
        let path = path_of(name).map_err(fail)?;
        let _lock = prepare_directory().map_err(fail)?;
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| fail(error.into()))?;
        match mount_new_namespace(&path) {
            Ok(()) => Self::open(&path),
            Err(failure) => {
                // The name is ours: create_new made it. If it cannot be removed, the first failure is still the cause.
                let _ = fs::remove_file(&path);
                Err(fail(failure))
            }
        }
    }

    /// Opens the namespace called `name` under [`NAMED_NAMESPACES`].
    ///
    /// # Errors
    /// As [`Netns::open`], and [`ErrorKind::BadName`].
    pub fn open_named(name: &str) -> Result<Self, Error> {
        let path = path_of(name).map_err(|failure| Error::new("open network namespace", name, HERE, failure))?;
        Self::open(path)
    }

    /// Removes the name `name`. The namespace itself, with the devices made in it, ends as soon as no process and no
    /// open [`Netns`] holds it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that name.
    pub fn delete(name: &str) -> Result<(), Error> {
        let fail = |failure| Error::new("delete network namespace", name, HERE, failure);
        let path = path_of(name).map_err(fail)?;
        let _lock = lock_directory().map_err(fail)?;
        // A name may have been mounted over; each layer holds a namespace.
        loop {
            match umount2(&path, MntFlags::MNT_DETACH) {
                Ok(()) => {}
                // EINVAL: no mount point (any more), only the file.
                Err(Errno::EINVAL) => break,
                Err(errno) => return Err(fail(errno.into())),
            }
        }
        fs::remove_file(&path).map_err(|error| fail(error.into()))
    }

    /// The names under [`NAMED_NAMESPACES`], sorted. None when the directory does not exist.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names() -> Result<Vec<String>, Error> {
        let fail = |error: io::Error| Error::new("list network namespaces of", NAMED_NAMESPACES, HERE, error.into());
        let entries = match fs::read_dir(NAMED_NAMESPACES) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 cannot be ours.
            names.extend(entry.map_err(fail)?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn path_of(name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(ErrorKind::BadName("a namespace name is one path component of 1 to 255 bytes, not hidden").into());
    }
    Ok(Path::new(NAMED_NAMESPACES).join(name))
}

/// iproute2 takes the same lock, so neither rearranges the mounts under the other.
fn lock_directory() -> Result<File, Failure> {
    let directory = File::open(NAMED_NAMESPACES)?;
    flock(&directory, FlockOperation::LockExclusive).map_err(io::Error::from)?;
    Ok(directory)
}

/// Makes the directory a shared mount point. Without that a later `ip netns add` would mount the directory over
/// itself, and a name deleted through the upper layer would stay alive in the lower one.
fn prepare_directory() -> Result<File, Failure> {
    fs::create_dir_all(NAMED_NAMESPACES)?;
    let lock = lock_directory()?;
    let share = || mount(NO_PATH, NAMED_NAMESPACES, NO_PATH, MsFlags::MS_SHARED | MsFlags::MS_REC, NO_PATH);
    match share() {
        Ok(()) => {}
        // EINVAL: not a mount point yet.
        Err(Errno::EINVAL) => {
            let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(Some(NAMED_NAMESPACES), NAMED_NAMESPACES, NO_PATH, bind, NO_PATH)?;
            share()?;
        }
        Err(errno) => return Err(errno.into()),
    }
    Ok(lock)
}

fn mount_new_namespace(path: &Path) -> Result<(), Failure> {
    thread::scope(|scope| {
        let inside = || -> Result<(), Errno> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            mount(Some("/proc/thread-self/ns/net"), path, NO_PATH, MsFlags::MS_BIND, NO_PATH)
        };
        let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, inside)?;
        match thread.join() {
            Ok(result) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let long = "x".repeat(256);
        for name in ["", ".", "..", "a/b", "../etc/passwd", "a\0b", ".hidden", long.as_str()] {
            assert!(matches!(path_of(name).unwrap_err().kind, ErrorKind::BadName(_)), "{name:?}");
        }
        assert_eq!(path_of("slu-a").unwrap(), Path::new("/run/netns/slu-a"));
    }
}
