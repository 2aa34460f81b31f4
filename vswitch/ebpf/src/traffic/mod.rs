//! Programs that make packets and count them, for measurements. The daemon loads none of them.
//!
//! [`Injector`] sends stamped UDP packets of many flows out of a device as `xdp_frame`s, by live frames of
//! `BPF_PROG_TEST_RUN`; [`Sink`] takes them from another device and tells by their [`Stamp`]s what became of them. Both have to
//! run in the network namespace of their device. [`Redirect`] is the least that can be between two devices.

mod injector;
mod redirect;
mod sink;
mod stamp;

pub use injector::{Flow, Injected, Injection, Injector, MAX_BURST, MAX_FRAME, Slot, smallest_frame};
pub use redirect::Redirect;
pub use sink::{Counts, Hook, Sink};
pub use stamp::{STAMP, Stamp};
