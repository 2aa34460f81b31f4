//! Last stage: the packet is made ready for its way. The only writer of bytes that are forwarded.

use sluice_tables::{Gateway, Port};
use sluice_wire::parse::{Headers, L3};
use sluice_wire::{MacAddr, checksum, ethernet, ipv4, ipv6, protocol};

use crate::connection::Change;
use crate::egress::Way;
use crate::origin::Arrival;
use crate::parse::Ip;
use crate::{Checksum, DropReason, Packet, Verdict, encapsulate, related, translate};

/// Translates, takes one from TTL or hop limit, writes the MACs or the tunnel's headers, and says what state the checksum is
/// in. `hash` is the connection's: the packets of one take one path through the underlay.
#[inline]
pub(crate) fn run(
    packet: &mut Packet<'_>,
    arrival: &Arrival<'_>,
    change: &Change,
    way: &Way<'_>,
    gateway: &Gateway,
    hash: u64,
) -> Result<Verdict, DropReason> {
    let checksum = transport_checksum(packet.head(), &arrival.ip.headers);
    let head = packet.head_mut();
    match change {
        Change::None => {}
        Change::Tuple { to, deltas } => translate::replay(head, &arrival.ip.headers, to, *deltas, checksum),
        Change::Quote { quote, outer, inner } => {
            related::translate(head, &arrival.ip.headers, quote, *outer, inner);
        }
    }
    take_hop(head, &arrival.ip);
    match way {
        Way::Port(port) => {
            address(head, port.mac, gateway.mac);
            Ok(Verdict::Forward { port: port.id, checksum })
        }
        Way::Wire { uplink, next_hop } => {
            address(head, *next_hop, uplink.mac);
            Ok(Verdict::Forward { port: uplink.id, checksum })
        }
        Way::Tunnel { tunnel, peer, uplink, next_hop } => {
            let before = packet.total_len();
            let checksum = encapsulate::run(packet, tunnel, peer, uplink, *next_hop, hash, checksum)?;
            packet.move_cut((packet.total_len() - before) as u16);
            Ok(Verdict::Forward { port: uplink.id, checksum })
        }
    }
}

/// Readies a packet that is none of ours for the host: it is the host's own, so it loses no hop. By its source, which is the
/// host's too, the node knows that it comes back as it was (`is_given_back` in `detour.bpf.c`).
pub(crate) fn punt(packet: &mut Packet<'_>, host: &Port) -> Verdict {
    let headers = sluice_wire::parse::parse(packet.head(), packet.total_len());
    let checksum = headers.map_or(Checksum::Complete, |headers| transport_checksum(packet.head(), &headers));
    address(packet.head_mut(), host.mac, host.mac);
    Verdict::Forward { port: host.id, checksum }
}

#[inline]
fn address(head: &mut [u8], destination: MacAddr, source: MacAddr) {
    if let Ok(mut frame) = ethernet::Frame::new_checked(head) {
        frame.set_destination(destination);
        frame.set_source(source);
    }
}

#[inline]
fn take_hop(head: &mut [u8], ip: &Ip) {
    let Some(l3) = head.get_mut(ip.l3()..) else { return };
    match ip.headers.l3 {
        L3::Ipv4 => {
            if let Ok(mut header) = ipv4::Packet::new_header(l3) {
                header.decrement_ttl();
            }
        }
        _ => {
            if let Ok(mut header) = ipv6::Packet::new_header(l3) {
                header.decrement_hop_limit();
            }
        }
    }
}

/// Partial, where a whole TCP or UDP packet carries what a sender with checksum offload leaves in the field. Asked before
/// anything is written. A UDP field of zero (no checksum) is
/// no pseudo-header's sum and thus complete.
#[inline]
fn transport_checksum(head: &[u8], headers: &Headers) -> Checksum {
    if !matches!(headers.protocol, protocol::TCP | protocol::UDP) {
        return Checksum::Complete;
    }
    let (Some(offset), Some(pseudo)) = (headers.checksum_offset(), headers.pseudo_header(head)) else {
        return Checksum::Complete;
    };
    let at = usize::from(headers.l4_offset + offset);
    match head.get(at..at + 2) {
        Some(&[high, low]) if checksum::is_partial(u16::from_be_bytes([high, low]), pseudo) => {
            Checksum::Partial { start: headers.l4_offset, offset }
        }
        _ => Checksum::Complete,
    }
}

#[cfg(test)]
mod tests {
    use sluice_packets::{ChecksumMode, Ip, Segment, fragment};
    use sluice_wire::{ethernet, ipv4, ipv6, protocol};

    use super::run;
    use crate::connection::Change;
    use crate::egress::Way;
    use crate::fixture::*;
    use crate::{Checksum, Verdict};

    /// The frame as it leaves for B, and the state of its checksum.
    fn rewritten(frame: &[u8]) -> (Vec<u8>, Checksum) {
        let mut room = Vec::new();
        let tables = tables();
        let mut packet = packet(&mut room, frame, A);
        let arrival = arrival(&tables, &mut packet);
        let way = Way::Port(tables.port(B.port).expect("B's port"));
        let Ok(Verdict::Forward { port, checksum }) = run(&mut packet, &arrival, &Change::None, &way, &GATEWAY, 0)
        else {
            panic!("not forwarded")
        };
        assert_eq!(port, B.port);
        (packet.head().to_vec(), checksum)
    }

    #[test]
    fn macs_and_hops_change_and_nothing_else() {
        for ip in [a_to_b().options(&[1, 1, 1, 1]), a_to_b_v6()] {
            let sent = ip.udp(1, 2, b"data");
            let (got, _) = rewritten(&sent);
            let frame = ethernet::Frame::new_checked(&got[..]).expect("a frame");
            assert_eq!((frame.destination(), frame.source()), (B.mac, GATEWAY.mac));
            let expected = ip.ttl(63).udp(1, 2, b"data");
            assert_eq!(got[12..], expected[12..]);
        }
    }

    #[test]
    fn the_header_checksum_stays_right_for_every_ttl() {
        for ttl in 2..=255 {
            let (got, _) = rewritten(&a_to_b().ttl(ttl).udp(1, 2, b"x"));
            let header = ipv4::Packet::new_checked(&got[14..]).expect("IPv4");
            assert!(header.checksum_ok());
            assert_eq!(header.ttl(), ttl - 1);
        }
        let (got, _) = rewritten(&a_to_b_v6().ttl(2).udp(1, 2, b"x"));
        assert_eq!(ipv6::Packet::new_checked(&got[14..]).expect("IPv6").hop_limit(), 1);
    }

    #[test]
    fn partial_checksums_are_told_with_their_place() {
        let state = |ip: &Ip, frame: fn(&Ip) -> Vec<u8>| rewritten(&frame(ip)).1;
        let udp = |ip: &Ip| ip.udp(1, 2, b"data");
        let tcp = |ip: &Ip| ip.tcp(&Segment::data(1, 2), b"data");
        for (ip, start) in [(a_to_b(), 34), (a_to_b_v6(), 54), (a_to_b_v6().extension(protocol::HOP_BY_HOP, &[]), 62)] {
            let partial = ip.clone().partial();
            assert_eq!(state(&partial, udp), Checksum::Partial { start, offset: 6 });
            assert_eq!(state(&partial, tcp), Checksum::Partial { start, offset: 16 });
            for mode in [ChecksumMode::Complete, ChecksumMode::Zero, ChecksumMode::Wrong] {
                let other = ip.clone().checksum(mode);
                assert_eq!(state(&other, udp), Checksum::Complete);
                assert_eq!(state(&other, tcp), Checksum::Complete);
            }
            assert_eq!(state(&partial, |ip| ip.packet(protocol::SCTP, &[0; 16])), Checksum::Complete);
            assert_eq!(state(&partial, |ip| ip.echo_request(1, 1, b"x")), Checksum::Complete);
        }
    }

    #[test]
    fn fragments_are_complete() {
        for piece in fragment::split(&a_to_b().partial().udp(1, 2, &[7; 3000]), 1500, 1) {
            assert_eq!(rewritten(&piece).1, Checksum::Complete);
        }
    }
}
