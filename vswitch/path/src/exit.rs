//! How a packet's way ends other than by being sent on.

use std::net::Ipv6Addr;

use sluice_connections::Tuple;
use sluice_tables::Port;

use crate::DropReason;
use crate::egress::Egress;
use crate::parse::Arp;

/// What a stage decides when it ends a packet's way. Small, as every packet's result has room for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit<'t> {
    /// The frames go back, nothing is sent.
    Drop(DropReason),
    /// The packet becomes an ARP reply.
    ReplyArp { arp: Arp, port: &'t Port },
    /// The packet becomes a neighbour advertisement.
    ReplyNeighbour { solicitor: Ipv6Addr, port: &'t Port },
    /// The packet becomes an echo reply.
    ReplyEcho,
    /// The packet is dropped, and becomes an error to its sender where one may be sent.
    Refuse { reason: DropReason, failure: Failure },
    /// The TCP segment is dropped, and becomes a reset to its sender.
    Reset(DropReason),
    /// The packet from the uplink is none of ours: the host gets it as it came.
    Punt,
    /// The packet waits for the first fragment of its kind.
    Park(u16),
    /// The packet is an error about a tunnel packet of ours, and becomes one to who sent what was inside.
    Relay(Relay),
}

/// News about a tunnel packet that did not arrive, for the sender of the packet inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    /// Where in the head the inner IP packet starts that is quoted.
    pub(crate) quoted: usize,
    /// What the connection of the inner packet makes of packets that go where the news goes.
    pub(crate) becomes: Tuple,
    /// Where those leave.
    pub(crate) egress: Egress,
    /// What happened to the tunnel packet.
    pub(crate) failure: Failure,
}

/// What the sender is told. Each has a form in ICMP and one in ICMPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody has the address.
    NoHost,
    /// No way leads there.
    NoNetwork,
    /// Nobody listens there.
    NoPort,
    /// The protocol is not spoken there.
    NoProtocol,
    /// TTL or hop limit ran out on the way.
    TimeExceeded,
    /// Only packets up to `mtu` bytes pass.
    TooBig { mtu: u16 },
}

/// Why a connection is not made or not gone on with: the part of [`Exit`] that the stages behind the look-up need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody is told.
    Drop(DropReason),
    /// The sender is told.
    Tell(DropReason, Failure),
    /// It came over the uplink and is the host's.
    NotOurs,
}

impl From<Refusal> for Exit<'_> {
    #[cold]
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Drop(reason) => Exit::Drop(reason),
            Refusal::Tell(reason, failure) => Exit::Refuse { reason, failure },
            Refusal::NotOurs => Exit::Punt,
        }
    }
}

impl From<DropReason> for Exit<'_> {
    #[inline]
    fn from(reason: DropReason) -> Self {
        Exit::Drop(reason)
    }
}

impl From<DropReason> for Refusal {
    #[inline]
    fn from(reason: DropReason) -> Self {
        Refusal::Drop(reason)
    }
}
