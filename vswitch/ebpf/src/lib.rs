//! The BPF programs and their loaders.
//!
//! | program | on | takes |
//! |---|---|---|
//! | `port.bpf.c` ([`Program`]) | the switch's side of each pod's veth and of the host port | everything, once a socket is registered |
//! | `uplink.bpf.c` ([`Uplink`]) | the node's uplink | what the tables claim; all else is the node's own |
//! | `detour.bpf.c` ([`Detour`]) | the loopback device, the stack's end of the host port, the uplink | what the node's stack would keep, or send past the switch, though it is a Service's |
//!
//! Beside those, [`traffic`] makes and counts packets for measurements.
//!
//! Each is loaded once and attached to any number of devices. Where there is no socket the first two pass everything to the kernel.
//!
//! Attachments are BPF links: the kernel detaches the program when the process ends, however it ends.
#![forbid(unsafe_code)]

mod attach;
mod claims;
mod counters;
mod detour;
mod error;
mod program;
pub mod traffic;
mod uplink;

pub use counters::UplinkCounters;
pub use detour::{Detour, FlowCounters};
pub use error::{EbpfError, XdpMode};
pub use program::{Attachment, Program};
pub use uplink::{Uplink, UplinkAttachment};

/// Devices that can be registered at once with [`Program`]. Keep in step with `MAX_PORTS` in `port.bpf.c`.
pub const MAX_PORTS: u32 = 4096;

/// Uplinks that can be attached at once. Keep in step with `MAX_UPLINKS` in `uplink.bpf.c`.
pub const MAX_UPLINKS: u32 = 16;

/// Receive queues served of an uplink; the packets of those beyond are the node's. Keep in step with `uplink.bpf.c`.
pub const MAX_QUEUES: u32 = 64;
