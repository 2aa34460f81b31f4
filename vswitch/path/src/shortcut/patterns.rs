//! The patterns that one worker has made lately, found by the addresses and ports of a packet.
//!
//! Plain memory of one owner: what it holds may be out of date, and says so when asked. Of IPv4 [`SETS`] sets of [`WAYS`], each of two
//! lines, of IPv6 [`SETS_V6`] of three: 896 KiB a worker, of which only what is used is near the processor.

use core::fmt;

use sluice_tables::{PortKind, Tables};
use sluice_wire::ethernet::ethertype;

use super::Plain;
use super::outer::{OUTER, Outer};
use super::pattern::{Pattern, READ, Tally, With, Words};
use super::pattern_v6::{self, PatternV6};
use crate::random::spread;
use crate::{Counts, Packet};

/// Patterns that may have one hash.
const WAYS: usize = 4;
const SETS: usize = 1024;
const SETS_V6: usize = 512;

/// Packets after which it is asked whether patterns are worth having.
const WINDOW: u32 = 2048;
/// While they are not, the first of so many groups of packets makes and tries them all the same.
const TRIED: u32 = 256;

/// All patterns of a worker.
pub(crate) struct Patterns {
    sets: Box<[[Pattern; WAYS]; SETS]>,
    sets_v6: Box<[[PatternV6; WAYS]; SETS_V6]>,
    /// Secret, so that nobody outside can choose what shares a set.
    factor: u64,
    /// Numbers of the tables that patterns are made under, and how often they have changed.
    tables: Option<[u64; 2]>,
    since: u64,
    /// What packets begin with that come out of a tunnel.
    outer: Option<Outer>,
    /// The way that the next pattern takes where none is free.
    turn: usize,
    worth: Worth,
}

/// Whether patterns are worth having: with more connections than there are patterns, none is met again.
struct Worth {
    having: bool,
    /// Packets that might have met a pattern in this window, and those that have.
    asked: u32,
    met: u32,
    /// Groups of packets since one tried; 0 for one that does.
    waited: u32,
}

/// In a pattern's `whence`, how often the tables had changed; below it the port, or of what came out of a tunnel the outer source address
/// and this bit.
const SINCE: u64 = 1 << 40;
const FROM_TUNNEL: u64 = 1 << 32;

impl Patterns {
    pub(crate) fn new(seed: u64) -> Self {
        // A vector first: as an array they would lie on the stack before they are moved.
        let sets = vec![[Pattern::NONE; WAYS]; SETS].into_boxed_slice();
        let sets_v6 = vec![[PatternV6::NONE; WAYS]; SETS_V6].into_boxed_slice();
        Self {
            sets: sets.try_into().unwrap_or_else(|_| unreachable!("as many as were asked for")),
            sets_v6: sets_v6.try_into().unwrap_or_else(|_| unreachable!("as many as were asked for")),
            factor: spread(seed) | 1,
            tables: None,
            since: 0,
            outer: None,
            turn: 0,
            worth: Worth { having: true, asked: 0, met: 0, waited: 0 },
        }
    }

    /// From now on `tables` hold: what was made under others fits nothing any more.
    #[inline]
    pub(crate) fn under(&mut self, tables: &Tables) {
        let numbers = Some([tables.generation(), tables.decisions()]);
        if numbers != self.tables {
            self.tables = numbers;
            self.outer = Outer::of(tables);
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        self.since = self.since.checked_add(SINCE).unwrap_or_else(|| {
            self.sets.fill([Pattern::NONE; WAYS]);
            self.sets_v6.fill([PatternV6::NONE; WAYS]);
            SINCE
        });
    }

    /// Whether the next group of packets is to use patterns.
    #[inline]
    pub(crate) fn are_used(&mut self) -> bool {
        let worth = &mut self.worth;
        worth.waited = if worth.having { 0 } else { (worth.waited + 1) % TRIED };
        worth.waited == 0
    }

    /// Whether this group of packets is to leave patterns behind.
    #[inline]
    pub(crate) fn learn(&self) -> bool {
        self.worth.waited == 0
    }

    /// Packets of this window that have met a pattern.
    #[cfg(test)]
    pub(crate) fn met(&self) -> u32 {
        self.worth.met
    }

    /// Notes how a group of packets that used patterns has fared.
    #[inline]
    pub(crate) fn fared(&mut self, asked: u32, met: u32) {
        let worth = &mut self.worth;
        worth.asked += asked;
        worth.met += met;
        if worth.asked >= WINDOW {
            worth.having = worth.met >= worth.asked / 2;
            (worth.asked, worth.met) = (0, 0);
        }
    }

    #[inline(always)]
    fn set(&self, words: &Words) -> usize {
        // The ports lie over the upper half of the source address, which is the same for all pods of a node.
        let mixed = (words.addresses ^ u64::from(words.ports)).wrapping_mul(self.factor);
        (mixed >> (64 - SETS.trailing_zeros())) as usize
    }

    /// Sends packets on their way until one meets no pattern or is of another kind than the first; that is as it was. Returns how many
    /// there were before it.
    #[inline]
    pub(super) fn send(&self, with: &With<'_>, packets: &mut [Packet<'_>], tally: &mut Tally) -> usize {
        let Some(first) = packets.first() else { return 0 };
        let kind = with.tables.face(first.port()).map(|face| face.kind);
        let outer = self.outer.as_ref().filter(|_| kind == Some(PortKind::Uplink));
        let is_v6 = |at: usize| first.head().get(at..at + 2) == Some(&ethertype::IPV6.to_be_bytes());
        match outer {
            None if is_v6(12) => self.send_plain_v6(with, packets, tally),
            None => self.send_plain(with, packets, tally),
            Some(outer) if is_v6(OUTER + 12) => self.send_from_tunnel_v6(with, outer, packets, tally),
            Some(outer) => self.send_from_tunnel(with, outer, packets, tally),
        }
    }

    /// Those that come as they are. A function of its own: it is so short that nearly all it needs stays in registers.
    #[inline(never)]
    fn send_plain(&self, with: &With<'_>, packets: &mut [Packet<'_>], tally: &mut Tally) -> usize {
        let (mut sent, mut sum) = (0, Tally::default());
        let send = |packet: &mut Packet<'_>, sum: &mut Tally| {
            let whence = self.since | u64::from(packet.port().0);
            let Some(frame) = packet.room_from::<READ>(0) else { return false };
            let words = Words::of(frame);
            self.meeting(&words, whence).is_some_and(|pattern| pattern.send::<0>(with, packet, sum))
        };
        while let Some(packet) = packets.get_mut(sent)
            && send(packet, &mut sum)
        {
            sent += 1;
        }
        tally.add(&sum);
        sent
    }

    /// Those that come out of a tunnel.
    #[inline(never)]
    fn send_from_tunnel(&self, with: &With<'_>, outer: &Outer, packets: &mut [Packet<'_>], tally: &mut Tally) -> usize {
        let (mut sent, mut sum) = (0, Tally::default());
        let port = packets.first().map(Packet::port);
        let send = |packet: &mut Packet<'_>, sum: &mut Tally| {
            let total_len = packet.total_len();
            let Some(frame) = packet.room_from::<{ OUTER + READ }>(0) else { return false };
            let (Some(before), Some(inner)) = (frame.first_chunk(), frame.last_chunk()) else { return false };
            let Some(source) = outer.source(before, total_len) else { return false };
            let words = Words::of(inner);
            let whence = self.since | FROM_TUNNEL | u64::from(source);
            self.meeting(&words, whence).is_some_and(|pattern| pattern.send::<OUTER>(with, packet, sum))
        };
        while let Some(packet) = packets.get_mut(sent)
            && Some(packet.port()) == port
            && send(packet, &mut sum)
        {
            sent += 1;
        }
        tally.add(&sum);
        sent
    }

    /// As [`Patterns::send_plain`], for IPv6.
    #[inline(never)]
    fn send_plain_v6(&self, with: &With<'_>, packets: &mut [Packet<'_>], tally: &mut Tally) -> usize {
        let (mut sent, mut sum) = (0, Tally::default());
        let send = |packet: &mut Packet<'_>, sum: &mut Tally| {
            let whence = self.since | u64::from(packet.port().0);
            let Some(frame) = packet.room_from::<{ pattern_v6::READ }>(0) else { return false };
            let words = pattern_v6::Words::of(frame);
            self.meeting_v6(&words, whence).is_some_and(|pattern| pattern.send::<0>(with, packet, sum))
        };
        while let Some(packet) = packets.get_mut(sent)
            && send(packet, &mut sum)
        {
            sent += 1;
        }
        tally.add(&sum);
        sent
    }

    /// As [`Patterns::send_from_tunnel`], for IPv6 inside.
    #[inline(never)]
    fn send_from_tunnel_v6(
        &self,
        with: &With<'_>,
        outer: &Outer,
        packets: &mut [Packet<'_>],
        tally: &mut Tally,
    ) -> usize {
        let (mut sent, mut sum) = (0, Tally::default());
        let port = packets.first().map(Packet::port);
        let send = |packet: &mut Packet<'_>, sum: &mut Tally| {
            let total_len = packet.total_len();
            let Some(frame) = packet.room_from::<{ OUTER + pattern_v6::READ }>(0) else { return false };
            let (Some(before), Some(inner)) = (frame.first_chunk(), frame.last_chunk()) else { return false };
            let Some(source) = outer.source(before, total_len) else { return false };
            let words = pattern_v6::Words::of(inner);
            let whence = self.since | FROM_TUNNEL | u64::from(source);
            self.meeting_v6(&words, whence).is_some_and(|pattern| pattern.send::<OUTER>(with, packet, sum))
        };
        while let Some(packet) = packets.get_mut(sent)
            && Some(packet.port()) == port
            && send(packet, &mut sum)
        {
            sent += 1;
        }
        tally.add(&sum);
        sent
    }

    /// The pattern that a packet has met.
    #[inline(always)]
    fn meeting(&self, words: &Words, whence: u64) -> Option<&Pattern> {
        self.sets[self.set(words)].iter().find(|pattern| pattern.is_of(words) && pattern.fits(words, whence))
    }

    #[inline(always)]
    fn meeting_v6(&self, words: &pattern_v6::Words, whence: u64) -> Option<&PatternV6> {
        self.sets_v6[self.set_v6(words)].iter().find(|pattern| pattern.is_of(words) && pattern.fits(words, whence))
    }

    #[inline(always)]
    fn set_v6(&self, words: &pattern_v6::Words) -> usize {
        (words.mixed(self.factor) >> (64 - SETS_V6.trailing_zeros())) as usize
    }

    /// As [`Patterns::whence`], for a packet that has been taken out of a tunnel. `None` where it was wrapped otherwise than patterns
    /// take it.
    pub(super) fn whence_unwrapped(&self, packet: &mut Packet<'_>, tunnelled: bool) -> Option<u64> {
        if !tunnelled {
            return Some(self.since | u64::from(packet.port().0));
        }
        let total_len = packet.total_len() + OUTER;
        let source = self.outer.as_ref()?.source(packet.room_before::<OUTER>()?, total_len)?;
        Some(self.since | FROM_TUNNEL | u64::from(source))
    }

    /// As [`Patterns::keep`], for IPv6.
    pub(super) fn keep_v6(&mut self, words: &pattern_v6::Words, pattern: PatternV6) {
        let place = self.set_v6(words);
        let set = &mut self.sets_v6[place];
        let same = set.iter().position(|old| old.is_of(words));
        let way = same.or_else(|| set.iter().position(|old| !old.is_since(self.since))).unwrap_or_else(|| {
            self.turn = (self.turn + 1) % WAYS;
            self.turn
        });
        set[way] = pattern;
    }

    /// What a pattern is made under whose packets come as this one has, which is still in its tunnel.
    pub(super) fn whence(&self, packet: &mut Packet<'_>, plain: &Plain) -> u64 {
        let port = u64::from(packet.port().0);
        match packet.room_from::<OUTER>(0) {
            Some(outer) if plain.inner != 0 => {
                let [.., a, b, c, d] = *outer.first_chunk::<30>().unwrap_or(&[0; 30]);
                self.since | FROM_TUNNEL | u64::from(u32::from_le_bytes([a, b, c, d]))
            }
            _ => self.since | port,
        }
    }

    /// Keeps a pattern, in the place of one for the same packets, of one that fits nothing any more, or of any.
    pub(super) fn keep(&mut self, words: &Words, pattern: Pattern) {
        let place = self.set(words);
        let set = &mut self.sets[place];
        let same = set.iter().position(|old| old.is_of(words) && old.is_alike(words));
        let way = same.or_else(|| set.iter().position(|old| !old.is_since(self.since))).unwrap_or_else(|| {
            self.turn = (self.turn + 1) % WAYS;
            self.turn
        });
        set[way] = pattern;
    }
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, other: &Tally) {
        self.bytes += other.bytes;
        self.translated += other.translated;
        self.encapsulated += other.encapsulated;
        self.decapsulated += other.decapsulated;
    }

    /// Counts what it has of so many packets.
    #[inline]
    pub(super) fn count(&self, packets: u64, counts: &mut Counts) {
        counts.received += packets;
        counts.connection_hits += packets;
        counts.forwarded += packets;
        counts.forwarded_bytes += self.bytes;
        counts.translated += self.translated;
        counts.encapsulated += self.encapsulated;
        counts.decapsulated += self.decapsulated;
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patterns").field("having", &self.worth.having).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Patterns, TRIED, WINDOW};

    #[test]
    fn patterns_are_given_up_while_none_is_met_again_and_tried_now_and_then() {
        let mut patterns = Patterns::new(1);
        assert!(patterns.are_used());
        patterns.fared(WINDOW, WINDOW / 2 - 1);
        let used = (0..10 * TRIED).filter(|_| patterns.are_used()).count();
        assert_eq!(used, 10);
        patterns.fared(WINDOW, WINDOW / 2);
        assert!((0..100).all(|_| patterns.are_used()));
    }
}
