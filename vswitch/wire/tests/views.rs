//! Each view against bytes written out by hand, reading and building, and what each refuses.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_wire::{BadMac, Layer, MacAddr, Malformed};
use sluice_wire::{arp, checksum, ethernet, icmpv4, icmpv6, ipv4, ipv6, ndp, protocol, tcp, udp};

const MAC: MacAddr = MacAddr([0x02, 0x53, 0x4c, 0, 0, 0x01]);

/// Bytes from hex digits; blanks are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn mac_addresses() {
    assert_eq!(MAC.to_string(), "02:53:4c:00:00:01");
    assert_eq!("02:53:4C:00:00:01".parse(), Ok(MAC));
    for wrong in
        ["", "02:53:4c:00:00", "02:53:4c:00:00:01:02", "2:53:4c:00:00:01", "+2:53:4c:00:00:01", "é:53:4c:0:0:1"]
    {
        assert_eq!(wrong.parse::<MacAddr>(), Err(BadMac), "{wrong}");
    }
    assert!(MAC.is_unicast() && !MAC.is_multicast());
    assert!(MacAddr::BROADCAST.is_multicast() && MacAddr::BROADCAST.is_broadcast() && !MacAddr::ZERO.is_unicast());
    let group: Ipv6Addr = "ff02::1:ff00:1234".parse().unwrap();
    assert_eq!(MacAddr::for_ipv6_multicast(group).to_string(), "33:33:ff:00:12:34");
}

#[test]
fn ethernet_frame() {
    let bytes = hex("ffffffffffff 02534c000001 0806 0102");
    let frame = ethernet::Frame::new_checked(&bytes).unwrap();
    assert_eq!((frame.destination(), frame.source(), frame.ethertype()), (MacAddr::BROADCAST, MAC, 0x0806));
    assert_eq!(frame.payload(), [1, 2]);

    let mut built = vec![0xee; 16];
    let mut frame = ethernet::Frame::init(&mut built).unwrap();
    frame.set_destination(MacAddr::BROADCAST);
    frame.set_source(MAC);
    frame.set_ethertype(0x0806);
    frame.payload_mut().copy_from_slice(&[1, 2]);
    assert_eq!(built, bytes);
    let error = Malformed::Truncated { layer: Layer::Ethernet, need: 14, have: 13 };
    assert_eq!(ethernet::Frame::new_checked(&bytes[..13]).unwrap_err(), error);
    assert_eq!(error.to_string(), "Ethernet header takes 14 bytes, 13 are there");
}

#[test]
fn arp_message() {
    let bytes = hex("0001 0800 06 04 0001 02534c000001 0a000001 000000000000 a9fe0101");
    let packet = arp::Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.operation(), packet.sender_mac(), packet.target_mac()), (arp::REQUEST, MAC, MacAddr::ZERO));
    let (sender, target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(169, 254, 1, 1));
    assert_eq!((packet.sender_ip(), packet.target_ip()), (sender, target));

    let mut built = [0xee; arp::LEN];
    let mut packet = arp::Packet::init(&mut built[..]).unwrap();
    packet.set_operation(arp::REQUEST);
    packet.set_sender(MAC, sender);
    packet.set_target(MacAddr::ZERO, target);
    assert_eq!(built[..], bytes);

    for (at, value, error) in [
        (1, 6, Malformed::BadArpSpace { hardware: 6, protocol: 0x0800 }),
        (2, 6, Malformed::BadArpSpace { hardware: 1, protocol: 0x0600 }),
        (4, 5, Malformed::BadHeaderLength { layer: Layer::Arp, length: 8 + 2 * (5 + 4) }),
        (5, 16, Malformed::BadHeaderLength { layer: Layer::Arp, length: 8 + 2 * (6 + 16) }),
    ] {
        let mut wrong = bytes.clone();
        wrong[at] = value;
        assert_eq!(arp::Packet::new_checked(&wrong).unwrap_err(), error);
    }
    assert!(arp::Packet::new_checked(&bytes[..27]).is_err());
}

#[test]
fn ipv4_packet() {
    let bytes = hex("46 b8 001c 1234 2007 40 11 9ed7 0a000001 0a000002 94040000 deadbeef");
    let packet = ipv4::Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.header_len(), packet.traffic_class(), packet.total_len()), (24, 0xb8, 28));
    assert_eq!((packet.identification(), packet.fragment_offset()), (0x1234, 56));
    assert_eq!((packet.dont_fragment(), packet.more_fragments()), (false, true));
    assert_eq!((packet.ttl(), packet.protocol(), packet.checksum()), (64, protocol::UDP, 0x9ed7));
    assert!(packet.checksum_ok());
    assert_eq!(packet.options(), [0x94, 4, 0, 0]);
    assert_eq!(packet.payload(), [0xde, 0xad, 0xbe, 0xef]);

    let mut built = vec![0xee; 28];
    let mut packet = ipv4::Packet::init(&mut built, 24).unwrap();
    packet.set_traffic_class(0xb8);
    packet.set_identification(0x1234);
    packet.set_fragment(false, true, 56);
    packet.set_ttl(64);
    packet.set_protocol(protocol::UDP);
    packet.set_source([10, 0, 0, 1].into());
    packet.set_destination([10, 0, 0, 2].into());
    packet.options_mut().copy_from_slice(&[0x94, 4, 0, 0]);
    packet.payload_mut().copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    packet.set_checksum(0xdead);
    assert!(!packet.checksum_ok());
    packet.fill_checksum();
    assert_eq!(built, bytes);

    for header_len in [0, 16, 22, 64, 32] {
        assert!(ipv4::Packet::init([0; 28], header_len).is_err(), "{header_len}");
    }
    assert!(ipv4::Packet::init(vec![0; 65_536], 20).is_err());
}

#[test]
fn a_header_view_takes_a_packet_that_goes_on_elsewhere() {
    let mut bytes = vec![0; 1000];
    ipv4::Packet::init(&mut bytes, 20).unwrap();
    assert!(ipv4::Packet::new_checked(&bytes[..999]).is_err());
    assert_eq!(ipv4::Packet::new_header(&bytes[..999]).unwrap().payload().len(), 979);
    let padded = [&bytes[..], &[0xff; 9]].concat();
    assert_eq!(ipv4::Packet::new_checked(&padded).unwrap().payload(), [0; 980]);

    ipv6::Packet::init(&mut bytes).unwrap();
    assert!(ipv6::Packet::new_checked(&bytes[..999]).is_err());
    assert_eq!(ipv6::Packet::new_header(&bytes[..999]).unwrap().payload().len(), 959);

    udp::Packet::init(&mut bytes).unwrap();
    assert!(udp::Packet::new_checked(&bytes[..999]).is_err());
    assert_eq!(udp::Packet::new_header(&bytes[..999]).unwrap().payload().len(), 991);
}

#[test]
fn ipv6_packet() {
    let source: Ipv6Addr = "fd00::1".parse().unwrap();
    let destination: Ipv6Addr = "fd00::2".parse().unwrap();
    let bytes = hex("6b812345 0004 11 40 fd000000000000000000000000000001 fd000000000000000000000000000002 deadbeef");
    let packet = ipv6::Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.traffic_class(), packet.flow_label()), (0xb8, 0x12345));
    assert_eq!((packet.payload_len(), packet.total_len()), (4, 44));
    assert_eq!((packet.next_header(), packet.hop_limit()), (protocol::UDP, 64));
    assert_eq!((packet.source(), packet.destination()), (source, destination));

    let mut built = vec![0xee; 44];
    let mut packet = ipv6::Packet::init(&mut built).unwrap();
    packet.set_traffic_class(0xb8);
    packet.set_flow_label(0xfff1_2345);
    packet.set_next_header(protocol::UDP);
    packet.set_hop_limit(65);
    packet.decrement_hop_limit();
    packet.set_source(source);
    packet.set_destination(destination);
    packet.payload_mut().copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(built, bytes);
    assert!(ipv6::Packet::init([0; 39]).is_err());
    assert!(ipv6::Packet::init(vec![0; 40 + 65_536]).is_err());
}

#[test]
fn icmp_messages() {
    let mut bytes = vec![0xee; 12];
    let mut packet = icmpv4::Packet::init(&mut bytes).unwrap();
    packet.set_kind(icmpv4::kind::UNREACHABLE, icmpv4::unreachable::FRAGMENTATION_NEEDED);
    packet.set_mtu(1450);
    packet.payload_mut().copy_from_slice(&[1, 2, 3, 4]);
    packet.fill_checksum();
    assert!(packet.checksum_ok() && packet.is_error());
    assert_eq!((packet.kind(), packet.code(), packet.mtu(), packet.rest()), (3, 4, 1450, 1450));
    packet.set_kind(icmpv4::kind::ECHO_REQUEST, 0);
    packet.set_echo(7, 9);
    assert_eq!((packet.identifier(), packet.sequence(), packet.is_error()), (7, 9, false));
    assert_eq!(bytes[4..], [0, 7, 0, 9, 1, 2, 3, 4]);
    assert!(icmpv4::Packet::new_checked(&bytes[..7]).is_err());

    let pseudo = checksum::pseudo_v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, protocol::ICMPV6, 12);
    let mut packet = icmpv6::Packet::init(&mut bytes).unwrap();
    packet.set_kind(icmpv6::kind::PACKET_TOO_BIG, 0);
    packet.set_mtu(1280);
    packet.fill_checksum(pseudo);
    assert!(packet.checksum_ok(pseudo) && packet.is_error());
    assert_eq!((packet.kind(), packet.mtu()), (2, 1280));
    packet.set_kind(icmpv6::kind::REDIRECT, 0);
    assert!(packet.is_error() && !packet.checksum_ok(pseudo));
    packet.set_kind(icmpv6::kind::NEIGHBOUR_SOLICIT, 0);
    assert!(!packet.is_error());
}

#[test]
fn neighbour_discovery() {
    let target: Ipv6Addr = "fe80::1".parse().unwrap();
    let mut bytes = vec![0xee; ndp::LEN_WITH_MAC];
    let mut packet = ndp::Packet::init(&mut bytes, icmpv6::kind::NEIGHBOUR_ADVERT, target).unwrap();
    packet.set_flags(ndp::flag::ROUTER | ndp::flag::SOLICITED | ndp::flag::OVERRIDE);
    packet.set_link(MAC);
    let packet = ndp::Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.flags(), packet.target()), (0xe0, target));
    assert_eq!((packet.target_link(), packet.source_link()), (Some(MAC), None));
    assert_eq!(bytes[24..], [2, 1, 0x02, 0x53, 0x4c, 0, 0, 1]);

    // An option that is not known comes first, and one of another hardware's length.
    let with_options =
        [&bytes[..24], &[14, 1, 0, 0, 0, 0, 0, 0], &[2, 2], &[9; 14], &[1, 1, 2, 0, 0, 0, 0, 7]].concat();
    let packet = ndp::Packet::new_checked(&with_options).unwrap();
    assert_eq!(packet.options().map(|(kind, _)| kind).collect::<Vec<_>>(), [14, 2, 1]);
    assert_eq!((packet.target_link(), packet.source_link()), (None, Some(MacAddr([2, 0, 0, 0, 0, 7]))));

    for (options, at, length) in
        [(&[2, 0, 0, 0, 0, 0, 0, 0][..], 0, 0), (&[2, 2, 0, 0, 0, 0, 0, 0], 0, 16), (&[2], 0, 0)]
    {
        let wrong = [&bytes[..], options].concat();
        let error = ndp::Packet::new_checked(&wrong).unwrap_err();
        assert_eq!(error, Malformed::BadOption { layer: Layer::Ndp, at: at + 8, length });
    }
    bytes[0] = icmpv6::kind::ROUTER_SOLICIT;
    assert_eq!(ndp::Packet::new_checked(&bytes).unwrap_err(), Malformed::WrongType { layer: Layer::Ndp, value: 133 });
    assert!(ndp::Packet::init([0; 30], icmpv6::kind::NEIGHBOUR_ADVERT, target).is_err());
    assert!(ndp::Packet::init([0; 24], icmpv6::kind::ECHO_REQUEST, target).is_err());
    // Without room for an option there is none to set.
    let mut short = ndp::Packet::init([0; 24], icmpv6::kind::NEIGHBOUR_SOLICIT, target).unwrap();
    short.set_link(MAC);
    assert_eq!(short.source_link(), None);
}

#[test]
fn udp_datagram() {
    let bytes = hex("03e8 0035 000c 0000 deadbeef");
    let packet = udp::Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.source_port(), packet.destination_port(), packet.len()), (1000, 53, 12));
    assert_eq!(packet.payload(), [0xde, 0xad, 0xbe, 0xef]);
    let pseudo = checksum::pseudo_v4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::UDP, 12);
    assert!(packet.checksum_ok(pseudo), "no checksum counts as right");

    let mut built = vec![0xee; 12];
    let mut packet = udp::Packet::init(&mut built).unwrap();
    packet.set_source_port(1000);
    packet.set_destination_port(53);
    packet.payload_mut().copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    packet.fill_checksum(pseudo);
    assert!(packet.checksum() != 0 && packet.checksum_ok(pseudo));
    packet.set_checksum(packet.checksum() ^ 1);
    assert!(!packet.checksum_ok(pseudo));
    packet.set_checksum(0);
    assert_eq!(built, bytes);

    // A sum of all ones is sent as all ones, for zero would say that there is none.
    let mut packet = udp::Packet::init(vec![0; 10]).unwrap();
    packet.set_len(10);
    packet.payload_mut().copy_from_slice(&(!10u16).to_be_bytes());
    packet.fill_checksum(checksum::Sum::new());
    assert_eq!(packet.checksum(), 0xffff);
}

#[test]
fn tcp_segment() {
    let bytes = hex("03e8 0050 00000001 00000002 60 12 fa00 0000 0003 020405b4 dead");
    let packet = tcp::Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.source_port(), packet.destination_port()), (1000, 80));
    assert_eq!((packet.sequence(), packet.acknowledgement(), packet.header_len()), (1, 2, 24));
    assert_eq!((packet.flags(), packet.window(), packet.urgent()), (tcp::flag::SYN | tcp::flag::ACK, 0xfa00, 3));
    assert_eq!((packet.options(), packet.payload()), (&[2, 4, 5, 0xb4][..], &[0xde, 0xad][..]));

    let mut built = vec![0xee; 26];
    let mut packet = tcp::Packet::init(&mut built, 24).unwrap();
    packet.set_source_port(1000);
    packet.set_destination_port(80);
    packet.set_sequence(1);
    packet.set_acknowledgement(2);
    packet.set_flags(tcp::flag::SYN | tcp::flag::ACK);
    packet.set_window(0xfa00);
    packet.set_urgent(3);
    packet.options_mut().copy_from_slice(&[2, 4, 5, 0xb4]);
    packet.payload_mut().copy_from_slice(&[0xde, 0xad]);
    let pseudo = checksum::pseudo_v4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::TCP, 26);
    packet.fill_checksum(pseudo);
    assert!(packet.checksum_ok(pseudo));
    packet.set_checksum(0);
    assert_eq!(built, bytes);
    for header_len in [16, 22, 64, 28] {
        assert!(tcp::Packet::init([0; 26], header_len).is_err(), "{header_len}");
    }
}
