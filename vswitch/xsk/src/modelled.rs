//! What stands in for shared memory and for the queues of a library in the model-checked tests.
//!
//! A model sees what goes through loom's types alone. A ring's index words are loom's atomics here, and what they guard, its
//! entries and the bytes of frames, is [`Watched`]: reached by two threads of which neither knows of the other's access, it
//! fails the test. A library's queue is taken to be right; [`Queue`] promises its user no more order than that.
#![allow(unsafe_code, reason = "loom's cell is not Sync; that is what it checks")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex as Plain, PoisonError};

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::ring::Entry;
use crate::words::{Backing, Layout};

/// Something that threads take turns at: a model fails where two of them reach it and neither knows of the other's access, one
/// of them to write.
#[derive(Debug, Default)]
pub struct Watched(UnsafeCell<()>);

// SAFETY: why needed: loom's cell is not Sync, so that its users say who reaches it when. Why sound: there is nothing in it, and
// loom runs one thread at a time; an access that is not ordered ends the test.
unsafe impl Sync for Watched {}

impl Watched {
    /// Reads it.
    pub fn read(&self) {
        self.0.with(|_| ());
    }

    /// Writes it.
    pub fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

/// A queue of fixed room for several threads on either side, as crossbeam's `ArrayQueue`: who takes something knows all that
/// whoever put it in knew. That it is empty is told without a lock, as there, and orders nothing.
#[derive(Debug)]
pub struct Queue<T> {
    room: usize,
    held: Mutex<VecDeque<T>>,
    len: AtomicUsize,
}

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new(room: usize) -> Queue<T> {
        Queue { room, held: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0) }
    }

    /// Puts one in, or gives it back where there is no room.
    ///
    /// # Errors
    /// The one that found no room.
    pub fn push(&self, one: T) -> Result<(), T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == self.room {
            return Err(one);
        }
        held.push_back(one);
        self.len.store(held.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes the one that was put in first.
    pub fn pop(&self) -> Option<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let one = held.pop_front();
        self.len.store(held.len(), Ordering::Relaxed);
        one
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The words and entries of a ring, both sides' alike.
#[derive(Debug)]
pub(crate) struct Words<T>(Arc<Memory<T>>);

#[derive(Debug)]
struct Memory<T> {
    producer: AtomicU32,
    consumer: AtomicU32,
    flags: AtomicU32,
    entries: Box<[(Watched, Plain<Option<T>>)]>,
}

impl<T: Entry> Words<T> {
    /// There are no rings of the kernel in a model.
    pub(crate) fn new(_: Backing, _: Layout, _: u32) -> Option<Words<T>> {
        None
    }

    /// Both sides' words of a ring.
    pub(crate) fn plain(size: u32) -> Option<(Words<T>, Words<T>)> {
        let entries = (0..size).map(|_| Default::default()).collect();
        let word = || AtomicU32::new(0);
        let memory = Arc::new(Memory { producer: word(), consumer: word(), flags: word(), entries });
        size.is_power_of_two().then(|| (Words(Arc::clone(&memory)), Words(memory)))
    }

    pub(crate) fn producer(&self) -> &AtomicU32 {
        &self.0.producer
    }

    pub(crate) fn consumer(&self) -> &AtomicU32 {
        &self.0.consumer
    }

    pub(crate) fn flags(&self) -> &AtomicU32 {
        &self.0.flags
    }

    pub(crate) fn size(&self) -> u32 {
        self.0.entries.len() as u32
    }

    fn entry(&self, index: u32) -> &(Watched, Plain<Option<T>>) {
        &self.0.entries[(index & (self.size() - 1)) as usize]
    }

    /// As `words::Words::write`; unsafe only there.
    pub(crate) unsafe fn write(&self, index: u32, entry: T) {
        let (watched, slot) = self.entry(index);
        watched.write();
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
    }

    /// As `words::Words::read`; unsafe only there.
    pub(crate) unsafe fn read(&self, index: u32) -> T {
        let (watched, slot) = self.entry(index);
        watched.read();
        slot.lock().unwrap_or_else(PoisonError::into_inner).expect("an entry is read after it was written")
    }
}
