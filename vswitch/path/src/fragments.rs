//! Fragments: only the first says which ports the packet is for, so those that come before it wait for it. Nothing is put
//! together here; each fragment goes its way on its own.

mod piece;

use core::hash::Hasher;
use std::hash::{DefaultHasher, Hash};
use std::net::IpAddr;

pub(crate) use piece::{Key, Piece};

use crate::{DropReason, Time};

/// How many packets one path has parked at once at most; the slots are numbered from 0.
pub const PARKED: usize = 64;
/// How many of them one sender may have: others are to find room as well.
const PARKED_BY_ONE: usize = 16;
/// How many fragmented packets are known at once: `SETS` sets of `WAYS`, of which a packet's key chooses one.
const SETS: usize = 64;
const WAYS: usize = 4;
/// How many fragments a packet may have. At the least MTU of IPv6 the longest packet takes 54.
const RANGES: usize = 64;
/// How long a packet is remembered whose first fragment has come, in nanoseconds: as long as Linux waits for the others
/// (`IP_FRAG_TIME`); RFC 791 and RFC 8200 give the receiver 60 s, but what is lost after 30 no longer matters to it.
const KNOWN_FOR: u64 = 30_000_000_000;
/// How long later fragments wait for the first. They are sent at once and only overtake one another on the way, while each
/// holds frames that others need.
const WAIT: u64 = 1_000_000_000;
/// How many packets [`Fragments::expire`] looks at.
const LOOKS: usize = 8;

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

/// What becomes of a parked packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Put it through the path again, as it came.
    Run,
    /// Give its frames back. The path has counted it.
    Drop(DropReason),
}

/// Bytes of a packet that a fragment had.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    start: u16,
    end: u16,
    /// The fragment went its way, and need not be asked for again.
    passed: bool,
}

/// One fragmented packet.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Option<Key>,
    since: Time,
    ports: Option<Ports>,
    /// Why every further fragment is dropped.
    spoilt: Option<DropReason>,
    /// Length of the whole, once the last fragment has told it.
    length: Option<u16>,
    count: u8,
    ranges: [Range; RANGES],
}

impl Entry {
    const FREE: Entry = Entry {
        key: None,
        since: Time(0),
        ports: None,
        spoilt: None,
        length: None,
        count: 0,
        ranges: [Range { start: 0, end: 0, passed: false }; RANGES],
    };

    /// Takes note of the bytes that `piece` has. Bytes that came before are taken only in the very same fragment: a duplicate,
    /// which the network may make, or one that waited and comes again (RFC 8200 section 4.5 leaves that open; RFC 5722 has all
    /// fragments of a packet dropped for any other overlap). The result is where the range is noted.
    fn note(&mut self, piece: &Piece) -> Result<usize, DropReason> {
        const OVERLAP: DropReason = DropReason::FragmentOverlap;
        let ends = piece.last.then_some(piece.end).or(self.length);
        let contradicts = piece.last && self.length.is_some_and(|length| length != piece.end);
        if contradicts || ends.is_some_and(|end| piece.end > end) {
            return Err(OVERLAP);
        }
        let known = &self.ranges[..usize::from(self.count)];
        for (at, range) in known.iter().enumerate() {
            if (range.start, range.end) == (piece.start, piece.end) {
                return Ok(at);
            }
            let beyond = ends.is_some_and(|end| range.end > end);
            if beyond || (range.start < piece.end && piece.start < range.end) {
                return Err(OVERLAP);
            }
        }
        let at = usize::from(self.count);
        let Some(range) = self.ranges.get_mut(at) else { return Err(DropReason::FragmentsFull) };
        *range = Range { start: piece.start, end: piece.end, passed: false };
        self.count += 1;
        self.length = ends;
        Ok(at)
    }

    /// Whether every byte has gone its way.
    fn is_done(&self) -> bool {
        let ranges = &self.ranges[..usize::from(self.count)];
        let passed: u32 =
            ranges.iter().filter(|range| range.passed).map(|range| u32::from(range.end - range.start)).sum();
        self.length.is_some_and(|length| passed == u32::from(length))
    }

    /// When it is forgotten.
    fn deadline(&self) -> Time {
        let kept = if self.ports.is_some() || self.spoilt.is_some() { KNOWN_FOR } else { WAIT };
        Time(self.since.0.saturating_add(kept))
    }
}

/// What a slot of the worker holds.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Free,
    /// A fragment of the packet in this entry, sent from this address.
    Waits(u16, IpAddr),
    Released(Release),
}

/// The fragmented packets that a worker knows of. Fixed size: nothing is allocated after [`Fragments::new`]. Where a new one finds
/// no room it pushes out the oldest of its set, so that packets whose fragments never come cannot shut others out for long.
#[derive(Clone, Debug)]
pub(crate) struct Fragments {
    seed: u64,
    entries: Box<[Entry]>,
    slots: [Slot; PARKED],
    /// How many slots are released.
    released: usize,
    /// The entry that `expire` looks at next.
    next: usize,
    /// Entries that are in use.
    used: usize,
}

impl Fragments {
    /// Knows of none. `seed` keeps senders from choosing which packets push out which.
    pub(crate) fn new(seed: u64) -> Self {
        let entries = vec![Entry::FREE; SETS * WAYS].into_boxed_slice();
        Self { seed, entries, slots: [Slot::Free; PARKED], released: 0, next: 0, used: 0 }
    }

    /// A first fragment came, whose packet has these ports; what waited for it is released.
    ///
    /// # Errors
    /// [`DropReason::FragmentOverlap`] when it or one before it overlaps another, [`DropReason::FragmentsFull`] when the packet
    /// has more fragments than any host makes. Then all of the packet is dropped, what comes later too.
    pub(crate) fn first(&mut self, now: Time, piece: &Piece, ports: Ports) -> Result<(), DropReason> {
        let at = self.entry(now, &piece.key);
        let entry = &mut self.entries[at];
        if entry.ports.is_some_and(|known| known != ports) {
            return Err(self.spoil(at, DropReason::FragmentOverlap));
        }
        self.note(at, piece).map(|range| self.entries[at].ranges[range].passed = true)?;
        self.entries[at].ports = Some(ports);
        self.release(at, Release::Run);
        self.forget_if_done(at);
        Ok(())
    }

    /// A later fragment came.
    pub(crate) fn later(&mut self, now: Time, piece: &Piece) -> Later {
        let at = self.entry(now, &piece.key);
        let before = self.entries[at].count;
        let range = match self.note(at, piece) {
            Ok(range) => range,
            Err(reason) => return Later::Drop(reason),
        };
        if let Some(ports) = self.entries[at].ports {
            self.entries[at].ranges[range].passed = true;
            self.forget_if_done(at);
            return Later::Known(ports);
        }
        if self.entries[at].count == before {
            // The very same waits already. If both did, the second would be news once the packet is done with.
            return Later::Drop(DropReason::FragmentOverlap);
        }
        self.park(at, piece.key.source).map_or_else(
            || {
                self.entries[at].count = before;
                Later::Drop(DropReason::FragmentsFull)
            },
            Later::Park,
        )
    }

    /// Forgets what has waited too long. Looks at a few packets at a time: to be called once a burst, and also when there is none.
    pub(crate) fn expire(&mut self, now: Time) {
        if self.used == 0 {
            return;
        }
        for _ in 0..LOOKS {
            let at = self.next;
            self.next = if at + 1 < self.entries.len() { at + 1 } else { 0 };
            if self.entries[at].key.is_some() && now > self.entries[at].deadline() {
                self.forget(at, DropReason::FragmentTimeout);
            }
        }
    }

    /// The next packet that need not wait any longer. To be asked until `None` once a burst: until then its slot is taken.
    pub(crate) fn released(&mut self) -> Option<(u16, Release)> {
        if self.released == 0 {
            return None;
        }
        let found = self.slots.iter_mut().enumerate().find_map(|(number, slot)| match *slot {
            Slot::Released(release) => {
                *slot = Slot::Free;
                Some((number as u16, release))
            }
            _ => None,
        });
        self.released = if found.is_some() { self.released - 1 } else { 0 };
        found
    }

    /// The entry of a packet: its own, a free one, or that of the oldest of its set, which is forgotten.
    fn entry(&mut self, now: Time, key: &Key) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, key).hash(&mut hasher);
        let first = hasher.finish() as usize % SETS * WAYS;
        let set = first..first + WAYS;
        if let Some(own) = set.clone().find(|at| self.entries[*at].key.as_ref() == Some(key)) {
            if now <= self.entries[own].deadline() {
                return own;
            }
            self.forget(own, DropReason::FragmentTimeout);
        }
        let order = |at: &usize| (self.entries[*at].key.is_some(), self.entries[*at].since);
        let at = set.min_by_key(order).unwrap_or(first);
        self.forget(at, DropReason::FragmentsFull);
        self.entries[at].key = Some(*key);
        self.used += 1;
        self.entries[at].since = now;
        at
    }

    fn note(&mut self, at: usize, piece: &Piece) -> Result<usize, DropReason> {
        if let Some(reason) = self.entries[at].spoilt {
            return Err(reason);
        }
        self.entries[at].note(piece).map_err(|reason| self.spoil(at, reason))
    }

    fn spoil(&mut self, at: usize, reason: DropReason) -> DropReason {
        self.entries[at].spoilt = Some(reason);
        self.release(at, Release::Drop(reason));
        reason
    }

    fn park(&mut self, at: usize, source: IpAddr) -> Option<u16> {
        let own = |slot: &&Slot| matches!(slot, Slot::Waits(_, sender) if *sender == source);
        if self.slots.iter().filter(own).count() >= PARKED_BY_ONE {
            return None;
        }
        let number = self.slots.iter().position(|slot| matches!(slot, Slot::Free))?;
        self.slots[number] = Slot::Waits(at as u16, source);
        Some(number as u16)
    }

    fn release(&mut self, at: usize, release: Release) {
        for slot in &mut self.slots {
            if matches!(*slot, Slot::Waits(entry, _) if usize::from(entry) == at) {
                *slot = Slot::Released(release);
                self.released += 1;
            }
        }
    }

    fn forget_if_done(&mut self, at: usize) {
        if self.entries[at].is_done() {
            self.free(at);
        }
    }

    fn free(&mut self, at: usize) {
        self.entries[at] = Entry::FREE;
        self.used -= 1;
    }

    fn forget(&mut self, at: usize, reason: DropReason) {
        if self.entries[at].key.is_some() {
            self.release(at, Release::Drop(reason));
            self.free(at);
        }
    }
}

#[cfg(test)]
mod tests;
