//! One record: a line for IPv4, two for IPv6.
//!
//! ```text
//! word  first line                                              second line (IPv6)
//! 0     lead: incarnation 32 | mss 16 | version 14 | live | writing     original destination, upper half
//! 1     original source, original destination | v6: original source     .. lower half
//! 2     reply source, reply destination       | v6: .. lower half       reply source, upper half
//! 3     original ports 32 | reply ports 32                              .. lower half
//! 4     action of the original direction: egress 32 | l3 16 | l4 16     reply destination, upper half
//! 5     action of the reply direction                                   .. lower half
//! 6     generation 32 | owner 16 | flags 16
//! 7     use: last tick 32 | incarnation, lower half 16 | protocol 8 | state 8
//! ```
//!
//! # Who writes what, and why a reader never mixes two connections
//!
//! The *lead* is the record's version (a seqlock). A writer changes it before it touches words 1 to 6 and the second
//! line, and changes it to yet another value when it is done:
//!
//! - put in: the lead of a free record is not live; the words are written after a release fence; then the lead is
//!   stored live, with the next incarnation, release;
//! - decided again: *writing* is set by compare and exchange (acquire), a release fence, the words, then the lead
//!   without it and with the next version, release;
//! - taken out: the lead is exchanged for one that is not live, then a release fence and the use word; the others stay until the
//!   record is used again.
//!
//! A reader loads the lead (acquire), gives up if it is not live, loads the words (relaxed), and after an acquire fence
//! loads the lead again (relaxed). If it read a word that a later writer stored, then that writer's release fence came
//! before the store and the reader's acquire fence after the load, so they synchronize, and the second load sees the
//! lead that the writer had put before its fence, or a later one: the two leads differ and the reader starts again.
//! Where taking out and putting in are done by different threads, the bits of free records carry the order from
//! one to the other ([`crate::pool`]). If the reader read what the first lead's writer stored or older, the acquire load of that
//! lead saw that writer's release store, so nothing older can come.
//!
//! A version could repeat only if a reader were held up for 2^14 decisions on one connection, or 2^32 connections in
//! one record.
//!
//! The *use* word is not under the lead: any worker changes it by compare and exchange whenever a packet comes. It
//! carries half of the incarnation, so that an exchange meant for a connection that is gone fails; a reader checks
//! that half against the lead. It is relaxed throughout: it says nothing about other words.
//!
//! The maximum segment size lies in the lead and is exchanged together with it.
//!
//! [`crate::View`] reads by the same steps ([`Brief`]), but words of one direction only, and gives up where a look-up waits or
//! starts again.

use crate::atomic::{Ordering, fence, wait_a_little};
use crate::layout::Line;
use crate::place::Place;
use crate::table::Opening;
use crate::tuple::Key;
use crate::{Action, Connection, Direction, New, Owner, RecordId, Segment, State, Tick, Tuple};

const LEAD: usize = 0;
const ADDRESSES: usize = 1;
const PORTS: usize = 3;
const ACTIONS: usize = 4;
const DECISION: usize = 6;
const USE: usize = 7;

/// FIN, SYN and RST: what moves the state of an established TCP connection.
const MOVING: u8 = 0x07;

/// Word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead(u64);

impl Lead {
    const WRITING: u64 = 1;
    const LIVE: u64 = 2;
    /// Of no record: not live, but being written.
    pub(crate) const NONE: Lead = Lead(Lead::WRITING);
    const VERSION_STEP: u64 = 4;
    const VERSION: u64 = 0xfffc;

    #[inline]
    pub(crate) const fn is_live(self) -> bool {
        self.0 & Lead::LIVE != 0
    }

    #[inline]
    const fn is_being_written(self) -> bool {
        self.0 & Lead::WRITING != 0
    }

    #[inline]
    pub(crate) const fn incarnation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) const fn mss(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Whatever it is.
    #[inline]
    pub(crate) fn of(first: &Line) -> Lead {
        Lead(first[LEAD].load(Ordering::Acquire))
    }

    /// The lead of a live record that nobody is writing to; waits for who is.
    #[inline]
    pub(crate) fn settled(first: &Line) -> Option<Lead> {
        loop {
            let lead = Lead(first[LEAD].load(Ordering::Acquire));
            if !lead.is_live() {
                return None;
            }
            if !lead.is_being_written() {
                return Some(lead);
            }
            wait_a_little();
        }
    }

    const fn new(incarnation: u32, mss: u16) -> Lead {
        Lead((incarnation as u64) << 32 | (mss as u64) << 16)
    }

    const fn next_version(self) -> Lead {
        Lead(self.0 & !Lead::VERSION | self.0.wrapping_add(Lead::VERSION_STEP) & Lead::VERSION)
    }
}

/// Word 7.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use(u64);

impl Use {
    #[inline]
    fn new(last: Tick, incarnation: u32, protocol: u8, state: State) -> Use {
        let middle = u64::from(incarnation as u16) << 16 | u64::from(protocol) << 8;
        Use(u64::from(last.0) << 32 | middle | u64::from(state as u8))
    }

    #[inline]
    pub(crate) fn of(first: &Line) -> Use {
        Use(first[USE].load(Ordering::Relaxed))
    }

    /// The same but for the last use, which is `now`.
    #[inline(always)]
    pub(crate) const fn at(now: Tick, rest: u32) -> Use {
        Use((now.0 as u64) << 32 | rest as u64)
    }

    /// All but the last use.
    #[inline]
    pub(crate) const fn rest(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(crate) const fn last(self) -> Tick {
        Tick((self.0 >> 32) as u32)
    }

    #[inline]
    pub(crate) const fn protocol(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline]
    pub(crate) const fn state(self) -> State {
        State::decode(self.0 as u8)
    }

    /// The state as the number that it is kept as.
    #[inline]
    pub(crate) const fn state_number(self) -> usize {
        (self.0 & 0xff) as usize
    }

    #[inline]
    const fn is_of(self, incarnation: u32) -> bool {
        (self.0 >> 16) as u16 == incarnation as u16
    }

    /// 0 if this belongs to that incarnation and protocol.
    #[inline]
    pub(crate) const fn differs(self, incarnation: u32, protocol: u8) -> u64 {
        (self.0 ^ ((incarnation as u16 as u64) << 16 | (protocol as u64) << 8)) & 0xffff_ff00
    }

    /// What a free record has: of no connection that it held or is about to hold.
    const fn gone(incarnation: u32) -> Use {
        Use(((incarnation as u16 ^ 0x8000) as u64) << 16)
    }

    #[inline]
    const fn with(self, last: Tick, state: State) -> Use {
        Use((last.0 as u64) << 32 | self.0 & 0xffff_ff00 | state as u64)
    }

    /// After a packet at `now`, which never takes the last use back.
    #[inline]
    pub(crate) const fn moved_on(self, now: Tick, state: State) -> Use {
        let last = if now.since(self.last()) > 0 { now } else { self.last() };
        self.with(last, state)
    }

    /// Whether a segment without SYN, FIN and RST changes nothing at `now`: the connection is established, or has been
    /// heard both ways, and was last used in this tick.
    #[inline(always)]
    pub(crate) const fn is_settled_at(self, segment: Segment, now: Tick) -> bool {
        let same_tick = self.0 >> 32 == now.0 as u64;
        match segment {
            Segment::Tcp { flags } => same_tick && self.0 as u8 == State::TcpEstablished as u8 && flags & MOVING == 0,
            Segment::Other => same_tick && self.0 as u8 == State::UdpReplied as u8,
        }
    }

    /// Writes `next` where this was read, if it is still there.
    #[inline]
    pub(crate) fn replace(self, first: &Line, next: Use) -> bool {
        first[USE].compare_exchange(self.0, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What [`crate::View`] reads of an IPv4 record.
pub(crate) struct Brief {
    pub(crate) lead: Lead,
    pub(crate) used: Use,
    /// The other direction's, turned round: what packets of this direction become.
    pub(crate) addresses: u64,
    pub(crate) ports: u32,
    pub(crate) action: u64,
    pub(crate) decision: u64,
}

impl Brief {
    /// Loads the lead, which loads the line.
    #[inline(always)]
    pub(crate) fn touch(first: &Line) -> u64 {
        first[LEAD].load(Ordering::Relaxed)
    }

    /// `None` if the record holds no connection with that key in that direction, or if another thread is writing to it.
    #[inline(always)]
    pub(crate) fn of(first: &Line, direction: Direction, addresses: u64, ports: u32, protocol: u8) -> Option<Brief> {
        let lead = Lead(first[LEAD].load(Ordering::Acquire));
        let word = |word: usize| first[word].load(Ordering::Relaxed);
        let used = Use(word(USE));
        // Both lie in words next to each other, or in the halves of one: told apart by shifts, not by branches.
        let side = direction as usize;
        let (own, other) = (word(ADDRESSES + side), word(ADDRESSES + 1 - side));
        let both = word(PORTS).rotate_left(32 * side as u32);
        let differs =
            used.differs(lead.incarnation(), protocol) | u64::from((both >> 32) as u32 ^ ports) | own ^ addresses;
        let settled = lead.0 & (Lead::LIVE | Lead::WRITING) == Lead::LIVE;
        if differs != 0 || !settled {
            return None;
        }
        let (action, decision) = (word(ACTIONS + side), word(DECISION));
        fence(Ordering::Acquire);
        if word(LEAD) != lead.0 {
            return None;
        }
        let (addresses, ports) = (other.rotate_left(32), (both as u32).rotate_left(16));
        Some(Brief { lead, used, addresses, ports, action, decision })
    }
}

#[inline]
const fn action(word: u64) -> Action {
    Action { egress: (word >> 32) as u32, l3_delta: (word >> 16) as u16, l4_delta: word as u16 }
}

/// What was read from a record besides its tuples, in registers: only after the check that it is consistent is it spread
/// over a [`Connection`], straight where the caller wants that.
pub(crate) struct Words {
    lead: Lead,
    used: Use,
    actions: [u64; 2],
    decision: u64,
}

impl Words {
    /// `None` if the record has changed since `lead` was read.
    #[inline(always)]
    pub(crate) fn rest(first: &Line, lead: Lead, used: Use) -> Option<Words> {
        let word = |word: usize| first[word].load(Ordering::Relaxed);
        let words = Words { lead, used, actions: [word(ACTIONS), word(ACTIONS + 1)], decision: word(DECISION) };
        fence(Ordering::Acquire);
        if word(LEAD) == lead.0 { Some(words) } else { None }
    }

    /// The ports of the original direction above those of the reply.
    #[inline(always)]
    pub(crate) fn ports(first: &Line) -> u64 {
        first[PORTS].load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn v4_addresses(first: &Line, direction: Direction) -> u64 {
        first[ADDRESSES + direction as usize].load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn v6_addresses(first: &Line, second: &Line, direction: Direction) -> [u64; 4] {
        match direction {
            Direction::Original => [&first[ADDRESSES], &first[ADDRESSES + 1], &second[0], &second[1]],
            Direction::Reply => [&second[2], &second[3], &second[4], &second[5]],
        }
        .map(|word| word.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn connection(self, place: Place, direction: Direction, original: Tuple, reply: Tuple) -> Connection {
        Connection {
            id: RecordId { place, incarnation: self.lead.incarnation() },
            direction,
            original,
            reply,
            actions: [action(self.actions[0]), action(self.actions[1])],
            generation: (self.decision >> 32) as u32,
            owner: Owner((self.decision >> 16) as u16),
            flags: self.decision as u16,
            mss: self.lead.mss(),
            state: self.used.state(),
        }
    }
}

/// A record's lines; the second is there for IPv6.
#[derive(Clone, Copy)]
pub(crate) struct Record<'t> {
    pub(crate) place: Place,
    pub(crate) first: &'t Line,
    pub(crate) second: Option<&'t Line>,
}

impl Record<'_> {
    /// A copy of the connection, seen from the original direction, if the record holds one.
    pub(crate) fn read(&self) -> Option<(Connection, Use)> {
        loop {
            let lead = Lead::settled(self.first)?;
            let used = self.used();
            let [original, reply] = [Direction::Original, Direction::Reply].map(|direction| self.key(used, direction));
            if let Some(words) = Words::rest(self.first, lead, used) {
                let copy = words.connection(self.place, Direction::Original, original.tuple(), reply.tuple());
                return used.is_of(lead.incarnation()).then_some((copy, used));
            }
        }
    }

    fn key(&self, used: Use, direction: Direction) -> Key {
        let ports = (Words::ports(self.first) >> (32 - 32 * direction as u32)) as u32;
        let protocol = used.protocol();
        match self.second {
            None => Key::V4 { addresses: Words::v4_addresses(self.first, direction), ports, protocol },
            Some(second) => Key::V6 { addresses: Words::v6_addresses(self.first, second, direction), ports, protocol },
        }
    }

    #[inline]
    fn word(&self, word: usize) -> u64 {
        self.first[word].load(Ordering::Relaxed)
    }

    fn set(&self, word: usize, value: u64) {
        self.first[word].store(value, Ordering::Relaxed);
    }

    /// Word 7 as it is now.
    #[inline]
    pub(crate) fn used(&self) -> Use {
        Use::of(self.first)
    }

    /// Moves last use and state of that incarnation on; writes only what changed. The state that it now has, or would
    /// have if it were not gone.
    #[inline]
    pub(crate) fn observe(&self, incarnation: u32, now: Tick, mut after: impl FnMut(State) -> State) -> Option<State> {
        let mut used = self.used();
        loop {
            if !used.is_of(incarnation) {
                return None;
            }
            let state = after(used.state());
            if matches!(state, State::TcpReopen) {
                return Some(state);
            }
            let next = used.moved_on(now, state);
            if next == used {
                return Some(state);
            }
            match self.first[USE].compare_exchange_weak(used.0, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(state),
                Err(current) => used = Use(current),
            }
        }
    }

    /// Takes the use word away if it is still `seen`: from then on nobody finds or observes the connection.
    pub(crate) fn claim(&self, incarnation: u32, seen: Use) -> bool {
        let gone = Use::gone(incarnation).0;
        self.first[USE].compare_exchange(seen.0, gone, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Writes a connection into a free record that this thread alone has. Makes it visible last.
    pub(crate) fn put(&self, new: &New, keys: &[Key; 2], state: State, now: Tick) -> u32 {
        let incarnation = Lead(self.word(LEAD)).incarnation().wrapping_add(1);
        let lead = Lead::new(incarnation, new.mss);
        fence(Ordering::Release);
        let mut ports = 0;
        for (side, key) in keys.iter().enumerate() {
            match (*key, self.second) {
                (Key::V4 { addresses, ports: two, .. }, _) => {
                    self.set(ADDRESSES + side, addresses);
                    ports = ports << 32 | u64::from(two);
                }
                (Key::V6 { addresses, ports: two, .. }, Some(second)) => {
                    self.set_addresses(second, side, addresses);
                    ports = ports << 32 | u64::from(two);
                }
                // The pool was chosen by the key's family.
                (Key::V6 { .. }, None) => {}
            }
        }
        self.set(PORTS, ports);
        self.set_decision(new.actions, new.generation, new.owner, new.flags);
        self.set(USE, Use::new(now, incarnation, new.original.protocol, state).0);
        self.first[LEAD].store(lead.0 | Lead::LIVE, Ordering::Release);
        incarnation
    }

    /// As [`Record::put`], for an IPv4 connection in words.
    #[inline(always)]
    pub(crate) fn open(&self, opening: &Opening, state: State, now: Tick) {
        let Opening { addresses, ports, protocol, actions, generation, owner, flags, mss, .. } = *opening;
        let incarnation = Lead(self.word(LEAD)).incarnation().wrapping_add(1);
        fence(Ordering::Release);
        self.set(ADDRESSES, addresses[0]);
        self.set(ADDRESSES + 1, addresses[1]);
        self.set(PORTS, u64::from(ports[0]) << 32 | u64::from(ports[1]));
        self.set(ACTIONS, actions[0]);
        self.set(ACTIONS + 1, actions[1]);
        self.set(DECISION, u64::from(generation) << 32 | u64::from(owner.0) << 16 | u64::from(flags));
        self.set(USE, Use::new(now, incarnation, protocol, state).0);
        self.first[LEAD].store(Lead::new(incarnation, mss).0 | Lead::LIVE, Ordering::Release);
    }

    fn set_addresses(&self, second: &Line, side: usize, addresses: [u64; 4]) {
        let [a, b, c, d] = addresses;
        let set = |word: usize, value: u64| second[word].store(value, Ordering::Relaxed);
        if side == 0 {
            self.set(ADDRESSES, a);
            self.set(ADDRESSES + 1, b);
            set(0, c);
            set(1, d);
        } else {
            for (word, value) in (2..).zip(addresses) {
                set(word, value);
            }
        }
    }

    fn set_decision(&self, actions: [Action; 2], generation: u32, owner: Owner, flags: u16) {
        for (word, action) in (ACTIONS..).zip(actions) {
            let deltas = u64::from(action.l3_delta) << 16 | u64::from(action.l4_delta);
            self.set(word, u64::from(action.egress) << 32 | deltas);
        }
        self.set(DECISION, u64::from(generation) << 32 | u64::from(owner.0) << 16 | u64::from(flags));
    }

    /// Replaces what was decided; false when that incarnation is gone.
    pub(crate) fn redecide(&self, incarnation: u32, actions: [Action; 2], flags: u16, generation: u32) -> bool {
        let writing = |lead: Lead| Lead(lead.0 | Lead::WRITING);
        let Some(lead) = self.exchange_lead(incarnation, writing) else { return false };
        fence(Ordering::Release);
        let owner = Owner((self.word(DECISION) >> 16) as u16);
        self.set_decision(actions, generation, owner, flags);
        self.first[LEAD].store(lead.next_version().0, Ordering::Release);
        true
    }

    /// Notes the maximum segment size, if that incarnation is still here.
    pub(crate) fn set_mss(&self, incarnation: u32, mss: u16) {
        self.exchange_lead(incarnation, |lead| Lead(lead.0 & !0xffff_0000 | u64::from(mss) << 16));
    }

    /// Takes that incarnation out; false when it is gone. Under the locks of its buckets.
    pub(crate) fn take_out(&self, incarnation: u32) -> bool {
        let gone = self.exchange_lead(incarnation, |lead| Lead(lead.next_version().0 & !Lead::LIVE)).is_some();
        if gone {
            fence(Ordering::Release);
            self.set(USE, Use::gone(incarnation).0);
        }
        gone
    }

    /// Exchanges the lead of that incarnation while nobody writes to it; the lead before.
    fn exchange_lead(&self, incarnation: u32, change: impl Fn(Lead) -> Lead) -> Option<Lead> {
        let word = &self.first[LEAD];
        let mut lead = Lead(word.load(Ordering::Relaxed));
        loop {
            if !lead.is_live() || lead.incarnation() != incarnation {
                return None;
            }
            if lead.is_being_written() {
                wait_a_little();
                lead = Lead(word.load(Ordering::Relaxed));
                continue;
            }
            match word.compare_exchange_weak(lead.0, change(lead).0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(lead),
                Err(current) => lead = Lead(current),
            }
        }
    }

    /// Whether that incarnation is still here.
    pub(crate) fn holds(&self, incarnation: u32) -> bool {
        let lead = Lead(self.first[LEAD].load(Ordering::Acquire));
        lead.is_live() && lead.incarnation() == incarnation
    }

    /// Loads the lead, which loads the line.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        Brief::touch(self.first)
    }

    /// After a crash, with no other thread about: lets go of what was held, and gives the connection if the words make
    /// one. It is to be decided again: the tables it was decided under are gone, and a half-written decision with them.
    pub(crate) fn recover(&self) -> Option<Connection> {
        let lead = Lead(self.word(LEAD) & !Lead::WRITING);
        self.set(LEAD, lead.0);
        let decision = self.word(DECISION) & 0xffff_ffff | u64::from(Connection::UNDECIDED) << 32;
        if lead.is_live() {
            self.set(DECISION, decision);
        }
        let (connection, used) = self.read()?;
        State::stored(used.0 as u8, used.protocol())?;
        Some(connection)
    }

    /// Whether it holds a connection, readable or not.
    pub(crate) fn is_live(&self) -> bool {
        Lead(self.word(LEAD)).is_live()
    }

    /// With no other thread about: makes the record free, whatever it held.
    pub(crate) fn discard(&self) {
        let lead = Lead(self.word(LEAD) & !(Lead::LIVE | Lead::WRITING));
        self.set(LEAD, lead.0);
        self.set(USE, Use::gone(lead.incarnation()).0);
    }
}
