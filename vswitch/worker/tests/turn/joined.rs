//! TCP segments that continue one another leave for a pod as one super-frame.
use proptest::prelude::*;
use sluice_packets::Segment;
use sluice_path::DropReason;
use sluice_tables::{Port, PortKind, Tables, TablesBuilder, WorkerId};
use sluice_wire::parse::parse;
use sluice_wire::tcp::{self, flag};
use sluice_xsk::Features;
use sluice_xsk::pair::Sent;

use super::{A, B, Bench, FRAME, FRAMES, address, everything, from_a_to, mac};

/// Payload of a full segment at an MTU of 1500, with timestamps.
const MSS: usize = 1448;

fn text(start: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| (start as usize + at).wrapping_mul(31) as u8).collect()
}

/// `len` bytes of the stream from `source_port`, from `start` on.
fn segment(source_port: u16, start: u32, len: usize, flags: u8) -> Vec<u8> {
    let segment = Segment { sequence: start, flags: flag::ACK | flags, ..Segment::data(source_port, 80) };
    from_a_to(address(B)).dont_fragment(true).tcp(&segment, &text(start, len))
}

fn full(source_port: u16, number: u32) -> Vec<u8> {
    segment(source_port, number * MSS as u32, MSS, 0)
}

impl Bench {
    fn looped(&self, name: &str) -> u64 {
        let all = self.workers.iter().flat_map(|worker| worker.looped());
        all.filter(|(counter, _)| *counter == name).map(|(_, count)| count).sum()
    }

    /// Delivers in one burst, and gives what B got.
    fn through(&mut self, packets: &[Vec<u8>]) -> Vec<Sent> {
        for packet in packets {
            assert!(self.a.deliver(packet, FRAME));
        }
        self.turn();
        let sent = self.b.transmit(usize::MAX);
        self.b.complete(usize::MAX);
        self.turn();
        sent
    }
}

/// Port, sequence number, flags and payload of a packet, whose headers have to agree.
fn read(sent: &Sent) -> (u16, u32, u8, Vec<u8>) {
    let headers = parse(&sent.bytes, sent.bytes.len()).expect("well formed");
    assert_eq!(headers.ip_len as usize, sent.bytes.len() - 14);
    let mut bytes = sent.bytes.clone();
    if let Some(partial) = sent.partial {
        let start = usize::from(partial.start);
        let sum = sluice_wire::checksum::of(&bytes[start..]);
        let at = start + usize::from(partial.offset);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let tcp = tcp::Packet::new_checked(&bytes[34..]).expect("TCP");
    assert!(tcp.checksum_ok(headers.pseudo_header(&bytes).expect("IP")));
    (tcp.source_port(), tcp.sequence(), tcp.flags(), tcp.payload().to_vec())
}

#[test]
fn segments_of_a_stream_become_one_super_frame_in_the_frames_they_came_in() {
    for workers in [1, 2] {
        let mut bench = Bench::new(workers, everything());
        let mut packets: Vec<_> = (0..9).map(|number| full(7, number)).collect();
        packets.push(segment(7, 9 * MSS as u32, 100, flag::PSH));
        let sent = bench.through(&packets);
        let [whole] = &sent[..] else { panic!("{} packets", sent.len()) };
        assert_eq!(whole.segments.len(), 10);
        assert!(whole.partial.is_some(), "nothing was summed for the receiver");
        assert_eq!(read(whole), (7, 0, flag::ACK | flag::PSH, text(0, 9 * MSS + 100)));
        assert_eq!((bench.looped("segments_joined"), bench.looped("super_frames_joined")), (10, 1));
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn a_super_frame_has_no_more_frames_than_a_packet_may() {
    let mut bench = Bench::new(1, everything());
    let packets: Vec<_> = (0..40).map(|number| full(7, number)).collect();
    let sent = bench.through(&packets);
    assert_eq!(sent.iter().map(|sent| sent.segments.len()).collect::<Vec<_>>(), [18, 18, 4]);
    let stream: Vec<u8> = sent.iter().flat_map(|sent| read(sent).3).collect();
    assert!(stream == text(0, 40 * MSS));
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn streams_side_by_side_are_joined_each_for_itself() {
    let mut bench = Bench::new(1, everything());
    let packets: Vec<_> = (0..5).flat_map(|number| [full(7, number), full(8, number), full(9, number)]).collect();
    let sent = bench.through(&packets);
    let mut ports: Vec<u16> = sent.iter().map(|sent| read(sent).0).collect();
    ports.sort_unstable();
    assert_eq!(ports, [7, 8, 9]);
    assert!(sent.iter().all(|sent| read(sent).3 == text(0, 5 * MSS)));
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn what_comes_out_of_order_is_never_merged_and_keeps_its_place() {
    let mut bench = Bench::new(1, everything());
    let sent = bench.through(&[full(7, 0), full(7, 2), full(7, 1), full(7, 3), full(7, 1)]);
    let starts: Vec<u32> = sent.iter().map(|sent| read(sent).1 / MSS as u32).collect();
    assert_eq!(starts, [0, 2, 1, 3, 1]);
    assert_eq!(bench.looped("super_frames_joined"), 0);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn what_may_not_be_joined_ends_the_run_before_it() {
    let urgent = |start| segment(7, start, MSS, flag::URG);
    let ack = |start| segment(7, start, 0, 0);
    let end = |start| segment(7, start, 0, flag::FIN);
    let reset = |start| segment(7, start, 0, flag::RST);
    for last in [urgent(2 * MSS as u32), ack(2 * MSS as u32), end(2 * MSS as u32), reset(2 * MSS as u32)] {
        let mut bench = Bench::new(1, everything());
        let sent = bench.through(&[full(7, 0), full(7, 1), last.clone(), full(8, 0)]);
        let kept: Vec<(u16, usize)> = sent.iter().map(|sent| (read(sent).0, read(sent).3.len())).collect();
        assert_eq!(kept.iter().filter(|(port, _)| *port == 7).count(), 2, "{kept:?}");
        assert_eq!(kept.iter().find(|(port, _)| *port == 7).expect("the first").1, 2 * MSS, "{kept:?}");
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn a_segment_with_a_wrong_checksum_stays_alone_and_wrong() {
    let mut bench = Bench::new(1, everything());
    let mut broken = full(7, 1);
    *broken.last_mut().expect("a byte") ^= 1;
    let sent = bench.through(&[full(7, 0), broken.clone(), full(7, 2), full(7, 3)]);
    assert_eq!(sent.iter().map(|sent| sent.segments.len()).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(sent[1].partial.is_none() && sent[1].bytes[34..] == broken[34..], "the receiver is to find it");
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn nothing_is_joined_when_it_is_switched_off() {
    let mut bench = Bench::new(1, everything());
    bench.workers[0].set_join(false);
    assert_eq!(bench.through(&[full(7, 0), full(7, 1), full(7, 2)]).len(), 3);
    assert_eq!((bench.looped("segments_joined"), bench.frames_back()), (0, FRAMES as usize));
}

/// A is a pod, and so is B or not; B takes IP packets of `limit` bytes.
fn to_b(kind: PortKind, limit: u32) -> Tables {
    let port = |id, kind, max_l3_len| Port {
        id,
        kind,
        worker: WorkerId(0),
        mac: mac(id),
        addresses: vec![address(id).into()],
        path_mtu: 1500,
        max_l3_len,
    };
    let builder = TablesBuilder::new(2, 3).pod_cidr("10.244.1.0/24".parse().expect("a prefix"));
    builder.port(port(A, PortKind::Pod, 65_000)).port(port(B, kind, limit)).build().expect("tables")
}

#[test]
fn what_leaves_for_a_port_without_super_frames_or_for_the_host_stays_as_it_was() {
    for (kind, limit) in [(PortKind::Pod, 1500), (PortKind::Host, 65_000)] {
        let mut bench = Bench::new(1, everything());
        bench.publisher.publish(to_b(kind, limit));
        assert_eq!(bench.through(&[full(7, 0), full(7, 1)]).len(), 2, "{kind:?}");
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn a_super_frame_is_no_longer_than_the_device_takes() {
    let mut bench = Bench::new(1, everything());
    bench.publisher.publish(to_b(PortKind::Pod, 4400));
    let packets: Vec<_> = (0..6).map(|number| full(7, number)).collect();
    let sent = bench.through(&packets);
    assert_eq!(sent.iter().map(|sent| sent.segments.len()).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn without_tx_metadata_a_joined_packet_is_summed_by_the_switch() {
    let mut bench = Bench::new(1, Features { multi_buffer: true, ..Features::default() });
    let sent = bench.through(&[full(7, 0), full(7, 1), full(7, 2)]);
    let [whole] = &sent[..] else { panic!("{} packets", sent.len()) };
    assert_eq!((whole.partial, read(whole).3), (None, text(0, 3 * MSS)));
    assert_eq!(bench.looped("checksums_completed"), 1);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn packets_that_were_joined_and_not_sent_are_counted_one_by_one() {
    let mut bench = Bench::new(1, everything());
    bench.workers[0].remove(B).expect("B").close();
    let packets: Vec<_> = (0..5).map(|number| full(7, number)).collect();
    for packet in &packets {
        assert!(bench.a.deliver(packet, FRAME));
    }
    bench.turn();
    assert_eq!(bench.dropped(DropReason::PortNotAttached), 5);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

/// What each stream's receiver reads, in the order in which it comes; and pure control segments.
fn received(sent: &[Sent]) -> Vec<(u16, Vec<(u32, u8)>)> {
    let mut streams: std::collections::BTreeMap<u16, Vec<(u32, u8)>> = Default::default();
    for sent in sent {
        let (port, start, flags, payload) = read(sent);
        let bytes = streams.entry(port).or_default();
        bytes.extend((0..).zip(&payload).map(|(at, byte)| (start.wrapping_add(at), *byte)));
        if payload.is_empty() {
            bytes.push((start, flags));
        }
    }
    streams.into_iter().collect()
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![6 => Just(0), 1 => Just(flag::PSH), 1 => Just(flag::FIN), 1 => Just(flag::RST)];
    (7..10_u16, 0..6_u32, prop_oneof![4 => Just(MSS), 1 => 0..MSS], flags)
        .prop_map(|(port, number, len, flags)| segment(port, number * MSS as u32, len, flags))
}

proptest! {
    // Few, for each makes three switches; many bursts in each.
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn receivers_read_the_same_with_and_without_joining_and_on_one_worker_or_two(
        bursts in prop::collection::vec(prop::collection::vec(any_packet(), 1..60), 24),
    ) {
        let mut seen = Vec::new();
        for (workers, join) in [(1, false), (1, true), (2, true)] {
            let mut bench = Bench::new(workers, everything());
            bench.workers.iter_mut().for_each(|worker| worker.set_join(join));
            let streams: Vec<_> = bursts.iter().map(|packets| received(&bench.through(packets))).collect();
            seen.push((streams, bench.workers.iter().map(|worker| worker.counts().forwarded).sum::<u64>()));
            prop_assert_eq!(bench.looped("super_frames_joined") > 0, join);
            prop_assert_eq!(bench.frames_back(), FRAMES as usize);
        }
        prop_assert!(seen[0] == seen[1] && seen[1] == seen[2]);
    }
}
