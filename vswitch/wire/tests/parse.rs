//! The parse of named packets, right ones and lying ones.

use sluice_packets::corrupt::{Lie, lie, padded, truncations};
use sluice_packets::samples::{DESTINATION_MAC, DESTINATION_V4, LINK, SOURCE_MAC, SOURCE_V4, v4, v6};
use sluice_packets::sizes::{CHUNK, IP_LENGTHS, payload};
use sluice_packets::{Ip, Segment, arp, fragment};
use sluice_wire::ethernet::ethertype;
use sluice_wire::parse::{Fragment, Headers, L3, parse};
use sluice_wire::{Layer, MacAddr, Malformed, extension, protocol};

fn whole(frame: &[u8]) -> Result<Headers, Malformed> {
    parse(frame, frame.len())
}

fn refused(frame: &[u8], told: Lie) -> Malformed {
    whole(&lie(frame, told)).expect_err("a lie that was believed")
}

#[test]
fn headers_stay_small() {
    assert!(size_of::<Headers>() <= 40, "{} bytes", size_of::<Headers>());
    assert!(size_of::<Malformed>() <= 12, "{} bytes", size_of::<Malformed>());
}

#[test]
fn every_field_of_a_udp_packet() {
    let frame = v4().ttl(9).udp(1000, 53, b"query");
    let headers = whole(&frame).unwrap();
    let expected = Headers {
        destination_mac: DESTINATION_MAC,
        source_mac: SOURCE_MAC,
        l3: L3::Ipv4,
        fragment: Fragment::None,
        protocol: protocol::UDP,
        ttl: 9,
        l3_offset: 14,
        l4_offset: 34,
        ip_len: 33,
        source_port: 1000,
        destination_port: 53,
    };
    assert_eq!(headers, expected);
    assert_eq!(headers.l4_len(), 13);
    assert_eq!(headers.addresses(&frame), Some((SOURCE_V4.into(), DESTINATION_V4.into())));
    assert_eq!(headers.checksum_offset(), Some(6));
}

#[test]
fn frames_that_are_not_ip() {
    let request = arp::request(SOURCE_MAC, SOURCE_V4, DESTINATION_V4);
    let headers = whole(&request).unwrap();
    assert_eq!((headers.l3, headers.ethertype(), headers.ip_len), (L3::Arp, ethertype::ARP, 0));
    assert_eq!(headers.destination_mac, MacAddr::BROADCAST);
    assert_eq!((headers.addresses(&request), headers.checksum_offset(), headers.l4_len()), (None, None, 0));

    let tagged = Ip::v4(LINK.vlan(7), SOURCE_V4, DESTINATION_V4).udp(1, 2, b"");
    assert_eq!(whole(&tagged).unwrap().l3, L3::Other(ethertype::VLAN));
    let length_field = LINK.frame(46, &[0; 46]);
    assert_eq!(whole(&length_field).unwrap().l3, L3::Other(46));
    assert_eq!(whole(&LINK.frame(0x88cc, &[])).unwrap().ethertype(), 0x88cc);
}

#[test]
fn options_and_extension_headers_are_stepped_over() {
    let headers = whole(&v4().options(&[1; 40]).udp(5, 6, b"")).unwrap();
    assert_eq!((headers.l4_offset, headers.source_port), (74, 5));

    let ip = v6().extension(protocol::HOP_BY_HOP, &[]).extension(protocol::DESTINATION_OPTIONS, &[0; 20]);
    let frame = ip.tcp(&Segment::syn(7, 8), b"");
    let headers = whole(&frame).unwrap();
    assert_eq!((headers.protocol, headers.l4_offset, headers.destination_port), (protocol::TCP, 14 + 40 + 8 + 24, 8));
    assert_eq!(headers.l4_len(), 24);
    assert_eq!(headers.checksum_offset(), Some(16));
}

#[test]
fn padding_of_short_frames_is_no_part_of_the_packet() {
    for frame in [v4().udp(1, 2, b"x"), v4().tcp(&Segment::data(1, 2), b""), v6().packet(protocol::NO_NEXT_HEADER, &[])]
    {
        let headers = whole(&frame).unwrap();
        assert_eq!(whole(&padded(frame)).unwrap(), headers);
    }
    // A transport header that lies in the padding is not there.
    let cut = lie(&padded(v4().udp(1, 2, b"")), Lie::IpLen(24));
    assert_eq!(whole(&cut), Err(Malformed::Truncated { layer: Layer::Udp, need: 8, have: 4 }));
}

#[test]
fn every_length_up_to_a_super_frame() {
    for ip_len in IP_LENGTHS {
        let v4 = v4().udp(1, 2, &payload(ip_len - 28));
        let v6 = v6().tcp(&Segment::data(1, 2), &payload(ip_len.max(60) - 60));
        for (frame, ip_len) in [(v4, ip_len), (v6, ip_len.max(60))] {
            let headers = parse(&frame[..frame.len().min(CHUNK)], frame.len()).unwrap();
            assert_eq!(headers.ip_len as usize, ip_len);
            assert_eq!(headers, whole(&frame).unwrap());
        }
    }
}

#[test]
fn a_chain_cut_short_is_refused() {
    let frame = v4().udp(1, 2, &payload(50_000));
    for total_len in [CHUNK, 2 * CHUNK, frame.len() - 1] {
        let error = parse(&frame[..CHUNK], total_len).unwrap_err();
        let have = total_len as u32 - 14;
        assert_eq!(error, Malformed::BadTotalLength { layer: Layer::Ipv4, length: 50_028, have });
    }
}

#[test]
fn headers_outside_the_first_buffer_are_refused() {
    for frame in [v4().udp(1, 2, b"data"), v6().tcp(&Segment::syn(1, 2), b"data")] {
        let headers = whole(&frame).unwrap();
        let least = usize::from(headers.l4_offset) + if headers.protocol == protocol::UDP { 8 } else { 24 };
        for head in 0..frame.len() {
            assert_eq!(parse(&frame[..head], frame.len()).is_ok(), head >= least, "{head} bytes");
        }
    }
}

#[test]
fn no_truncation_passes_for_a_whole_packet() {
    for frame in [v4().udp(1, 2, b"data"), v6().udp(1, 2, b"data"), v6().echo_request(1, 2, b"")] {
        for cut in truncations(&frame) {
            assert!(whole(&cut).is_err(), "{} of {} bytes", cut.len(), frame.len());
        }
    }
}

#[test]
fn lying_ip_headers() {
    let frame = v4().udp(1, 2, b"data");
    assert_eq!(refused(&frame, Lie::Version(6)), Malformed::BadVersion { layer: Layer::Ipv4, version: 6 });
    assert_eq!(refused(&frame, Lie::Ipv4HeaderLen(4)), Malformed::BadHeaderLength { layer: Layer::Ipv4, length: 16 });
    let error = refused(&frame, Lie::Ipv4HeaderLen(15));
    assert_eq!(error, Malformed::BadTotalLength { layer: Layer::Ipv4, length: 32, have: 32 });
    for length in [0, 19, 33, 0xffff] {
        let error = refused(&frame, Lie::IpLen(length));
        assert_eq!(error, Malformed::BadTotalLength { layer: Layer::Ipv4, length: length.into(), have: 32 });
    }

    let frame = v6().udp(1, 2, b"data");
    assert_eq!(refused(&frame, Lie::Version(4)), Malformed::BadVersion { layer: Layer::Ipv6, version: 4 });
    let error = refused(&frame, Lie::IpLen(13));
    assert_eq!(error, Malformed::BadTotalLength { layer: Layer::Ipv6, length: 53, have: 52 });
    // A jumbogram (RFC 2675) says 0: nothing here makes one.
    let error = refused(&frame, Lie::IpLen(0));
    assert_eq!(error, Malformed::Truncated { layer: Layer::Udp, need: 8, have: 0 });
}

#[test]
fn lying_transport_headers() {
    for ip in [v4(), v6()] {
        let udp = ip.udp(1, 2, b"data");
        for length in [0, 7, 13] {
            let error = refused(&udp, Lie::UdpLen(length));
            assert_eq!(error, Malformed::BadTotalLength { layer: Layer::Udp, length: length.into(), have: 12 });
        }
        // Shorter than IP's payload is legal (RFC 768 leaves room for it, and UDP options use it).
        assert!(whole(&lie(&udp, Lie::UdpLen(9))).is_ok());

        let tcp = ip.tcp(&Segment::data(1, 2), b"data");
        let error = refused(&tcp, Lie::TcpDataOffset(4));
        assert_eq!(error, Malformed::BadHeaderLength { layer: Layer::Tcp, length: 16 });
        let error = refused(&tcp, Lie::TcpDataOffset(7));
        assert_eq!(error, Malformed::Truncated { layer: Layer::Tcp, need: 28, have: 24 });
        assert!(whole(&lie(&tcp, Lie::TcpDataOffset(6))).is_ok());
    }
}

#[test]
fn short_transport_headers() {
    for (ip, icmp, layer) in [(v4(), protocol::ICMPV4, Layer::Icmpv4), (v6(), protocol::ICMPV6, Layer::Icmpv6)] {
        for (number, layer, need) in [
            (protocol::TCP, Layer::Tcp, 20),
            (protocol::UDP, Layer::Udp, 8),
            (protocol::SCTP, Layer::Sctp, 12),
            (icmp, layer, 8),
        ] {
            let have = need - 1;
            let error = whole(&ip.packet(number, &vec![0; have as usize])).unwrap_err();
            assert_eq!(error, Malformed::Truncated { layer, need, have });
        }
    }
    // ICMP of the other family is just a protocol without ports.
    assert!(whole(&v4().packet(protocol::ICMPV6, &[])).is_ok());
    let sctp = whole(&v4().packet(protocol::SCTP, &[0, 9, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0])).unwrap();
    assert_eq!((sctp.source_port, sctp.destination_port, sctp.checksum_offset()), (9, 10, None));
}

#[test]
fn fragments() {
    for ip in [v4(), v6()] {
        let pieces = fragment::split(&ip.udp(1000, 53, &payload(3000)), 1280, 9);
        assert_eq!(pieces.len(), 3);
        for (at, piece) in pieces.iter().enumerate() {
            let headers = whole(piece).unwrap();
            assert_eq!(headers.protocol, protocol::UDP);
            assert_eq!(headers.checksum_offset(), None);
            let expected = if at == 0 { (Fragment::First, 1000, 53) } else { (Fragment::Later, 0, 0) };
            assert_eq!((headers.fragment, headers.source_port, headers.destination_port), expected);
        }
    }
    // An atomic fragment is a whole packet (RFC 6946).
    let atomic = &fragment::split(&v6().udp(1000, 53, b"x"), 1280, 9)[0];
    let headers = whole(atomic).unwrap();
    assert_eq!((headers.fragment, headers.l4_offset, headers.source_port), (Fragment::None, 14 + 48, 1000));
}

#[test]
fn a_fragment_past_the_longest_packet_is_refused() {
    let mut frame = v4().packet(protocol::UDP, &[0; 64]);
    frame[20..22].copy_from_slice(&0x1fff_u16.to_be_bytes());
    let error = whole(&frame).unwrap_err();
    assert_eq!(error, Malformed::FragmentPastEnd { layer: Layer::Ipv4, offset: 65_528, length: 84 });

    let fragment_header = [protocol::UDP, 0, 0xff, 0xf8, 0, 0, 0, 1];
    let frame = v6().packet(protocol::FRAGMENT, &[&fragment_header[..], &[0; 8]].concat());
    let error = whole(&frame).unwrap_err();
    assert_eq!(error, Malformed::FragmentPastEnd { layer: Layer::Ipv6, offset: 65_528, length: 8 });
}

#[test]
fn extension_headers_are_followed_to_a_limit() {
    let chain = |count: u8| (0..count).fold(v6(), |ip, _| ip.extension(protocol::DESTINATION_OPTIONS, &[]));
    assert_eq!(whole(&chain(extension::LIMIT).udp(1, 2, b"")).unwrap().source_port, 1);
    let error = whole(&chain(extension::LIMIT + 1).udp(1, 2, b"")).unwrap_err();
    assert_eq!(error, Malformed::TooManyExtensions { limit: extension::LIMIT });
}

#[test]
fn lying_extension_headers() {
    let twice = v6().extension(protocol::HOP_BY_HOP, &[]).extension(protocol::HOP_BY_HOP, &[]).udp(1, 2, b"");
    assert_eq!(whole(&twice), Err(Malformed::MisplacedHopByHop));
    let long = v6().packet(protocol::HOP_BY_HOP, &[protocol::UDP, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(whole(&long), Err(Malformed::Truncated { layer: Layer::Ipv6Extension, need: 16, have: 8 }));
    let empty = v6().packet(protocol::FRAGMENT, &[]);
    assert_eq!(whole(&empty), Err(Malformed::Truncated { layer: Layer::Ipv6Extension, need: 8, have: 0 }));
    // Nothing can be read behind these.
    for end in [protocol::NO_NEXT_HEADER, protocol::ESP] {
        let headers = whole(&v6().extension(protocol::DESTINATION_OPTIONS, &[]).packet(end, &[1, 2, 3])).unwrap();
        assert_eq!((headers.protocol, headers.l4_offset, headers.source_port), (end, 14 + 48, 0));
    }
    // The authentication header counts in units of 4 bytes: 24 bytes here.
    let authenticated = [&[protocol::UDP, 4][..], &[0; 22], &[0, 1, 0, 2, 0, 8, 0, 0]].concat();
    let headers = whole(&v6().packet(protocol::AUTHENTICATION, &authenticated)).unwrap();
    assert_eq!((headers.l4_offset, headers.destination_port), (14 + 40 + 24, 2));
}
