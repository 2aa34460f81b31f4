//! The shortcut: the stages in one pass, for a packet with nothing special about it.
//!
//! ```text
//! read: IPv4, no options, no fragment, TCP or UDP, from a pod or out of a tunnel, everything as it should be
//!   --> known: its connection is there, decided under these tables
//!     --> lane: it leaves by a port or in a tunnel over IPv4, and fits
//!       --> written as translate, rewrite and encapsulate write it
//! ```
//!
//! It decides nothing that the stages would decide otherwise. Whatever is missing on the way, the packet has not been
//! touched and takes the stages one by one; so do the first packets of connections, and everything that is dropped or
//! answered. `tests/whole` runs every packet both ways and compares.

mod lane;
mod plain;
mod write;

use sluice_connections::{Segment, Tick, View};
use sluice_wire::protocol;

pub(crate) use lane::Lanes;
pub(crate) use plain::{Plain, Readers};

use crate::connection::is_translated;
use crate::{Counts, Packet};

/// Under which tables, and when.
#[derive(Clone, Copy)]
pub(crate) struct Under<'t> {
    pub(crate) lanes: Lanes<'t>,
    pub(crate) generation: u32,
    pub(crate) now: Tick,
}

/// Sends a packet that was read as `plain` on its way. False, with nothing changed, when the stages have to.
#[inline(always)]
pub(crate) fn take(
    under: &Under<'_>,
    view: &View<'_>,
    counts: &mut Counts,
    packet: &mut Packet<'_>,
    plain: &Plain,
) -> bool {
    let key = (plain.addresses, plain.ports, plain.protocol);
    let Some(known) = view.at(plain.entry, key).or_else(|| view.find(plain.hash, key)) else { return false };
    if known.generation != under.generation {
        return false;
    }
    let Some(lane) = under.lanes.find(known.egress) else { return false };
    if !lane.takes(packet, plain, &known) || !known.observe(plain.segment(), under.now) {
        return false;
    }
    let translated = is_translated(known.flags);
    if plain.inner != 0 {
        packet.strip(usize::from(plain.inner));
    }
    let head = packet.head_mut();
    let checksum = write::inner(head, plain, translated.then_some(&known));
    lane.address(head);
    let verdict = lane.leave(packet, plain, checksum);
    packet.cut(None);
    packet.decide(verdict);
    counts.received += 1;
    counts.decapsulated += u64::from(plain.inner != 0);
    counts.connection_hits += 1;
    counts.forwarded += 1;
    counts.forwarded_bytes += packet.total_len() as u64;
    counts.translated += u64::from(translated);
    counts.encapsulated += u64::from(lane.is_tunnel());
    true
}

impl Plain {
    /// What it is to its connection's state.
    #[inline(always)]
    fn segment(&self) -> Segment {
        if self.protocol == protocol::TCP { Segment::Tcp { flags: self.flags } } else { Segment::Other }
    }
}
