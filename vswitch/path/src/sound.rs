//! Packets whose checksums are summed anew, for the tests of what carries them along by difference.

use sluice_packets::{ChecksumMode, Ip, Segment, sctp};
use sluice_wire::parse::{L3, parse};
use sluice_wire::{checksum, icmpv4, icmpv6, ipv4, protocol, tcp, udp};

use sluice_connections::Tuple;
use sluice_packets::samples::LINK;

use crate::Checksum;

/// What goes behind the IP header in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Sctp,
    EchoRequest,
    EchoReply,
}

impl Kind {
    pub(crate) const ALL: [Kind; 5] = [Kind::Tcp, Kind::Udp, Kind::Sctp, Kind::EchoRequest, Kind::EchoReply];

    pub(crate) fn number(self, is_v6: bool) -> u8 {
        match self {
            Kind::Tcp => protocol::TCP,
            Kind::Udp => protocol::UDP,
            Kind::Sctp => protocol::SCTP,
            _ if is_v6 => protocol::ICMPV6,
            _ => protocol::ICMPV4,
        }
    }

    /// The tuple of such a packet, with those ports that it has.
    pub(crate) fn tuple(self, mut tuple: Tuple) -> Tuple {
        tuple.protocol = self.number(tuple.source.is_ipv6());
        match self {
            Kind::EchoRequest => tuple.destination_port = 0,
            Kind::EchoReply => tuple.source_port = 0,
            _ => {}
        }
        tuple
    }
}

/// The headers in front of a packet of `tuple`.
pub(crate) fn ip(tuple: &Tuple) -> Ip {
    match (tuple.source, tuple.destination) {
        (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) => Ip::v4(LINK, source, destination),
        (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) => Ip::v6(LINK, source, destination),
        _ => panic!("a tuple of one family"),
    }
}

/// The packet that has `tuple`.
pub(crate) fn frame(ip: &Ip, kind: Kind, tuple: &Tuple, data: &[u8]) -> Vec<u8> {
    let (source, destination) = (tuple.source_port, tuple.destination_port);
    match kind {
        Kind::Tcp => ip.tcp(&Segment { options: vec![1, 1, 1], ..Segment::data(source, destination) }, data),
        Kind::Udp => ip.udp(source, destination, data),
        Kind::Sctp => ip.sctp(source, destination, 7, data),
        Kind::EchoRequest => ip.echo_request(source, 1, data),
        Kind::EchoReply => ip.echo_reply(destination, 1, data),
    }
}

/// The state that a builder left a checksum in.
pub(crate) fn state(mode: ChecksumMode, frame: &[u8]) -> Checksum {
    let headers = parse(frame, frame.len()).expect("a right packet");
    match (mode, headers.checksum_offset()) {
        (ChecksumMode::Partial, Some(offset)) => Checksum::Partial { start: headers.l4_offset, offset },
        _ => Checksum::Complete,
    }
}

/// Does what a device does with a checksum that is left to it.
pub(crate) fn complete(frame: &mut [u8], checksum: Checksum) {
    if let Checksum::Partial { start, offset } = checksum {
        let sum = match checksum::of(&frame[usize::from(start)..]) {
            0 => 0xffff,
            sum => sum,
        };
        let at = usize::from(start + offset);
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Whether every checksum in the packet is right.
pub(crate) fn is_sound(frame: &[u8]) -> bool {
    let headers = parse(frame, frame.len()).expect("a well formed packet");
    let header = headers.l3 != L3::Ipv4 || ipv4::Packet::new_checked(&frame[14..]).expect("IPv4").checksum_ok();
    let end = usize::from(headers.l3_offset) + headers.ip_len as usize;
    let l4 = &frame[usize::from(headers.l4_offset)..end];
    let pseudo = headers.pseudo_header(frame).expect("an IP packet");
    header
        && match headers.protocol {
            protocol::TCP => tcp::Packet::new_checked(l4).expect("TCP").checksum_ok(pseudo),
            protocol::UDP => udp::Packet::new_checked(l4).expect("UDP").checksum_ok(pseudo),
            protocol::SCTP => sctp::checksum_ok(l4),
            protocol::ICMPV4 => icmpv4::Packet::new_checked(l4).expect("ICMP").checksum_ok(),
            protocol::ICMPV6 => icmpv6::Packet::new_checked(l4).expect("ICMPv6").checksum_ok(pseudo),
            _ => true,
        }
}

/// Two tuples of one family and kind, and payload, for property tests.
pub(crate) mod any {
    use std::net::IpAddr;

    use proptest::prelude::*;
    use sluice_connections::Tuple;

    use super::Kind;

    pub(crate) fn kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(Kind::ALL.as_slice())
    }

    fn address(six: bool) -> BoxedStrategy<IpAddr> {
        // All zeros and all ones are where sums have two forms.
        if six {
            prop_oneof![any::<[u8; 16]>(), Just([0; 16]), Just([0xff; 16])].prop_map(IpAddr::from).boxed()
        } else {
            prop_oneof![any::<[u8; 4]>(), Just([0; 4]), Just([0xff; 4])].prop_map(IpAddr::from).boxed()
        }
    }

    fn port() -> impl Strategy<Value = u16> {
        prop_oneof![any::<u16>(), Just(0), Just(0xffff)]
    }

    pub(crate) fn tuple(six: bool) -> impl Strategy<Value = Tuple> {
        (address(six), address(six), port(), port()).prop_map(|(source, destination, source_port, destination_port)| {
            Tuple { source, destination, source_port, destination_port, protocol: 0 }
        })
    }

    /// A kind, and two tuples of it.
    pub(crate) fn translation() -> impl Strategy<Value = (Kind, Tuple, Tuple)> {
        let tuples = prop_oneof![(tuple(false), tuple(false)).boxed(), (tuple(true), tuple(true)).boxed()];
        (kind(), tuples).prop_map(|(kind, (from, to))| (kind, kind.tuple(from), kind.tuple(to)))
    }
}
