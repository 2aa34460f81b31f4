//! What the builders of tunnels, SCTP and ICMP errors build.

use sluice_packets::icmp_error::{LEAST_QUOTE, quote};
use sluice_packets::samples::{DESTINATION_V4, SOURCE_V4, v4, v6};
use sluice_packets::tunnel::{GENEVE_PORT, VXLAN_PORT};
use sluice_packets::{ChecksumMode, Geneve, IcmpError, Segment, sctp, tcp_option};
use sluice_wire::parse::parse;
use sluice_wire::{icmpv4, icmpv6, ipv4, protocol, udp};

#[test]
fn a_frame_in_vxlan_follows_eight_bytes_of_header() {
    let inner = v4().udp(1, 2, b"inner");
    let frame = v4().vxlan(50_000, VXLAN_PORT, 0x12_3456, &inner);
    assert_eq!(frame[42..50], [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
    assert_eq!(frame[50..], inner);
    let datagram = |frame: &[u8]| udp::Packet::new_checked(frame.to_vec()).expect("UDP").checksum();
    assert_eq!(datagram(&frame[34..]), 0, "over IPv4 none is computed");
    assert_ne!(datagram(&v6().vxlan(50_000, VXLAN_PORT, 1, &inner)[54..]), 0);
    assert_ne!(datagram(&v4().checksum(ChecksumMode::Wrong).vxlan(1, VXLAN_PORT, 1, &inner)[34..]), 0);
}

#[test]
fn a_frame_in_geneve_follows_its_options() {
    let inner = v6().udp(1, 2, b"inner");
    let header = Geneve { options: vec![1, 2, 0x80, 1, 9, 9, 9, 9], critical: true, ..Geneve::ethernet(7) };
    let frame = v4().geneve(50_000, GENEVE_PORT, &header, &inner);
    assert_eq!(frame[42..50], [2, 0x40, 0x65, 0x58, 0, 0, 7, 0]);
    assert_eq!(frame[58..], inner);
}

#[test]
fn sctp_has_the_checksum_of_the_rfc() {
    // RFC 3720 appendix B.4: 32 bytes of zeros, of ones, and rising.
    assert_eq!(sctp::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(sctp::crc32c(&[0xff; 32]), 0x62a8_ab43);
    let rising: Vec<u8> = (0..32).collect();
    assert_eq!(sctp::crc32c(&rising), 0x46dd_794e);
    let frame = v4().sctp(1000, 9999, 0, &sctp::init(77));
    let headers = parse(&frame, frame.len()).expect("SCTP parses");
    assert_eq!((headers.protocol, headers.source_port, headers.destination_port), (protocol::SCTP, 1000, 9999));
    assert!(sctp::checksum_ok(&frame[34..]));
    assert!(!sctp::checksum_ok(&v4().checksum(ChecksumMode::Wrong).sctp(1, 2, 0, &sctp::init(1))[34..]));
}

#[test]
fn errors_quote_what_they_are_about() {
    let lost = v4().udp(1000, 53, b"a question");
    let quoted = quote(&lost, ipv4::HEADER_LEN + LEAST_QUOTE);
    let frame = v4().icmp_error(IcmpError::TooBig { mtu: 1400 }, quoted);
    let message = icmpv4::Packet::new_checked(&frame[34..]).expect("ICMP");
    assert_eq!((message.kind(), message.code(), message.mtu()), (3, 4, 1400));
    assert_eq!(message.payload(), &lost[14..42]);
    let original = ipv4::Packet::new_header(message.payload()).expect("a quoted header");
    assert_eq!((original.source(), original.destination()), (SOURCE_V4, DESTINATION_V4));

    let lost = v6().tcp(&Segment::syn(1, 2), b"");
    let frame = v6().icmp_error(IcmpError::TooBig { mtu: 1280 }, quote(&lost, 2000));
    let message = icmpv6::Packet::new_checked(&frame[54..]).expect("ICMPv6");
    assert_eq!((message.kind(), message.mtu(), message.payload()), (2, 1280, &lost[14..]));
}

#[test]
fn options_are_in_units_of_four() {
    for option in [tcp_option::mss(1), tcp_option::window_scale(7), tcp_option::sack_permitted()] {
        assert_eq!(option.len(), 4);
    }
    assert_eq!(tcp_option::timestamps(1, 2).len(), 12);
}
