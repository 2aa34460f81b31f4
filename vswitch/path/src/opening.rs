//! Openings: the shortcut for the first packets of connections, where nothing is special about packet, destination and policies.
//!
//! ```text
//! plain, no connection --> choose: a pod of the cluster, or a backend of a ClusterIP
//!   --> place: of this node or a peer's, and whose rules are to be asked
//!     --> who the other end is to these
//!       --> whether they allow it
//!         --> meet: the reply's tuple ... all packets of the burst so far; then one by one
//!           --> begin: the connection is made, the packet sent
//! ```
//!
//! Each pass is a loop of its own over the burst, so that its packets wait for memory together. As with the shortcut nothing is decided
//! that the stages would decide otherwise: where anything else is the case (another kind of destination, a refusal, a client to be
//! hidden, a tuple that is taken), nothing has been written and the packet takes the stages.

use std::net::Ipv4Addr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use sluice_connections as connections;
use sluice_connections::{Intake, Owner, Reserved, View};
use sluice_tables::{Beginning, District, Front, Identity, PortId, Rules, Tables};
use sluice_wire::{protocol, tcp};

use crate::connection::{announced, opened};
use crate::egress::Egress;
use crate::path_mtus::PathMtus;
use crate::service::chance;
use crate::shortcut::{self, Becomes, Left, Plain, TOGETHER, Under};
use crate::translate::{add, difference, word};
use crate::{Counts, Packet};

/// Under which tables, and what else is the same for all.
#[derive(Clone, Copy)]
pub(crate) struct Field<'t> {
    pub(crate) tables: &'t Tables,
    pub(crate) view: View<'t>,
    pub(crate) intake: Intake<'t>,
    /// What is known of paths.
    pub(crate) narrow: Option<&'t PathMtus>,
    /// As [`crate::service::Chooser`] has it.
    pub(crate) chance: u64,
}

/// One of the burst's first packets, and what has been decided of it so far.
#[derive(Clone, Copy)]
struct Opening<'t> {
    /// Which of the burst's packets.
    number: u8,
    /// False once the stages have to say.
    stands: bool,
    /// Whether a Service led there.
    service: bool,
    /// What was read of it.
    plain: &'t Plain,
    /// Where its frontend is looked for.
    beginning: Beginning,
    /// Where it really goes.
    address: u32,
    port: u16,
    /// Whose share it counts against.
    owner: Owner,
    /// Where packets leave, from the client and back, as [`Egress::encode`] has it.
    there: u32,
    back: u32,
    /// Of the reply's tuple.
    hash: u64,
}

/// What has to be allowed by the rules of a pod of this node.
#[derive(Clone, Copy)]
struct Judgement<'t> {
    /// Which of the openings.
    opening: u8,
    rules: &'t Rules,
    /// Whom they meet: the other end.
    peer: Ipv4Addr,
    identity: Option<Identity>,
}

/// Client and target of each may be pods of this node.
type Judgements<'t> = ArrayVec<Judgement<'t>, { 2 * TOGETHER }>;

/// The openings of a burst, in the order of its packets.
pub(crate) struct Openings<'t> {
    all: ArrayVec<Opening<'t>, TOGETHER>,
    /// The next to be begun.
    next: usize,
    /// Records for those that stand.
    reserved: Option<Reserved<'t>>,
}

impl<'t> Openings<'t> {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { all: ArrayVec::new(), next: 0, reserved: None }
    }

    /// Decides about those of `packets` that were left over and that nothing is known of. The result is to be kept, so that what
    /// was read ahead is.
    pub(crate) fn decide(&mut self, field: &Field<'t>, packets: &[Packet<'_>], left: &'t Left) -> u64 {
        let mut read = 0;
        for (number, plain) in left {
            if plain.is_unknown() && !plain.is_special() {
                let Some(packet) = packets.get(usize::from(*number)) else { continue };
                let (opening, loaded) = Opening::of(field.tables, *number, packet, plain);
                self.all.push(opening);
                read ^= loaded;
            }
        }
        if self.all.is_empty() {
            return 0;
        }
        for opening in &mut self.all {
            opening.stands = choose(field, opening);
        }
        let mut judgements = Judgements::new();
        for (number, opening) in (0..).zip(&mut self.all) {
            if opening.stands {
                read ^= place(field.tables, number, opening, &mut judgements);
            }
        }
        for judgement in &mut judgements {
            judgement.identity = field.tables.identity(judgement.peer.into());
            read ^= judgement.rules.touch_peer(judgement.identity);
        }
        for Judgement { opening, rules, peer, identity } in &judgements {
            if let Some(opening) = self.all.get_mut(usize::from(*opening)) {
                opening.stands &= rules.allows((*peer).into(), *identity, opening.plain.protocol, opening.port);
            }
        }
        let mut standing = 0;
        for opening in &mut self.all {
            let (addresses, ports) = reply(opening);
            opening.hash = field.view.hash(addresses, ports, opening.plain.protocol);
            read ^= field.view.touch(opening.hash);
            standing += usize::from(opening.stands);
        }
        let (reserved, loaded) = field.intake.reserve(standing);
        self.reserved = Some(reserved);
        read ^ loaded
    }

    /// Begins the connection of the burst's packet `number` and sends it on its way. False, with nothing changed, when the stages have
    /// to.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        field: &Field<'_>,
        under: &Under<'_>,
        counts: &mut Counts,
        number: u8,
        packet: &mut Packet<'_>,
    ) -> bool {
        let (Some(opening), Some(reserved)) = (self.all.get(self.next), &mut self.reserved) else { return false };
        if opening.number != number {
            return false;
        }
        self.next += 1;
        if !opening.stands {
            return false;
        }
        let begun = begin(field, reserved, under, counts, packet, opening);
        if !begun {
            // The stages may need it.
            reserved.give_one_back();
        }
        begun
    }
}

impl<'t> Opening<'t> {
    /// Of a packet of which nothing has been decided yet. Loads where [`choose`] begins to look.
    #[inline(always)]
    fn of(tables: &Tables, number: u8, packet: &Packet<'_>, plain: &'t Plain) -> (Self, u64) {
        let (address, port) = (plain.addresses as u32, plain.ports as u16);
        let from = packet.port();
        let (beginning, loaded) = tables.services().begin_front(address, port, plain.protocol);
        let opening = Self {
            number,
            stands: true,
            service: false,
            plain,
            beginning,
            address,
            port,
            owner: Owner(from.0),
            there: Egress::Uplink.encode(),
            back: Egress::Port(from).encode(),
            hash: 0,
        };
        (opening, loaded)
    }
}

/// Where a packet really goes. False where there is more to it.
#[inline(always)]
fn choose(field: &Field<'_>, opening: &mut Opening<'_>) -> bool {
    let plain = opening.plain;
    // Nobody sends through a tunnel what the sender's own node has not already sent to a backend.
    if plain.inner != 0 {
        return true;
    }
    match field.tables.services().front_at(opening.beginning) {
        Front::None => {}
        Front::Special => return false,
        Front::Plain(backends) => {
            let position = (u128::from(chance(field.chance, plain.hash)) * backends.len() as u128) >> 64;
            // There is one at least.
            let backend = backends.get(position as usize).copied().unwrap_or(0);
            opening.address = (backend >> 32) as u32;
            opening.port = backend as u16;
            opening.service = true;
        }
    }
    // What a pod without an IPv4 address has in place of one ([`sluice_tables::Face::address`]); it is nobody's.
    !source(plain).is_unspecified()
}

/// Whose the target is, and who is to be asked. It stands if it is a pod's, and another than the client.
#[inline(always)]
fn place<'t>(tables: &'t Tables, number: u8, opening: &mut Opening<'_>, judgements: &mut Judgements<'t>) -> u64 {
    let plain = opening.plain;
    let target = Ipv4Addr::from_bits(opening.address);
    let mut read = 0;
    let mut ask = |rules: &'t Option<Arc<Rules>>, peer: Ipv4Addr| {
        if let Some(rules) = rules.as_deref() {
            read ^= rules.touch() ^ tables.touch_identity(peer);
            judgements.push(Judgement { opening: number, rules, peer, identity: None });
        }
    };
    let district = tables.district(target);
    if plain.inner != 0 {
        let peer = tables.peer_of(source(plain).into());
        let (Some((peer, _)), District::Pod(pod)) = (peer, district) else {
            opening.stands = false;
            return 0;
        };
        opening.there = Egress::Port(pod).encode();
        opening.back = Egress::Tunnel(peer).encode();
        opening.owner = Owner(pod.0);
        ask(&tables.policy(pod).ingress, source(plain));
        return read;
    }
    // The share is the client's.
    let client = PortId(opening.owner.0);
    ask(&tables.policy(client).egress, target);
    opening.stands = match district {
        District::Pod(pod) => {
            opening.there = Egress::Port(pod).encode();
            ask(&tables.policy(pod).ingress, source(plain));
            pod != client
        }
        District::PeerPod(peer) => {
            opening.there = Egress::Tunnel(peer).encode();
            tables.tunnel().is_some()
        }
        District::Other => false,
    };
    if plain.protocol == protocol::UDP && tables.tunnel().is_some_and(|tunnel| tunnel.port == opening.port) {
        opening.stands = false;
    }
    read
}

#[inline(always)]
fn begin(
    field: &Field<'_>,
    reserved: &mut Reserved<'_>,
    under: &Under<'_>,
    counts: &mut Counts,
    packet: &mut Packet<'_>,
    opening: &Opening<'_>,
) -> bool {
    let Opening { plain, service, owner, there, back, .. } = *opening;
    let mut mss = mss(packet.head(), plain);
    if let Some(narrow) = field.narrow {
        mss = narrower(narrow, under, opening, mss);
    }
    let Some(lane) = under.lanes.find(there).filter(|lane| lane.takes(packet, plain, mss)) else {
        return false;
    };
    let (addresses, ports) = reply(opening);
    let becomes = becomes(opening);
    // What goes back undoes it.
    let undone = if service { [!becomes.l3_delta, !becomes.l4_delta] } else { [0; 2] };
    let action = |egress: u32, [l3, l4]: [u16; 2]| u64::from(egress) << 32 | u64::from(l3) << 16 | u64::from(l4);
    let record = connections::Opening {
        addresses: [plain.addresses, addresses],
        ports: [plain.ports, ports],
        hashes: [plain.hash, opening.hash],
        protocol: plain.protocol,
        actions: [action(there, [becomes.l3_delta, becomes.l4_delta]), action(back, undone)],
        generation: under.generation,
        owner,
        flags: opened(plain.inner == 0, service),
        mss,
        segment: plain.segment(),
    };
    if !field.intake.open(reserved, &record, under.now) {
        return false;
    }
    counts.connection_misses += 1;
    counts.connections_new += 1;
    shortcut::send(&lane, counts, packet, plain, service.then_some(&becomes));
    true
}

/// The connection's segment size where it announces `mss`: one that the paths to its ends take.
#[cold]
fn narrower(narrow: &PathMtus, under: &Under<'_>, opening: &Opening<'_>, mss: u16) -> u16 {
    let ends = [source(opening.plain).into(), Ipv4Addr::from_bits(opening.address).into()];
    match narrow.mss(ends, under.now) {
        Some(known) if opening.plain.protocol == protocol::TCP && (mss == 0 || known < mss) => known,
        _ => mss,
    }
}

#[inline(always)]
fn source(plain: &Plain) -> Ipv4Addr {
    Ipv4Addr::from_bits((plain.addresses >> 32) as u32)
}

/// Addresses and ports of a packet that answers.
#[inline(always)]
fn reply(opening: &Opening<'_>) -> (u64, u32) {
    let plain = opening.plain;
    let addresses = u64::from(opening.address) << 32 | plain.addresses >> 32;
    (addresses, u32::from(opening.port) << 16 | plain.ports >> 16)
}

/// What the client's packets become.
#[inline(always)]
fn becomes(opening: &Opening<'_>) -> Becomes {
    let plain = opening.plain;
    let addresses = plain.addresses >> 32 << 32 | u64::from(opening.address);
    let ports = plain.ports >> 16 << 16 | u32::from(opening.port);
    let l3_delta = difference(plain.addresses as u32, opening.address);
    Becomes { addresses, ports, l3_delta, l4_delta: add(l3_delta, word(plain.ports as u16, opening.port)) }
}

/// The segment size that a SYN announces.
#[inline(always)]
fn mss(head: &[u8], plain: &Plain) -> u16 {
    if plain.protocol != protocol::TCP || plain.flags & tcp::flag::SYN == 0 {
        return 0;
    }
    head.get(usize::from(plain.inner) + Plain::L4..).map_or(0, announced)
}
