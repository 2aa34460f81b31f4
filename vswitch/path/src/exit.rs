//! How a packet's way ends other than by being sent on.

use std::net::Ipv6Addr;

use sluice_tables::Port;

use crate::DropReason;
use crate::origin::Arrival;
use crate::parse::Arp;

/// What a stage decides when it ends a packet's way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit<'t> {
    /// The frames go back, nothing is sent.
    Drop(DropReason),
    /// The packet becomes an ARP reply.
    ReplyArp { arp: Arp, port: &'t Port },
    /// The packet becomes a neighbour advertisement.
    ReplyNeighbour { solicitor: Ipv6Addr, port: &'t Port },
    /// The packet becomes an echo reply.
    ReplyEcho(Arrival<'t>),
    /// The packet is dropped, and becomes an error to its sender where one may be sent.
    Refuse { reason: DropReason, failure: Failure, arrival: Arrival<'t> },
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

impl From<DropReason> for Exit<'_> {
    #[inline]
    fn from(reason: DropReason) -> Self {
        Exit::Drop(reason)
    }
}
