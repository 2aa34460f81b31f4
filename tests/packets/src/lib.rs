//! Builders of packets for tests and benches: whole Ethernet frames as `Vec<u8>`, right in every byte unless asked
//! otherwise.
//!
//! ```
//! use sluice_packets::{Ethernet, Ip};
//! use sluice_wire::MacAddr;
//!
//! let link = Ethernet::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
//! let frame = Ip::v4(link, [10, 0, 0, 1].into(), [10, 0, 0, 2].into()).ttl(3).udp(1000, 53, b"query");
//! assert_eq!(frame.len(), 14 + 20 + 8 + 5);
//! ```
//!
//! What a builder cannot express is done to a finished frame: [`fragment`] cuts it, [`corrupt`] lies in it.
//! Building panics where a length does not fit its field: that is a mistake in the test.
#![forbid(unsafe_code)]

pub mod arp;
pub mod corrupt;
mod ethernet;
pub mod every_view;
pub mod fragment;
pub mod icmp_error;
mod ip;
pub mod ndp;
pub mod samples;
pub mod sctp;
pub mod sizes;
pub mod tcp_option;
mod transport;
pub mod tunnel;

pub use ethernet::Ethernet;
pub use icmp_error::IcmpError;
pub use ip::{ChecksumMode, Ip};
pub use transport::Segment;
pub use tunnel::Geneve;
