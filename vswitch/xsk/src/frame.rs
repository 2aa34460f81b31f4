//! Move-only tokens for frames.
use arrayvec::ArrayVec;

use crate::{CHUNK_SIZE, MAX_SEGMENTS};

/// The right to use one frame (chunk) of a [`crate::Umem`]: neither `Copy` nor `Clone`, so a frame is never used twice.
///
/// A token must end in a ring, in a [`crate::Pool`] or in the UMEM's depot. A token that is merely dropped is a frame lost
/// until the process ends; `Umem::census` shows it.
///
/// ```compile_fail
/// fn twice(frame: sluice_xsk::Frame) -> (sluice_xsk::Frame, sluice_xsk::Frame) {
///     (frame, frame)
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped frame is lost to the switch"]
pub struct Frame {
    index: u32,
    umem: u32,
}

impl Frame {
    /// Only `Umem` makes tokens; see the safety argument of the crate.
    pub(crate) fn new(index: u32, umem: u32) -> Frame {
        Frame { index, umem }
    }

    /// Which chunk of the UMEM this is.
    pub fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn umem(&self) -> u32 {
        self.umem
    }
}

/// A frame and the bytes of a packet that are in it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped segment is a frame lost to the switch"]
pub struct Segment {
    /// The frame.
    pub frame: Frame,
    /// First byte of the packet within the chunk.
    pub offset: u16,
    /// Bytes of the packet in this frame.
    pub len: u16,
}

impl Segment {
    /// A segment of `len` bytes at `offset`; `None` (and the frame back) where that leaves the chunk.
    pub fn new(frame: Frame, offset: usize, len: usize) -> Result<Segment, Frame> {
        if offset > CHUNK_SIZE || len > CHUNK_SIZE - offset {
            return Err(frame);
        }
        Ok(Segment { frame, offset: offset as u16, len: len as u16 })
    }
}

/// Where one packet of a [`Burst`] lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packet {
    /// Segments in the packet, 1 to [`MAX_SEGMENTS`].
    pub segments: u16,
    /// Bytes in all its segments.
    pub len: u32,
}

/// Packets received together: their segments in order, and how many belong to each.
///
/// Fixed capacity, allocated once by its owner.
#[derive(Debug)]
pub struct Burst {
    /// Segments of all packets, in order.
    pub segments: Vec<Segment>,
    /// The packets, in order.
    pub packets: ArrayVec<Packet, { Burst::PACKETS }>,
}

impl Burst {
    /// Packets in a burst at most.
    pub const PACKETS: usize = 64;
    /// Segments in a burst at most: a full burst of ordinary packets or 28 of the longest super-frames.
    pub const SEGMENTS: usize = 512;

    /// An empty burst with all its memory.
    pub fn new() -> Burst {
        Burst { segments: Vec::with_capacity(Self::SEGMENTS), packets: ArrayVec::new() }
    }

    /// Whether one more packet of any length still fits.
    pub fn has_room(&self) -> bool {
        !self.packets.is_full() && self.segments.len() + MAX_SEGMENTS <= Self::SEGMENTS
    }
}

impl Default for Burst {
    fn default() -> Self {
        Burst::new()
    }
}
