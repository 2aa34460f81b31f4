//! The words and entries of a ring in memory shared with its other side.
#![allow(unsafe_code, reason = "memory shared with the kernel; the argument is in the crate's documentation")]

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use crate::mapping::Mapping;
use crate::ring::Entry;

/// What keeps a ring's memory alive.
#[derive(Debug)]
pub(crate) enum Backing {
    Kernel(Mapping),
    #[cfg(feature = "pair")]
    Plain(std::sync::Arc<Mapping>),
}

impl Backing {
    fn mapping(&self) -> &Mapping {
        match self {
            Backing::Kernel(mapping) => mapping,
            #[cfg(feature = "pair")]
            Backing::Plain(mapping) => mapping,
        }
    }
}

/// Where a ring's words lie in its mapping, in bytes (`struct xdp_ring_offset`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) producer: usize,
    pub(crate) consumer: usize,
    pub(crate) flags: usize,
    pub(crate) entries: usize,
}

/// The words and entries of a ring, as one of its sides reaches them.
#[derive(Debug)]
pub(crate) struct Words<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
    _backing: Backing,
}

// SAFETY: why needed: raw pointers are not Send, and a port moves from the control thread to its worker.
// Why sound: the pointers lead into `_backing`, which moves along; entries are plain data; one side has one owner.
unsafe impl<T: Entry> Send for Words<T> {}

impl<T: Entry> Words<T> {
    /// Checks that everything `layout` names lies inside the mapping and is aligned.
    pub(crate) fn new(backing: Backing, layout: Layout, size: u32) -> Option<Words<T>> {
        let mapping = backing.mapping();
        let base = mapping.as_ptr();
        let word = |offset: usize| -> Option<NonNull<AtomicU32>> {
            let fits = offset.checked_add(4).is_some_and(|end| end <= mapping.len()) && offset.is_multiple_of(4);
            // SAFETY: why needed: address arithmetic. Why sound: the offset was just checked to lie in the mapping.
            fits.then(|| unsafe { base.add(offset) }.cast())
        };
        let bytes = (size as usize).checked_mul(size_of::<T>())?;
        let fits = layout.entries.checked_add(bytes).is_some_and(|end| end <= mapping.len());
        if !size.is_power_of_two() || !fits || !layout.entries.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: why needed: address arithmetic. Why sound: `entries + size * size_of::<T>()` was checked to lie within.
        let entries = unsafe { base.add(layout.entries) }.cast();
        Some(Words {
            producer: word(layout.producer)?,
            consumer: word(layout.consumer)?,
            flags: word(layout.flags)?,
            entries,
            size,
            _backing: backing,
        })
    }

    #[inline]
    pub(crate) fn producer(&self) -> &AtomicU32 {
        // SAFETY: why needed: the word is shared with the kernel. Why sound: checked by `new`, alive with `_backing`,
        // only ever accessed as an atomic.
        unsafe { self.producer.as_ref() }
    }

    #[inline]
    pub(crate) fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    #[inline]
    pub(crate) fn flags(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.flags.as_ref() }
    }

    /// Entries the ring holds.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Writes the entry of an index.
    ///
    /// # Safety
    /// Nobody else reads or writes that entry meanwhile.
    #[inline]
    pub(crate) unsafe fn write(&self, index: u32, entry: T) {
        // SAFETY: why needed: the slot is shared memory. Why sound: in bounds by `slot`, and the caller's alone.
        unsafe { self.slot(index).write(entry) };
    }

    /// Reads the entry of an index.
    ///
    /// # Safety
    /// It has been written, and nobody writes it meanwhile.
    #[inline]
    pub(crate) unsafe fn read(&self, index: u32) -> T {
        // SAFETY: why needed: the slot is shared memory. Why sound: in bounds by `slot`, and nobody writes it.
        unsafe { self.slot(index).read() }
    }

    #[inline]
    fn slot(&self, index: u32) -> NonNull<T> {
        // SAFETY: why needed: address arithmetic. Why sound: the mask keeps the slot below `size`, checked by `new`.
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }
    }
    /// Both sides' words of a ring in plain memory.
    #[cfg(feature = "pair")]
    pub(crate) fn plain(size: u32) -> Option<(Words<T>, Words<T>)> {
        let layout = Layout { producer: 0, consumer: 64, flags: 128, entries: 192 };
        let len = layout.entries + size as usize * size_of::<T>();
        let (mapping, _) = Mapping::memfd("sluice-ring", len, false).ok()?;
        let mapping = std::sync::Arc::new(mapping);
        let side = |mapping| Words::new(Backing::Plain(mapping), layout, size);
        Some((side(mapping.clone())?, side(mapping)?))
    }
}
