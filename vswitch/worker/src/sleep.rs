//! Sleeping until a port receives, the bell rings or the time is up.
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::time::Timespec;

use crate::between::Bell;

/// Sleeps at most for `limit` in poll(2); returns whether something happened.
///
/// A set that is made anew for each sleep, and not one that the sockets stay entered in (epoll): while a worker is busy nothing
/// waits on its sockets, so the core that delivers a packet has nobody to wake and nothing to lock.
pub(crate) fn sleep<'a>(bell: &'a Bell, sockets: impl Iterator<Item = BorrowedFd<'a>>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
    let sockets = sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN));
    let mut set: Vec<PollFd<'_>> =
        std::iter::once(PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN)).chain(sockets).collect();
    // What happened is found by the next turn, which polls every port anyway.
    poll(&mut set, Some(&limit)).is_ok_and(|happened| happened > 0)
}
