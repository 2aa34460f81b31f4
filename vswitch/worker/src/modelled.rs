//! What stands in for the bell, for sleeping and for the ring of a library in the model-checked tests.
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use rustix::io::Errno;
use sluice_xsk::modelled::Watched;

/// A bell that rings until it is silenced.
#[derive(Debug)]
pub(crate) struct Bell {
    rings: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(crate) fn new() -> Result<Bell, Errno> {
        Ok(Bell { rings: Mutex::new(false), heard: Condvar::new() })
    }

    pub(crate) fn ring(&self) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }

    pub(crate) fn silence(&self) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Sleeps until it rings. Without a bound: who is never woken makes the model fail.
    pub(crate) fn wait(&self) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rings {
            rings = self.heard.wait(rings).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("nobody polls in a model")
    }
}

/// Sleeps until the bell rings, however long that takes.
pub(crate) fn sleep<'a>(bell: &'a Bell, _: impl Iterator<Item = BorrowedFd<'a>>, _: Duration) -> bool {
    bell.wait();
    true
}

/// Makes rings with the orders of rtrb's: each side's index is stored with release and loaded by the other with acquire, only
/// when the last value of it leaves no room or nothing to take.
pub(crate) struct RingBuffer<T>(Infallible, T);

#[derive(Debug)]
struct Memory<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    slots: Box<[(Watched, Plain<Option<T>>)]>,
}

/// The end that puts in.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    memory: Arc<Memory<T>>,
    tail: usize,
    head_seen: usize,
}

/// The end that takes.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    memory: Arc<Memory<T>>,
    head: usize,
    tail_seen: usize,
}

/// Room that is to be filled.
pub(crate) struct Chunk<'a, T> {
    producer: &'a mut Producer<T>,
    room: usize,
}

impl<T> RingBuffer<T> {
    #[allow(clippy::new_ret_no_self, reason = "as the library has it")]
    pub(crate) fn new(room: usize) -> (Producer<T>, Consumer<T>) {
        let slots = (0..room).map(|_| (Watched::default(), Plain::new(None))).collect();
        let memory = Arc::new(Memory { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), slots });
        (Producer { memory: Arc::clone(&memory), tail: 0, head_seen: 0 }, Consumer { memory, head: 0, tail_seen: 0 })
    }
}

impl<T> Memory<T> {
    fn slot(&self, index: usize) -> &(Watched, Plain<Option<T>>) {
        &self.slots[index % self.slots.len()]
    }
}

impl<T> Producer<T> {
    /// Room for `count` at once, or how much there is.
    pub(crate) fn write_chunk_uninit(&mut self, count: usize) -> Result<Chunk<'_, T>, usize> {
        let room = |producer: &Self| producer.memory.slots.len() - (producer.tail - producer.head_seen);
        if room(self) < count {
            self.head_seen = self.memory.head.load(Ordering::Acquire);
        }
        if room(self) < count {
            return Err(room(self));
        }
        Ok(Chunk { producer: self, room: count })
    }
}

impl<T> Chunk<'_, T> {
    /// Fills it, and lets the other end see all of it at once.
    pub(crate) fn fill_from_iter(self, items: impl IntoIterator<Item = T>) -> usize {
        let Producer { memory, tail, .. } = self.producer;
        let mut filled = 0;
        for item in items.into_iter().take(self.room) {
            let (watched, slot) = memory.slot(*tail + filled);
            watched.write();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(item);
            filled += 1;
        }
        *tail += filled;
        memory.tail.store(*tail, Ordering::Release);
        filled
    }
}

impl<T> Consumer<T> {
    pub(crate) fn pop(&mut self) -> Result<T, ()> {
        if self.head == self.tail_seen {
            self.tail_seen = self.memory.tail.load(Ordering::Acquire);
        }
        if self.head == self.tail_seen {
            return Err(());
        }
        let (watched, slot) = self.memory.slot(self.head);
        // Takes it out, which the next to be put in must not overtake.
        watched.write();
        let item = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.head += 1;
        self.memory.head.store(self.head, Ordering::Release);
        item.ok_or(())
    }
}
