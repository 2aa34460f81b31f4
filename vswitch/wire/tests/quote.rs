//! Quoted packets: what the parse of the whole packet says of them, whatever is left of it.

use etherparse::LaxIpSlice;
use sluice_packets::samples::{self, v4, v6};
use sluice_packets::{IcmpError, Ip, Segment, fragment, icmp_error, sctp};
use sluice_wire::parse::{self, Fragment, L3};
use sluice_wire::quote::{self, Quote};
use sluice_wire::{Layer, Malformed, extension, protocol};

fn quoted(frame: &[u8], length: usize) -> Result<Quote, Malformed> {
    let l3 = if frame[12] == 0x08 { L3::Ipv4 } else { L3::Ipv6 };
    quote::parse(icmp_error::quote(frame, length), l3)
}

/// The quote says what the parse says, down to eight bytes of transport.
fn same_as_parsed(frame: &[u8]) {
    let headers = parse::parse(frame, frame.len()).expect("a right packet");
    let l4 = usize::from(headers.l4_offset) - 14;
    for length in l4 + quote::TRANSPORT_LEN..=frame.len() - 14 {
        let quote = quoted(frame, length).expect("enough is quoted");
        assert_eq!(Some((quote.source, quote.destination)), headers.addresses(frame));
        assert_eq!((quote.l3, quote.protocol, quote.fragment), (headers.l3, headers.protocol, headers.fragment));
        assert_eq!((usize::from(quote.l4_offset), quote.l4_len), (l4, headers.l4_len()));
        let ports = (quote.source_port, quote.destination_port);
        if headers.protocol == protocol::ICMPV4 || headers.protocol == protocol::ICMPV6 {
            assert!(ports == (7, 0) || ports == (0, 7), "{ports:?}");
        } else {
            assert_eq!(ports, (headers.source_port, headers.destination_port));
        }
    }
    for length in 0..l4 + quote::TRANSPORT_LEN {
        assert!(quoted(frame, length).is_err(), "{length} bytes");
    }
}

#[test]
fn every_transport_is_read_from_its_first_eight_bytes() {
    let extended = v6().extension(protocol::DESTINATION_OPTIONS, &[]);
    for ip in [v4(), v6(), v4().options(&[1; 8]), extended] {
        same_as_parsed(&ip.udp(1000, 53, b"some data"));
        same_as_parsed(&ip.tcp(&Segment::syn(1000, 80), b""));
        same_as_parsed(&ip.sctp(1000, 80, 7, &sctp::init(1)));
        same_as_parsed(&ip.echo_request(7, 1, b"abcdefgh"));
        same_as_parsed(&ip.echo_reply(7, 1, b"abcdefgh"));
    }
}

/// Another reader of cut packets names the same addresses, protocol and transport.
#[test]
fn cut_quotes_are_read_as_etherparse_reads_them() {
    let mut compared = 0;
    for (name, frame) in samples::one_of_each() {
        for length in 28..frame.len().saturating_sub(14) {
            let bytes = icmp_error::quote(&frame, length);
            let l3 = if bytes[0] >> 4 == 4 { L3::Ipv4 } else { L3::Ipv6 };
            let (Ok(ours), Ok((theirs, _))) = (quote::parse(bytes, l3), LaxIpSlice::from_slice(bytes)) else {
                continue;
            };
            let addresses = match &theirs {
                LaxIpSlice::Ipv4(v4) => (v4.header().source_addr().into(), v4.header().destination_addr().into()),
                LaxIpSlice::Ipv6(v6) => (v6.header().source_addr().into(), v6.header().destination_addr().into()),
            };
            assert_eq!((ours.source, ours.destination), addresses, "{name}, {length} bytes");
            let payload = theirs.payload();
            assert_eq!(ours.protocol, payload.ip_number.0, "{name}, {length} bytes");
            assert_eq!(&bytes[usize::from(ours.l4_offset)..], payload.payload, "{name}, {length} bytes");
            assert_eq!(ours.fragment != Fragment::None, payload.fragmented, "{name}, {length} bytes");
            compared += 1;
        }
    }
    assert!(compared > 400, "only {compared}");
}

#[test]
fn fragments_are_told_apart() {
    for ip in [v4(), v6()] {
        let pieces = fragment::split(&ip.udp(1000, 53, &[9; 100]), 88, 77);
        same_as_parsed(&pieces[0]);
        let later = quoted(&pieces[1], 1280).expect("a later fragment");
        assert_eq!((later.fragment, later.source_port, later.destination_port), (Fragment::Later, 0, 0));
        let headers = if ip.is_v6() { 48 } else { 20 };
        assert!(quoted(&pieces[1], headers).is_ok(), "the headers are enough");
    }
}

#[test]
fn the_length_of_what_was_sent_is_kept_and_a_broken_header_checksum_is_taken() {
    let mut frame = v4().udp(1, 2, &[0; 1400]);
    frame[24] ^= 0xff;
    let quote = quoted(&frame, 28).expect("a quote");
    assert_eq!((quote.l4_len, quote.l4_offset), (1408, 20));
}

#[test]
fn errors_about_errors_are_refused() {
    for ip in [v4(), v6()] {
        let lost = ip.udp(1, 2, b"lost");
        for error in [IcmpError::PortUnreachable, IcmpError::TimeExceeded, IcmpError::TooBig { mtu: 1400 }] {
            let frame = ip.icmp_error(error, icmp_error::quote(&lost, 64));
            assert!(matches!(quoted(&frame, 512), Err(Malformed::WrongType { .. })), "{error:?}");
        }
    }
}

#[test]
fn other_protocols_have_no_ports_and_need_no_bytes() {
    let quote = quoted(&v4().packet(protocol::ESP, &[1; 4]), 512).expect("a quote");
    assert_eq!((quote.source_port, quote.destination_port, quote.protocol), (0, 0, protocol::ESP));
    // A number that means ICMP only in the other family.
    assert!(quoted(&v4().packet(protocol::ICMPV6, &[1; 4]), 512).is_ok());
}

#[test]
fn lies_are_named() {
    let udp = v4().udp(1, 2, b"data");
    let mut short = udp.clone();
    short[38..40].copy_from_slice(&7u16.to_be_bytes());
    assert!(matches!(quoted(&short, 512), Err(Malformed::BadTotalLength { layer: Layer::Udp, length: 7, .. })));
    let wrong = quote::parse(&udp[14..], L3::Ipv6);
    assert!(matches!(wrong, Err(Malformed::Truncated { .. } | Malformed::BadVersion { .. })));
    let long: Ip = (0..9).fold(v6(), |ip, _| ip.extension(protocol::DESTINATION_OPTIONS, &[]));
    assert_eq!(quoted(&long.udp(1, 2, b""), 512), Err(Malformed::TooManyExtensions { limit: extension::LIMIT }));
    for (_, frame) in samples::one_of_each() {
        for at in 14..frame.len() {
            let mut lying = frame.clone();
            lying[at] ^= 0x55;
            for l3 in [L3::Ipv4, L3::Ipv6] {
                if let Ok(quote) = quote::parse(&lying[14..], l3) {
                    assert!(usize::from(quote.l4_offset) <= lying.len() - 14);
                }
            }
        }
    }
}
