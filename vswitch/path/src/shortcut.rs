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
mod outer;
mod pattern;
mod pattern_v6;
mod patterns;
mod plain;
mod write;

use arrayvec::ArrayVec;
use sluice_connections::{Connection, Known, Segment, Table, Tick, View};
use sluice_wire::{protocol, tcp};

use pattern::{Pattern, READ, Tally, Words};
use pattern_v6::PatternV6;

pub(crate) use lane::{Lane, Lanes};
pub(crate) use pattern::With;
pub(crate) use patterns::Patterns;
pub(crate) use plain::{Plain, Readers};
pub(crate) use write::Becomes;

use crate::connection::{Look, is_translated};
use crate::origin::Origin;
use crate::{Counts, Packet};

/// Under which tables, and when.
#[derive(Clone, Copy)]
pub(crate) struct Under<'t> {
    pub(crate) lanes: Lanes<'t>,
    pub(crate) generation: u32,
    pub(crate) now: Tick,
}

/// Packets that go through the first stages before any goes on, so that their look-ups wait for memory together.
pub(crate) const TOGETHER: usize = sluice_connections::TOGETHER;

/// Packets that met no pattern, by their place among those that came together, and what was read of them.
pub(crate) type Left = ArrayVec<(u8, Plain), TOGETHER>;

/// Sends those of at most [`TOGETHER`] packets on their way that meet a pattern, and reads the others.
///
/// Behind a packet that the stages have to look at no more are sent: it may change what becomes of those after it. A plain one
/// changes nothing about a connection that has a pattern.
#[inline]
pub(crate) fn meet(
    patterns: &mut Patterns,
    with: &With<'_>,
    counts: &mut Counts,
    packets: &mut [Packet<'_>],
    left: &mut Left,
) {
    if !patterns.are_used() {
        let mut readers = Readers::new(with.tables);
        for (number, packet) in packets.iter().enumerate().take(TOGETHER) {
            left.push((number as u8, readers.read(&with.view, packet)));
        }
        return;
    }
    let mut tally = Tally::default();
    let (mut number, mut met, mut asked) = (0, 0, 0);
    let mut calm = true;
    let mut readers = None;
    while let Some(rest) = packets.get_mut(number..).filter(|rest| !rest.is_empty()) {
        if calm {
            let sent = patterns.send(with, rest, &mut tally);
            number += sent;
            met += sent;
            if sent > 0 {
                // What comes next may be of another kind, and meet its pattern all the same.
                continue;
            }
        }
        let Some(packet) = packets.get(number).filter(|_| !left.is_full()) else { break };
        let plain = readers.get_or_insert_with(|| Readers::new(with.tables)).read_apart(&with.view, packet);
        // A SYN, too, may change what its connection's packets become.
        let known = !plain.is_special() && plain.flags & tcp::flag::SYN == 0;
        asked += u32::from(calm && known);
        calm &= known;
        left.push((number as u8, plain));
        number += 1;
    }
    tally.count(met as u64, counts);
    patterns.fared(asked + met as u32, met as u32);
}

/// Makes the pattern of a packet that has come through everything but writing.
#[cold]
#[inline(never)]
fn learn(patterns: &mut Patterns, packet: &mut Packet<'_>, plain: &Plain, known: &Known<'_>, lane: &Lane<'_>) {
    // More is asked about packets that open or close a connection, also where they change nothing about it.
    if plain.protocol == protocol::TCP && plain.flags & pattern::NOT_PLAIN != tcp::flag::ACK {
        return;
    }
    let whence = patterns.whence(packet, plain);
    let Some(mark) = known.bookmark(plain.segment()) else { return };
    let Some(frame) = packet.room_from::<READ>(plain.inner.into()) else { return };
    let pattern = Pattern::of(whence, frame, plain, known, mark, lane);
    patterns.keep(&Words::of(frame), pattern);
}

/// Makes the pattern of an IPv6 packet that has come through all stages but the last.
#[cold]
#[inline(never)]
pub(crate) fn learn_v6(
    patterns: &mut Patterns,
    lanes: &Lanes<'_>,
    table: &Table,
    packet: &mut Packet<'_>,
    look: &Look<'_>,
    connection: &Connection,
) {
    if matches!(look.segment, Segment::Tcp { flags } if flags & pattern::NOT_PLAIN != tcp::flag::ACK) {
        return;
    }
    let tunnelled = match look.arrival.origin {
        Origin::Pod => false,
        Origin::Tunnel(_) => true,
        Origin::Host | Origin::Uplink => return,
    };
    let Some(lane) = lanes.find(connection.action().egress) else { return };
    let Some(mark) = table.bookmark(connection, look.segment) else { return };
    let Some(whence) = patterns.whence_unwrapped(packet, tunnelled) else { return };
    let Some(frame) = packet.room_from::<{ pattern_v6::READ }>(0) else { return };
    if let Some(pattern) = PatternV6::of(whence, frame, look, connection, mark, &lane) {
        patterns.keep_v6(&pattern_v6::Words::of(frame), pattern);
    }
}

/// Sends a packet that was read as `plain` on its way. False, with nothing changed, when the stages have to.
#[inline(always)]
pub(crate) fn take(
    under: &Under<'_>,
    view: &View<'_>,
    patterns: Option<&mut Patterns>,
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
    if !lane.takes(packet, plain, known.mss) || !known.observe(plain.segment(), under.now) {
        return false;
    }
    if let Some(patterns) = patterns
        && patterns.learn()
    {
        learn(patterns, packet, plain, &known, &lane);
    }
    let becomes = is_translated(known.flags).then(|| Becomes::of(&known));
    send(&lane, counts, packet, plain, becomes.as_ref());
    counts.connection_hits += 1;
    true
}

/// Sends a packet on by `lane`, which takes it.
#[inline(always)]
pub(crate) fn send(
    lane: &Lane<'_>,
    counts: &mut Counts,
    packet: &mut Packet<'_>,
    plain: &Plain,
    becomes: Option<&Becomes>,
) {
    if plain.inner != 0 {
        packet.strip(usize::from(plain.inner));
    }
    let head = packet.head_mut();
    let checksum = write::inner(head, plain, becomes);
    lane.address(head);
    lane.leave(packet, plain);
    packet.cut(None);
    packet.decide(lane.verdict(checksum));
    counts.received += 1;
    counts.decapsulated += u64::from(plain.inner != 0);
    counts.forwarded += 1;
    counts.forwarded_bytes += packet.total_len() as u64;
    counts.translated += u64::from(becomes.is_some());
    counts.encapsulated += u64::from(lane.is_tunnel());
}

impl Plain {
    /// What it is to its connection's state.
    #[inline(always)]
    pub(crate) fn segment(&self) -> Segment {
        if self.protocol == protocol::TCP { Segment::Tcp { flags: self.flags } } else { Segment::Other }
    }
}
