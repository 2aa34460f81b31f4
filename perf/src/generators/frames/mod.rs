//! Frame mode: packets that no socket ever saw. A program makes `xdp_frame`s and sends them out of the client's device, another
//! counts them where they come into the server's; both are in `sluice_ebpf::traffic`.
//!
//! ```text
//! order (flows, lengths) ─> source (next hop, injector) ── path ──> sink (counts, latencies)
//!                                     └──────── trial ────────────────┘
//! ```
//!
//! The source is an open loop: a burst goes when it is due, whatever became of those before, and every packet bears the time when
//! it was due. So a latency has in it what the source itself was late, and nothing is left out while something is stuck.

mod entry;
mod next_hop;
mod order;
mod sink;
mod source;
mod trial;

pub(crate) use entry::Entry;
pub(crate) use order::{Distribution, Sizes};
pub(crate) use sink::{Place, SinkArgs, sink};
pub(crate) use source::{SourceArgs, source};
pub(crate) use trial::{FrameEnds, FramePlan, FrameTrial, Limit, run};

/// The ports that frames go to where they go to the server itself: as many as a million flows need beside their own ports.
pub(crate) const PORTS: std::ops::RangeInclusive<u16> = 9000..=9031;

/// CLOCK_MONOTONIC in nanoseconds: what a program sees as the time, too.
pub(crate) fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
