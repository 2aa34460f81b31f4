//! Fragments: only the first says which ports the packet is for, so those that come before it wait for it. Nothing is put
//! together here; each fragment goes its way on its own.

use std::net::IpAddr;

use sluice_wire::parse::Headers;

use crate::{DropReason, Release, Time};

/// What all fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) identification: u32,
    /// 0 in IPv6, where only the first fragment's counts (RFC 8200 section 4.5).
    pub(crate) protocol: u8,
}

/// One fragment: whose it is, and which bytes of the packet's payload it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) key: Key,
    pub(crate) start: u16,
    pub(crate) end: u16,
    pub(crate) last: bool,
}

impl Piece {
    /// Reads it from the head that was parsed as `headers`. `None` for a packet that is whole.
    pub(crate) fn of(head: &[u8], headers: &Headers) -> Option<Piece> {
        let _ = (head, headers);
        None
    }
}

/// What the first fragment says of the transport: as in a tuple, an echo's identifier included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) protocol: u8,
}

/// What is done with a later fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// The first fragment has come: these are the ports.
    Known(Ports),
    /// It has not: the worker keeps the packet under this slot.
    Park(u16),
    /// Dropped.
    Drop(DropReason),
}

/// The fragmented packets that a worker knows of. Fixed size: nothing is allocated after [`Fragments::new`].
#[derive(Clone, Debug)]
pub(crate) struct Fragments {}

impl Fragments {
    /// Knows of none. `seed` keeps senders from choosing which packets push out which.
    pub(crate) fn new(seed: u64) -> Self {
        let _ = seed;
        Self {}
    }

    /// A first fragment came, whose packet has these ports; what waited for it is released.
    ///
    /// # Errors
    /// [`DropReason::FragmentOverlap`] when it, or another before it, overlaps one that came earlier.
    pub(crate) fn first(&mut self, now: Time, piece: &Piece, ports: Ports) -> Result<(), DropReason> {
        let _ = (now, piece, ports);
        Ok(())
    }

    /// A later fragment came.
    pub(crate) fn later(&mut self, now: Time, piece: &Piece) -> Later {
        let _ = (now, piece);
        Later::Drop(DropReason::Malformed)
    }

    /// Forgets what has waited too long. Looks at a few packets at a time: to be called once a burst.
    pub(crate) fn expire(&mut self, now: Time) {
        let _ = now;
    }

    /// The next packet that need not wait any longer. To be asked until `None` once a burst.
    pub(crate) fn released(&mut self) -> Option<(u16, Release)> {
        None
    }
}
