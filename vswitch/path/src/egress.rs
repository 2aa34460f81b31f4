//! Where packets leave: as a connection's record holds it, and as the last stages need it.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use sluice_tables::{NextHop, Peer, PeerId, Port, PortId, Tables, Tunnel, WorkerId};

use crate::DropReason;
use crate::exit::{Failure, Refusal};

/// Where a connection's packets of one direction leave. Ids mean something in one generation only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    /// By a port of a pod or of the host.
    Port(PortId),
    /// In a tunnel to a peer.
    Tunnel(PeerId),
    /// Over the uplink with a peer as next hop, as the packet is.
    Direct(PeerId),
    /// Over the uplink, by the kernel's route to the packet's destination.
    Uplink,
}

impl Egress {
    /// As a number: the kind above, the id below.
    pub(crate) const fn encode(self) -> u32 {
        match self {
            Egress::Port(PortId(id)) => id as u32,
            Egress::Tunnel(PeerId(id)) => 1 << 16 | id as u32,
            Egress::Direct(PeerId(id)) => 2 << 16 | id as u32,
            Egress::Uplink => 3 << 16,
        }
    }

    /// From a number that [`Egress::encode`] gave.
    #[inline]
    pub(crate) const fn decode(number: u32) -> Egress {
        let id = number as u16;
        match number >> 16 {
            0 => Egress::Port(PortId(id)),
            1 => Egress::Tunnel(PeerId(id)),
            2 => Egress::Direct(PeerId(id)),
            _ => Egress::Uplink,
        }
    }
}

/// The way out with everything that is needed to go it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'t> {
    /// By a port of a pod or of the host.
    Port(&'t Port),
    /// Over the uplink to a neighbour.
    Wire { uplink: &'t Port, next_hop: sluice_wire::MacAddr },
    /// In a tunnel.
    Tunnel { tunnel: &'t Tunnel, peer: &'t Peer, uplink: &'t Port, next_hop: sluice_wire::MacAddr },
}

/// Neighbours that packets were for and whose MAC is not known, each once.
pub(crate) type Wanted = ArrayVec<IpAddr, 16>;

/// Finds the way for a packet that `egress` was decided for and that goes to `destination`.
#[inline]
pub(crate) fn way<'t>(
    tables: &'t Tables,
    worker: WorkerId,
    egress: Egress,
    destination: IpAddr,
    wanted: &mut Wanted,
) -> Result<Way<'t>, Refusal> {
    let (next_hop, tunnelled) = match egress {
        Egress::Port(id) => {
            return tables.port(id).map(Way::Port).ok_or(Refusal::Drop(DropReason::NoRoute));
        }
        Egress::Tunnel(id) => {
            let peer = tables.peer(id).ok_or(Refusal::Drop(DropReason::NoRoute))?;
            (tables.next_hop_to(id), Some(peer))
        }
        Egress::Direct(id) => {
            tables.peer(id).ok_or(Refusal::Drop(DropReason::NoRoute))?;
            (tables.next_hop_to(id), None)
        }
        Egress::Uplink => (tables.underlay().next_hop(destination), None),
    };
    let uplink = uplink(tables, worker).ok_or(Refusal::Drop(DropReason::NoUplink))?;
    let next_hop = match next_hop {
        NextHop::Known(mac) => mac,
        NextHop::Missing(neighbour) => return Err(missing(wanted, neighbour)),
        NextHop::NoRoute => return Err(Refusal::Tell(DropReason::NoRoute, Failure::NoNetwork)),
    };
    match tunnelled {
        None => Ok(Way::Wire { uplink, next_hop }),
        Some(peer) => {
            let tunnel = tables.tunnel().ok_or(Refusal::Drop(DropReason::NoRoute))?;
            Ok(Way::Tunnel { tunnel, peer, uplink, next_hop })
        }
    }
}

/// The uplink's port: the worker's own, so that no packet has to cross to another, else any.
#[inline]
pub(crate) fn uplink(tables: &Tables, worker: WorkerId) -> Option<&Port> {
    let first = tables.uplink()?;
    if first.worker == worker {
        return Some(first);
    }
    tables.uplinks().find(|port| port.worker == worker).or(Some(first))
}

#[cold]
fn missing(wanted: &mut Wanted, neighbour: IpAddr) -> Refusal {
    if !wanted.contains(&neighbour) && !wanted.is_full() {
        wanted.push(neighbour);
    }
    Refusal::Drop(DropReason::NeighbourMissing)
}

#[cfg(test)]
mod tests {
    use sluice_tables::{PeerId, PortId};

    use super::Egress;

    #[test]
    fn an_egress_comes_back_from_its_number() {
        for id in [0, 1, 0x8000, u16::MAX] {
            for egress in [Egress::Port(PortId(id)), Egress::Tunnel(PeerId(id)), Egress::Direct(PeerId(id))] {
                assert_eq!(Egress::decode(egress.encode()), egress);
            }
        }
        assert_eq!(Egress::decode(Egress::Uplink.encode()), Egress::Uplink);
    }
}
