//! The words that a table lies in: the process's own, or some that outlive it.

use crate::atomic::{AtomicU64, Ordering};
use crate::layout::{Line, WORDS};

/// A table's words. Every access is atomic, so memory shared with another process needs no `unsafe` here: whatever
/// that process writes is a value, and values out of memory are checked before they lead anywhere.
pub(crate) enum Memory {
    /// On the heap; the first `skip` words are left out so that lines begin where cache lines do.
    Own { words: Vec<AtomicU64>, skip: usize },
    /// Mapped, for as long as the process lives.
    Shared(&'static [AtomicU64]),
}

impl Memory {
    /// That many lines of zeros. Pages that are never written take no memory.
    pub(crate) fn zeroed(lines: usize) -> Memory {
        let words = zeros((lines + 1) * WORDS);
        let skip = lead_in(&words);
        Memory::Own { words, skip }
    }

    /// All lines.
    #[inline]
    pub(crate) fn lines(&self) -> &[Line] {
        let words = match self {
            Memory::Own { words, skip } => words.get(*skip..).unwrap_or_default(),
            Memory::Shared(words) => words,
        };
        words.as_chunks().0
    }
}

/// Makes every word of `lines` 0, with no other thread about.
pub(crate) fn clear(lines: &[Line]) {
    for word in lines.iter().flatten() {
        word.store(0, Ordering::Relaxed);
    }
}

/// Memory that the allocator gives zeroed is not touched; filling it word by word would be.
#[cfg(not(feature = "loom"))]
fn zeros(words: usize) -> Vec<AtomicU64> {
    use zerocopy::FromZeros;
    // Without memory for the table there is nothing the daemon could do; as with every other allocation it ends here.
    AtomicU64::new_vec_zeroed(words).expect("memory for the connection table")
}

#[cfg(feature = "loom")]
fn zeros(words: usize) -> Vec<AtomicU64> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

/// Words before the first cache line's begin.
#[cfg(not(feature = "loom"))]
fn lead_in(words: &[AtomicU64]) -> usize {
    words.as_ptr().align_offset(64).min(WORDS)
}

#[cfg(feature = "loom")]
fn lead_in(_: &[AtomicU64]) -> usize {
    0
}
