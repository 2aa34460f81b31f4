//! A packet on its way through the path: the first frame of its chain, where the bytes lie in it, and the verdict.

use core::fmt;

use sluice_tables::PortId;

use crate::{CutTo, DropReason};

/// State of the layer 4 checksum of a packet that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is what it is: right, or for the receiver to find wrong.
    Complete,
    /// The checksum field holds the folded pseudo-header sum only, as a sender with checksum offload leaves it. The
    /// sender's port may be told so in the TX metadata; a port that cannot must have it completed: the ones'
    /// complement sum from `start` to the end of the IP packet, complemented, stored at `start + offset`.
    Partial {
        /// First byte to sum, from the start of the Ethernet frame.
        start: u16,
        /// The checksum field, from `start`.
        offset: u16,
    },
}

/// What is to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it to `port`. Also the verdict of a packet that was turned into a reply.
    Forward {
        /// Where to.
        port: PortId,
        /// State of its layer 4 checksum.
        checksum: Checksum,
    },
    /// Give its frames back.
    Drop(DropReason),
    /// Keep its frames under `slot` until [`crate::Path::released`] says what becomes of them.
    Park {
        /// A number below [`crate::PARKED`], free until now.
        slot: u16,
    },
}

/// A packet: a chain of frames, of which the path sees the first.
///
/// The bounds are checked once, by [`Packet::new`]; every later access is inside the room.
pub struct Packet<'f> {
    room: &'f mut [u8],
    start: usize,
    head_len: usize,
    total_len: usize,
    port: PortId,
    verdict: Verdict,
    cut_to: Option<CutTo>,
}

impl<'f> Packet<'f> {
    /// A packet that came from `port`. `room` is the whole chunk of its first frame; the packet's first `head_len`
    /// bytes begin at `start` in it, and the chain is `total_len` bytes long.
    ///
    /// Bounds that do not fit (`start + head_len` beyond the room, or `total_len` below `head_len`) make a packet
    /// without bytes that is dropped as [`DropReason::BadDescriptor`].
    #[must_use]
    #[inline]
    pub fn new(room: &'f mut [u8], start: usize, head_len: usize, total_len: usize, port: PortId) -> Self {
        let fits = start.checked_add(head_len).is_some_and(|end| end <= room.len()) && head_len <= total_len;
        if fits {
            Self { room, start, head_len, total_len, port, verdict: Verdict::Drop(DropReason::Undecided), cut_to: None }
        } else {
            let verdict = Verdict::Drop(DropReason::BadDescriptor);
            Self { room, start: 0, head_len: 0, total_len: 0, port, verdict, cut_to: None }
        }
    }

    /// The packet's bytes in its first frame.
    #[must_use]
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.room[self.start..self.start + self.head_len]
    }

    /// The packet's bytes in its first frame, to be written.
    #[must_use]
    #[inline]
    pub fn head_mut(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.start + self.head_len]
    }

    /// `N` bytes of the room from `at` bytes behind the packet's begin on, whether they are the packet's or not; `None` where the room
    /// has not as many.
    #[inline(always)]
    pub(crate) fn room_from<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
        self.room.get_mut(self.start..)?.get_mut(at..)?.first_chunk_mut()
    }

    /// `N` bytes of the room in front of the packet.
    #[inline]
    pub(crate) fn room_before<const N: usize>(&self) -> Option<&[u8; N]> {
        self.room.get(..self.start)?.last_chunk()
    }

    /// Where the packet's bytes begin in the room. A reply may begin elsewhere than its request did.
    #[must_use]
    #[inline]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Bytes in the first frame.
    #[must_use]
    #[inline]
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// Bytes in the whole chain. Equal to [`Packet::head_len`] when the packet needs its first frame only: the rest of
    /// the chain, if there is one, is then to be given back.
    #[must_use]
    #[inline]
    pub fn total_len(&self) -> usize {
        self.total_len
    }

    /// The port it came from.
    #[must_use]
    #[inline]
    pub fn port(&self) -> PortId {
        self.port
    }

    /// What is to become of it. Until [`crate::Path::run`] has seen it: dropped as [`DropReason::Undecided`].
    #[must_use]
    #[inline]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Set on a TCP super-frame that is forwarded but must not leave whole: what its segments may be. See [`crate::Cut`].
    #[must_use]
    #[inline]
    pub fn cut_to(&self) -> Option<CutTo> {
        self.cut_to
    }

    #[inline]
    pub(crate) fn cut(&mut self, to: Option<CutTo>) {
        self.cut_to = to;
    }

    /// Notes that what is to be cut begins `by` bytes further in than it did: it is in a tunnel now.
    #[inline]
    pub(crate) fn move_cut(&mut self, by: u16) {
        if let Some(to) = &mut self.cut_to {
            to.inner += by;
        }
    }

    #[inline]
    pub(crate) fn decide(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    /// Cuts a packet that is wholly in its first frame down to `len` bytes. Longer than it is, or a chain: unchanged.
    #[inline]
    pub(crate) fn trim(&mut self, len: usize) {
        if self.total_len == self.head_len && len < self.head_len {
            self.head_len = len;
            self.total_len = len;
        }
    }

    /// Drops `len` bytes at the front (a tunnel's headers), at most those in the first frame. They become headroom.
    #[inline]
    pub(crate) fn strip(&mut self, len: usize) {
        let len = len.min(self.head_len);
        self.start += len;
        self.head_len -= len;
        self.total_len -= len;
    }

    /// Makes the packet `len` bytes longer at its front, in the headroom; what follows stays where it is, chain included.
    /// The new bytes hold anything. Returns whether there was headroom; without, nothing changes.
    #[inline]
    #[must_use]
    pub(crate) fn prepend(&mut self, len: usize) -> bool {
        let Some(start) = self.start.checked_sub(len) else { return false };
        self.start = start;
        self.head_len += len;
        self.total_len += len;
        true
    }

    /// Makes the packet `before` bytes longer at its front and `len` bytes long in all, in its first frame alone. What
    /// it held follows the `before` new bytes, as far as it fits; new bytes hold anything. Bytes are only moved when
    /// there is no headroom. Returns whether there was room; without, nothing changes.
    pub(crate) fn reshape(&mut self, before: usize, len: usize) -> bool {
        let kept = self.head_len.min(len.saturating_sub(before));
        let start = match self.start.checked_sub(before) {
            Some(start) if start + len <= self.room.len() => start,
            _ if before <= len && len <= self.room.len() => {
                self.room.copy_within(self.start..self.start + kept, before);
                0
            }
            _ => return false,
        };
        self.start = start;
        self.head_len = len;
        self.total_len = len;
        true
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("port", &self.port)
            .field("start", &self.start)
            .field("head_len", &self.head_len)
            .field("total_len", &self.total_len)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sluice_tables::PortId;

    use super::{Packet, Verdict};
    use crate::DropReason;

    #[test]
    fn lying_bounds_make_an_empty_packet() {
        let mut room = [0_u8; 64];
        for (start, head, total) in [(60, 5, 5), (0, 65, 65), (65, 0, 0), (usize::MAX, 1, 1), (0, 10, 9)] {
            let packet = Packet::new(&mut room, start, head, total, PortId(1));
            assert_eq!(packet.verdict(), Verdict::Drop(DropReason::BadDescriptor));
            assert!(packet.head().is_empty());
        }
    }

    #[test]
    fn the_whole_room_may_be_used() {
        let mut room = [7_u8; 64];
        let packet = Packet::new(&mut room, 0, 64, 64, PortId(1));
        assert_eq!(packet.head().len(), 64);
        assert_eq!(packet.verdict(), Verdict::Drop(DropReason::Undecided));
    }

    #[test]
    fn what_is_stripped_can_be_prepended_again_and_the_chain_stays() {
        let mut room: [u8; 16] = core::array::from_fn(|byte| byte as u8);
        let mut packet = Packet::new(&mut room, 2, 8, 30, PortId(1));
        packet.strip(5);
        assert_eq!((packet.head(), packet.total_len()), (&[7, 8, 9][..], 25));
        assert!(packet.prepend(7));
        assert_eq!((packet.start(), packet.head_len(), packet.total_len()), (0, 10, 32));
        assert!(!packet.prepend(1));
        packet.strip(100);
        assert_eq!((packet.head_len(), packet.total_len()), (0, 22));
    }

    #[test]
    fn reshape_prefers_headroom_and_moves_bytes_without_it() {
        let mut room: [u8; 16] = core::array::from_fn(|byte| byte as u8);
        let mut packet = Packet::new(&mut room, 4, 8, 8, PortId(1));
        assert!(packet.reshape(4, 12));
        assert_eq!((packet.start(), &packet.head()[4..]), (0, &[4, 5, 6, 7, 8, 9, 10, 11][..]));

        let mut room: [u8; 16] = core::array::from_fn(|byte| byte as u8);
        let mut packet = Packet::new(&mut room, 2, 8, 8, PortId(1));
        assert!(packet.reshape(4, 10));
        assert_eq!((packet.start(), &packet.head()[4..]), (0, &[2, 3, 4, 5, 6, 7][..]));

        let mut packet = Packet::new(&mut room, 2, 8, 30, PortId(1));
        assert!(!packet.reshape(4, 17));
        assert_eq!((packet.start(), packet.head_len(), packet.total_len()), (2, 8, 30));
    }
}
