//! Out of a tunnel: what another node sent is checked down to the Ethernet frame inside (RFC 7348, RFC 8926).

use sluice_wire::parse::Headers;

use crate::DropReason;
use crate::tunnel::Tunnel;

/// What is in a tunnel packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    /// Where the inner Ethernet frame starts, from the start of the outer one: as many bytes are to be stripped.
    pub(crate) offset: usize,
}

/// Checks a packet of `total_len` bytes, parsed as `headers`, that is addressed to the tunnel's address and port, and carries
/// what the outer header says of congestion into the inner one (RFC 6040 section 4.2). After stripping [`Inner::offset`] bytes
/// the packet is to be parsed like any other.
///
/// # Errors
/// [`DropReason::TunnelMalformed`], [`DropReason::TunnelVni`], [`DropReason::TunnelMac`].
pub(crate) fn run(head: &mut [u8], headers: &Headers, tunnel: &Tunnel, total_len: usize) -> Result<Inner, DropReason> {
    let _ = (head, headers, tunnel, total_len);
    Err(DropReason::Malformed)
}
