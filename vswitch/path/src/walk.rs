//! The way of a packet: the one place that calls the stages.

mod ending;

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use sluice_connections::{Connection, Segment, Tick, View};
use sluice_tables::{Tables, WorkerId};
use sluice_wire::parse::L3;
use sluice_wire::{protocol, tcp};

use crate::budget::{Budget, ErrorRate};
use crate::connection::{self, Change, Direction, Found, Look};
use crate::egress::{self, Egress, Wanted};
use crate::ends::{Client, Target};
use crate::exit::{Exit, Refusal};
use crate::fragments::{Fragments, Release};
use crate::masquerade::{self, Draft};
use crate::memory::Shared;
use crate::opening::{Field, Openings};
use crate::random::Random;
use crate::service::{self, Chooser, Keep};
use crate::shortcut::{self, Lanes, Left, Patterns, Plain, TOGETHER, Under, With};
use crate::{Counts, DropReason, Packet, Time, Verdict};
use crate::{fragment, origin, parse, policy, rewrite, route, size};

/// The stages in the order a packet passes them. `walk`, the modules of this crate and the sections of `docs/path.md`
/// are held to it by a test.
pub const STAGES: [&str; 10] =
    ["parse", "origin", "fragment", "connection", "service", "policy", "route", "masquerade", "size", "rewrite"];

/// Records of the connection table that are looked at for what has expired, after so many packets.
const SWEPT_AT_ONCE: usize = 16;
const SWEPT_AFTER: usize = 64;
/// The same, for each connection that a burst has made or found no room for: so many that what expires keeps up with what comes. Where
/// connections come as fast as they expire, one in four of those in the table waits to be found.
const SWEPT_WITH_A_CONNECTION: usize = 2;
/// The same, for a worker that has nothing to do.
const SWEPT_IDLE: usize = 256;

/// What of the path can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// How many ICMP errors and resets this worker may send.
    pub icmp_errors: ErrorRate,
    /// From this the choice among backends and the hashes of the path's own maps follow. A secret, so that nobody outside
    /// can choose what collides; equal seeds make equal runs.
    pub seed: u64,
    /// The worker whose path this is: of the uplink's ports it sends by its own.
    pub worker: WorkerId,
    /// Whether a client of a TCP connection is sent a reset when its endpoint has been removed.
    pub reset_removed: bool,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self { icmp_errors: ErrorRate::default(), seed: 0, worker: WorkerId(0), reset_removed: true }
    }
}

/// The path of one worker: what it remembers from burst to burst.
#[derive(Debug)]
pub struct Path {
    config: PathConfig,
    errors: Budget,
    shared: Arc<Shared>,
    fragments: Fragments,
    random: Random,
    wanted: Wanted,
    /// What reading ahead has read: kept, so that the reading is not left out.
    read_ahead: u64,
    /// Packets since the connection table was last swept.
    unswept: usize,
    /// `None` where every packet takes the stages.
    patterns: Option<Patterns>,
}

/// When a burst is decided on, and under which tables.
#[derive(Clone, Copy)]
struct Moment<'t> {
    now: Time,
    tick: Tick,
    tables: &'t Tables,
    generation: u32,
    /// For what is by chance ([`Chooser`]).
    chance: u64,
}

impl Path {
    /// A path that has seen no packet.
    #[must_use]
    pub fn new(config: PathConfig, shared: Arc<Shared>) -> Self {
        let seed = config.seed ^ u64::from(config.worker.0) << 56;
        Self {
            config,
            errors: Budget::new(config.icmp_errors),
            shared,
            fragments: Fragments::new(seed),
            random: Random::new(seed),
            wanted: Wanted::new(),
            read_ahead: 0,
            unswept: 0,
            patterns: Some(Patterns::new(seed)),
        }
    }

    /// The same, but every packet takes the stages one by one: to compare with.
    #[must_use]
    pub fn without_shortcut(mut self) -> Self {
        self.patterns = None;
        self
    }

    /// What all paths share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Decides on every packet of `burst`. `now` and `tables` hold for all of it.
    pub fn run(&mut self, now: Time, tables: &Tables, counts: &mut Counts, burst: &mut [Packet<'_>]) {
        let moment = Moment {
            now,
            tick: Tick::of(now.0),
            tables,
            generation: connection::generation(tables),
            chance: self.random.next(),
        };
        if let Some(patterns) = &mut self.patterns {
            patterns.under(tables);
        }
        let before = wished(counts);
        for packets in burst.chunks_mut(TOGETHER) {
            self.run_together(&moment, counts, packets);
        }
        let wished = wished(counts).wrapping_sub(before) as usize;
        self.unswept += burst.len();
        let mut records = SWEPT_WITH_A_CONNECTION * wished;
        if self.unswept >= SWEPT_AFTER {
            self.unswept = 0;
            records += SWEPT_AT_ONCE;
        }
        if records > 0 {
            self.sweep(now, records, counts);
        }
        self.fragments.expire(now);
    }

    /// For a worker that has nothing to do: ends connections and fragments whose time is up.
    pub fn idle(&mut self, now: Time, counts: &mut Counts) {
        self.sweep(now, SWEPT_IDLE, counts);
        self.fragments.expire(now);
    }

    /// The next parked packet to be released, with its slot, until there is none. To be asked after every
    /// [`Path::run`] and before the next. Adjusts `counts`: a packet that runs again is counted as it runs.
    pub fn released(&mut self, counts: &mut Counts) -> Option<(u16, Release)> {
        let (slot, release) = self.fragments.released()?;
        counts.parked -= 1;
        match release {
            Release::Run => counts.received -= 1,
            Release::Drop(reason) => counts.count_drop(reason),
        }
        Some((slot, release))
    }

    /// Neighbours of the uplink that packets were for and whose MAC is not known: to be resolved. At most 16 a burst.
    pub fn wanted(&mut self) -> impl Iterator<Item = IpAddr> + '_ {
        self.wanted.drain(..)
    }

    fn sweep(&mut self, now: Time, records: usize, counts: &mut Counts) {
        let swept = self.shared.connections.sweep(Tick::of(now.0), records);
        counts.connections_gone += u64::from(swept.expired);
    }

    fn run_together(&mut self, moment: &Moment<'_>, counts: &mut Counts, packets: &mut [Packet<'_>]) {
        let mut left = Left::new();
        match &mut self.patterns {
            Some(patterns) => {
                let with = With { view: self.shared.connections.view(), tables: moment.tables, now: moment.tick };
                shortcut::meet(patterns, &with, counts, packets, &mut left);
            }
            None => left.extend((0..packets.len().min(TOGETHER)).map(|number| (number as u8, Plain::SPECIAL))),
        }
        if !left.is_empty() {
            self.run_left(moment, counts, packets, &mut left);
        }
    }

    /// What is left when known connections with a pattern are gone.
    #[inline(never)]
    fn run_left(&mut self, moment: &Moment<'_>, counts: &mut Counts, packets: &mut [Packet<'_>], left: &mut Left) {
        let shared = Arc::clone(&self.shared);
        let view = shared.connections.view();
        let mut looks: ArrayVec<Result<Look<'_>, Exit<'_>>, TOGETHER> = ArrayVec::new();
        for (number, _) in left.iter().filter(|(_, plain)| plain.is_special()) {
            let Some(packet) = packets.get_mut(usize::from(*number)) else { continue };
            counts.received += 1;
            looks.push(self.arrive(moment, counts, packet));
        }
        self.read_ahead(&view, left, &looks);
        let mut looks = looks.iter();
        let lanes = Lanes::new(moment.tables, self.config.worker);
        let under = Under { lanes, generation: moment.generation, now: moment.tick };
        let left = &*left;
        let intake = shared.connections.intake();
        let narrow = shared.path_mtus.if_any();
        let field = Field { tables: moment.tables, view, intake, narrow, chance: moment.chance };
        let mut openings = Openings::new();
        self.read_ahead ^= openings.decide(&field, packets, left);
        for (number, plain) in left {
            let Some(packet) = packets.get_mut(usize::from(*number)) else { continue };
            if plain.is_special() {
                let Some(look) = looks.next() else { continue };
                self.go_on(moment, counts, packet, look);
            } else if plain.may_open() {
                if !openings.begin(&field, &under, counts, *number, packet) {
                    self.go_all_the_way(moment, counts, packet);
                }
            } else if !shortcut::take(&under, &view, self.patterns.as_mut(), counts, packet, plain) {
                self.go_all_the_way(moment, counts, packet);
            }
        }
    }

    /// Has the processor load what the look-ups of all packets will read. In loops of their own, so short that it is busy with
    /// many of them at once.
    #[inline]
    fn read_ahead(&mut self, view: &View<'_>, left: &mut Left, looks: &[Result<Look<'_>, Exit<'_>>]) {
        let mut read = 0;
        for (_, plain) in &*left {
            read ^= view.touch(plain.hash);
        }
        for look in looks.iter().flatten() {
            read ^= self.shared.connections.touch(look.hash);
        }
        for (_, plain) in left {
            let (entry, loaded) = view.probe(plain.hash);
            plain.entry = entry;
            read ^= loaded;
        }
        for look in looks.iter().flatten() {
            read ^= self.shared.connections.peek(look.hash);
        }
        self.read_ahead ^= read;
    }

    /// All stages, for a packet that the shortcut did not take after all.
    #[inline(never)]
    fn go_all_the_way(&mut self, moment: &Moment<'_>, counts: &mut Counts, packet: &mut Packet<'_>) {
        counts.received += 1;
        let look = self.arrive(moment, counts, packet);
        self.go_on(moment, counts, packet, &look);
    }

    /// The stages after those of [`Path::arrive`], or what they have made unnecessary.
    #[inline(never)]
    fn go_on<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        look: &Result<Look<'t>, Exit<'t>>,
    ) {
        let verdict = match look {
            Ok(look) => self
                .walk(moment, counts, packet, look)
                .unwrap_or_else(|exit| self.leave(moment, counts, packet, &exit, Some(&look.arrival))),
            Err(exit) => self.leave(moment, counts, packet, exit, None),
        };
        packet.decide(verdict);
    }

    /// The stages that a packet passes before any connection is looked for.
    #[inline]
    fn arrive<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
    ) -> Result<Look<'t>, Exit<'t>> {
        let parsed = parse::run(packet)?;
        let arrival = origin::run(moment.tables, packet, parsed)?;
        counts.decapsulated += u64::from(matches!(arrival.origin, origin::Origin::Tunnel(_)));
        let told = fragment::run(&mut self.fragments, moment.now, packet.head(), &arrival)?;
        connection::look(&self.shared.connections, packet.head(), &arrival, told)
    }

    /// A packet that comes through all stages is sent on; the stage that ends its way otherwise says how.
    #[inline]
    fn walk<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        look: &Look<'t>,
    ) -> Result<Verdict, Exit<'t>> {
        let connection = self.settle(moment, counts, packet.head(), look)?;
        self.send(moment, counts, packet, look, &connection)
    }

    /// The packet's connection, decided under these tables.
    #[inline]
    fn settle<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        head: &[u8],
        look: &Look<'t>,
    ) -> Result<Connection, Exit<'t>> {
        let Moment { tables, generation, tick, .. } = *moment;
        let found = connection::run(&self.shared.connections, tables, generation, tick, head, look)?;
        if let Some(quote) = &look.quote {
            self.note_path_mtu(head, look, quote.destination, tick);
        }
        match found {
            Found::Known(connection) => {
                counts.connection_hits += 1;
                Ok(connection)
            }
            Found::Stale(connection) => {
                counts.connection_hits += 1;
                self.decide(moment, counts, head, look, Some(connection))
            }
            Found::Unknown => {
                counts.connection_misses += 1;
                self.decide(moment, counts, head, look, None)
            }
            Found::Begun { taken_out } => {
                counts.connections_gone += u64::from(taken_out);
                counts.connection_misses += 1;
                self.decide(moment, counts, head, look, None)
            }
        }
    }

    /// The slow path: decides on a new connection, or again on a known one that was decided under other tables.
    #[inline(never)]
    fn decide<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        head: &[u8],
        look: &Look<'t>,
        known: Option<Connection>,
    ) -> Result<Connection, Exit<'t>> {
        let Moment { tables, generation, tick: now, .. } = *moment;
        let kept = match known {
            Some(connection) => self.keep(tables, now, counts, look, connection)?,
            None => None,
        };
        let (client, target) = match &kept {
            Some((connection, target)) => match Client::of_connection(tables, connection) {
                Ok(client) => (client, *target),
                Err(gone) => return Err(self.cut_gone(&kept, counts, gone).into()),
            },
            None => {
                origin::answer(tables, head, &look.arrival)?;
                let client = Client::of_arrival(&look.arrival, &look.tuple);
                let chooser = Chooser { affinity: &self.shared.affinity, chance: moment.chance, now };
                (client, service::run(tables, &chooser, &client, look)?)
            }
        };
        if let Err(refusal) = policy::run(tables, &client, &target, look.tuple.protocol) {
            return Err(self.cut(&kept, counts, refusal).into());
        }
        let routes = match route::run(tables, &client, &target) {
            Ok(routes) => routes,
            Err(gone @ Refusal::Tell(DropReason::NoSuchPod, _)) => {
                return Err(self.cut_gone(&kept, counts, gone).into());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if let Some((connection, _)) = kept {
            if masquerade::exposes(tables, &connection, &client, &target, &routes) {
                return self.hide(moment, counts, head, look, &connection);
            }
            counts.decided_again += 1;
            let actions = masquerade::actions(&connection.original, &connection.reply, &routes);
            // One that has gone meanwhile has still passed: its next packet begins it anew.
            self.shared.connections.redecide(&connection, actions, connection.flags, generation);
            return Ok(Connection { actions, generation, ..connection });
        }
        let draft = Draft { tables, generation, now, head, look, client, target, routes };
        let mut connection = masquerade::run(&self.shared.connections, counts, &draft)?;
        self.recall_path_mtu(&mut connection, now);
        if connection.generation != generation {
            // Another worker, still under the tables before these, was faster.
            return self.decide(moment, counts, head, look, Some(connection));
        }
        Ok(connection)
    }

    /// Remembers that packets to there may only be so long.
    #[cold]
    fn note_path_mtu(&self, head: &[u8], look: &Look<'_>, destination: IpAddr, now: Tick) {
        if let Some(mtu) = connection::narrower(head, look) {
            self.shared.path_mtus.put(destination, mtu, now);
        }
    }

    /// A new connection has segments as short as the paths to its ends are known to want.
    fn recall_path_mtu(&self, connection: &mut Connection, now: Tick) {
        if connection.original.protocol != protocol::TCP {
            return;
        }
        let ends = [connection.original.source, connection.reply.source];
        if let Some(mss) = self.shared.path_mtus.mss(ends, now)
            && (connection.mss == 0 || mss < connection.mss)
        {
            self.shared.connections.set_mss(connection, mss);
            connection.mss = mss;
        }
    }

    /// Begins a connection anew whose client is to be hidden now. One of the process before is left, as in [`Path::cut_gone`]: the
    /// tables may not have all peers again yet.
    fn hide<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        head: &[u8],
        look: &Look<'t>,
        connection: &Connection,
    ) -> Result<Connection, Exit<'t>> {
        if connection.generation == Connection::UNDECIDED {
            return Err(DropReason::BackendGone.into());
        }
        self.remove(connection, counts);
        if begins(look, connection) {
            self.decide(moment, counts, head, look, None)
        } else {
            Err(DropReason::BackendGone.into())
        }
    }

    /// Where a connection decided under other tables goes; `None` when the packet begins a new one.
    fn keep<'t>(
        &self,
        tables: &Tables,
        now: Tick,
        counts: &mut Counts,
        look: &Look<'t>,
        connection: Connection,
    ) -> Result<Option<(Connection, Target)>, Exit<'t>> {
        let from_client = begins(look, &connection);
        match service::keep(tables, look, &connection) {
            Keep::On(target) => Ok(Some((connection, target))),
            Keep::Anew => {
                self.remove(&connection, counts);
                if from_client { Ok(None) } else { Err(DropReason::BackendGone.into()) }
            }
            Keep::Gone => {
                // Over, as after a reset: nothing more comes of it, and it is not to hold its share and its port for days.
                if from_client && connection.generation != Connection::UNDECIDED {
                    let reset = Segment::Tcp { flags: tcp::flag::RST };
                    self.shared.connections.observe(&connection, reset, now);
                }
                let told = from_client && self.config.reset_removed;
                Err(if told { Exit::Reset(DropReason::BackendGone) } else { DropReason::BackendGone.into() })
            }
        }
    }

    /// Takes out a connection that is not to go on.
    fn cut(&self, kept: &Option<(Connection, Target)>, counts: &mut Counts, refusal: Refusal) -> Refusal {
        if let Some((connection, _)) = kept {
            self.remove(connection, counts);
        }
        refusal
    }

    /// The same for one whose end has gone; but one of the process before is left until it has been decided in this, whose tables
    /// may not have all pods again yet.
    fn cut_gone(&self, kept: &Option<(Connection, Target)>, counts: &mut Counts, refusal: Refusal) -> Refusal {
        let adopted = kept.as_ref().is_some_and(|(connection, _)| connection.generation == Connection::UNDECIDED);
        if adopted { refusal } else { self.cut(kept, counts, refusal) }
    }

    fn remove(&self, connection: &Connection, counts: &mut Counts) {
        counts.connections_gone += u64::from(self.shared.connections.remove(connection));
    }

    /// The stages that every packet of a decided connection passes.
    #[inline]
    fn send<'t>(
        &mut self,
        moment: &Moment<'t>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        look: &Look<'t>,
        connection: &Connection,
    ) -> Result<Verdict, Exit<'t>> {
        let tables = moment.tables;
        let destination = connection::destination_of(connection);
        let leaves = Egress::decode(connection.action().egress);
        let way = egress::way(tables, self.config.worker, leaves, destination, &mut self.wanted)?;
        let change = connection::change(connection, look);
        let cut = size::run(tables, packet, &look.arrival, &way, destination, connection.mss)?;
        packet.cut(cut);
        if look.arrival.ip.headers.l3 == L3::Ipv6 && look.quote.is_none() && cut.is_none() {
            self.learn(moment, packet, look, connection);
        }
        let verdict = rewrite::run(packet, &look.arrival, &change, &way, tables.gateway(), look.hash)?;
        counts.forwarded += 1;
        counts.forwarded_bytes += packet.total_len() as u64;
        counts.translated += u64::from(!matches!(change, Change::None));
        counts.encapsulated += u64::from(matches!(way, egress::Way::Tunnel { .. }));
        Ok(verdict)
    }
}

impl Path {
    /// Leaves a pattern behind, for those that come as this IPv6 packet has.
    #[inline]
    fn learn(&mut self, moment: &Moment<'_>, packet: &mut Packet<'_>, look: &Look<'_>, connection: &Connection) {
        if let Some(patterns) = self.patterns.as_mut().filter(|patterns| patterns.learn()) {
            let lanes = Lanes::new(moment.tables, self.config.worker);
            shortcut::learn_v6(patterns, &lanes, &self.shared.connections, packet, look, connection);
        }
    }
}

/// Whether a packet of a connection may begin it anew: it is the client's.
fn begins(look: &Look<'_>, connection: &Connection) -> bool {
    connection.direction == Direction::Original && look.quote.is_none()
}

/// Connections that there were to be, with or without room for them.
fn wished(counts: &Counts) -> u64 {
    let refused = [DropReason::ConnectionsFull, DropReason::ConnectionShare].map(|reason| counts.dropped(reason));
    counts.connections_new.wrapping_add(refused[0]).wrapping_add(refused[1])
}

#[cfg(test)]
mod tests;
