//! What is done with a packet that is not sent on: nothing, or it becomes the answer to itself.

use std::net::IpAddr;

use sluice_tables::{Gateway, Tables};
use sluice_wire::ethernet;
use sluice_wire::parse::parse;
use sluice_wire::quote;

use super::{Moment, Path};
use crate::egress::{self, Egress, Way};
use crate::exit::{Exit, Failure, Relay};
use crate::origin::{Arrival, Origin};
use crate::parse::Ip;
use crate::{Checksum, Counts, DropReason, Packet, Verdict, encapsulate, icmp, related, reply, rewrite};

/// Bytes of an ICMP header.
const ICMP_LEN: usize = 8;

impl Path {
    /// Ends the packet's way.
    #[inline(never)]
    pub(super) fn leave(
        &mut self,
        moment: &Moment<'_>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        exit: &Exit<'_>,
        arrival: Option<&Arrival<'_>>,
    ) -> Verdict {
        let tables = moment.tables;
        let gateway = tables.gateway();
        let port = match (exit, arrival) {
            (Exit::Drop(reason), _) => return drop_as(*reason, counts),
            (Exit::Refuse { reason, failure }, Some(arrival)) => {
                return self.refuse(moment, counts, packet, *reason, *failure, arrival);
            }
            (Exit::Reset(reason), Some(arrival)) => return self.reset(moment, counts, packet, *reason, arrival),
            // Only stages behind the look-up refuse.
            (Exit::Refuse { reason, .. } | Exit::Reset(reason), None) => return drop_as(*reason, counts),
            (Exit::Punt, _) => return punt(tables, counts, packet),
            (Exit::Relay(relay), _) => return self.relay(moment, counts, packet, relay),
            (Exit::Park(slot), _) => {
                counts.parked += 1;
                return Verdict::Park { slot: *slot };
            }
            (Exit::ReplyArp { arp, port }, _) => {
                reply::arp(packet, gateway, port, arp);
                counts.arp_replies += 1;
                port
            }
            (Exit::ReplyNeighbour { solicitor, port }, _) => {
                if !reply::neighbour(packet, gateway, port, *solicitor) {
                    return drop_as(DropReason::NoRoom, counts);
                }
                counts.neighbour_replies += 1;
                port
            }
            (Exit::ReplyEcho, Some(arrival)) => {
                reply::echo(packet, gateway, arrival);
                counts.echo_replies += 1;
                arrival.port
            }
            (Exit::ReplyEcho, None) => return drop_as(DropReason::Undecided, counts),
        };
        Verdict::Forward { port: port.id, checksum: Checksum::Complete }
    }

    /// Drops a packet and tells its sender, where one may be told and there is budget for it.
    fn refuse(
        &mut self,
        moment: &Moment<'_>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        reason: DropReason,
        failure: Failure,
        arrival: &Arrival<'_>,
    ) -> Verdict {
        let dropped = drop_as(reason, counts);
        if !icmp::is_due(packet.head(), &arrival.ip) {
            return dropped;
        }
        let speaker = speaker(moment.tables, arrival).filter(|_| self.errors.take(moment.now));
        let made = speaker.is_some_and(|speaker| icmp::error(packet, &speaker, arrival.port.mac, &arrival.ip, failure));
        match if made { self.send_back(moment.tables, packet, arrival) } else { None } {
            Some(verdict) => {
                counts.icmp_errors += 1;
                verdict
            }
            None => {
                counts.icmp_errors_withheld += 1;
                dropped
            }
        }
    }

    /// Drops a TCP segment whose endpoint is gone, and resets its sender's connection.
    fn reset(
        &mut self,
        moment: &Moment<'_>,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        reason: DropReason,
        arrival: &Arrival<'_>,
    ) -> Verdict {
        let dropped = drop_as(reason, counts);
        if !reply::may_be_reset(packet.head(), &arrival.ip) {
            return dropped;
        }
        let made = self.errors.take(moment.now) && reply::reset(packet, moment.tables.gateway(), arrival);
        match if made { self.send_back(moment.tables, packet, arrival) } else { None } {
            Some(verdict) => {
                counts.resets += 1;
                verdict
            }
            None => {
                counts.icmp_errors_withheld += 1;
                dropped
            }
        }
    }

    /// Sends what the packet has become to where the packet came from.
    fn send_back(&mut self, tables: &Tables, packet: &mut Packet<'_>, arrival: &Arrival<'_>) -> Option<Verdict> {
        let port = arrival.port;
        let mut checksum = Checksum::Complete;
        match arrival.origin {
            Origin::Pod | Origin::Host => {}
            Origin::Uplink => {
                // To the router that brought it: the one neighbour whose MAC is known for certain.
                let mut frame = ethernet::Frame::new_checked(packet.head_mut()).ok()?;
                frame.set_destination(arrival.ip.headers.source_mac);
                frame.set_source(port.mac);
            }
            Origin::Tunnel(id) => {
                let egress = Egress::Tunnel(id);
                let way = egress::way(tables, self.config.worker, egress, arrival.ip.source, &mut self.wanted).ok()?;
                let Way::Tunnel { tunnel, peer, next_hop, .. } = way else { return None };
                checksum = encapsulate::run(packet, tunnel, peer, port, next_hop, 0, checksum).ok()?;
            }
        }
        Some(Verdict::Forward { port: port.id, checksum })
    }

    /// Makes an error about a tunnel packet of ours one about the packet inside, for who sent that: a pod or the host, as no
    /// packet of another node goes on into a tunnel.
    fn relay(&mut self, moment: &Moment<'_>, counts: &mut Counts, packet: &mut Packet<'_>, relay: &Relay) -> Verdict {
        let port = match relay.egress {
            Egress::Port(id) => moment.tables.port(id),
            _ => None,
        };
        let Some(port) = port else { return drop_as(DropReason::IcmpUnmatched, counts) };
        if !self.errors.take(moment.now) {
            counts.icmp_errors_withheld += 1;
            return drop_as(DropReason::IcmpUnmatched, counts);
        }
        packet.strip(relay.quoted - ethernet::HEADER_LEN);
        let Some(ip) = read_quoted(packet.head()) else { return drop_as(DropReason::IcmpQuote, counts) };
        if let Failure::TooBig { mtu } = relay.failure {
            self.shared.path_mtus.put(ip.destination, mtu, moment.tick);
        }
        let gateway = moment.tables.gateway();
        if !icmp::error(packet, gateway, port.mac, &ip, relay.failure) || !translate_quote(packet, relay) {
            return drop_as(DropReason::NoRoom, counts);
        }
        counts.forwarded += 1;
        counts.forwarded_bytes += packet.total_len() as u64;
        counts.translated += 1;
        Verdict::Forward { port: port.id, checksum: Checksum::Complete }
    }
}

/// The headers of the packet inside, as far as an error about it needs them: it is quoted, so its lengths are not those of
/// the bytes that are there.
fn read_quoted(head: &[u8]) -> Option<Ip> {
    use sluice_wire::parse::{Fragment, Headers, L3};
    let bytes = head.get(ethernet::HEADER_LEN..)?;
    let l3 = if bytes.first()? >> 4 == 4 { L3::Ipv4 } else { L3::Ipv6 };
    let quote = quote::parse(bytes, l3).ok()?;
    let frame = ethernet::Frame::new_checked(head).ok()?;
    let headers = Headers {
        destination_mac: frame.destination(),
        source_mac: frame.source(),
        l3,
        fragment: Fragment::None,
        protocol: quote.protocol,
        ttl: 0,
        l3_offset: ethernet::HEADER_LEN as u16,
        l4_offset: ethernet::HEADER_LEN as u16 + quote.l4_offset,
        ip_len: bytes.len() as u32,
        source_port: quote.source_port,
        destination_port: quote.destination_port,
    };
    Some(Ip { headers, source: quote.source, destination: quote.destination })
}

/// The error in `packet` quotes what went into the tunnel; its receiver knows what it sent.
fn translate_quote(packet: &mut Packet<'_>, relay: &Relay) -> bool {
    let total_len = packet.total_len();
    let head = packet.head_mut();
    let Ok(headers) = parse(head, total_len) else { return false };
    let start = usize::from(headers.l4_offset) + ICMP_LEN;
    let Some(Ok(quoted)) = head.get(start..).map(|bytes| quote::parse(bytes, headers.l3)) else { return false };
    let Some((speaker, _)) = headers.addresses(head) else { return false };
    let outer = (speaker, relay.becomes.destination);
    related::translate(head, &headers, &quoted, outer, &relay.becomes.reversed());
    true
}

/// Who speaks for the switch to the sender of this packet: the gateway, which is a pod's or the host's neighbour; to the
/// outside and to other nodes the node itself.
fn speaker(tables: &Tables, arrival: &Arrival<'_>) -> Option<Gateway> {
    let mut speaker = *tables.gateway();
    if matches!(arrival.origin, Origin::Pod | Origin::Host) {
        return Some(speaker);
    }
    let node = tables.node();
    let masquerade = &node.masquerade;
    match arrival.ip.source {
        IpAddr::V4(_) => {
            let first = node.addresses.iter().find_map(|address| match address {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            });
            speaker.v4 = masquerade.v4.or(first)?;
        }
        IpAddr::V6(_) => {
            let first = node.addresses.iter().find_map(|address| match address {
                IpAddr::V6(v6) => Some(*v6),
                IpAddr::V4(_) => None,
            });
            speaker.v6 = masquerade.v6.or(first)?;
        }
    }
    Some(speaker)
}

/// Gives the host what came over the uplink and is none of ours.
#[cold]
fn punt(tables: &Tables, counts: &mut Counts, packet: &mut Packet<'_>) -> Verdict {
    let Some(host) = tables.host_port() else { return drop_as(DropReason::NoRoute, counts) };
    counts.punted += 1;
    rewrite::punt(packet, host)
}

fn drop_as(reason: DropReason, counts: &mut Counts) -> Verdict {
    counts.count_drop(reason);
    Verdict::Drop(reason)
}
