//! Packets that wait: the worker keeps their frames, the path says when they go on.

use crate::DropReason;

/// How many packets one path has parked at once at most; the slots are numbered from 0.
pub const PARKED: usize = 64;

/// What becomes of a parked packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Put it through the path again, as it came.
    Run,
    /// Give its frames back. The path has counted it.
    Drop(DropReason),
}
