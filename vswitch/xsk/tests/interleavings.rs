//! A port beside the far end of its rings, and workers beside each other at the depot: every interleaving of a few operations,
//! and every value that the memory model lets a load see, up to a bound on how often a thread is interrupted. By loom; run by
//! `make test` with the feature `loom`.
//!
//! The far end plays the kernel by the same rings, so both ends' orders are shown. Each of these changes, tried by hand, fails
//! at least one of the scenes: the index stored relaxed in `Producer::submit` or in `Consumer::release`, the other side's index
//! loaded relaxed in `Producer::free`, `Producer::outstanding` or `Consumer::available`.

use std::sync::Arc;

use loom::thread;
use sluice_xsk::pair::{Kernel, pair};
use sluice_xsk::umem::Census;
use sluice_xsk::{Burst, Features, Frame, HugePages, Pool, Port, Segment, Umem, UmemConfig};

/// Runs `scene` in every interleaving with at most `interruptions` of running threads.
fn in_every_order(interruptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.max_branches = 20_000;
    model.check(scene);
}

fn umem(frames: u32) -> Arc<Umem> {
    Umem::new(UmemConfig { frames, huge_pages: HugePages::Off }).expect("memory for a few frames")
}

/// Rings of one entry, where each entry follows another in the same place, or of two.
fn port(umem: &Arc<Umem>, size: u32) -> (Port, Kernel) {
    pair(umem, size, Features { multi_buffer: true, ..Features::default() }).expect("rings in plain memory")
}

/// A packet of one frame, all of whose bytes are `number`.
fn packet(umem: &Umem, mut frame: Frame, number: u8) -> Segment {
    umem.chunk_mut(&mut frame)[256..256 + LENGTH].fill(number);
    Segment::new(frame, 256, LENGTH).expect("within the chunk")
}

const LENGTH: usize = 60;

/// What has been received, by the number that each packet is made of; its frames go to the pool.
fn numbers(umem: &Umem, burst: &mut Burst, pool: &mut Pool) -> Vec<u8> {
    burst.packets.clear();
    let numbers = burst.segments.drain(..).map(|segment| {
        let bytes = umem.bytes(&segment);
        let whole = bytes.len() == LENGTH && bytes.iter().all(|byte| *byte == bytes[0]);
        assert!(whole, "torn: {bytes:?}");
        let number = bytes[0];
        pool.give_segment(segment);
        number
    });
    numbers.collect()
}

#[test]
fn a_packet_is_received_whole_and_in_its_turn_while_the_next_is_delivered() {
    in_every_order(3, || {
        let umem = umem(8);
        let mut pool = Pool::new(umem.clone(), 8);
        let (mut port, mut kernel) = port(&umem, 1);
        port.refill(&mut pool);
        let far = thread::spawn(move || {
            let delivered: Vec<u8> = (1..=2).filter(|number| kernel.deliver(&[*number; LENGTH], LENGTH)).collect();
            (kernel, delivered)
        });
        let mut burst = Burst::new();
        let mut got = Vec::new();
        for _ in 0..2 {
            port.receive(&mut burst, &mut pool);
            got.extend(numbers(&umem, &mut burst, &mut pool));
            port.refill(&mut pool);
        }
        let (kernel, delivered) = far.join().expect("the far end gets through");
        port.receive(&mut burst, &mut pool);
        got.extend(numbers(&umem, &mut burst, &mut pool));
        assert_eq!(got, delivered);
        assert_eq!(got.first(), Some(&1), "there was a frame for the first");
        drop((kernel, pool));
        port.close();
        assert_eq!(umem.census(), Census { depot: 8, kernel: 0, user: 0 });
    });
}

#[test]
fn a_chain_is_received_whole_or_not_yet() {
    in_every_order(3, || {
        let umem = umem(8);
        let mut pool = Pool::new(umem.clone(), 8);
        let (mut port, mut kernel) = port(&umem, 2);
        port.refill(&mut pool);
        let far = thread::spawn(move || {
            assert!(kernel.deliver(&[1; 2 * LENGTH], LENGTH));
            kernel
        });
        let mut burst = Burst::new();
        let at_once = port.receive(&mut burst, &mut pool);
        far.join().expect("the far end gets through");
        assert_eq!(at_once + port.receive(&mut burst, &mut pool), 1);
        assert_eq!(burst.packets[0].segments, 2);
        assert_eq!(numbers(&umem, &mut burst, &mut pool), [1, 1]);
    });
}

#[test]
fn a_frame_is_written_again_only_after_the_far_end_has_sent_it() {
    in_every_order(3, || {
        let umem = umem(4);
        let mut pool = Pool::new(umem.clone(), 4);
        let (mut port, mut kernel) = port(&umem, 1);
        let far = thread::spawn(move || {
            let mut sent = Vec::new();
            for _ in 0..2 {
                sent.extend(kernel.transmit(1).into_iter().map(|packet| packet.bytes));
                kernel.complete(1);
            }
            (kernel, sent)
        });
        let mut accepted = Vec::new();
        for number in 1..=2 {
            port.reclaim(&mut pool);
            // The pool's frames are used last in, first out: what has been reclaimed is written at once.
            let frame = pool.take().expect("there are frames");
            let mut segment = std::iter::once(packet(&umem, frame, number));
            if port.send(segment.by_ref(), None).is_ok() {
                accepted.push(vec![number; LENGTH]);
            }
            segment.for_each(|refused| pool.give_segment(refused));
            port.kick();
        }
        let (mut kernel, mut sent) = far.join().expect("the far end gets through");
        sent.extend(kernel.transmit(2).into_iter().map(|packet| packet.bytes));
        assert_eq!(sent, accepted);
        for _ in 0..2 {
            kernel.complete(1);
            port.reclaim(&mut pool);
        }
        assert_eq!((port.is_sending(), port.frames_held()), (false, 0));
        drop(pool);
        assert_eq!(umem.in_depot(), 4);
    });
}

#[test]
fn a_frame_of_the_depot_is_with_one_worker() {
    in_every_order(3, || {
        let umem = umem(4);
        let work = |umem: Arc<Umem>| {
            let mut held = Vec::new();
            for _ in 0..2 {
                // To write is what only one may do; the model sees whether the last to have had it is known to be done.
                held.extend(umem.take().map(|frame| packet(&umem, frame, 7).frame));
            }
            assert_eq!(held.len(), 2);
            held.into_iter().for_each(|frame| umem.give(frame));
        };
        let other = {
            let umem = umem.clone();
            thread::spawn(move || work(umem))
        };
        work(umem.clone());
        other.join().expect("the other gets through");
        let mut all: Vec<u32> = std::iter::from_fn(|| umem.take()).map(|frame| frame.index()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    });
}

#[test]
fn a_port_that_its_worker_gives_up_gives_back_every_frame_while_others_take_and_give() {
    in_every_order(2, || {
        let umem = umem(8);
        let (mut port, mut kernel) = port(&umem, 2);
        let worker = {
            let umem = umem.clone();
            thread::spawn(move || {
                let mut pool = Pool::new(umem.clone(), 8);
                port.refill(&mut pool);
                let frame = pool.take().expect("there are frames");
                let sent = port.send(std::iter::once(packet(&umem, frame, 1)), None);
                assert_eq!(sent, Ok(()));
                port.kick();
                port
            })
        };
        let other = {
            let umem = umem.clone();
            thread::spawn(move || {
                if let Some(frame) = umem.take() {
                    umem.give(packet(&umem, frame, 2).frame);
                }
            })
        };
        kernel.deliver(&[3; LENGTH], LENGTH);
        kernel.transmit(1);
        let port = worker.join().expect("the worker gets through");
        drop(kernel);
        assert_eq!(port.close(), 3, "two on the way in, one on the way out");
        other.join().expect("the other gets through");
        assert_eq!(umem.census(), Census { depot: 8, kernel: 0, user: 0 });
    });
}
