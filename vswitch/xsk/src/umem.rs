//! The packet memory, who owns each frame of it, and the depot of free frames.
#![allow(unsafe_code, reason = "memory shared with the kernel; the argument is in the crate's documentation")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(not(feature = "loom"))]
use crossbeam_queue::ArrayQueue;
use rustix::io::Errno;
use thiserror::Error;

use crate::CHUNK_SIZE;
use crate::atomic::{AtomicU16, Ordering};
use crate::features::Features;
use crate::frame::{Frame, Segment};
use crate::mapping::Mapping;
#[cfg(feature = "loom")]
use crate::modelled::{Queue as ArrayQueue, Watched};

/// Frames that make sense at least; a model can do with fewer, and is quicker.
const LEAST: u32 = if cfg!(feature = "loom") { 4 } else { 64 };

/// Whether packet memory lies in huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HugePages {
    /// Ordinary pages.
    Off,
    /// Huge pages when there are enough free ones, else ordinary pages.
    #[default]
    Auto,
    /// Huge pages, or refuse to start.
    Require,
}

/// How to make a [`Umem`].
#[derive(Debug, Clone, Copy)]
pub struct UmemConfig {
    /// Frames of [`CHUNK_SIZE`] bytes; 64 to 2^24.
    pub frames: u32,
    /// Huge pages or not.
    pub huge_pages: HugePages,
}

/// Why there is no packet memory.
#[derive(Debug, Error)]
pub enum UmemError {
    /// Number of frames out of range.
    #[error("umemFrames is {0}; it must be 64 to 16777216")]
    Frames(u32),
    /// The kernel gave no memory.
    #[error(
        "no packet memory of {bytes} bytes (huge pages: {huge}): {source}; lower umemFrames, free memory, or (huge pages) reserve them by vm.nr_hugepages or set hugePages: auto"
    )]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// Whether huge pages were asked for.
        huge: bool,
        /// What the kernel said.
        source: Errno,
    },
}

/// Owner word of a frame whose token is in user space.
const USER: u16 = 0;

/// Id of the rings that a frame was given to; 0 is user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingsId(pub(crate) u16);

/// How many frames are where, in a moment when no worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Free frames in the depot.
    pub depot: usize,
    /// Frames on some port's rings or in the kernel behind them.
    pub kernel: usize,
    /// Frames whose tokens are elsewhere in user space: pools, bursts (or lost).
    pub user: usize,
}

/// Memory of fixed-size frames, shared with the kernel by every port that is bound on it.
#[derive(Debug)]
pub struct Umem {
    id: u32,
    frames: u32,
    /// Who holds each frame: [`USER`] or a [`RingsId`]. Written by whoever gives a frame to a ring or takes it back: the
    /// owner of the token, or of the ring. Relaxed is enough: a token travels between threads only through channels that
    /// synchronise, and a ring has one owner at a time.
    owners: Box<[AtomicU16]>,
    depot: ArrayQueue<Frame>,
    rings_ids: Mutex<RingsIds>,
    anchor: Mutex<Option<Arc<OwnedFd>>>,
    features: Mutex<Features>,
    huge: bool,
    memfd: OwnedFd,
    mapping: Mapping,
    /// Each frame's bytes, for the model to see who reaches them.
    #[cfg(feature = "loom")]
    bytes: Box<[Watched]>,
}

#[derive(Debug, Default)]
struct RingsIds {
    next: u16,
    free: Vec<u16>,
}

static NEXT_UMEM: AtomicU32 = AtomicU32::new(1);

impl Umem {
    /// Maps the memory and fills the depot with one token for each frame.
    pub fn new(config: UmemConfig) -> Result<Arc<Umem>, UmemError> {
        if !(LEAST..=1 << 24).contains(&config.frames) {
            return Err(UmemError::Frames(config.frames));
        }
        let bytes = config.frames as usize * CHUNK_SIZE;
        let make = |huge: bool| {
            let bytes = if huge { bytes.next_multiple_of(2 << 20) } else { bytes };
            Mapping::memfd("sluice-umem", bytes, huge).map_err(|source| UmemError::Memory { bytes, huge, source })
        };
        let ((mapping, memfd), huge) = match config.huge_pages {
            HugePages::Off => (make(false)?, false),
            HugePages::Require => (make(true)?, true),
            HugePages::Auto => match make(true) {
                Ok(made) => (made, true),
                Err(_) => (make(false)?, false),
            },
        };
        let id = NEXT_UMEM.fetch_add(1, Ordering::Relaxed);
        let depot = ArrayQueue::new(config.frames as usize);
        for index in 0..config.frames {
            // The queue has room for each frame once.
            let _ = depot.push(Frame::new(index, id));
        }
        Ok(Arc::new(Umem {
            id,
            frames: config.frames,
            owners: (0..config.frames).map(|_| AtomicU16::new(USER)).collect(),
            depot,
            rings_ids: Mutex::new(RingsIds { next: 1, free: Vec::new() }),
            anchor: Mutex::new(None),
            features: Mutex::new(Features::default()),
            huge,
            memfd,
            mapping,
            #[cfg(feature = "loom")]
            bytes: (0..config.frames).map(|_| Watched::default()).collect(),
        }))
    }

    /// Frames in all.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether the memory lies in huge pages.
    pub fn in_huge_pages(&self) -> bool {
        self.huge
    }

    /// The memfd behind the memory, for a successor process.
    pub fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }

    /// The whole chunk of a frame.
    #[inline]
    pub fn chunk<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        let ptr = self.chunk_ptr(frame);
        #[cfg(feature = "loom")]
        self.bytes[frame.index() as usize].read();
        // SAFETY: why needed: the memory is shared with the kernel and other threads. Why sound: in bounds by
        // `chunk_ptr`; the token is borrowed, so nobody can hand the frame over or write to it meanwhile.
        unsafe { std::slice::from_raw_parts(ptr.as_ptr(), CHUNK_SIZE) }
    }

    /// The whole chunk of a frame, to write.
    #[inline]
    pub fn chunk_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        let ptr = self.chunk_ptr(frame);
        #[cfg(feature = "loom")]
        self.bytes[frame.index() as usize].write();
        // SAFETY: why needed: as for `chunk`. Why sound: in bounds; the only token of the frame is borrowed mutably, so
        // this is the only reference to its bytes.
        unsafe { std::slice::from_raw_parts_mut(ptr.as_ptr(), CHUNK_SIZE) }
    }

    /// The bytes of a packet in one segment; empty if the segment's fields were set beyond the chunk.
    #[inline]
    pub fn bytes<'a>(&'a self, segment: &'a Segment) -> &'a [u8] {
        let start = usize::from(segment.offset);
        self.chunk(&segment.frame).get(start..start + usize::from(segment.len)).unwrap_or(&[])
    }

    #[inline]
    fn chunk_ptr(&self, frame: &Frame) -> NonNull<u8> {
        assert!(frame.umem() == self.id && frame.index() < self.frames, "a frame of another UMEM");
        // SAFETY: why needed: address arithmetic. Why sound: index < frames, and the mapping has frames * CHUNK_SIZE bytes.
        unsafe { self.mapping.as_ptr().add(frame.index() as usize * CHUNK_SIZE) }
    }

    /// Address and length of the whole region, for `XDP_UMEM_REG`.
    pub(crate) fn region(&self) -> (u64, u64) {
        (self.mapping.as_ptr().as_ptr() as u64, self.frames as u64 * CHUNK_SIZE as u64)
    }

    /// Turns a token into the address of its chunk, owned by `rings` from now on.
    #[inline]
    pub(crate) fn hand_over(&self, frame: Frame, rings: RingsId) -> u64 {
        assert!(frame.umem() == self.id, "a frame of another UMEM");
        self.owners[frame.index() as usize].store(rings.0, Ordering::Relaxed);
        u64::from(frame.index()) * CHUNK_SIZE as u64
    }

    /// Turns an address that `rings` returned into a token and the offset within its chunk.
    /// `None` for an address outside the memory or of a frame that was not given to these rings.
    #[inline]
    pub(crate) fn take_back(&self, addr: u64, rings: RingsId) -> Option<(Frame, usize)> {
        let index = u32::try_from(addr / CHUNK_SIZE as u64).ok()?;
        let owner = self.owners.get(index as usize)?;
        if owner.load(Ordering::Relaxed) != rings.0 {
            return None;
        }
        owner.store(USER, Ordering::Relaxed);
        Some((Frame::new(index, self.id), (addr % CHUNK_SIZE as u64) as usize))
    }

    /// The bytes at `addr` of a frame that `rings` hold: for the far end of rings in plain memory.
    #[cfg(feature = "pair")]
    pub(crate) fn lent(&self, addr: u64, len: usize, rings: RingsId) -> NonNull<u8> {
        let index = (addr / CHUNK_SIZE as u64) as usize;
        let offset = (addr % CHUNK_SIZE as u64) as usize;
        let lent = self.owners.get(index).is_some_and(|o| o.load(Ordering::Relaxed) == rings.0);
        assert!(lent && offset + len <= CHUNK_SIZE, "the far end may touch only frames it was given");
        #[cfg(feature = "loom")]
        self.bytes[index].write();
        // SAFETY: why needed: address arithmetic. Why sound: index and offset were just checked.
        unsafe { self.mapping.as_ptr().add(index * CHUNK_SIZE + offset) }
    }

    /// Takes back every frame that `rings` hold, wherever in the kernel it was. For rings whose socket is closed.
    pub(crate) fn take_back_all(&self, rings: RingsId) -> usize {
        let mut count = 0;
        for index in 0..self.frames {
            if let Some((frame, _)) = self.take_back(u64::from(index) * CHUNK_SIZE as u64, rings) {
                self.give(frame);
                count += 1;
            }
        }
        count
    }

    /// Puts a free frame into the depot, from any thread.
    pub fn give(&self, frame: Frame) {
        assert!(frame.umem() == self.id, "a frame of another UMEM");
        // There is room for each frame, and each has one token.
        let _ = self.depot.push(frame);
    }

    /// Takes a free frame from the depot, from any thread.
    pub fn take(&self) -> Option<Frame> {
        self.depot.pop()
    }

    /// Free frames in the depot now.
    pub fn in_depot(&self) -> usize {
        self.depot.len()
    }

    /// Counts frames by place; exact only while no worker runs.
    pub fn census(&self) -> Census {
        let kernel = self.owners.iter().filter(|o| o.load(Ordering::Relaxed) != USER).count();
        let depot = self.depot.len();
        Census { depot, kernel, user: (self.frames as usize).saturating_sub(kernel + depot) }
    }

    pub(crate) fn new_rings(&self) -> Option<RingsId> {
        let mut ids = self.rings_ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = ids.free.pop() {
            return Some(RingsId(id));
        }
        let id = ids.next;
        ids.next = id.checked_add(1)?;
        Some(RingsId(id))
    }

    pub(crate) fn retire_rings(&self, id: RingsId) {
        self.rings_ids.lock().unwrap_or_else(PoisonError::into_inner).free.push(id.0);
    }

    /// The socket through which further sockets share this memory. Its lock is held while a socket binds: so there is one
    /// anchor, and it does not live on in a bind that is under way when its port is closed and its frames are taken back.
    pub(crate) fn anchor(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the anchor found usable; all off while nothing is bound.
    pub fn features(&self) -> Features {
        *self.features.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_features(&self, features: Features) {
        *self.features.lock().unwrap_or_else(PoisonError::into_inner) = features;
    }
}
