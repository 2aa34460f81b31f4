//! ICMP errors: which connection is the quoted packet of, and may this sender speak about it?

use sluice_connections::{Connection, Segment, Table};
use sluice_tables::{Encapsulation, Tables, Tunnel};
use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::icmpv4::unreachable::{FRAGMENTATION_NEEDED, NETWORK, PORT};
use sluice_wire::parse::L3;
use sluice_wire::quote::{self, Quote};
use sluice_wire::{icmpv4, icmpv6, protocol, udp};

use super::{Look, becomes};
use crate::DropReason;
use crate::egress::Egress;
use crate::exit::{Exit, Failure, Relay};
use crate::origin::{Arrival, Origin};
use crate::path_mtus::segment_size;
use crate::related::tuple;

/// Least MTU that an error is believed: what Linux takes seriously (`ip_rt_min_pmtu`), and what every IPv6 link has. Less would
/// be an attack or a mistake.
const LEAST_V4: u32 = 552;
const LEAST_V6: u32 = 1280;

/// The look-up of an error: by the tuple of a packet that answers the quoted one, since it goes where that would.
#[cold]
pub(super) fn look<'t>(table: &Table, head: &[u8], arrival: &Arrival<'t>) -> Result<Look<'t>, Exit<'t>> {
    let start = arrival.ip.l4() + icmpv4::HEADER_LEN;
    let quote = head.get(start..).and_then(|bytes| quote::parse(bytes, arrival.ip.headers.l3).ok());
    let Some(quote) = quote else { return Err(not_ours(arrival, DropReason::IcmpQuote)) };
    let Some(tuple) = tuple(&quote) else { return Err(not_ours(arrival, DropReason::IcmpUnmatched)) };
    let tuple = tuple.reversed();
    let hash = table.hash(&tuple);
    Ok(Look { arrival: *arrival, tuple, hash, segment: Segment::Other, quote: Some(quote) })
}

/// What the switch does not know of may be of the host's own doing, when it comes from outside.
fn not_ours<'t>(arrival: &Arrival<'_>, reason: DropReason) -> Exit<'t> {
    match arrival.origin {
        Origin::Uplink => Exit::Punt,
        _ => reason.into(),
    }
}

/// An error goes to the sender of the packet that it quotes. A pod is no router: it speaks about its own connections only.
///
/// # Errors
/// [`DropReason::IcmpUnmatched`].
pub(super) fn check(look: &Look<'_>) -> Result<(), DropReason> {
    let ip = &look.arrival.ip;
    let to_sender = ip.destination == look.tuple.destination;
    let may_speak = look.arrival.origin != Origin::Pod || ip.source == look.tuple.source;
    if to_sender && may_speak {
        return Ok(());
    }
    Err(DropReason::IcmpUnmatched)
}

/// A router on the way takes less than the path was thought to. The sender is told, and sends shorter segments; but of the
/// super-frames that it hands down nobody tells the switch what length they are to be cut to.
#[cold]
pub(super) fn learn(table: &Table, head: &[u8], look: &Look<'_>, connection: &Connection) {
    if let Some(mtu) = narrower(head, look) {
        narrow(table, connection, look.arrival.ip.headers.l3, mtu);
    }
}

/// The MTU that an error names because of which the quoted packet was too long, as far as it is believed.
pub(crate) fn narrower(head: &[u8], look: &Look<'_>) -> Option<u16> {
    let ip = &look.arrival.ip;
    let mtu = head.get(ip.l4()..).and_then(|message| told(message, ip.headers.l3))?;
    Some(believed(mtu, ip.headers.l3))
}

/// Lowers the segment size of a TCP connection whose packets the path takes up to `mtu`.
fn narrow(table: &Table, connection: &Connection, l3: L3, mtu: u16) {
    let mss = segment_size(mtu, l3);
    if connection.original.protocol == protocol::TCP && (connection.mss == 0 || mss < connection.mss) {
        table.set_mss(connection, mss);
    }
}

/// What becomes of an error about a packet of no known connection: it may be about one of our tunnel packets.
#[cold]
pub(super) fn unmatched<'t>(table: &Table, tables: &Tables, generation: u32, head: &[u8], look: &Look<'_>) -> Exit<'t> {
    let relay = look.quote.as_ref().and_then(|quote| about_tunnel(table, tables, generation, head, look, quote));
    relay.map_or_else(|| not_ours(&look.arrival, DropReason::IcmpUnmatched), Exit::Relay)
}

fn about_tunnel(
    table: &Table,
    tables: &Tables,
    generation: u32,
    head: &[u8],
    look: &Look<'_>,
    quote: &Quote,
) -> Option<Relay> {
    let tunnel = tables.tunnel()?;
    let ours = quote.protocol == protocol::UDP && quote.destination_port == tunnel.port && quote.source == tunnel.local;
    if look.arrival.origin != Origin::Uplink || !ours {
        return None;
    }
    tables.peer_at(quote.destination)?;
    let outer = look.arrival.ip.l4() + icmpv4::HEADER_LEN;
    let quoted = inner_packet(head, outer + usize::from(quote.l4_offset), tunnel)?;
    let l3 = if *head.get(quoted)? >> 4 == 4 { L3::Ipv4 } else { L3::Ipv6 };
    let answer = tuple(&quote::parse(head.get(quoted..)?, l3).ok()?)?.reversed();
    let connection = table.find(table.hash(&answer), &answer)?;
    let failure = failure(head.get(look.arrival.ip.l4()..)?, look.arrival.ip.headers.l3, quoted - outer, l3)?;
    if let Failure::TooBig { mtu } = failure {
        narrow(table, &connection, l3, mtu);
    }
    // The ids of another generation's egress mean nothing here.
    let egress = (connection.generation == generation).then(|| Egress::decode(connection.action().egress))?;
    Some(Relay { quoted, becomes: becomes(&connection), egress, failure })
}

/// Where the IP packet starts inside the tunnel packet whose UDP header is at `l4`.
fn inner_packet(head: &[u8], l4: usize, tunnel: &Tunnel) -> Option<usize> {
    let at = l4 + udp::HEADER_LEN;
    let frame = match tunnel.encapsulation {
        Encapsulation::Vxlan => at + 8,
        // The length of the options is in units of four bytes, six bits (RFC 8926 section 3.4).
        Encapsulation::Geneve => at + 8 + usize::from(*head.get(at)? & 0x3f) * 4,
        Encapsulation::None => return None,
    };
    let kind = head.get(frame + 12..frame + ethernet::HEADER_LEN)?;
    let ip = kind == ethertype::IPV4.to_be_bytes() || kind == ethertype::IPV6.to_be_bytes();
    ip.then_some(frame + ethernet::HEADER_LEN)
}

/// The MTU that an error names because of which the quoted packet was too long.
fn told(message: &[u8], l3: L3) -> Option<u32> {
    let (&kind, &code) = (message.first()?, message.get(1)?);
    let rest = u32::from_be_bytes(*message.get(4..)?.first_chunk::<4>()?);
    match l3 {
        L3::Ipv4 if (kind, code) == (icmpv4::kind::UNREACHABLE, FRAGMENTATION_NEEDED) => Some(rest & 0xffff),
        L3::Ipv6 if kind == icmpv6::kind::PACKET_TOO_BIG => Some(rest),
        _ => None,
    }
}

/// What is believed of it.
fn believed(mtu: u32, l3: L3) -> u16 {
    let least = if l3 == L3::Ipv4 { LEAST_V4 } else { LEAST_V6 };
    mtu.clamp(least, u32::from(u16::MAX)) as u16
}

/// What the error means for the packet inside, which is `overhead` bytes shorter.
fn failure(message: &[u8], outer: L3, overhead: usize, inner: L3) -> Option<Failure> {
    let (&kind, &code) = (message.first()?, message.get(1)?);
    if let Some(mtu) = told(message, outer) {
        return Some(Failure::TooBig { mtu: believed(mtu.saturating_sub(overhead as u32), inner) });
    }
    // A node refuses the tunnel's port while its switch is away, as during an upgrade. That passes in a second or two, and a sender who
    // was told would give up a connection that it has just begun.
    let refused = match outer {
        L3::Ipv4 => (kind, code) == (icmpv4::kind::UNREACHABLE, PORT),
        _ => (kind, code) == (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::PORT),
    };
    if refused {
        return None;
    }
    // Of hops and ports on the way between the nodes the sender inside knows nothing (RFC 2003 section 4).
    Some(match (outer, kind) {
        (L3::Ipv4, icmpv4::kind::UNREACHABLE) if code == NETWORK => Failure::NoNetwork,
        _ => Failure::NoHost,
    })
}
