//! Eighth stage, of new connections: under which source does the target see the client? Then the connection is made, which
//! is where colliding ports show.

use std::net::IpAddr;

use sluice_connections::{Action, Connection, New, Owner, Refused, State, Table, Tick};
use sluice_tables::{PortKind, Tables};
use sluice_wire::protocol;

use crate::connection::{Look, MASQUERADED, Tuple, flags, is_syn, mss};
use crate::egress::Egress;
use crate::ends::{Client, Target};
use crate::exit::Refusal;
use crate::origin::Origin;
use crate::random::spread;
use crate::route::Routes;
use crate::translate::Deltas;
use crate::{Counts, DropReason};

/// How many source ports are tried before a connection is refused. At nine in ten taken, one in a million finds none.
const TRIES: u32 = 128;

/// How many of them have to be free before one will do whose connection is over: the target may still remember that.
const PATIENCE: u32 = 16;

/// A decided connection on its way into the table.
pub(crate) struct Draft<'a, 't> {
    pub(crate) tables: &'t Tables,
    pub(crate) generation: u32,
    pub(crate) now: Tick,
    pub(crate) head: &'a [u8],
    pub(crate) look: &'a Look<'t>,
    pub(crate) client: Client<'t>,
    pub(crate) target: Target,
    pub(crate) routes: Routes,
}

/// Makes the connection, or finds that another worker has made it meanwhile.
pub(crate) fn run(table: &Table, counts: &mut Counts, draft: &Draft<'_, '_>) -> Result<Connection, Refusal> {
    let Draft { look, target, .. } = draft;
    let original = look.tuple;
    let hidden = is_hidden(draft.tables, &draft.client, target, &draft.routes);
    let source = if hidden { address(draft).ok_or(DropReason::MasqueradePorts)? } else { original.source };
    let mut reply = Tuple {
        source: target.address,
        destination: source,
        source_port: target.port,
        destination_port: original.source_port,
        protocol: original.protocol,
    };
    if !hidden {
        match insert(table, counts, draft, &reply, false)? {
            Inserted::Done(connection) => return Ok(connection),
            Inserted::ReplyTaken => {}
        }
    }
    // Either the source is hidden, or its port is taken by another connection to the same backend.
    let Some((first, count)) = ports(draft) else {
        return match if hidden { insert(table, counts, draft, &reply, true)? } else { Inserted::ReplyTaken } {
            Inserted::Done(connection) => Ok(connection),
            Inserted::ReplyTaken => Err(DropReason::MasqueradePorts.into()),
        };
    };
    let start = spread(look.hash) % u64::from(count);
    let patience = PATIENCE.min(count);
    for attempt in 0..patience + TRIES.min(count) {
        let offset = (start + u64::from(attempt)) % u64::from(count);
        reply.destination_port = first + offset as u16;
        if attempt >= patience && is_syn(look.segment) {
            counts.connections_gone += u64::from(end(table, &reply));
        }
        if let Inserted::Done(connection) = insert(table, counts, draft, &reply, hidden)? {
            return Ok(connection);
        }
    }
    Err(DropReason::MasqueradePorts.into())
}

/// Takes the connection with this reply tuple out if both its ends have closed it. It would keep its port for another two
/// minutes, and short connections to one server would use the range up; Linux reuses such ports likewise.
#[cold]
fn end(table: &Table, reply: &Tuple) -> bool {
    let over = |connection: &Connection| matches!(connection.state, State::TcpClosed | State::TcpReset);
    table.find(table.hash(reply), reply).filter(over).is_some_and(|connection| table.remove(&connection))
}

/// The actions of both directions: where to, and what the translation does to checksums.
pub(crate) fn actions(original: &Tuple, reply: &Tuple, routes: &Routes) -> [Action; 2] {
    let action = |from: &Tuple, to: &Tuple, egress: Egress| {
        let deltas = Deltas::between(from, to);
        Action { egress: egress.encode(), l3_delta: deltas.l3, l4_delta: deltas.l4 }
    };
    [action(original, &reply.reversed(), routes.there), action(reply, &original.reversed(), routes.back)]
}

/// Whether the target must not see the client's own address.
fn is_hidden(tables: &Tables, client: &Client<'_>, target: &Target, routes: &Routes) -> bool {
    let masquerade = &tables.node().masquerade;
    let by_route = match routes.there {
        // The answer has to come back here, or nobody turns the backend's address into the Service's again.
        Egress::Uplink if target.service || client.origin == Origin::Host => true,
        Egress::Uplink => client.origin == Origin::Pod && masquerade.outside && !masquerade.excludes(target.address),
        // A peer takes from this node what is from its pods and from its address.
        Egress::Tunnel(_) | Egress::Direct(_) => {
            !tables.in_pod_cidr(client.address) && masquerade.address(client.family()) != Some(client.address)
        }
        // The node would answer past the switch whoever is not behind it, and take its own address for forged.
        Egress::Port(_) if is_to_host(tables, routes) => {
            target.service && client.origin != Origin::Pod && !comes_back(tables, client)
        }
        Egress::Port(_) => false,
    };
    target.masquerade || by_route
}

/// Whether what the node answers to an outsider is led into the host port: the client of a Service that keeps it, since no other
/// outsider comes so far without being asked to hide.
fn comes_back(tables: &Tables, client: &Client<'_>) -> bool {
    client.origin == Origin::Uplink && client.is_outsider(tables) && tables.answers_return()
}

/// Whether a connection whose client was not hidden would now show it to who must not see it.
pub(crate) fn exposes(
    tables: &Tables,
    connection: &Connection,
    client: &Client<'_>,
    target: &Target,
    routes: &Routes,
) -> bool {
    connection.flags & MASQUERADED == 0 && is_hidden(tables, client, target, routes)
}

fn is_to_host(tables: &Tables, routes: &Routes) -> bool {
    let Egress::Port(id) = routes.there else { return false };
    tables.port(id).is_some_and(|port| port.kind == PortKind::Host)
}

/// The source to hide behind: the node's address; towards the node itself the gateway's, which no other host has.
fn address(draft: &Draft<'_, '_>) -> Option<IpAddr> {
    if is_to_host(draft.tables, &draft.routes) {
        let gateway = draft.tables.gateway();
        return Some(if draft.client.address.is_ipv4() { gateway.v4.into() } else { gateway.v6.into() });
    }
    draft.tables.node().masquerade.address(draft.client.family())
}

/// The reserved ports, as first and count; `None` for a protocol whose packets have none.
fn ports(draft: &Draft<'_, '_>) -> Option<(u16, u32)> {
    let tuple = &draft.look.tuple;
    let has_ports = match tuple.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => true,
        // Of an echo request the identifier; a reply's is the other side's, which knows it by no other.
        protocol::ICMPV4 | protocol::ICMPV6 => tuple.source_port != 0 && tuple.destination_port == 0,
        _ => false,
    };
    let (first, last) = draft.tables.node().masquerade.ports;
    has_ports.then_some((first, u32::from(last.saturating_sub(first)) + 1))
}

enum Inserted {
    Done(Connection),
    ReplyTaken,
}

fn insert(
    table: &Table,
    counts: &mut Counts,
    draft: &Draft<'_, '_>,
    reply: &Tuple,
    hidden: bool,
) -> Result<Inserted, Refusal> {
    let original = draft.look.tuple;
    let translated = *reply != original.reversed();
    let new = New {
        original,
        reply: *reply,
        actions: actions(&original, reply, &draft.routes),
        generation: draft.generation,
        owner: owner(draft),
        flags: flags(draft.client.origin, draft.target.service, hidden, translated),
        mss: mss(draft.head, &draft.look.arrival.ip),
        segment: draft.look.segment,
    };
    match table.insert(&new, draft.now) {
        Ok(connection) => {
            counts.connections_new += 1;
            Ok(Inserted::Done(connection))
        }
        Err(Refused::OriginalTaken(connection)) => Ok(Inserted::Done(connection)),
        Err(Refused::ReplyTaken) => Ok(Inserted::ReplyTaken),
        Err(Refused::Full) => Err(DropReason::ConnectionsFull.into()),
        Err(Refused::Share) => Err(DropReason::ConnectionShare.into()),
        // The builder of the tables keeps the families of Services and backends apart.
        Err(Refused::Mismatch) => Err(DropReason::ServiceNoEndpoints.into()),
    }
}

/// Whose share the connection counts against: the pod that began it, else the pod that is addressed.
fn owner(draft: &Draft<'_, '_>) -> Owner {
    if let Some(pod) = draft.client.pod {
        return Owner(pod.id.0);
    }
    match draft.routes.there {
        Egress::Port(id) if !is_to_host(draft.tables, &draft.routes) => Owner(id.0),
        _ => Owner::NODE,
    }
}
