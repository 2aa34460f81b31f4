//! Super-frames that go on to a wire.
use std::net::Ipv4Addr;

use sluice_packets::Segment;
use sluice_path::DropReason;
use sluice_tables::{Port, PortKind, Tables, TablesBuilder, WorkerId};
use sluice_wire::parse::parse;
use sluice_wire::{ipv4, tcp};
use sluice_xsk::Features;

use super::{A, B, Bench, FRAME, FRAMES, address, everything, from_a_to, mac};

const FAR_AWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A is a pod, B leads to the node, which has B's address.
fn node_behind_b(path_mtu: u16) -> Tables {
    let port = |id, kind| Port {
        id,
        kind,
        worker: WorkerId(0),
        mac: mac(id),
        addresses: vec![address(id).into()],
        path_mtu,
        max_l3_len: 65_000,
    };
    let builder = TablesBuilder::new(2, 3).pod_cidr("10.244.1.0/24".parse().unwrap());
    builder.port(port(A, PortKind::Pod)).port(port(B, PortKind::Host)).build().unwrap()
}

fn super_frame(to: Ipv4Addr, len: usize) -> (Vec<u8>, Vec<u8>) {
    let data: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
    (from_a_to(to).partial().tcp(&Segment::data(1000, 80), &data), data)
}

/// Sends a super-frame far away; returns the stream that its segments carry, after checking each of them.
fn stream(bench: &mut Bench, packet: &[u8], mtu: u16, completed: bool) -> Vec<u8> {
    assert!(bench.a.deliver(packet, FRAME));
    bench.turn();
    let mut stream = Vec::new();
    for sent in bench.b.transmit(999) {
        let headers = parse(&sent.bytes, sent.bytes.len()).unwrap();
        assert!(headers.ip_len <= u32::from(mtu));
        assert!(ipv4::Packet::new_checked(&sent.bytes[14..]).unwrap().checksum_ok());
        let segment = tcp::Packet::new_checked(&sent.bytes[34..]).unwrap();
        assert_eq!(sent.partial.is_none(), completed);
        if completed {
            assert!(segment.checksum_ok(headers.pseudo_header(&sent.bytes).unwrap()));
        }
        stream.extend_from_slice(segment.payload());
    }
    bench.b.complete(999);
    bench.turn();
    stream
}

#[test]
fn a_super_frame_that_goes_on_to_a_wire_leaves_as_segments() {
    for (mtu, features, completed) in [
        (1500, everything(), false),
        (1280, everything(), false),
        (9000, everything(), false),
        (1500, Features { multi_buffer: true, ..Features::default() }, true),
    ] {
        let mut bench = Bench::new(1, features);
        bench.publisher.publish(node_behind_b(mtu));
        for len in [2000, 9001, 20_000, 59_000] {
            let (packet, data) = super_frame(FAR_AWAY, len);
            assert!(stream(&mut bench, &packet, mtu, completed) == data, "{len} bytes at {mtu}");
        }
        assert_eq!(bench.frames_back(), FRAMES as usize);
    }
}

#[test]
fn a_super_frame_for_the_node_itself_stays_whole() {
    let mut bench = Bench::new(1, everything());
    bench.publisher.publish(node_behind_b(1500));
    let (packet, _) = super_frame(address(B), 50_000);
    assert!(bench.a.deliver(&packet, FRAME));
    bench.turn();
    assert_eq!(bench.b.transmit(9).len(), 1);
}

#[test]
fn a_datagram_whose_sender_allows_it_leaves_as_fragments_that_are_right_and_no_frame_is_lost() {
    let mut bench = Bench::new(1, everything());
    bench.publisher.publish(node_behind_b(1500));
    for len in [1473, 9001, 60_000] {
        let data: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let datagram = |ip: sluice_packets::Ip| ip.dont_fragment(false).identification(7).udp(1000, 53, &data);
        assert!(bench.a.deliver(&datagram(from_a_to(FAR_AWAY).partial()), FRAME));
        bench.turn();
        let mut payload = Vec::new();
        let pieces = bench.b.transmit(999);
        for (at, sent) in pieces.iter().enumerate() {
            let ip = ipv4::Packet::new_checked(&sent.bytes[14..]).unwrap();
            assert!(ip.checksum_ok() && sent.partial.is_none() && ip.total_len() <= 1500);
            let fragment = (usize::from(ip.fragment_offset()), ip.more_fragments(), ip.identification());
            assert_eq!(fragment, (payload.len(), at + 1 < pieces.len(), 7), "{len}");
            payload.extend_from_slice(ip.payload());
        }
        assert!(payload == datagram(from_a_to(FAR_AWAY))[34..], "its checksum complete: {len}");
        bench.b.complete(999);
        bench.turn();
    }
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn without_frames_for_the_segments_the_super_frame_is_dropped_by_name_and_nothing_is_lost() {
    let mut bench = Bench::new(1, everything());
    bench.publisher.publish(node_behind_b(1500));
    let (packet, _) = super_frame(FAR_AWAY, 50_000);
    assert!(bench.a.deliver(&packet, FRAME));
    let kept: Vec<_> = std::iter::from_fn(|| bench.umem.take()).collect();
    let mut rounds = 0;
    while bench.dropped(DropReason::NoFrame) == 0 {
        bench.turn();
        let _ = bench.a.deliver(&packet, FRAME);
        rounds += 1;
        assert!(rounds < 1000, "frames do not run out");
    }
    kept.into_iter().for_each(|frame| bench.umem.give(frame));
    bench.b.transmit(999);
    bench.b.complete(999);
    bench.turn();
    assert_eq!(bench.frames_back(), FRAMES as usize);
}
