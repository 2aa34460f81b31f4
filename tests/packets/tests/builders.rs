//! What the builders build, judged by etherparse and by the checksums of `sluice-wire`.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use sluice_packets::corrupt::{LEAST_FRAME, Lie, lie, padded, truncations, with_ethertype};
use sluice_packets::samples::{
    DESTINATION_V4, DESTINATION_V6, LINK, SOURCE_MAC, SOURCE_V4, SOURCE_V6, one_of_each, v4, v6,
};
use sluice_packets::sizes::{chain, payload};
use sluice_packets::{ChecksumMode, Ip, Segment, arp, every_view, fragment, ndp};
use sluice_wire::parse::{Fragment, L3, parse};
use sluice_wire::{checksum, ipv4, ndp as nd, protocol, tcp, udp};

#[test]
fn every_sample_is_a_right_packet_of_its_own_name() {
    let samples = one_of_each();
    for (at, (name, frame)) in samples.iter().enumerate() {
        every_view::exercise(frame, frame.len());
        parse(frame, frame.len()).unwrap_or_else(|error| panic!("{name}: {error}"));
        SlicedPacket::from_ethernet(frame).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(samples[..at].iter().all(|(other, _)| other != name), "{name} twice");
    }
}

#[test]
fn udp_and_tcp_carry_what_was_asked_for() {
    for ip in [v4(), v6()] {
        let frame = ip.udp(1000, 53, b"query");
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
        assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (1000, 53, &b"query"[..]));
        let right = match sliced.net.unwrap() {
            NetSlice::Ipv4(net) => {
                let header = net.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                udp.to_header().calc_checksum_ipv4(&header, b"query")
            }
            NetSlice::Ipv6(net) => udp.to_header().calc_checksum_ipv6(&net.header().to_header(), b"query"),
            other => panic!("{other:?}"),
        };
        assert_eq!(udp.checksum(), right.unwrap());

        let frame = ip.tcp(&Segment::syn(1000, 80), b"early");
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
        assert!(tcp.syn() && !tcp.ack());
        assert_eq!((tcp.options(), tcp.payload()), (&[2, 4, 5, 0xb4][..], &b"early"[..]));
        let right = match sliced.net.unwrap() {
            NetSlice::Ipv4(net) => tcp.calc_checksum_ipv4(net.header().source(), net.header().destination()),
            NetSlice::Ipv6(net) => tcp.calc_checksum_ipv6(net.header().source(), net.header().destination()),
            other => panic!("{other:?}"),
        };
        assert_eq!(tcp.checksum(), right.unwrap());
    }
}

#[test]
fn checksums_are_complete_partial_absent_or_wrong_as_asked() {
    for ip in [v4(), v6()] {
        let field = |mode| {
            let frame = ip.clone().checksum(mode).udp(1000, 53, b"query");
            let headers = parse(&frame, frame.len()).unwrap();
            let pseudo = headers.pseudo_header(&frame).unwrap();
            let datagram = udp::Packet::new_checked(&frame[usize::from(headers.l4_offset)..]).unwrap();
            (datagram.checksum(), datagram.checksum_ok(pseudo), checksum::is_partial(datagram.checksum(), pseudo))
        };
        assert!(matches!(field(ChecksumMode::Complete), (1.., true, false)));
        assert!(matches!(field(ChecksumMode::Partial), (1.., false, true)));
        assert!(matches!(field(ChecksumMode::Zero), (0, true, false)));
        assert!(matches!(field(ChecksumMode::Wrong), (1.., false, false)));
    }
}

#[test]
fn header_fields_are_set() {
    let frame = v4().ttl(1).traffic_class(0xb8).identification(9).dont_fragment(false).options(&[1]).udp(1, 2, b"");
    let packet = ipv4::Packet::new_checked(&frame[14..]).unwrap();
    assert_eq!((packet.ttl(), packet.traffic_class(), packet.identification()), (1, 0xb8, 9));
    assert_eq!((packet.dont_fragment(), packet.options(), packet.checksum_ok()), (false, &[1, 0, 0, 0][..], true));

    let tagged = Ip::v4(LINK.vlan(0x2007), SOURCE_V4, DESTINATION_V4).udp(1, 2, b"x");
    let sliced = SlicedPacket::from_ethernet(&tagged).unwrap();
    assert_eq!(sliced.vlan_ids().iter().map(|id| id.value()).collect::<Vec<_>>(), [7]);
    assert!(matches!(sliced.transport, Some(TransportSlice::Udp(_))));
}

#[test]
fn arp_and_neighbour_discovery_are_addressed_as_hosts_do() {
    let probe = arp::probe(SOURCE_MAC, SOURCE_V4);
    assert_eq!(probe[..6], [0xff; 6]);
    assert_eq!(probe[28..32], [0; 4]);

    let solicit = ndp::solicit(SOURCE_MAC, SOURCE_V6, "fe80::12:3456".parse().unwrap());
    assert_eq!(solicit[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    let headers = parse(&solicit, solicit.len()).unwrap();
    assert_eq!((headers.ttl, headers.protocol), (255, protocol::ICMPV6));
    let message = nd::Packet::new_checked(&solicit[usize::from(headers.l4_offset)..]).unwrap();
    assert_eq!(message.source_link(), Some(SOURCE_MAC));
    assert!(message.checksum_ok(headers.pseudo_header(&solicit).unwrap()));

    let duplicate = ndp::duplicate_address_probe(SOURCE_MAC, SOURCE_V6);
    let message = nd::Packet::new_checked(&duplicate[54..]).unwrap();
    assert_eq!((message.target(), message.source_link()), (SOURCE_V6, None));
    let advert = ndp::advert(LINK, SOURCE_V6, DESTINATION_V6);
    let message = nd::Packet::new_checked(&advert[54..]).unwrap();
    assert_eq!((message.flags(), message.target_link()), (0x60, Some(SOURCE_MAC)));
    let unicast = ndp::solicit_unicast(LINK, SOURCE_V6, DESTINATION_V6);
    assert_eq!(unicast[..6], LINK.destination.0);
}

#[test]
fn fragments_put_together_give_the_packet_back() {
    for ip in [v4().options(&[7, 3, 4]), v6(), v6().extension(protocol::DESTINATION_OPTIONS, &[])] {
        let whole = ip.udp(1000, 53, &payload(5000));
        let l4 = match parse(&whole, whole.len()).unwrap().l3 {
            L3::Ipv4 => 14 + 24,
            _ => 14 + 40,
        };
        let pieces = fragment::split(&whole, 1500, 5);
        let mut joined = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            assert!(piece.len() <= 1514);
            let headers = parse(piece, piece.len()).unwrap();
            assert_eq!(headers.fragment == Fragment::First, at == 0);
            let start = match headers.l3 {
                L3::Ipv4 => usize::from(headers.l4_offset),
                _ => 14 + 40 + 8,
            };
            joined.extend_from_slice(&piece[start..]);
        }
        assert_eq!(joined, whole[l4..]);
    }
    let small = v4().udp(1, 2, b"fits");
    let headers = parse(&fragment::split(&small, 1500, 5)[0], small.len()).unwrap();
    assert_eq!(headers.fragment, Fragment::None);
}

#[test]
fn chains_and_truncations_hold_the_same_bytes() {
    let frame = v4().tcp(&Segment::data(1, 2), &payload(60_000 - 40));
    let pieces = chain(&frame, 4096);
    assert_eq!((pieces.len(), pieces.concat() == frame), (15, true));
    assert_eq!(chain(&[], 4096), [[0u8; 0]]);
    let small = v4().udp(1, 2, b"");
    assert!(truncations(&small).enumerate().all(|(length, cut)| cut == small[..length]));
    assert_eq!(padded(small.clone()).len(), LEAST_FRAME);
    assert_eq!(padded(frame.clone()), frame);
    assert_eq!(parse(&with_ethertype(small.clone(), 0x88cc), small.len()).unwrap().l3, L3::Other(0x88cc));
}

#[test]
fn lies_change_their_field_and_nothing_else() {
    let tcp = v4().tcp(&Segment::data(1, 2), b"");
    for (told, at, value) in [
        (Lie::Version(6), 14, &[0x65][..]),
        (Lie::Ipv4HeaderLen(15), 14, &[0x4f]),
        (Lie::IpLen(0x1234), 16, &[0x12, 0x34]),
        (Lie::Protocol(99), 23, &[99]),
        (Lie::TcpDataOffset(15), 46, &[0xf0]),
    ] {
        let lying = lie(&tcp, told);
        let mut expected = tcp.clone();
        expected[at..at + value.len()].copy_from_slice(value);
        assert_eq!(lying, expected, "{told:?}");
    }
    let udp = v6().udp(1, 2, b"");
    assert_eq!(lie(&udp, Lie::UdpLen(7))[58..60], [0, 7]);
    assert_eq!(lie(&udp, Lie::IpLen(7))[18..20], [0, 7]);
    assert_eq!(lie(&udp, Lie::Protocol(99))[20], 99);
}

#[test]
fn super_frames_are_one_packet() {
    let frame = v4().partial().tcp(&Segment::data(1, 2), &payload(60_000 - 40));
    let headers = parse(&frame[..4096], frame.len()).unwrap();
    assert_eq!(headers.ip_len, 60_000);
    let segment = tcp::Packet::new_checked(&frame[34..]).unwrap();
    assert!(checksum::is_partial(segment.checksum(), headers.pseudo_header(&frame[..4096]).unwrap()));
}
