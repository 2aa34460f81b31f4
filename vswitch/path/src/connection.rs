//! Fourth stage: is the packet of a connection that is known? Then what was decided for it holds, unless the tables have
//! changed since. An ICMP error belongs to the connection of the packet that it quotes.

mod flags;
mod quoted;
mod tcp;
mod tuple;

use sluice_connections::{Connection, Segment, State, Table, Tick};
use sluice_tables::Tables;
use sluice_wire::quote::Quote;

use crate::exit::Exit;
use crate::fragments::Ports;
use crate::origin::Arrival;
use crate::translate::Deltas;

pub(crate) use flags::{FROM_HOST, FROM_POD, FROM_TUNNEL, MASQUERADED, SERVICE, flags, is_translated, opened, origin};
pub(crate) use quoted::narrower;
pub(crate) use sluice_connections::{Direction, Tuple};
pub(crate) use tcp::{announced, is_syn, mss};
pub(crate) use tuple::{destination_of, ports};

/// A packet and the tuple that its connection is looked for by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'t> {
    pub(crate) arrival: Arrival<'t>,
    /// The packet's own; of an ICMP error, that of a packet which answers the quoted one.
    pub(crate) tuple: Tuple,
    /// Of the tuple.
    pub(crate) hash: u64,
    pub(crate) segment: Segment,
    /// What an ICMP error quotes.
    pub(crate) quote: Option<Quote>,
}

/// What is known of a packet's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// It is decided under these tables.
    Known(Connection),
    /// It was decided under others.
    Stale(Connection),
    /// There is none.
    Unknown,
    /// There was one, which the packet begins anew; it was taken out here, or by another worker.
    Begun {
        /// Here.
        taken_out: bool,
    },
}

/// How a packet is changed on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Not at all.
    None,
    /// It becomes one of `to`.
    Tuple { to: Tuple, deltas: Deltas },
    /// An ICMP error: its addresses, and what the packet becomes that it quotes.
    Quote { quote: Quote, outer: (std::net::IpAddr, std::net::IpAddr), inner: Tuple },
}

/// Reads the tuple. `told` are the ports of a later fragment.
#[inline]
pub(crate) fn look<'t>(
    table: &Table,
    head: &[u8],
    arrival: &Arrival<'t>,
    told: Option<Ports>,
) -> Result<Look<'t>, Exit<'t>> {
    let ip = &arrival.ip;
    let headers = &ip.headers;
    if tuple::is_error(head, ip) {
        return quoted::look(table, head, arrival);
    }
    let segment = tcp::segment(head, ip)?;
    let ((source_port, destination_port), protocol) = match told {
        None => (ports(head, ip), headers.protocol),
        Some(told) => ((told.source, told.destination), told.protocol),
    };
    let tuple = Tuple { source: ip.source, destination: ip.destination, source_port, destination_port, protocol };
    let hash = table.hash(&tuple);
    Ok(Look { arrival: *arrival, tuple, hash, segment, quote: None })
}

/// Finds the connection and tells it of the packet.
#[inline]
pub(crate) fn run<'t>(
    table: &Table,
    tables: &'t Tables,
    generation: u32,
    now: Tick,
    head: &[u8],
    look: &Look<'t>,
) -> Result<Found, Exit<'t>> {
    let Some(connection) = table.find(look.hash, &look.tuple) else {
        return if look.quote.is_some() {
            Err(quoted::unmatched(table, tables, generation, head, look))
        } else {
            Ok(Found::Unknown)
        };
    };
    if look.quote.is_some() {
        quoted::check(look)?;
        quoted::learn(table, head, look, &connection);
    } else {
        if table.observe(&connection, look.segment, now) == State::TcpReopen {
            return Ok(Found::Begun { taken_out: table.remove(&connection) });
        }
        if tcp::is_syn(look.segment) {
            learn_mss(table, head, look, &connection);
        }
    }
    Ok(if connection.generation == generation { Found::Known(connection) } else { Found::Stale(connection) })
}

/// A connection's segments may not be larger than what either end announced.
#[cold]
fn learn_mss(table: &Table, head: &[u8], look: &Look<'_>, connection: &Connection) {
    let announced = mss(head, &look.arrival.ip);
    if announced != 0 && (connection.mss == 0 || announced < connection.mss) {
        table.set_mss(connection, announced);
    }
}

/// What the packets of the connection's direction become.
#[inline]
pub(crate) fn becomes(connection: &Connection) -> Tuple {
    match connection.direction {
        Direction::Original => connection.reply.reversed(),
        Direction::Reply => connection.original.reversed(),
    }
}

/// How this packet of the connection is changed.
#[inline]
pub(crate) fn change(connection: &Connection, look: &Look<'_>) -> Change {
    if !flags::is_translated(connection.flags) {
        return Change::None;
    }
    let to = becomes(connection);
    match look.quote {
        None => {
            let action = connection.action();
            Change::Tuple { to, deltas: Deltas { l3: action.l3_delta, l4: action.l4_delta } }
        }
        Some(quote) => {
            let ip = &look.arrival.ip;
            // A router on the way keeps its address; the other end is known to the receiver under another.
            let source = if ip.source == look.tuple.source { to.source } else { ip.source };
            Change::Quote { quote, outer: (source, to.destination), inner: to.reversed() }
        }
    }
}

/// The generation of the decisions of the tables, as a connection's record holds it: never the one that stands for "undecided".
pub(crate) fn generation(tables: &Tables) -> u32 {
    (tables.decisions() % u64::from(u32::MAX)) as u32 + 1
}
