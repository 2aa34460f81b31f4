//! First stage: the headers are read, once. What cannot be read or lies about its length ends here.

use std::net::{IpAddr, Ipv4Addr};

use sluice_wire::checksum;
use sluice_wire::ethernet::{self, ethertype};
use sluice_wire::parse::{Headers, L3};
use sluice_wire::{MacAddr, Malformed, arp};

use crate::{DropReason, Packet, Verdict};

/// A frame of a kind that the switch handles.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parsed {
    Arp(Arp),
    Ip(Ip),
}

/// What of an ARP packet is needed later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arp {
    pub(crate) source_mac: MacAddr,
    pub(crate) destination_mac: MacAddr,
    pub(crate) operation: u16,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

/// The headers of an IP packet. All of them lie in the packet's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) headers: Headers,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

impl Ip {
    /// Where the network header starts in the head.
    #[inline]
    pub(crate) fn l3(&self) -> usize {
        usize::from(self.headers.l3_offset)
    }

    /// Where the transport header starts in the head.
    #[inline]
    pub(crate) fn l4(&self) -> usize {
        usize::from(self.headers.l4_offset)
    }
}

/// Reads the headers and cuts off what follows the IP packet (the padding of short frames), so that no later stage
/// meets bytes that are nobody's.
#[inline]
pub(crate) fn run(packet: &mut Packet<'_>) -> Result<Parsed, DropReason> {
    if packet.verdict() == Verdict::Drop(DropReason::BadDescriptor) {
        return Err(DropReason::BadDescriptor);
    }
    let head = packet.head();
    let headers = sluice_wire::parse::parse(head, packet.total_len()).map_err(reason)?;
    match headers.l3 {
        L3::Ipv4 if checksum::of(&head[ethernet::HEADER_LEN..usize::from(headers.l4_offset)]) != 0 => {
            return Err(DropReason::BadIpChecksum);
        }
        L3::Ipv4 | L3::Ipv6 => {}
        L3::Arp => return read_arp(head, &headers).map(Parsed::Arp),
        L3::Other(ethertype::VLAN | ethertype::QINQ) => return Err(DropReason::Vlan),
        L3::Other(_) => return Err(DropReason::UnsupportedEthertype),
    }
    let Some((source, destination)) = headers.addresses(head) else { return Err(DropReason::Malformed) };
    packet.trim(ethernet::HEADER_LEN + headers.ip_len as usize);
    if packet.total_len() > ethernet::HEADER_LEN + headers.ip_len as usize {
        return Err(DropReason::TrailingBytes);
    }
    Ok(Parsed::Ip(Ip { headers, source, destination }))
}

fn read_arp(head: &[u8], headers: &Headers) -> Result<Arp, DropReason> {
    let message = arp::Packet::new_checked(&head[ethernet::HEADER_LEN..]).map_err(reason)?;
    Ok(Arp {
        source_mac: headers.source_mac,
        destination_mac: headers.destination_mac,
        operation: message.operation(),
        sender_mac: message.sender_mac(),
        sender: message.sender_ip(),
        target: message.target_ip(),
    })
}

#[cold]
fn reason(malformed: Malformed) -> DropReason {
    match malformed {
        Malformed::Truncated { .. } => DropReason::Truncated,
        _ => DropReason::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use sluice_packets::{Ethernet, Segment, arp, corrupt};
    use sluice_tables::PortId;
    use sluice_wire::arp::REQUEST;
    use sluice_wire::ethernet::ethertype;

    use super::{Parsed, run};
    use crate::fixture::{A, B, GATEWAY, a_to_b, a_to_b_v6};
    use crate::{DropReason, Packet};

    fn parsed(mut frame: Vec<u8>) -> Result<(Parsed, usize), DropReason> {
        let len = frame.len();
        let mut packet = Packet::new(&mut frame, 0, len, len, PortId(1));
        run(&mut packet).map(|parsed| (parsed, packet.total_len()))
    }

    fn reason(frame: Vec<u8>) -> DropReason {
        parsed(frame).expect_err("dropped")
    }

    #[test]
    fn reads_ip_and_arp() {
        let Ok((Parsed::Ip(ip), _)) = parsed(a_to_b().udp(1, 2, b"x")) else { panic!("IPv4") };
        assert_eq!((ip.source, ip.destination), (A.v4.into(), B.v4.into()));
        let Ok((Parsed::Ip(ip), _)) = parsed(a_to_b_v6().udp(1, 2, b"x")) else { panic!("IPv6") };
        assert_eq!((ip.source, ip.destination), (A.v6.into(), B.v6.into()));
        let Ok((Parsed::Arp(arp), _)) = parsed(arp::request(A.mac, A.v4, GATEWAY.v4)) else { panic!("ARP") };
        assert_eq!((arp.operation, arp.sender, arp.target), (REQUEST, A.v4, GATEWAY.v4));
    }

    #[test]
    fn every_cut_is_named() {
        let frames = [
            arp::request(A.mac, A.v4, GATEWAY.v4),
            a_to_b().udp(1, 2, b"query"),
            a_to_b_v6().tcp(&Segment::syn(1, 2), b""),
        ];
        for cut in frames.iter().flat_map(|frame| corrupt::truncations(frame)) {
            let reason = reason(cut);
            assert!(matches!(reason, DropReason::Truncated | DropReason::Malformed), "{reason}");
        }
    }

    #[test]
    fn lies_are_malformed() {
        for lie in [corrupt::Lie::Version(6), corrupt::Lie::IpLen(9000), corrupt::Lie::IpLen(19)] {
            assert_eq!(reason(corrupt::lie(&a_to_b().udp(1, 2, b"query"), lie)), DropReason::Malformed, "{lie:?}");
        }
    }

    #[test]
    fn other_ethertypes_are_named() {
        let frame = |ethertype| Ethernet::new(A.mac, GATEWAY.mac).frame(ethertype, &[0; 46]);
        assert_eq!(reason(frame(ethertype::VLAN)), DropReason::Vlan);
        assert_eq!(reason(frame(ethertype::QINQ)), DropReason::Vlan);
        assert_eq!(reason(frame(0x88cc)), DropReason::UnsupportedEthertype);
        assert_eq!(reason(frame(46)), DropReason::UnsupportedEthertype);
    }

    #[test]
    fn a_wrong_header_checksum_is_named() {
        let mut frame = a_to_b().udp(1, 2, b"x");
        frame[24] ^= 1;
        assert_eq!(reason(frame), DropReason::BadIpChecksum);
    }

    #[test]
    fn padding_is_cut_off_but_not_looked_for_in_a_chain() {
        let frame = a_to_b().udp(1, 2, b"x");
        let len = frame.len();
        let mut padded = corrupt::padded(frame);
        let (_, total_len) = parsed(padded.clone()).expect("a padded frame is legal");
        assert_eq!(total_len, len);
        let mut chain = Packet::new(&mut padded, 0, 60, 61, PortId(1));
        assert_eq!(run(&mut chain).map(|_| ()), Err(DropReason::TrailingBytes));
    }

    #[test]
    fn a_lying_descriptor_is_named() {
        let mut frame = a_to_b().udp(1, 2, b"x");
        let mut packet = Packet::new(&mut frame, 0, 4096, 4096, PortId(1));
        assert_eq!(run(&mut packet).map(|_| ()), Err(DropReason::BadDescriptor));
    }
}
