//! Whole turns of workers over rings in plain memory: the code that drives real sockets, with no kernel and no root.
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sluice_packets::{Ethernet, Ip, Segment};
use sluice_path::{DropReason, PathConfig, Shared, Time};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_MAC, Port, PortId, PortKind, Publisher, TablesBuilder, WorkerId};
use sluice_wire::{MacAddr, checksum};
use sluice_worker::{Limits, Worker, mesh};
use sluice_xsk::pair::{Kernel, Sent, pair};
use sluice_xsk::ring::{CONTINUED, Descriptor};
use sluice_xsk::{Features, HugePages, Umem, UmemConfig};

#[path = "turn/bandwidth.rs"]
mod bandwidth;
#[path = "turn/cut.rs"]
mod cut;
#[path = "turn/joined.rs"]
mod joined;
#[path = "turn/parked.rs"]
mod parked;

const FRAMES: u32 = 8192;
/// Bytes in one received frame of a chain, as the kernel cuts them: a chunk less the headroom.
const FRAME: usize = 4096 - 256;
const A: PortId = PortId(1);
const B: PortId = PortId(2);

fn mac(port: PortId) -> MacAddr {
    MacAddr([2, 0, 10, 244, 1, port.0 as u8])
}

fn address(port: PortId) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 1, port.0 as u8)
}

fn everything() -> Features {
    Features { multi_buffer: true, tx_metadata: true, ..Features::default() }
}

struct Bench {
    umem: Arc<Umem>,
    publisher: Publisher,
    workers: Vec<Worker>,
    a: Kernel,
    b: Kernel,
    now: u64,
}

impl Bench {
    /// Ports A and B, on as many workers, both with `features`.
    fn new(workers: u8, features: Features) -> Bench {
        Bench::limited(workers, features, [Limits::default(); 2])
    }

    /// The same with limits of A and of B.
    fn limited(workers: u8, features: Features, limits: [Limits; 2]) -> Bench {
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).unwrap();
        let publisher = Publisher::new(tables(workers, &[A, B], 1));
        let shared: Arc<Shared> = Arc::default();
        let mut workers: Vec<Worker> = mesh(workers.into())
            .into_iter()
            .enumerate()
            .map(|(id, handoff)| {
                let path = PathConfig::default();
                Worker::detached(WorkerId(id as u8), umem.clone(), &publisher, path, shared.clone(), handoff)
            })
            .collect();
        let (port, a) = pair(&umem, 512, features).unwrap();
        workers[0].add_limited(A, port, limits[0]);
        let (port, b) = pair(&umem, 512, features).unwrap();
        workers.last_mut().unwrap().add_limited(B, port, limits[1]);
        Bench { umem, publisher, workers, a, b, now: 0 }
    }

    /// Every worker turns once for each worker there is, so that what one hands over is sent by the other.
    fn turn(&mut self) {
        for _ in 0..self.workers.len() {
            for worker in &mut self.workers {
                self.now += 1000;
                worker.turn(Time(self.now));
            }
        }
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.workers.iter().map(|worker| worker.counts().dropped(reason)).sum()
    }

    /// Ends everything and counts the frames in the depot.
    fn frames_back(mut self) -> usize {
        for worker in &mut self.workers {
            for port in [A, B] {
                if let Some(port) = worker.remove(port) {
                    port.close();
                }
            }
        }
        drop(self.workers);
        self.umem.census().depot
    }
}

fn tables(workers: u8, ports: &[PortId], generation: u64) -> sluice_tables::Tables {
    let mut builder = TablesBuilder::new(generation, 3).pod_cidr("10.244.1.0/24".parse().unwrap());
    for &id in ports {
        builder = builder.port(Port {
            id,
            kind: PortKind::Pod,
            worker: WorkerId(if id == A { 0 } else { workers - 1 }),
            mac: mac(id),
            addresses: vec![IpAddr::V4(address(id))],
            path_mtu: 1500,
            max_l3_len: 65_000,
        });
    }
    builder.build().unwrap()
}

fn from_a_to(destination: Ipv4Addr) -> Ip {
    Ip::v4(Ethernet::new(mac(A), GATEWAY_MAC), address(A), destination)
}

fn tcp(len: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
    from_a_to(address(B)).partial().tcp(&Segment::data(1000, 80), &data)
}

/// Whether the TCP checksum over the whole packet is right.
fn tcp_is_right(packet: &[u8]) -> bool {
    let segment = &packet[34..];
    let pseudo = checksum::pseudo_v4(address(A), address(B), 6, segment.len() as u32);
    pseudo.add_bytes(segment).finish() == 0
}

fn one(sent: Vec<Sent>) -> Sent {
    assert_eq!(sent.len(), 1);
    sent.into_iter().next().unwrap()
}

#[test]
fn a_partial_checksum_stays_partial_between_local_ports() {
    let mut bench = Bench::new(1, everything());
    assert!(bench.a.deliver(&tcp(100), FRAME));
    bench.turn();
    let sent = one(bench.b.transmit(9));
    let partial = sent.partial.expect("the receiver is asked to complete it");
    assert_eq!((partial.start, partial.offset), (34, 16));
    assert_eq!(sent.bytes[..12], [mac(B).0, GATEWAY_MAC.0].concat());
    bench.b.complete(9);
    bench.turn();
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_super_frame_crosses_as_the_chain_it_came_in() {
    let mut bench = Bench::new(1, everything());
    let packet = tcp(59_000);
    assert!(bench.a.deliver(&packet, FRAME));
    bench.turn();
    let sent = one(bench.b.transmit(9));
    assert_eq!(sent.segments.len(), packet.len().div_ceil(FRAME));
    assert!(sent.bytes[34..] == packet[34..], "the payload is untouched");
    bench.b.complete(99);
    bench.turn();
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn without_tx_metadata_the_checksum_is_completed_over_the_whole_chain() {
    let mut bench = Bench::new(1, Features { multi_buffer: true, ..Features::default() });
    for len in [0, 1, 100, 1460, 3786, 3787, 20_001, 59_000] {
        assert!(bench.a.deliver(&tcp(len), FRAME));
        bench.turn();
        let sent = one(bench.b.transmit(9));
        assert_eq!(sent.partial, None);
        assert!(tcp_is_right(&sent.bytes), "{len} bytes");
        bench.b.complete(99);
    }
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_packet_for_a_port_of_another_worker_is_handed_over_whole() {
    let mut bench = Bench::new(2, everything());
    let packet = tcp(30_000);
    assert!(bench.a.deliver(&packet, FRAME));
    assert!(bench.a.deliver(&tcp(10), FRAME));
    bench.turn();
    let sent = bench.b.transmit(9);
    assert_eq!(sent.len(), 2);
    assert!(sent[0].bytes[34..] == packet[34..] && sent[0].partial.is_some());
    bench.b.complete(99);
    bench.turn();
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn frames_in_the_ring_between_workers_are_not_lost_when_the_port_goes() {
    let mut bench = Bench::new(2, everything());
    bench.a.deliver(&tcp(30_000), FRAME);
    bench.workers[0].turn(Time(1));
    let port = bench.workers[1].remove(B).unwrap();
    port.close();
    bench.turn();
    assert_eq!(bench.dropped(DropReason::PortNotAttached), 1);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_packet_for_a_port_that_no_worker_has_is_counted() {
    let mut bench = Bench::new(1, everything());
    bench.workers[0].remove(B).unwrap().close();
    bench.a.deliver(&tcp(10), FRAME);
    bench.turn();
    assert_eq!(bench.dropped(DropReason::PortNotAttached), 1);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_full_tx_ring_drops_with_a_count_and_nothing_is_lost() {
    let mut bench = Bench::new(1, everything());
    for _ in 0..20 {
        while bench.a.deliver(&tcp(10), FRAME) {}
        bench.turn();
    }
    assert!(bench.dropped(DropReason::TxRingFull) > 0);
    assert_eq!(bench.b.transmit(usize::MAX).len(), 512);
    bench.b.complete(usize::MAX);
    bench.turn();
    assert!(bench.workers[0].counts().is_balanced());
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_chain_for_a_port_without_multi_buffer_is_refused_with_a_count() {
    let mut bench = Bench::new(1, everything());
    bench.workers[0].remove(B).unwrap().close();
    let (port, far_end) = pair(&bench.umem, 512, Features::default()).unwrap();
    bench.workers[0].add(B, port);
    bench.b = far_end;
    bench.a.deliver(&tcp(9000), FRAME);
    bench.turn();
    assert_eq!(bench.dropped(DropReason::ChainRefused), 1);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn what_the_rings_refuse_is_counted_once_under_its_name() {
    let mut bench = Bench::new(1, everything());
    for segment in 0..20 {
        let addr = bench.a.take_fill().unwrap() + 256;
        bench.a.deliver_raw(Descriptor { addr, len: 60, options: if segment < 19 { CONTINUED } else { 0 } });
    }
    bench.a.deliver_raw(Descriptor { addr: u64::MAX, len: 60, options: 0 });
    bench.turn();
    assert_eq!((bench.dropped(DropReason::ChainTooLong), bench.dropped(DropReason::BadChain)), (1, 1));
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn an_error_about_a_super_frame_keeps_one_frame_and_frees_the_rest() {
    let mut bench = Bench::new(1, everything());
    let lost = from_a_to(Ipv4Addr::new(10, 244, 1, 200)).partial().tcp(&Segment::data(1, 2), &vec![0; 50_000]);
    assert!(bench.a.deliver(&lost, FRAME));
    bench.turn();
    let error = one(bench.a.transmit(9));
    assert_eq!(error.segments.len(), 1);
    assert_eq!((error.bytes[34], error.bytes[35]), (3, 1), "host unreachable");
    assert_eq!(bench.dropped(DropReason::NoSuchPod), 1);
    bench.a.complete(9);
    bench.turn();
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn an_echo_request_to_the_gateway_comes_back_to_its_port() {
    let mut bench = Bench::new(1, everything());
    bench.a.deliver(&from_a_to(GATEWAY_IPV4).echo_request(7, 1, &[1; 5000]), FRAME);
    bench.turn();
    let reply = one(bench.a.transmit(9));
    assert_eq!(reply.bytes[34], 0, "echo reply");
    assert_eq!(reply.segments.len(), 2);
}

#[test]
fn a_generation_published_between_turns_holds_from_the_next_one() {
    let mut bench = Bench::new(1, everything());
    bench.publisher.publish(tables(1, &[A], 2));
    bench.a.deliver(&tcp(10), FRAME);
    bench.turn();
    assert_eq!(bench.dropped(DropReason::NoSuchPod), 1);
    assert!(bench.b.transmit(9).is_empty());
}

#[test]
fn a_port_that_found_no_free_frame_receives_once_there_are_some() {
    let mut bench = Bench::new(1, everything());
    bench.workers[0].remove(A).unwrap().close();
    bench.workers[0].remove(B).unwrap().close();
    let all: Vec<_> = std::iter::from_fn(|| bench.umem.take()).collect();
    let publisher = Publisher::new(tables(1, &[A, B], 1));
    let handoff = mesh(1).pop().unwrap();
    let (path, shared) = (PathConfig::default(), Arc::default());
    bench.workers = vec![Worker::detached(WorkerId(0), bench.umem.clone(), &publisher, path, shared, handoff)];
    // What the first worker's pool held.
    let more: Vec<_> = std::iter::from_fn(|| bench.umem.take()).collect();
    let (port, a) = pair(&bench.umem, 512, everything()).unwrap();
    bench.workers[0].add(A, port);
    let (port, b) = pair(&bench.umem, 512, everything()).unwrap();
    bench.workers[0].add(B, port);
    (bench.a, bench.b) = (a, b);
    bench.turn();
    assert!(!bench.a.deliver(&tcp(10), FRAME), "no frame was free");
    all.into_iter().chain(more).for_each(|frame| bench.umem.give(frame));
    bench.turn();
    assert!(bench.a.deliver(&tcp(50_000), FRAME));
    bench.turn();
    assert_eq!(bench.b.transmit(9).len(), 1);
    bench.b.complete(99);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_chain_with_an_empty_frame_is_refused_with_a_count_as_the_kernel_would_not_send_it() {
    let mut bench = Bench::new(1, everything());
    let packet = tcp(200);
    for (bytes, options) in [(&packet[..100], CONTINUED), (&[], CONTINUED), (&packet[100..], 0)] {
        let addr = bench.a.take_fill().unwrap() + 256;
        assert!(bench.a.deliver_bytes(addr, bytes, options));
    }
    bench.turn();
    assert!(bench.b.transmit(9).is_empty());
    assert_eq!(bench.dropped(DropReason::ChainRefused), 1);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_warm_turn_allocates_nothing() {
    for workers in [1, 2] {
        let mut bench = Bench::new(workers, everything());
        let (small, large) = (tcp(10), tcp(40_000));
        let mut allocated = 0;
        for round in 0..64 {
            for _ in 0..4 {
                assert!(bench.a.deliver(&small, FRAME) && bench.a.deliver(&large, FRAME));
            }
            let turn = allocation_counter::measure(|| bench.turn());
            if round >= 8 {
                allocated += turn.count_total;
            }
            assert_eq!(bench.b.transmit(99).len(), 8);
            bench.b.complete(999);
        }
        assert_eq!(allocated, 0, "with {workers} workers");
    }
}
