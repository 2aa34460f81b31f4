use proptest::prelude::*;
use sluice_packets::{ChecksumMode, Ip, Segment, samples};
use sluice_wire::parse::parse;
use sluice_wire::tcp::flag;
use sluice_wire::{ipv4, tcp};

use super::Join;
use crate::sound::{complete, state};
use crate::{Checksum, Cut};

const LIMIT: u32 = 65_535;
const OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

/// A segment of a stream: bytes `from` to `to` of it.
fn part(ip: &Ip, from: usize, to: usize, flags: u8) -> Vec<u8> {
    let sequence = (u32::MAX - 1000).wrapping_add(from as u32);
    let segment = Segment { sequence, flags, options: OPTIONS.to_vec(), ..Segment::data(1, 2) };
    let data: Vec<u8> = (from..to).map(|at| (at % 251) as u8).collect();
    ip.tcp(&segment, &data)
}

/// The segments joined as far as they go: the packet, its checksum completed, and how many went into it.
fn joined(packets: &[Vec<u8>], checksum: Checksum, limit: u32) -> (Vec<u8>, usize) {
    let mut whole = packets[0].clone();
    let mut left = checksum;
    let mut segments = 1;
    if let Some(mut join) = Join::start(&packets[0], checksum, limit) {
        for next in &packets[1..] {
            let Some(payload) = join.push(&packets[0], next, checksum) else { break };
            whole.extend_from_slice(&next[payload]);
        }
        assert_eq!(join.total_len(), whole.len());
        segments = join.segments();
        let header_len = whole.len().min(200);
        left = join.finish(&mut whole[..header_len]);
    }
    complete(&mut whole, left);
    (whole, segments)
}

fn count(packets: &[Vec<u8>]) -> usize {
    joined(packets, Checksum::Complete, LIMIT).1
}

const GO: u8 = flag::ACK;

/// Three segments of 100 bytes, none of which ends the run.
fn run_of(ip: &Ip) -> Vec<Vec<u8>> {
    (0..3).map(|at| part(ip, at * 100, at * 100 + 100, GO)).collect()
}

#[test]
fn segments_that_follow_one_another_become_the_packet_they_would_have_been() {
    for ip in [samples::v4(), samples::v6(), samples::v4().options(&[1; 4]), samples::v4().traffic_class(0x12)] {
        let (whole, segments) = joined(&run_of(&ip), Checksum::Complete, LIMIT);
        assert_eq!((whole, segments), (part(&ip, 0, 300, GO), 3));
        let partial: Vec<_> = run_of(&ip.clone().partial());
        let checksum = state(ChecksumMode::Partial, &partial[0]);
        assert_eq!(joined(&partial, checksum, LIMIT), (part(&ip, 0, 300, GO), 3));
    }
}

#[test]
fn the_last_may_be_shorter_and_push_and_end_the_stream_and_then_nothing_follows() {
    let ip = samples::v4();
    for (length, flags) in [(100, flag::PSH), (100, flag::FIN), (40, flag::FIN | flag::PSH), (40, 0)] {
        let end = 200 + length;
        let last = part(&ip, 200, end, GO | flags);
        let after = part(&ip, end, end + 40, GO);
        let packets = [&run_of(&ip)[..2], &[last, after]].concat();
        assert_eq!(
            joined(&packets, Checksum::Complete, LIMIT),
            (part(&ip, 0, end, GO | flags), 3),
            "{length} {flags:#x}"
        );
    }
}

#[test]
fn what_is_out_of_order_lost_or_sent_again_ends_the_run() {
    let ip = samples::v6();
    let run = run_of(&ip);
    assert_eq!(count(&[run[0].clone(), run[2].clone()]), 1, "one is missing");
    assert_eq!(count(&[run[1].clone(), run[0].clone()]), 1, "overtaken");
    assert_eq!(count(&[run[0].clone(), run[0].clone()]), 1, "sent again");
    assert_eq!(count(&[run[0].clone(), part(&ip, 50, 150, GO)]), 1, "overlapping");
    assert_eq!(count(&[part(&ip, 0, 100, GO), part(&ip, 100, 201, GO)]), 1, "longer than the first");
    assert_eq!(count(&[part(&ip, 0, 100, GO), part(&ip, 100, 100, GO)]), 1, "no payload");
    assert_eq!(count(&[part(&ip, 0, 0, GO), part(&ip, 0, 100, GO)]), 1, "nothing to join to");
}

#[test]
fn a_segment_that_opens_resets_interrupts_or_marks_is_never_joined() {
    let ip = samples::v4();
    for odd in [flag::SYN, flag::RST, flag::URG, flag::CWR] {
        assert_eq!(count(&[part(&ip, 0, 100, GO | odd), part(&ip, 100, 200, GO | odd)]), 1, "{odd:#x}");
        assert_eq!(count(&[part(&ip, 0, 100, GO), part(&ip, 100, 200, GO | odd)]), 1, "{odd:#x}");
    }
    assert_eq!(count(&[part(&ip, 0, 100, 0), part(&ip, 100, 200, 0)]), 1, "no acknowledgement");
    assert_eq!(count(&[part(&ip, 0, 100, GO | flag::PSH), part(&ip, 100, 200, GO)]), 1, "a first that pushes");
    assert_eq!(count(&[part(&ip, 0, 100, GO | flag::ECE), part(&ip, 100, 200, GO | flag::ECE)]), 2);
    assert_eq!(count(&[part(&ip, 0, 100, GO | flag::ECE), part(&ip, 100, 200, GO)]), 1);
}

/// Every byte of the headers, changed: joined only where it is one that may differ.
#[test]
fn headers_are_alike_in_every_byte_that_is_not_the_segments_own() {
    for ip in [samples::v4(), samples::v6()] {
        let run = run_of(&ip);
        let headers = parse(&run[0], run[0].len()).expect("TCP");
        let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
        for at in 0..l4 + 32 {
            let mut other = run[1].clone();
            other[at] ^= 0x01;
            // Made right again, so that only the difference counts.
            let Ok(headers) = parse(&other, other.len()) else { continue };
            if let Ok(mut ip) = ipv4::Packet::new_checked(&mut other[14..]) {
                ip.fill_checksum();
            }
            let Some(pseudo) = headers.pseudo_header(&other) else { continue };
            if let Ok(mut tcp) = tcp::Packet::new_checked(&mut other[l4..]) {
                tcp.fill_checksum(pseudo);
            }
            let identification = !ip.is_v6() && (l3 + 4..l3 + 6).contains(&at);
            let summed = (l4 + 16..l4 + 18).contains(&at) || (!ip.is_v6() && (l3 + 10..l3 + 12).contains(&at));
            let fin = at == l4 + 13;
            assert_eq!(count(&[run[0].clone(), other]) == 2, identification || summed || fin, "byte {at}");
        }
    }
}

#[test]
fn a_corrupted_segment_is_never_made_good() {
    for ip in [samples::v4(), samples::v6()] {
        for bad in 0..3 {
            let mut run = run_of(&ip);
            let end = run[bad].len() - 1;
            run[bad][end] ^= 0x40;
            assert_eq!(count(&run), bad.max(1));
            let (whole, _) = joined(&run, Checksum::Complete, LIMIT);
            assert!(bad > 0 || whole == run[0], "left as it was");
        }
    }
}

#[test]
fn no_packet_grows_beyond_what_the_receiver_takes() {
    let run = run_of(&samples::v4());
    let one = run[0].len() as u32 - 14;
    for (limit, segments) in [(one, 1), (one + 99, 1), (one + 100, 2), (one + 199, 2), (one + 200, 3)] {
        assert_eq!(joined(&run, Checksum::Complete, limit).1, segments, "{limit}");
    }
    let long: Vec<_> = (0..50).map(|at| part(&samples::v6(), at * 1400, at * 1400 + 1400, GO)).collect();
    let (whole, segments) = joined(&long, Checksum::Complete, u32::MAX);
    assert_eq!((whole.len() - 14, segments), (72 + 46 * 1400, 46));
}

#[test]
fn other_packets_are_left_alone() {
    for (_, frame) in samples::one_of_each() {
        let Some(mut join) = Join::start(&frame, Checksum::Complete, LIMIT) else { continue };
        assert_eq!(parse(&frame, frame.len()).expect("TCP").protocol, sluice_wire::protocol::TCP);
        assert_eq!(join.push(&frame, &frame, Checksum::Complete), None);
        let mut same = frame.clone();
        assert_eq!(join.finish(&mut same), Checksum::Complete);
        assert_eq!(same, frame);
    }
    let mut padded = part(&samples::v4(), 0, 100, GO);
    padded.push(0);
    assert!(Join::start(&padded, Checksum::Complete, LIMIT).is_none(), "bytes behind the packet");
}

proptest! {
    /// Cut and joined again, a super-frame is what it was, but for the bits that cutting takes away on purpose.
    #[test]
    fn what_was_cut_is_joined_to_what_it_was(six in any::<bool>(), len in 1usize..20_000, mtu in 1280u16..2000, push in any::<bool>()) {
        let ip = if six { samples::v6() } else { samples::v4() };
        let whole = part(&ip.partial(), 0, len, if push { GO | flag::PSH } else { GO });
        let cut = Cut::plan(&whole, whole.len(), mtu).expect("TCP");
        let pieces: Vec<Vec<u8>> = (0..cut.segments())
            .map(|index| {
                let mut bytes = vec![0; cut.header_len()];
                let left = cut.write_header(index, &whole, &mut bytes).expect("a header");
                bytes.extend_from_slice(&whole[cut.payload(index)]);
                complete(&mut bytes, left);
                bytes
            })
            .collect();
        let (again, segments) = joined(&pieces, Checksum::Complete, LIMIT);
        prop_assert_eq!(segments, pieces.len());
        let mut wanted = whole.clone();
        complete(&mut wanted, state(ChecksumMode::Partial, &whole));
        prop_assert_eq!(again, wanted);
    }
}
