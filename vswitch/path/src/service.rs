//! Fifth stage, of new connections: is the destination a Service's, and then which backend serves the client?

use std::net::IpAddr;

use sluice_connections::{Affinity, Connection, State, Tick};
use sluice_tables::{Backend, Backends, FrontendKind, FrontendLookup, Service, Tables};
use sluice_wire::{protocol, tcp};

use crate::DropReason;
use crate::connection::{Direction, Look, MASQUERADED, SERVICE, Tuple};
use crate::ends::{Client, Target, is_own};
use crate::exit::{Failure, Refusal};
use crate::origin::Origin;
use crate::random::spread;

/// What the choice of a backend needs besides the tables.
pub(crate) struct Chooser<'p> {
    pub(crate) affinity: &'p Affinity,
    /// Drawn once a burst: what is by chance follows from it and from the packet, whichever is decided on first.
    pub(crate) chance: u64,
    pub(crate) now: Tick,
}

/// Where a new connection goes. A destination that is no Service's is the target itself.
pub(crate) fn run(
    tables: &Tables,
    chooser: &Chooser<'_>,
    client: &Client<'_>,
    look: &Look<'_>,
) -> Result<Target, Refusal> {
    let tuple = &look.tuple;
    // Nobody sends through a tunnel what the sender's own node has not already sent to a backend.
    if let Origin::Tunnel(_) = client.origin {
        return Ok(Target::as_addressed(tuple));
    }
    let (service, kind) = match tables.frontend(tuple.destination, tuple.destination_port, tuple.protocol) {
        FrontendLookup::Found(service, kind) => (service, kind),
        FrontendLookup::UndefinedPort => return Err(Refusal::Tell(DropReason::ServiceNoPort, Failure::NoPort)),
        FrontendLookup::Unallocated => return Err(DropReason::ServiceUnallocated.into()),
        FrontendLookup::None => return Ok(Target::as_addressed(tuple)),
    };
    check_source(tables, service, kind, client, tuple)?;
    if is_reset(look) {
        return Err(DropReason::TcpInvalid.into());
    }
    let (backends, asked) = set(tables, service, kind, client)?;
    let backend = choose(chooser, service, backends, look)
        .ok_or(Refusal::Tell(DropReason::ServiceNoEndpoints, Failure::NoPort))?;
    let Backend { address, port } = backend;
    // The client would take the answer of its own address for its own packet.
    let masquerade = asked || address == client.address;
    Ok(Target { address, port, service: true, masquerade })
}

/// `loadBalancerSourceRanges` hold for load balancer addresses alone. A packet that the node sends to such an address from
/// that same address passes when one of the node's own does (kube-proxy's `proxier.go`, "allowFromNode").
fn check_source(
    tables: &Tables,
    service: &Service,
    kind: FrontendKind,
    client: &Client<'_>,
    tuple: &Tuple,
) -> Result<(), Refusal> {
    if kind != FrontendKind::LoadBalancer || service.allows_source(client.address) {
        return Ok(());
    }
    let loops = client.address == tuple.destination;
    if loops && tables.node().addresses.iter().any(|address| service.allows_source(*address)) {
        return Ok(());
    }
    Err(DropReason::ServiceSourceRange.into())
}

/// A reset of a connection that nobody knows would make one, only to end it at a backend that never had it.
fn is_reset(look: &Look<'_>) -> bool {
    matches!(look.segment, sluice_connections::Segment::Tcp { flags } if flags & tcp::flag::RST != 0)
}

/// The backends that this client may be given, and whether its address is to be hidden from them. Follows kube-proxy's
/// order of rules.
fn set<'t>(
    tables: &'t Tables,
    service: &'t Service,
    kind: FrontendKind,
    client: &Client<'_>,
) -> Result<(&'t Backends, bool), Refusal> {
    let outsider = client.is_outsider(tables);
    let (local, masquerade) = if !kind.is_external() {
        (service.internal_local(), outsider)
    } else if !service.external_local() {
        (false, true)
    } else {
        // Local pods and the node are served as if they had gone out and come back.
        (outsider, client.is_node(tables))
    };
    if service.cluster().is_empty() {
        return Err(Refusal::Tell(DropReason::ServiceNoEndpoints, Failure::NoPort));
    }
    let backends = if local { service.local() } else { service.cluster() };
    if backends.is_empty() {
        return Err(DropReason::ServiceNoLocalEndpoints.into());
    }
    Ok((backends, masquerade))
}

/// The backend of the client's earlier connections where the Service asks for that, else any.
fn choose(chooser: &Chooser<'_>, service: &Service, backends: &Backends, look: &Look<'_>) -> Option<Backend> {
    let client = look.tuple.source;
    let kept = service.affinity().and_then(|timeout| {
        let (address, port) = chooser.affinity.find(client, service.key(), chooser.now, timeout)?;
        backends.contains(address, port).then_some(Backend { address, port })
    });
    let chosen = match kept {
        Some(backend) => backend,
        None => backends.choose(number(chooser, service, backends, look))?,
    };
    if service.affinity().is_some() {
        chooser.affinity.put(client, service.key(), (chosen.address, chosen.port), chooser.now);
    }
    Some(chosen)
}

/// What the choice follows from: chance, or for a Maglev table the client, so that every node chooses alike. With affinity
/// the client's port does not count, or a client whose entry was lost would be sent elsewhere.
fn number(chooser: &Chooser<'_>, service: &Service, backends: &Backends, look: &Look<'_>) -> u64 {
    if !backends.is_maglev() {
        return chance(chooser.chance, look.hash);
    }
    let tuple = &look.tuple;
    let port = if service.affinity().is_some() { 0 } else { tuple.source_port };
    let address = match tuple.source {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            spread((bits >> 64) as u64) ^ bits as u64
        }
    };
    spread(spread(address) ^ u64::from(port) << 32 ^ spread(service.key()))
}

/// What is by chance for a packet: `drawn` once a burst, `hash` its tuple's.
#[inline]
pub(crate) const fn chance(drawn: u64, hash: u64) -> u64 {
    // The hash is spread already; its highest bits also say where in the connection table it belongs.
    (drawn ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What the Services say of a connection that was decided under other tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It goes on to where it went.
    On(Target),
    /// It is over; its next packet from the client begins a new one.
    Anew,
    /// Its endpoint is gone, and the client cannot be sent elsewhere in the middle of a stream.
    Gone,
}

/// Whether a connection's backend still serves. Changed traffic policies and source ranges cut nothing.
pub(crate) fn keep(tables: &Tables, look: &Look<'_>, connection: &Connection) -> Keep {
    let Connection { original, reply, .. } = connection;
    let hidden = connection.flags & MASQUERADED != 0;
    if hidden && !is_own(tables, reply.destination) && !tables.gateway().has_address(reply.destination) {
        return Keep::Anew;
    }
    let served = connection.flags & SERVICE != 0;
    let target = Target { address: reply.source, port: reply.source_port, service: served, masquerade: hidden };
    let frontend = tables.frontend(original.destination, original.destination_port, original.protocol);
    if !served {
        let now_served =
            matches!(frontend, FrontendLookup::Found(..)) && !matches!(look.arrival.origin, Origin::Tunnel(_));
        let begun = original.protocol == protocol::TCP && connection.state != State::TcpSynSent;
        return if now_served && !begun { Keep::Anew } else { Keep::On(target) };
    }
    let known = match frontend {
        FrontendLookup::Found(service, _) => service.known(reply.source, reply.source_port),
        _ => None,
    };
    match (original.protocol, known) {
        (_, Some(true)) | (protocol::TCP, Some(false)) => Keep::On(target),
        (protocol::TCP, None) if !restarts(look, connection) => Keep::Gone,
        _ => Keep::Anew,
    }
}

/// Whether the client asks for a new connection under the ports of the old.
fn restarts(look: &Look<'_>, connection: &Connection) -> bool {
    let flags = match look.segment {
        sluice_connections::Segment::Tcp { flags } => flags,
        sluice_connections::Segment::Other => 0,
    };
    connection.direction == Direction::Original && flags & (tcp::flag::SYN | tcp::flag::ACK) == tcp::flag::SYN
}
