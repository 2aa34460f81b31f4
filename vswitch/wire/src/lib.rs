//! Protocol headers as checked views over bytes, checksums, and the one parse of the packet path.
//!
//! # Contract
//! Each protocol is one file, and each file has the same order: field offsets, the view (`Packet<T>`, `Frame<T>` for
//! Ethernet), constructors, getters, checksum, setters.
//!
//! - `new_checked(buf)` looks at every length the header claims. After it has passed, no accessor panics, whatever the
//!   other bytes hold. Lengths that name the end of a payload are cut to the buffer on each access, so a setter that
//!   writes a false length cannot cause a panic either. Header lengths have no setter.
//! - `new_header(buf)`, where it exists, checks the header only and leaves the payload's end to the caller. It is for
//!   the first frame of a chain and for the cut packet that an ICMP error quotes.
//! - `init(buf, ..)` clears the header, writes the fields that give it its shape and returns the view. It is how a
//!   packet is built.
//! - Numbers are in host order, offsets and lengths in bytes unless the name says otherwise.
//!
//! [`parse::parse`] walks Ethernet to the transport header once; the path keeps its [`parse::Headers`] and never walks
//! again. Nothing here allocates, and nothing here knows of time, devices or logs.
#![forbid(unsafe_code)]

pub mod arp;
mod bytes;
pub mod checksum;
pub mod ethernet;
pub mod extension;
pub mod geneve;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
mod mac;
mod malformed;
pub mod ndp;
pub mod parse;
pub mod protocol;
pub mod quote;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod vxlan;

pub use mac::{BadMac, MacAddr};
pub use malformed::{Layer, Malformed};
