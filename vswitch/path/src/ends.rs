//! The two ends of a connection, as the stages judge them: who began it, and where it really goes.

use std::net::IpAddr;

use sluice_connections::Connection;
use sluice_tables::{Family, Port, PortKind, Tables};

use crate::DropReason;
use crate::connection::{self, Tuple};
use crate::exit::Refusal;
use crate::origin::{Arrival, Origin};

/// Who began a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'t> {
    /// Its address, as it was when its first packet arrived.
    pub(crate) address: IpAddr,
    /// How its packets come.
    pub(crate) origin: Origin,
    /// Its port, if it is a pod of this node.
    pub(crate) pod: Option<&'t Port>,
}

impl<'t> Client<'t> {
    /// The sender of a connection's first packet.
    pub(crate) fn of_arrival(arrival: &Arrival<'t>, tuple: &Tuple) -> Self {
        let pod = (arrival.origin == Origin::Pod).then_some(arrival.port);
        Self { address: tuple.source, origin: arrival.origin, pod }
    }

    /// The sender of a connection's first packet, found again under other tables.
    ///
    /// # Errors
    /// When nobody has the address any more.
    pub(crate) fn of_connection(tables: &'t Tables, connection: &Connection) -> Result<Self, Refusal> {
        let address = connection.original.source;
        let (origin, pod) = match connection::origin(connection.flags) {
            connection::FROM_POD => match tables.owner(address) {
                Some(port) if port.kind == PortKind::Pod => (Origin::Pod, Some(port)),
                _ => return Err(DropReason::NoSuchPod.into()),
            },
            connection::FROM_HOST => (Origin::Host, None),
            connection::FROM_TUNNEL => match tables.peer_of(address).or_else(|| tables.peer_at(address)) {
                Some((peer, _)) => (Origin::Tunnel(peer), None),
                None => return Err(DropReason::TunnelPeer.into()),
            },
            _ => (Origin::Uplink, None),
        };
        Ok(Self { address, origin, pod })
    }

    /// Whether it is this node's own stack, rather than somebody for whom the node forwards.
    pub(crate) fn is_node(&self, tables: &Tables) -> bool {
        self.origin == Origin::Host && is_own(tables, self.address)
    }

    /// Whether it is outside the cluster.
    pub(crate) fn is_outsider(&self, tables: &Tables) -> bool {
        match self.origin {
            Origin::Pod | Origin::Tunnel(_) => false,
            Origin::Host => !self.is_node(tables),
            Origin::Uplink => tables.peer_of(self.address).is_none(),
        }
    }

    /// Family of its address.
    pub(crate) fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// Where a connection really goes: the destination of its packets once a Service's address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Destination address.
    pub(crate) address: IpAddr,
    /// Destination port.
    pub(crate) port: u16,
    /// Whether it is the backend of a Service.
    pub(crate) service: bool,
    /// Whether the Service asks for the client's address to be hidden.
    pub(crate) masquerade: bool,
}

impl Target {
    /// What the packet itself names.
    pub(crate) fn as_addressed(tuple: &Tuple) -> Self {
        Self { address: tuple.destination, port: tuple.destination_port, service: false, masquerade: false }
    }
}

/// Whether `address` is the node's own: one of its addresses, or that of its end of the host port.
pub(crate) fn is_own(tables: &Tables, address: IpAddr) -> bool {
    tables.is_node_address(address) || tables.host_port().is_some_and(|port| port.has_address(address))
}
