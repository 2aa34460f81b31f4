//! Network namespaces: open one, run code or a process in it.
//!
//! A namespace belongs to a thread. No function here moves the calling thread: work in another namespace is done on a
//! fresh thread that ends with it, so no thread of a pool is ever left in the wrong place.

mod named;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{FsType, fstatfs};

pub use named::NAMED_NAMESPACES;

use crate::error::{Error, ErrorKind, Failure};

/// What the calling thread's namespace is called in errors.
pub(crate) const HERE: &str = "the current namespace";

/// `NSFS_MAGIC` of the kernel's `include/uapi/linux/magic.h`.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// An open network namespace. It lives at least as long as this value, even if its name or last process goes.
#[derive(Debug)]
pub struct Netns {
    file: File,
    label: String,
}

/// Which namespace it is, comparable between different paths to the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

impl Netns {
    /// Opens the namespace at `path`, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the path does not exist (any more), [`ErrorKind::NotANamespace`] when it is
    /// something else, be it a namespace of another kind, [`ErrorKind::NotPermitted`] without CAP_SYS_ADMIN.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let label = path.display().to_string();
        let fail = |failure: Failure| Error::new("open network namespace", label.as_str(), HERE, failure);
        let netns = Self { file: open_nsfs(path).map_err(fail)?, label: label.clone() };
        // Only entering tells a network namespace from, say, a mount namespace: setns checks the kind (EINVAL).
        netns.on_fresh_thread(|| ()).map_err(|failure| match failure.kind {
            ErrorKind::Invalid => fail(ErrorKind::NotANamespace.into()),
            _ => fail(failure),
        })?;
        Ok(netns)
    }

    /// Opens the namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> Result<Self, Error> {
        let path = Path::new("/proc/thread-self/ns/net");
        let file =
            open_nsfs(path).map_err(|f| Error::new("open network namespace", path.display().to_string(), HERE, f))?;
        Ok(Self { file, label: HERE.to_owned() })
    }

    /// How this namespace is called in errors: its path, or `the current namespace`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The identity of the namespace behind this handle.
    ///
    /// # Errors
    /// Only if the kernel cannot stat an open file.
    pub fn id(&self) -> Result<NetnsId, Error> {
        let stat = rustix::fs::fstat(&self.file).map_err(|errno| {
            Error::new("identify", "network namespace", self.label(), std::io::Error::from(errno).into())
        })?;
        Ok(NetnsId { device: stat.st_dev, inode: stat.st_ino })
    }

    /// Runs `work` on a fresh thread inside this namespace and returns what it returns. The calling thread waits and
    /// stays where it is. A panic in `work` continues in the caller.
    ///
    /// In `work`, `/proc/sys/net` is this namespace's; `/proc/net` and `/sys/class/net` are not (the first follows the
    /// process's first thread, the second its mount): use `/proc/thread-self/net`.
    ///
    /// # Errors
    /// When the thread cannot be started or may not enter the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        self.on_fresh_thread(work).map_err(|failure| Error::new("enter", "network namespace", self.label(), failure))
    }

    /// Starts `command` inside this namespace.
    ///
    /// The process is a child of this process; do not ask for a parent-death signal, for the kernel would send it when
    /// the short-lived thread that starts the process ends.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the program cannot be started; the error names the program.
    pub fn spawn(&self, command: &mut Command) -> Result<Child, Error> {
        self.start(command, Command::spawn)
    }

    /// Runs `command` to its end inside this namespace and collects its output.
    ///
    /// # Errors
    /// As [`Netns::spawn`]. A program that fails is not an error: look at the status.
    pub fn output(&self, command: &mut Command) -> Result<Output, Error> {
        self.start(command, Command::output)
    }

    fn start<T: Send>(
        &self,
        command: &mut Command,
        how: impl FnOnce(&mut Command) -> std::io::Result<T> + Send,
    ) -> Result<T, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.run(|| how(command))?.map_err(|error| Error::new("start", program, self.label(), error.into()))
    }

    fn on_fresh_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        let file = &self.file;
        thread::scope(|scope| {
            let inside = move || -> Result<T, Errno> {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            };
            let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, inside)?;
            match thread.join() {
                Ok(result) => Ok(result?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Opens a file of the namespace file system and refuses any other. O_NONBLOCK: a path from outside may be a FIFO.
fn open_nsfs(path: &Path) -> Result<File, Failure> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match fstatfs(&file)?.filesystem_type() {
        NSFS_MAGIC => Ok(file),
        _ => Err(ErrorKind::NotANamespace.into()),
    }
}
