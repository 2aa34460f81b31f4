//! AF_XDP: UMEM, rings, sockets and frames.
//!
//! ```text
//!              fill ring  -- empty frames -->  kernel  -- packets --> rx ring
//!   Umem ---- Frame ----> Port                                          |
//!     ^  (depot, pools)     |  tx ring -- packets --> kernel            v
//!     +---------------------+<-- completion ring -- sent frames     Segments
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`umem`] | the packet memory, who owns each frame of it, the depot of free frames |
//! | [`frame`] | move-only tokens: [`Frame`], [`Segment`] (a frame and the bytes used in it), [`Burst`] |
//! | [`ring`] | one side of a ring over memory shared with the kernel |
//! | `words` | the index words and entries of a ring in that memory |
//! | [`pool`] | a worker's own stack of free frames |
//! | [`port`] | the four rings of one device queue: receive, send, reclaim, refill |
//! | [`socket`] | the system calls that make a port: register, map, bind |
//! | [`offload`] | what the kernel is asked to do with a packet that is sent |
//! | [`statistics`] | what a port counts |
//! | `level` | how many frames a port keeps on its fill ring |
//! | [`features`] | what this kernel can do, and what configuration forbids |
//! | [`shared_words`] | words in a file that outlive the process: not for packets, but for what is remembered of them |
//! | `pair` | (feature) a port over plain memory and the kernel's end of it |
//! | `modelled` | (feature `loom`) what stands in for shared memory and queues in tests of every interleaving |
//!
//! # Safety argument
//!
//! All `unsafe` of the switch's data plane is in this crate, and rests on one invariant:
//!
//! **A frame's bytes may be touched only through its [`Frame`] token, and there is at most one token for a frame.**
//!
//! - Tokens are made in two places: [`Umem::new`] makes one for each frame, once; and `Umem::take_back` makes one for a
//!   frame that a ring returned, after it has moved the frame's owner word from that ring's id to "user". An address that
//!   the far end returns twice, or never was given, finds another owner in the word and yields no token.
//! - A token is consumed when its address is put on a ring (`Umem::hand_over` moves the owner word the other way).
//! - A token carries the id of its UMEM, and every access checks it: a token of another UMEM cannot address this one.
//! - Offsets and lengths are checked against the chunk on every access, also those that the kernel wrote.
//! - The mapping lives as long as the [`Umem`], which every port and pool holds by `Arc`.
//!
//! The rings' index words are shared with the kernel: they are accessed as atomics, acquire on the far end's word, release
//! on our own, as `tools/lib/bpf/xsk.h` and `net/xdp/xsk_queue.h` prescribe.
#![warn(unsafe_op_in_unsafe_fn)]

mod atomic;
pub mod features;
pub mod frame;
mod level;
pub mod mapping;
#[cfg(feature = "loom")]
pub mod modelled;
pub mod offload;
#[cfg(feature = "pair")]
pub mod pair;
pub mod pool;
pub mod port;
pub mod ring;
pub mod shared_words;
pub mod socket;
pub mod statistics;
pub mod umem;
#[cfg_attr(feature = "loom", allow(dead_code, reason = "`modelled` stands in for it"))]
mod words;

pub use features::{Features, Toggle};
pub use frame::{Burst, Frame, Packet, Segment};
pub use level::FillShare;
pub use offload::Partial;
pub use pool::Pool;
pub use port::{Port, Refused};
pub use shared_words::{SharedWords, SharedWordsError};
pub use socket::{BindConfig, BindError, CopyMode};
pub use statistics::Statistics;
pub use umem::{HugePages, Umem, UmemConfig, UmemError};

/// Bytes in a chunk: one frame. AF_XDP allows at most a page.
pub const CHUNK_SIZE: usize = 4096;

/// Frames in one packet at most: an skb has a linear part and `MAX_SKB_FRAGS` (17) fragments.
pub const MAX_SEGMENTS: usize = 18;

/// Bytes the kernel leaves free in front of a received packet (`XDP_PACKET_HEADROOM`, `include/uapi/linux/bpf.h`).
pub const HEADROOM: usize = 256;

/// Bytes of TX metadata in front of a packet: `struct xsk_tx_metadata` with its launch time (`include/uapi/linux/if_xdp.h`).
pub const TX_METADATA_LEN: usize = 24;
