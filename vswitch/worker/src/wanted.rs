//! Neighbours that packets are waiting for, on their way to the control side, which has the kernel ask for them.
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use crate::between::{ArrayQueue, AtomicBool, Bell, Ordering};

/// Addresses that wait at most. What finds no room is asked for again with the next packet.
const ROOM: usize = 256;

/// A queue from all workers to the control side, with a bell.
#[derive(Debug)]
pub struct Wanted {
    queue: ArrayQueue<IpAddr>,
    /// The bell was rung and nobody has begun to take since. Set after an address was put in, reset before any is taken out:
    /// who finds it set knows that its address is still to be looked for.
    rung: AtomicBool,
    /// None for workers without threads: their owner looks after each turn.
    bell: Option<Bell>,
}

impl Wanted {
    pub(crate) fn new() -> Result<Wanted, Errno> {
        Ok(Wanted { bell: Some(Bell::new()?), ..Wanted::silent() })
    }

    /// Without a bell.
    pub(crate) fn silent() -> Wanted {
        Wanted { queue: ArrayQueue::new(ROOM), rung: AtomicBool::new(false), bell: None }
    }

    /// Worker: hands over what the path wants. One system call where the bell does not ring yet, and only then.
    #[cold]
    pub(crate) fn put(&self, first: IpAddr, rest: impl Iterator<Item = IpAddr>) {
        for address in std::iter::once(first).chain(rest) {
            if self.queue.push(address).is_err() {
                break;
            }
        }
        if let Some(bell) = &self.bell
            && !self.rung.swap(true, Ordering::AcqRel)
        {
            bell.ring();
        }
    }

    /// Readable when there is something to take.
    pub fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(|bell| bell.as_fd())
    }

    /// Sleeps until the bell rings.
    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn wait(&self) {
        self.bell.iter().for_each(Bell::wait);
    }

    /// Everything that is wanted now, each address once. Silences the bell.
    pub fn take(&self) -> Vec<IpAddr> {
        // First: what comes after this rings again.
        if let Some(bell) = &self.bell {
            bell.silence();
            self.rung.swap(false, Ordering::AcqRel);
        }
        let mut all: Vec<IpAddr> = std::iter::from_fn(|| self.queue.pop()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn rings(wanted: &Wanted) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(wanted.bell().expect("a bell"), PollFlags::IN)], Some(&at_once))
            .expect("poll")
            > 0
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    #[test]
    fn each_address_is_told_once_and_the_bell_rings_until_it_is_taken() {
        let wanted = Wanted::new().expect("an eventfd");
        assert!(!rings(&wanted) && wanted.take().is_empty());
        wanted.put(address(2), [address(1), address(2)].into_iter());
        wanted.put(address(1), std::iter::empty());
        assert!(rings(&wanted));
        assert_eq!(wanted.take(), [address(1), address(2)]);
        assert!(!rings(&wanted));
        wanted.put(address(3), std::iter::empty());
        assert!(rings(&wanted));
    }

    #[test]
    fn what_finds_no_room_is_left_out() {
        let wanted = Wanted::new().expect("an eventfd");
        wanted.put(address(0), (1..1000).map(address));
        assert_eq!(wanted.take().len(), ROOM);
        wanted.put(address(0), std::iter::empty());
        assert_eq!(wanted.take(), [address(0)]);
    }
}
