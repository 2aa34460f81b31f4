//! A worker's own stack of free frames, over the depot that all share.
use std::sync::Arc;

use crate::frame::{Frame, Segment};
use crate::umem::Umem;

/// Frames moved between a pool and the depot at once.
const BATCH: usize = 64;

/// Free frames of one worker: last in, first out, so that warm memory is used again first.
///
/// The depot is touched only when the stack runs empty or overflows, a batch at a time.
#[derive(Debug)]
pub struct Pool {
    umem: Arc<Umem>,
    frames: Vec<Frame>,
    limit: usize,
}

impl Pool {
    /// An empty pool that keeps at most `limit` frames to itself.
    pub fn new(umem: Arc<Umem>, limit: usize) -> Pool {
        let limit = limit.max(2 * BATCH);
        Pool { umem, frames: Vec::with_capacity(limit + 1), limit }
    }

    /// The memory the frames belong to.
    pub fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// A free frame; `None` when neither the pool nor the depot has one.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        if self.frames.is_empty() {
            self.draw();
        }
        self.frames.pop()
    }

    /// Takes a frame back.
    #[inline]
    pub fn give(&mut self, frame: Frame) {
        if self.frames.len() >= self.limit {
            self.spill();
        }
        self.frames.push(frame);
    }

    /// Takes the frame of a segment back.
    #[inline]
    pub fn give_segment(&mut self, segment: Segment) {
        self.give(segment.frame);
    }

    /// Free frames held here.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no free frame is held here (the depot may have some).
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    #[cold]
    fn draw(&mut self) {
        self.frames.extend(std::iter::from_fn(|| self.umem.take()).take(BATCH));
    }

    #[cold]
    fn spill(&mut self) {
        for frame in self.frames.drain(..BATCH) {
            self.umem.give(frame);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for frame in self.frames.drain(..) {
            self.umem.give(frame);
        }
    }
}
