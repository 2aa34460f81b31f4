use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_connections::Tuple;
use sluice_packets::{ChecksumMode, IcmpError, fragment, icmp_error};
use sluice_wire::parse::{L3, parse};
use sluice_wire::{checksum, icmpv4, quote};

use super::{translate, tuple};
use crate::sound::{self, Kind, any, is_sound};

const ERRORS: [IcmpError; 4] =
    [IcmpError::PortUnreachable, IcmpError::HostUnreachable, IcmpError::TooBig { mtu: 1450 }, IcmpError::TimeExceeded];

const A_TUPLE: Tuple = Tuple {
    source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    destination: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    source_port: 1000,
    destination_port: 80,
    protocol: 0,
};

/// The error after translation, of which `visible` bytes lie in the first buffer.
fn translated(frame: &[u8], visible: usize, outer: (IpAddr, IpAddr), from: &Tuple, to: &Tuple) -> Vec<u8> {
    let headers = parse(frame, frame.len()).expect("a right error");
    let quoted = usize::from(headers.l4_offset) + icmpv4::HEADER_LEN;
    let quote = quote::parse(&frame[quoted..visible], headers.l3).expect("a right quote");
    assert_eq!(tuple(&quote).as_ref(), Some(from));
    let mut frame = frame.to_vec();
    translate(&mut frame[..visible], &headers, &quote, outer, to);
    frame
}

/// Whether a TCP or UDP packet's checksum field holds what a partial checksum would.
fn looks_partial(frame: &[u8]) -> bool {
    let headers = parse(frame, frame.len()).expect("a right packet");
    let (Some(offset), Some(pseudo)) = (headers.checksum_offset(), headers.pseudo_header(frame)) else { return false };
    let at = usize::from(headers.l4_offset + offset);
    checksum::is_partial(u16::from_be_bytes([frame[at], frame[at + 1]]), pseudo)
}

/// Least length of a quote: IP header and eight bytes.
fn least(tuple: &Tuple) -> usize {
    if tuple.source.is_ipv6() { 48 } else { 28 }
}

/// An error from `from` to `to` about a packet of `inner`, of which it quotes `length` bytes.
fn error(from: IpAddr, to: IpAddr, error: IcmpError, inner: &[u8], length: usize) -> Vec<u8> {
    let outer = Tuple { source: from, destination: to, source_port: 0, destination_port: 0, protocol: 0 };
    sound::ip(&outer).icmp_error(error, icmp_error::quote(inner, length))
}

proptest! {
    #[test]
    fn a_translated_error_is_the_error_about_the_translated_packet(
        (kind, from, to) in any::translation(),
        routers in (any::<u8>(), any::<u8>()),
        data in vec(any::<u8>(), 0..60),
        error_kind in prop::sample::select(&ERRORS[..]),
        more in 0usize..120,
    ) {
        for mode in [ChecksumMode::Complete, ChecksumMode::Partial, ChecksumMode::Zero, ChecksumMode::Wrong] {
            // A wrong one is carried along, not made by the builder's rule; what is left to a device is so for TCP and UDP.
            let tcp_or_udp = matches!(kind, Kind::Tcp | Kind::Udp);
            if mode == ChecksumMode::Wrong || (mode == ChecksumMode::Partial && !tcp_or_udp) {
                continue;
            }
            if mode == ChecksumMode::Zero && !matches!(kind, Kind::Udp | Kind::Sctp) {
                continue;
            }
            let [sent, wanted] =
                [&from, &to].map(|tuple| sound::frame(&sound::ip(tuple).checksum(mode), kind, tuple, &data));
            // A right one that is taken for a partial one by chance: one in 65,536, and nobody verifies what is quoted.
            if mode == ChecksumMode::Complete && (looks_partial(&sent) || looks_partial(&wanted)) {
                continue;
            }
            // Of a part of a checksum nothing can be made; no one quotes it so.
            let more = match kind {
                Kind::Sctp if more < 4 => 0,
                Kind::Tcp if more == 9 => 8,
                _ => more,
            };
            let length = (least(&from) + more).min(sent.len() - 14);
            // The router answers to the sender of what it saw.
            let router = |last: u8| match from.source {
                IpAddr::V4(_) => IpAddr::from([192, 0, 2, last]),
                IpAddr::V6(_) => IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]),
            };
            let came = error(router(routers.0), from.source, error_kind, &sent, length);
            let goes = error(router(routers.1), to.source, error_kind, &wanted, length);
            let outer = (router(routers.1), to.source);
            let got = translated(&came, came.len(), outer, &from, &to);
            prop_assert_eq!(&got, &goes, "{:?} {:?} {} bytes quoted", kind, mode, length);
            prop_assert!(is_sound(&got));
            let back = translated(&got, got.len(), (router(routers.0), from.source), &to, &from);
            prop_assert_eq!(&back, &came);
        }
    }

    #[test]
    fn a_quote_that_goes_on_in_another_frame_is_translated_alike(
        (kind, from, to) in any::translation(), data in vec(any::<u8>(), 40..60),
    ) {
        let [sent, wanted] = [&from, &to].map(|tuple| sound::frame(&sound::ip(tuple), kind, tuple, &data));
        if looks_partial(&sent) || looks_partial(&wanted) {
            return Ok(());
        }
        let came = error(from.destination, from.source, IcmpError::PortUnreachable, &sent, usize::MAX);
        let goes = error(to.destination, to.source, IcmpError::PortUnreachable, &wanted, usize::MAX);
        let visible = came.len() - data.len();
        prop_assert_eq!(translated(&came, visible, (to.destination, to.source), &from, &to), goes);
    }

    #[test]
    fn a_wrong_error_stays_wrong((kind, from, to) in any::translation()) {
        let sent = sound::frame(&sound::ip(&from), kind, &from, b"lost");
        let mut came = error(from.destination, from.source, IcmpError::TimeExceeded, &sent, 64);
        // A bit of the quoted header that is neither length, version nor part of the tuple: the traffic class.
        let quoted = came.len() - icmp_error::quote(&sent, 64).len();
        came[quoted + 1] ^= 0x10;
        prop_assert!(!is_sound(&came));
        let got = translated(&came, came.len(), (to.destination, to.source), &from, &to);
        prop_assert!(!is_sound(&got));
    }
}

#[test]
fn a_later_fragment_has_no_tuple() {
    let inner = Tuple { source_port: 1, destination_port: 2, ..A_TUPLE };
    let whole = sound::frame(&sound::ip(&inner).dont_fragment(false), Kind::Udp, &inner, &[0; 200]);
    let pieces = fragment::split(&whole, 128, 1);
    let [first, later] = [0, 1].map(|at| quote::parse(&pieces[at][14..], L3::Ipv4).expect("a quote"));
    assert_eq!(tuple(&first), Some(Kind::Udp.tuple(inner)));
    assert_eq!(tuple(&later), None);
}

#[test]
fn bytes_of_any_kind_cause_no_panic() {
    let inner = Kind::Tcp.tuple(A_TUPLE);
    let frame = error(
        inner.destination,
        inner.source,
        IcmpError::PortUnreachable,
        &sound::frame(&sound::ip(&inner), Kind::Tcp, &inner, b"x"),
        99,
    );
    let headers = parse(&frame, frame.len()).expect("a right error");
    let quote = quote::parse(&frame[42..], headers.l3).expect("a right quote");
    for length in 0..frame.len() {
        let mut cut = frame[..length].to_vec();
        translate(&mut cut, &headers, &quote, (inner.source, inner.destination), &inner.reversed());
        assert_eq!(cut.len(), length);
    }
}
