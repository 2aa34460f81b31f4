//! ARP (RFC 826, RFC 5227): the gateway is answered for, nothing else is.

use std::net::IpAddr;

use sluice_tables::{Port, PortKind, Tables};
use sluice_wire::arp::REQUEST;

use crate::DropReason;
use crate::exit::Exit;
use crate::parse::Arp;

/// What becomes of an ARP packet. It is never sent on: each port has the switch as its only neighbour.
pub(super) fn judge<'t>(tables: &Tables, port: &'t Port, arp: Arp) -> Exit<'t> {
    match check(tables, port, &arp) {
        Ok(()) => Exit::ReplyArp { arp, port },
        Err(reason) => Exit::Drop(reason),
    }
}

fn check(tables: &Tables, port: &Port, arp: &Arp) -> Result<(), DropReason> {
    super::check_source_mac(port, arp.source_mac)?;
    if !arp.destination_mac.is_broadcast() {
        super::check_destination_mac(tables, arp.destination_mac)?;
    }
    if port.kind == PortKind::Pod && arp.sender_mac != port.mac {
        return Err(DropReason::SpoofedArp);
    }
    if arp.sender.is_unspecified() {
        return Err(DropReason::ArpProbe);
    }
    let sender = IpAddr::V4(arp.sender);
    let own = match port.kind {
        PortKind::Pod => port.has_address(sender),
        PortKind::Host | PortKind::Uplink => super::check_host_source(tables, sender).is_ok(),
    };
    match () {
        () if !own => Err(DropReason::SpoofedArp),
        () if arp.operation != REQUEST => Err(DropReason::ArpNotRequest),
        () if arp.sender == arp.target => Err(DropReason::ArpGratuitous),
        () if arp.target != tables.gateway().v4 => Err(DropReason::ArpNotGateway),
        () => Ok(()),
    }
}
