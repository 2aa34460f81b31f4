//! One side of a ring over shared memory (`net/xdp/xsk_queue.h`).
//!
//! A ring is a power-of-two array with a producer and a consumer index that only grow (modulo 2^32). Each index has one
//! writer. The reader of an entry acquires the producer index, the writer of an entry releases it; and the other way round
//! for the consumer index, so that an entry is not overwritten before it was read. Shown in every interleaving by
//! `tests/interleavings.rs`.
#![allow(unsafe_code, reason = "memory shared with the kernel; the argument is in the crate's documentation")]

use crate::atomic::Ordering;
#[cfg(feature = "loom")]
pub(crate) use crate::modelled::Words;
#[cfg(not(feature = "loom"))]
pub(crate) use crate::words::Words;
use crate::words::{Backing, Layout};

/// `XDP_RING_NEED_WAKEUP` in a ring's flags word (`include/uapi/linux/if_xdp.h`).
const NEED_WAKEUP: u32 = 1;

/// An rx or tx descriptor (`struct xdp_desc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Descriptor {
    /// Offset of the packet's first byte in the UMEM.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
    /// [`CONTINUED`] | [`TX_METADATA`].
    pub options: u32,
}

/// `XDP_PKT_CONTD`: the packet goes on in the next descriptor.
pub const CONTINUED: u32 = 1 << 0;
/// `XDP_TX_METADATA`: metadata lies in front of the packet.
pub const TX_METADATA: u32 = 1 << 1;

/// Types that may lie in a ring: plain data, any bit pattern valid.
///
/// # Safety
/// Every bit pattern of the type's size is a valid value, and it has no padding.
pub unsafe trait Entry: Copy + std::fmt::Debug + 'static {}
// SAFETY: why needed: fill and completion rings hold addresses. Why sound: an integer.
unsafe impl Entry for u64 {}
// SAFETY: why needed: rx and tx rings hold descriptors. Why sound: three integers, repr(C), 8 + 4 + 4 bytes, no padding.
unsafe impl Entry for Descriptor {}

/// The writing side of a ring.
#[derive(Debug)]
pub struct Producer<T: Entry> {
    words: Words<T>,
    /// Next index to write; ahead of the shared word until [`Producer::submit`].
    next: u32,
    /// The consumer index as last seen.
    seen: u32,
}

impl<T: Entry> Producer<T> {
    pub(crate) fn new(backing: Backing, layout: Layout, size: u32) -> Option<Producer<T>> {
        Some(Producer::over(Words::new(backing, layout, size)?))
    }

    pub(crate) fn over(words: Words<T>) -> Producer<T> {
        let next = words.producer().load(Ordering::Relaxed);
        let seen = words.consumer().load(Ordering::Acquire);
        Producer { words, next, seen }
    }

    /// Entries the ring holds.
    pub fn size(&self) -> u32 {
        self.words.size()
    }

    /// Entries that may be written now; looks at the consumer's word only if fewer than `want` are known to be free.
    #[inline]
    pub fn free(&mut self, want: u32) -> u32 {
        let known = self.words.size().saturating_sub(self.next.wrapping_sub(self.seen));
        if known >= want {
            return known;
        }
        self.seen = self.words.consumer().load(Ordering::Acquire);
        self.words.size().saturating_sub(self.next.wrapping_sub(self.seen))
    }

    /// Entries written or submitted that the far end has not consumed.
    pub fn outstanding(&mut self) -> u32 {
        self.seen = self.words.consumer().load(Ordering::Acquire);
        self.next.wrapping_sub(self.seen).min(self.words.size())
    }

    /// Writes the next entry; `false` when the ring is full. Unseen by the far end until [`Producer::submit`].
    #[inline]
    #[must_use]
    pub fn push(&mut self, entry: T) -> bool {
        if self.free(1) == 0 {
            return false;
        }
        // SAFETY: why needed: the slot is shared memory. Why sound: the slot is free: the consumer has passed it (acquired
        // in `free`) and will not read it before `submit` releases it.
        unsafe { self.words.write(self.next, entry) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Publishes everything written.
    #[inline]
    pub fn submit(&mut self) {
        self.words.producer().store(self.next, Ordering::Release);
    }

    /// Whether the kernel asks for a system call before it will look at the ring (`XDP_USE_NEED_WAKEUP`).
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.words.flags().load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// The reading side of a ring.
#[derive(Debug)]
pub struct Consumer<T: Entry> {
    words: Words<T>,
    /// Next index to read; ahead of the shared word until [`Consumer::release`].
    next: u32,
    /// The producer index as last seen.
    seen: u32,
}

impl<T: Entry> Consumer<T> {
    pub(crate) fn new(backing: Backing, layout: Layout, size: u32) -> Option<Consumer<T>> {
        Some(Consumer::over(Words::new(backing, layout, size)?))
    }

    pub(crate) fn over(words: Words<T>) -> Consumer<T> {
        let next = words.consumer().load(Ordering::Relaxed);
        let seen = words.producer().load(Ordering::Acquire);
        Consumer { words, next, seen }
    }

    /// Entries that may be read now; looks at the producer's word only if fewer than `want` are known.
    /// Never more than the ring holds, whatever the far end wrote.
    #[inline]
    pub fn available(&mut self, want: u32) -> u32 {
        let known = self.seen.wrapping_sub(self.next);
        if known >= want && known <= self.words.size() {
            return known;
        }
        self.seen = self.words.producer().load(Ordering::Acquire);
        self.seen.wrapping_sub(self.next).min(self.words.size())
    }

    /// The entry `ahead` places after the next one, without taking it; `None` beyond what is available.
    #[inline]
    pub fn peek(&mut self, ahead: u32) -> Option<T> {
        if self.available(ahead + 1) <= ahead {
            return None;
        }
        // SAFETY: why needed: the slot is shared memory. Why sound: the producer index acquired in `available` is past it,
        // so the producer has finished writing it and will not touch it before `release`.
        Some(unsafe { self.words.read(self.next.wrapping_add(ahead)) })
    }

    /// Takes the next entry. The slot is not free to the far end until [`Consumer::release`].
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let entry = self.peek(0)?;
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Gives the slots of all taken entries back.
    #[inline]
    pub fn release(&mut self) {
        self.words.consumer().store(self.next, Ordering::Release);
    }
}
