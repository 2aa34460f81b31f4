//! Sleeping until a port receives, the bell rings or the time is up.
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::event::epoll;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;

/// The descriptors a worker sleeps on. An epoll set rather than poll(2): entered once when a port is added, not built anew
/// for each sleep, and its cost does not grow with quiet ports.
#[derive(Debug)]
pub(crate) struct Sleeper {
    set: OwnedFd,
}

impl Sleeper {
    pub(crate) fn new() -> Result<Sleeper, Errno> {
        Ok(Sleeper { set: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Wakes for input on `fd`.
    pub(crate) fn watch(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        epoll::add(&self.set, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
    }

    /// No longer wakes for `fd`.
    pub(crate) fn forget(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.set, fd);
    }

    /// Sleeps at most for `limit`; returns whether something happened.
    pub(crate) fn sleep(&self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        // What happened is found by the next turn, which polls every port anyway.
        let mut events = [const { MaybeUninit::uninit() }; 1];
        epoll::wait(&self.set, &mut events, Some(&limit)).is_ok_and(|(happened, _)| !happened.is_empty())
    }
}
