use proptest::collection::vec;
use proptest::prelude::*;
use sluice_connections::Tuple;
use sluice_packets::{ChecksumMode, fragment, samples};
use sluice_wire::parse::parse;

use super::{Deltas, replay};
use crate::Checksum;
use crate::sound::{self, Kind, any, is_sound};

/// The frame after `from` has become `to`, of which `visible` bytes lie in the first buffer.
fn translated(frame: &[u8], visible: usize, from: &Tuple, to: &Tuple, checksum: Checksum) -> Vec<u8> {
    let headers = parse(frame, frame.len()).expect("a right packet");
    let mut frame = frame.to_vec();
    replay(&mut frame[..visible], &headers, to, Deltas::between(from, to), checksum);
    frame
}

proptest! {
    #[test]
    fn a_translated_packet_is_the_packet_that_would_have_been_sent_so(
        (kind, from, to) in any::translation(), data in vec(any::<u8>(), 0..120),
    ) {
        for mode in [ChecksumMode::Complete, ChecksumMode::Partial, ChecksumMode::Zero] {
            // What is left to a device is known of TCP and UDP alone.
            if mode != ChecksumMode::Complete && !matches!(kind, Kind::Tcp | Kind::Udp) {
                continue;
            }
            if mode == ChecksumMode::Zero && kind == Kind::Tcp {
                continue;
            }
            let [sent, wanted] =
                [&from, &to].map(|tuple| sound::frame(&sound::ip(tuple).checksum(mode), kind, tuple, &data));
            let state = sound::state(mode, &sent);
            let got = translated(&sent, sent.len(), &from, &to, state);
            prop_assert_eq!(&got, &wanted, "{:?} {:?}", kind, mode);
            prop_assert_eq!(&translated(&got, got.len(), &to, &from, state), &sent, "{:?} {:?} back", kind, mode);
            prop_assert!(mode != ChecksumMode::Complete || is_sound(&got));
        }
    }

    #[test]
    fn only_the_headers_need_be_visible((kind, from, to) in any::translation(), data in vec(any::<u8>(), 0..120)) {
        let [sent, wanted] = [&from, &to].map(|tuple| sound::frame(&sound::ip(tuple), kind, tuple, &data));
        let headers = sent.len() - data.len();
        prop_assert_eq!(translated(&sent, headers, &from, &to, Checksum::Complete), wanted);
    }

    #[test]
    fn a_wrong_checksum_stays_wrong((kind, from, to) in any::translation(), data in vec(any::<u8>(), 0..40)) {
        let sent = sound::frame(&sound::ip(&from).checksum(ChecksumMode::Wrong), kind, &from, &data);
        prop_assume!(!is_sound(&sent));
        prop_assert!(!is_sound(&translated(&sent, sent.len(), &from, &to, Checksum::Complete)));
    }

    #[test]
    fn translated_fragments_are_the_fragments_of_the_translated(
        (kind, from, to) in any::translation(), data in vec(any::<u8>(), 200..400),
    ) {
        // Its sum cannot be carried along in a part of it.
        if kind == Kind::Sctp {
            return Ok(());
        }
        let [sent, wanted] = [&from, &to].map(|tuple| {
            let ip = sound::ip(tuple).dont_fragment(false);
            fragment::split(&sound::frame(&ip, kind, tuple, &data), 128, 9)
        });
        prop_assert_eq!(sent.len(), wanted.len());
        for (sent, wanted) in sent.iter().zip(&wanted) {
            prop_assert_eq!(&translated(sent, sent.len(), &from, &to, Checksum::Complete), wanted);
        }
    }

    #[test]
    fn an_sctp_checksum_left_to_the_device_is_computed_where_all_of_it_is_seen(
        six in any::<bool>(), (four, sixth) in ((any::tuple(false), any::tuple(false)), (any::tuple(true), any::tuple(true))),
        data in vec(any::<u8>(), 4..60),
    ) {
        let (from, to) = if six { sixth } else { four };
        let (from, to) = (Kind::Sctp.tuple(from), Kind::Sctp.tuple(to));
        prop_assume!(from != to);
        let sent = sound::frame(&sound::ip(&from).checksum(ChecksumMode::Zero), Kind::Sctp, &from, &data);
        prop_assert!(is_sound(&translated(&sent, sent.len(), &from, &to, Checksum::Complete)));
        let unseen = sound::frame(&sound::ip(&to).checksum(ChecksumMode::Zero), Kind::Sctp, &to, &data);
        prop_assert_eq!(translated(&sent, sent.len() - 1, &from, &to, Checksum::Complete), unseen);
    }

    #[test]
    fn differences_back_and_forth_cancel_out((_, from, to) in any::translation()) {
        let (there, back) = (Deltas::between(&from, &to), Deltas::between(&to, &from));
        for sum in [super::add(there.l3, back.l3), super::add(there.l4, back.l4)] {
            prop_assert!(sum == 0 || sum == 0xffff);
        }
    }
}

#[test]
fn bytes_of_any_kind_cause_no_panic_and_other_families_no_change() {
    let v4 = samples::v4().udp(1, 2, b"x");
    let v6 = samples::v6().udp(1, 2, b"x");
    let tuple = |frame: &[u8]| {
        let headers = parse(frame, frame.len()).expect("a right packet");
        let (source, destination) = headers.addresses(frame).expect("an IP packet");
        Tuple { source, destination, source_port: 9, destination_port: 8, protocol: headers.protocol }
    };
    assert_eq!(translated(&v4, v4.len(), &tuple(&v4), &tuple(&v6), Checksum::Complete), v4);
    for (_, frame) in samples::one_of_each() {
        let Ok(headers) = parse(&frame, frame.len()) else { continue };
        for length in 0..frame.len() {
            let mut cut = frame[..length].to_vec();
            for to in [tuple(&v4), tuple(&v6)] {
                let deltas = Deltas::between(&to.reversed(), &to);
                replay(&mut cut, &headers, &to, deltas, Checksum::Complete);
            }
            assert_eq!(cut.len(), length);
        }
    }
}
