//! No frame is lost and none is used twice, under any order of operations on two ports that share a UMEM.
use std::sync::Arc;

use proptest::prelude::*;
use sluice_xsk::pair::{Kernel, pair};
use sluice_xsk::ring::{CONTINUED, Descriptor};
use sluice_xsk::{Burst, Features, HugePages, MAX_SEGMENTS, Partial, Pool, Port, Umem, UmemConfig};

const FRAMES: u32 = 3072;
const RING: u32 = 64;

#[derive(Debug, Clone)]
enum Op {
    Deliver { port: usize, len: usize, frame: usize },
    DeliverCut { port: usize, segments: usize },
    DeliverBad { port: usize, addr: u64, len: u32 },
    Receive { port: usize },
    Forward { to: usize, partial: bool },
    Discard,
    Kick { port: usize },
    Transmit { port: usize, limit: usize },
    Complete { port: usize, limit: usize },
    CompleteBad { port: usize, addr: u64 },
    Reclaim { port: usize },
    Refill { port: usize },
}

/// Addresses behind the memory. (A far end that returns a frame it still uses would break its own promise, not ours.)
fn beyond() -> impl Strategy<Value = u64> {
    u64::from(FRAMES) * 4096..=u64::MAX
}

fn op() -> impl Strategy<Value = Op> {
    let port = 0..2usize;
    prop_oneof![
        6 => (port.clone(), 0..9000usize, 60..4000usize).prop_map(|(port, len, frame)| Op::Deliver { port, len, frame }),
        1 => (port.clone(), 1..25usize).prop_map(|(port, segments)| Op::DeliverCut { port, segments }),
        1 => (port.clone(), beyond(), any::<u32>())
            .prop_map(|(port, addr, len)| Op::DeliverBad { port, addr, len }),
        5 => port.clone().prop_map(|port| Op::Receive { port }),
        5 => (port.clone(), any::<bool>()).prop_map(|(to, partial)| Op::Forward { to, partial }),
        1 => Just(Op::Discard),
        3 => port.clone().prop_map(|port| Op::Kick { port }),
        3 => (port.clone(), 0..40usize).prop_map(|(port, limit)| Op::Transmit { port, limit }),
        3 => (port.clone(), 0..80usize).prop_map(|(port, limit)| Op::Complete { port, limit }),
        1 => (port.clone(), beyond()).prop_map(|(port, addr)| Op::CompleteBad { port, addr }),
        4 => port.clone().prop_map(|port| Op::Reclaim { port }),
        4 => port.prop_map(|port| Op::Refill { port }),
    ]
}

struct Bench {
    umem: Arc<Umem>,
    pool: Pool,
    burst: Burst,
    ports: Vec<(Port, Kernel)>,
}

impl Bench {
    fn new() -> Bench {
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).unwrap();
        let features = Features { multi_buffer: true, tx_metadata: true, ..Features::default() };
        let ports = (0..2).map(|_| pair(&umem, RING, features).unwrap()).collect();
        Bench { pool: Pool::new(umem.clone(), 0), burst: Burst::new(), ports, umem }
    }

    fn apply(&mut self, op: Op) {
        let Bench { pool, burst, ports, .. } = self;
        match op {
            Op::Deliver { port, len, frame } => drop(ports[port].1.deliver(&vec![7; len], frame)),
            Op::DeliverCut { port, segments } => {
                for _ in 0..segments {
                    let Some(addr) = ports[port].1.take_fill() else { break };
                    ports[port].1.deliver_raw(Descriptor { addr: addr + 256, len: 60, options: CONTINUED });
                }
            }
            Op::DeliverBad { port, addr, len } => {
                ports[port].1.deliver_raw(Descriptor { addr, len, options: 0 });
            }
            Op::Receive { port } => drop(ports[port].0.receive(burst, pool)),
            Op::Forward { to, partial } => forward(burst, &mut ports[to].0, pool, partial),
            Op::Discard => {
                burst.packets.clear();
                burst.segments.drain(..).for_each(|s| pool.give_segment(s));
            }
            Op::Kick { port } => drop(ports[port].0.kick()),
            Op::Transmit { port, limit } => drop(ports[port].1.transmit(limit)),
            Op::Complete { port, limit } => drop(ports[port].1.complete(limit)),
            Op::CompleteBad { port, addr } => drop(ports[port].1.complete_raw(addr)),
            Op::Reclaim { port } => drop(ports[port].0.reclaim(pool)),
            Op::Refill { port } => ports[port].0.refill(pool),
        }
    }

    fn balance(&self) -> (usize, usize) {
        let census = self.umem.census();
        (census.user, self.pool.len() + self.burst.segments.len())
    }
}

fn forward(burst: &mut Burst, port: &mut Port, pool: &mut Pool, partial: bool) {
    let Burst { segments, packets } = burst;
    let mut segments = segments.drain(..);
    for packet in packets.drain(..) {
        let head = segments.as_slice().first();
        let wanted = Partial { start: 14, offset: 16 };
        let partial = head.filter(|head| partial && port.offloads(head, wanted)).map(|_| wanted);
        let mut packet = segments.by_ref().take(packet.segments.into());
        if port.send(packet.by_ref(), partial).is_err() {
            packet.for_each(|s| pool.give_segment(s));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_conserved_under_any_order_of_operations(ops in prop::collection::vec(op(), 1..200)) {
        let mut bench = Bench::new();
        for op in ops {
            bench.apply(op.clone());
            let (user, held) = bench.balance();
            prop_assert_eq!(user, held, "after {:?}", op);
        }
        let Bench { umem, pool, mut burst, ports } = bench;
        for (port, _far_end) in ports {
            port.close();
        }
        burst.segments.drain(..).for_each(|s| umem.give(s.frame));
        drop(pool);
        prop_assert_eq!(umem.census().depot, FRAMES as usize);
    }

    #[test]
    fn a_packet_arrives_as_it_was_sent(len in 1..60_000usize, frame in 3400..3840usize) {
        let mut bench = Bench::new();
        let packet: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        bench.apply(Op::Refill { port: 0 });
        prop_assert!(bench.ports[0].1.deliver(&packet, frame));
        bench.apply(Op::Receive { port: 0 });
        prop_assert_eq!(bench.burst.packets[0].len as usize, len);
        bench.apply(Op::Forward { to: 1, partial: false });
        bench.apply(Op::Kick { port: 1 });
        let sent = bench.ports[1].1.transmit(1);
        prop_assert_eq!(&sent[0].bytes, &packet);
        prop_assert_eq!(sent[0].segments.len(), len.div_ceil(frame));
    }
}

#[test]
fn a_chain_cut_off_in_the_middle_stays_until_its_end_comes() {
    let mut bench = Bench::new();
    bench.apply(Op::Refill { port: 0 });
    let addr = bench.ports[0].1.take_fill().unwrap();
    bench.ports[0].1.deliver_raw(Descriptor { addr: addr + 256, len: 100, options: CONTINUED });
    bench.apply(Op::Receive { port: 0 });
    assert!(bench.burst.packets.is_empty() && bench.burst.segments.is_empty());
    let addr = bench.ports[0].1.take_fill().unwrap();
    bench.ports[0].1.deliver_raw(Descriptor { addr: addr + 256, len: 50, options: 0 });
    bench.apply(Op::Receive { port: 0 });
    assert_eq!((bench.burst.packets[0].segments, bench.burst.packets[0].len), (2, 150));
}

#[test]
fn a_chain_longer_than_18_frames_is_dropped_whole_and_the_next_packet_is_received() {
    let mut bench = Bench::new();
    bench.apply(Op::Refill { port: 0 });
    for i in 0..MAX_SEGMENTS + 4 {
        let addr = bench.ports[0].1.take_fill().unwrap();
        let options = if i < MAX_SEGMENTS + 3 { CONTINUED } else { 0 };
        bench.ports[0].1.deliver_raw(Descriptor { addr: addr + 256, len: 60, options });
    }
    assert!(bench.ports[0].1.deliver(&[1; 60], 2000));
    bench.apply(Op::Receive { port: 0 });
    assert_eq!(bench.burst.packets.len(), 1);
    assert_eq!(bench.burst.segments.len(), 1);
    assert_eq!(bench.ports[0].0.statistics().rx_too_long, 1);
    assert_eq!(bench.balance().0, bench.balance().1);
}

#[test]
fn a_descriptor_outside_the_memory_is_counted_and_yields_no_frame() {
    let mut bench = Bench::new();
    bench.apply(Op::Refill { port: 0 });
    for addr in [u64::MAX, u64::from(FRAMES) * 4096, 4096 * 200] {
        bench.ports[0].1.deliver_raw(Descriptor { addr, len: 60, options: 0 });
    }
    let addr = bench.ports[0].1.take_fill().unwrap();
    bench.ports[0].1.deliver_raw(Descriptor { addr: addr + 4000, len: 97, options: 0 });
    bench.apply(Op::Receive { port: 0 });
    assert!(bench.burst.packets.is_empty());
    assert_eq!(bench.ports[0].0.statistics().rx_bad_descriptor, 4);
    assert_eq!(bench.balance().0, bench.balance().1);
}

#[test]
fn a_full_tx_ring_gives_the_packet_back_to_the_sender() {
    let mut bench = Bench::new();
    let (port, far_end) = &mut bench.ports[0];
    let mut sent = 0;
    loop {
        let frame = bench.pool.take().unwrap();
        let segment = sluice_xsk::Segment::new(frame, 256, 60).unwrap();
        let mut packet = std::iter::once(segment);
        if port.send(packet.by_ref(), None).is_err() {
            bench.pool.give_segment(packet.next().expect("nothing was taken"));
            break;
        }
        sent += 1;
    }
    assert_eq!(sent, RING);
    port.kick();
    assert_eq!(far_end.transmit(usize::MAX).len(), RING as usize);
    far_end.complete(usize::MAX);
    assert_eq!(port.reclaim(&mut bench.pool), RING as usize);
    assert!(!port.is_sending());
}

#[test]
fn the_checksum_request_travels_with_the_packet_and_only_where_it_fits() {
    let mut bench = Bench::new();
    let (port, far_end) = &mut bench.ports[0];
    let segment = sluice_xsk::Segment::new(bench.pool.take().unwrap(), 256, 60).unwrap();
    let partial = Partial { start: 34, offset: 16 };
    assert!(port.offloads(&segment, partial));
    assert!(!port.offloads(&segment, Partial { start: 50, offset: 16 }), "the field lies beyond the segment");
    port.send(std::iter::once(segment), Some(partial)).unwrap();
    port.kick();
    assert_eq!(far_end.transmit(1)[0].partial, Some(partial));
    let close = sluice_xsk::Segment::new(bench.pool.take().unwrap(), 8, 60).unwrap();
    assert!(!port.offloads(&close, partial), "no room for the metadata");
    bench.pool.give_segment(close);
}

#[test]
fn without_multi_buffer_a_chain_is_refused() {
    let umem = Umem::new(UmemConfig { frames: 64, huge_pages: HugePages::Off }).unwrap();
    let (mut port, _far_end) = pair(&umem, RING, Features::default()).unwrap();
    let chain: Vec<_> = (0..2).map(|_| sluice_xsk::Segment::new(umem.take().unwrap(), 256, 60).unwrap()).collect();
    assert_eq!(port.send(chain.into_iter(), None), Err(sluice_xsk::Refused::Shape));
}

#[test]
fn a_closed_port_gives_back_every_frame_wherever_it_was() {
    let mut bench = Bench::new();
    bench.apply(Op::Refill { port: 0 });
    bench.apply(Op::Deliver { port: 0, len: 8000, frame: 3000 });
    bench.apply(Op::Receive { port: 0 });
    bench.apply(Op::Forward { to: 0, partial: false });
    bench.apply(Op::Deliver { port: 0, len: 100, frame: 3000 });
    bench.apply(Op::Kick { port: 0 });
    bench.apply(Op::Transmit { port: 0, limit: 1 });
    let Bench { umem, pool, ports, .. } = bench;
    let mut ports = ports.into_iter();
    let (port, _far_end) = ports.next().unwrap();
    assert!(port.frames_held() > 0);
    port.close();
    drop(pool);
    assert_eq!(umem.census().kernel, 0);
    assert_eq!(umem.census().depot, FRAMES as usize);
}

#[test]
fn a_dropped_port_gives_back_every_frame_as_a_closed_one_does() {
    let mut bench = Bench::new();
    bench.apply(Op::Refill { port: 0 });
    bench.apply(Op::Deliver { port: 0, len: 8000, frame: 3000 });
    drop(bench.ports);
    drop(bench.pool);
    assert_eq!(bench.umem.census().depot, FRAMES as usize);
}

#[test]
fn a_bad_length_within_a_chain_that_is_too_long_loses_no_frame() {
    let mut bench = Bench::new();
    bench.apply(Op::Refill { port: 0 });
    for i in 0..MAX_SEGMENTS + 4 {
        let addr = bench.ports[0].1.take_fill().unwrap() + 256;
        let options = if i < MAX_SEGMENTS + 3 { CONTINUED } else { 0 };
        bench.ports[0].1.deliver_raw(Descriptor { addr, len: 4096, options });
    }
    bench.apply(Op::Receive { port: 0 });
    assert_eq!(bench.ports[0].0.statistics().rx_too_long, 1);
    assert_eq!(bench.balance().0, bench.balance().1);
}

#[test]
fn what_the_kernel_would_take_off_the_tx_ring_unsent_is_not_accepted() {
    let mut bench = Bench::new();
    let mut segment = sluice_xsk::Segment::new(bench.pool.take().unwrap(), 24, 60).unwrap();
    assert!(bench.ports[0].0.accepts(std::slice::from_ref(&segment)));
    segment.offset = 23;
    assert!(!bench.ports[0].0.accepts(std::slice::from_ref(&segment)), "the metadata would lie in another chunk");
    (segment.offset, segment.len) = (256, 0);
    assert!(!bench.ports[0].0.accepts(std::slice::from_ref(&segment)), "it is empty");
    bench.pool.give_segment(segment);
}

#[test]
fn a_port_that_was_busy_leaves_memory_for_ports_to_come() {
    let umem = Umem::new(UmemConfig { frames: 1024, huge_pages: HugePages::Off }).unwrap();
    let mut pool = Pool::new(umem.clone(), 0);
    let mut burst = Burst::new();
    let (mut busy, mut far_end) = pair(&umem, 2048, Features::default()).unwrap();
    busy.refill(&mut pool);
    for _ in 0..32 {
        while far_end.deliver(&[0; 64], 2048) {}
        while busy.receive(&mut burst, &mut pool) > 0 {
            burst.packets.clear();
            burst.segments.drain(..).for_each(|s| pool.give_segment(s));
        }
        busy.refill(&mut pool);
    }
    assert!(busy.frames_held() <= 768, "{} of 1024 frames", busy.frames_held());
    let (mut next, _far_end) = pair(&umem, 2048, Features::default()).unwrap();
    next.refill(&mut pool);
    assert!(next.frames_held() as usize >= MAX_SEGMENTS);
}

#[test]
fn a_busy_port_is_given_more_frames_than_a_quiet_one() {
    let umem = Umem::new(UmemConfig { frames: 4096, huge_pages: HugePages::Off }).unwrap();
    let (mut port, mut far_end) = pair(&umem, 1024, Features::default()).unwrap();
    let mut pool = Pool::new(umem.clone(), 512);
    let mut burst = Burst::new();
    port.refill(&mut pool);
    assert_eq!(port.frames_held(), 42);
    for _ in 0..32 {
        while far_end.deliver(&[0; 64], 2048) {}
        while port.receive(&mut burst, &mut pool) > 0 {
            burst.packets.clear();
            burst.segments.drain(..).for_each(|s| pool.give_segment(s));
        }
        port.refill(&mut pool);
    }
    assert_eq!(port.frames_held(), 1024);
}

#[test]
fn huge_pages_are_taken_where_there_are_any_and_refused_with_the_remedy_where_there_are_none() {
    let with = |huge_pages| Umem::new(UmemConfig { frames: 1024, huge_pages });
    let auto = with(HugePages::Auto).unwrap();
    match with(HugePages::Require) {
        Ok(umem) => assert!(umem.in_huge_pages()),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("vm.nr_hugepages") && error.contains("hugePages: auto"), "{error}");
            assert!(!auto.in_huge_pages());
        }
    }
    assert!(!with(HugePages::Off).unwrap().in_huge_pages());
}
