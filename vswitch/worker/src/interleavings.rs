//! Workers beside each other and beside the control side: every interleaving of a few operations, and every value that the memory
//! model lets a load see, up to a bound on how often a thread is interrupted. By loom; run by `make test` with the feature `loom`.
//!
//! The worker's loop, its turns and the path in them are those that run on a node; the rings, the bell and the bytes of frames are
//! a model's. There a sleeper sleeps until it is woken, so a wake-up that is lost is a scene that does not end, which fails.
//! Each of these changes, tried by hand, fails a scene; which is said there.
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use loom::thread::{Builder, JoinHandle};
use sluice_path::{PathConfig, Shared, SharedConfig};
use sluice_tables::{PortId, Publisher, TablesBuilder, WorkerId};
use sluice_xsk::pair::{Kernel, pair};
use sluice_xsk::umem::Census;
use sluice_xsk::{Features, Frame, HugePages, Port, Segment, Umem, UmemConfig};

use crate::IdlePolicy;
use crate::between::yield_now;
use crate::command::{Command, Door};
use crate::counters::WorkerCounters;
use crate::handoff::{Handoff, Label, mesh, send};
use crate::idle::Idle;
use crate::limits::Limits;
use crate::switch::run;
use crate::wanted::Wanted;
use crate::worker::{Parts, Worker};

const FRAMES: u32 = 8;
const PORT: PortId = PortId(1);
/// Words: a turn with the path in it needs more than a model's threads have by default.
const STACK: usize = 1 << 16;

/// Runs `scene` in every interleaving with at most `interruptions` of running threads.
fn in_every_order(interruptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    let scene = Arc::new(scene);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.max_branches = 20_000;
    model.check(move || {
        let scene = Arc::clone(&scene);
        thread(move || scene()).join().expect("the scene gets through");
    });
}

fn thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(STACK).spawn(body).expect("one of a few threads")
}

/// Two workers: the second with a thread that runs its loop, the first turned by the scene.
struct Scene {
    umem: Arc<Umem>,
    doors: Arc<[Door]>,
    /// The first worker's ends.
    mine: Handoff,
    /// The first worker's frames, for packets: the other's pool would have all.
    frames: Vec<Frame>,
    second: JoinHandle<Handoff>,
}

impl Scene {
    fn new() -> Scene {
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).expect("memory");
        let frames = (0..5).map_while(|_| umem.take()).collect();
        let doors: Arc<[Door]> = (0..2).map(|_| Door::new().expect("a door")).collect();
        let publisher = Publisher::new(TablesBuilder::new(1, 3).build().expect("empty tables"));
        let mut ends = mesh(2);
        let (theirs, mine) = (ends.pop().expect("two"), ends.pop().expect("two"));
        let config = SharedConfig { affinity: 4, ..SharedConfig::default() };
        let path = sluice_path::Path::new(PathConfig::default(), Arc::new(Shared::new(config)));
        let parts = Parts {
            id: WorkerId(1),
            umem: umem.clone(),
            path,
            handoff: theirs,
            doors: doors.clone(),
            counters: Arc::new(WorkerCounters::new()),
            wanted: Arc::new(Wanted::silent()),
            join: true,
        };
        let door = doors.clone();
        let idle = Idle::new(IdlePolicy::Adaptive { spin: Duration::ZERO, sleep: Duration::from_secs(1) });
        let worker = Worker::new(parts, &publisher);
        let second = thread(move || run(worker, idle, &door[1]));
        Scene { umem, doors, mine, frames, second }
    }

    fn port(&self) -> (Box<Port>, Kernel) {
        let (port, kernel) =
            pair(&self.umem, 2, Features { multi_buffer: true, ..Features::default() }).expect("rings in plain memory");
        (Box::new(port), kernel)
    }

    fn tell(&self, command: Command) {
        assert!(self.doors[1].tell(command).is_ok(), "there is room for a command");
    }

    /// Has the second worker own a port, and waits until it does.
    fn add(&self) -> Kernel {
        let (port, kernel) = self.port();
        let (done, answer) = sync_channel(1);
        self.tell(Command::Add { id: PORT, port, limits: Limits::default(), counters: Arc::default(), done });
        while answer.try_recv().is_err() {
            yield_now();
        }
        kernel
    }

    fn stop(&self) -> Receiver<Vec<(PortId, Box<Port>)>> {
        let (done, answer) = sync_channel(1);
        self.tell(Command::Stop { done });
        answer
    }
}

/// All scenes with a worker fail without the fence in `Door::wake` or the one in `Door::going_to_sleep`, when the worker looks for
/// work a last time before it says that it sleeps, and when `Door::tell` wakes before it puts the command in.
#[test]
fn a_command_wakes_a_worker_that_is_about_to_sleep() {
    in_every_order(3, || {
        let scene = Scene::new();
        assert_eq!(scene.end(), ALL_BACK);
    });
}

impl Scene {
    /// Hands a packet of `count` frames, all of whose bytes are `number`, to the second worker as the first does at the end of a
    /// turn; whether there was room.
    fn hand_over(&mut self, count: usize, number: u8) -> bool {
        let ring = self.mine.to[1].as_mut().expect("a ring to the other");
        let write = |mut frame: Frame| {
            self.umem.chunk_mut(&mut frame)[256..316].fill(number);
            Segment::new(frame, 256, 60).expect("within the chunk")
        };
        let packet: Vec<Segment> = self.frames.drain(..count).map(write).collect();
        let mut packet = packet.into_iter();
        let label = Label { port: PORT, partial: None, packets: 1 };
        let sent = send(ring, packet.by_ref(), count, label);
        packet.for_each(|segment| self.umem.give(segment.frame));
        if sent {
            self.doors[1].wake();
        }
        sent
    }

    /// Stops the second worker and counts the frames when all is over.
    fn end(self) -> Census {
        let answer = self.stop();
        let Scene { umem, mine, frames, second, .. } = self;
        frames.into_iter().for_each(|frame| umem.give(frame));
        second.join().expect("the worker ends").drain(&umem);
        mine.drain(&umem);
        for (_, port) in answer.try_recv().expect("an answer") {
            port.close();
        }
        umem.census()
    }
}

const ALL_BACK: Census = Census { depot: FRAMES as usize, kernel: 0, user: 0 };

/// Waits for a packet on the far end of a port's tx ring. It comes, or the model finds that nobody moves.
fn arrives(kernel: &mut Kernel) -> Vec<u8> {
    loop {
        if let Some(sent) = kernel.transmit(1).pop() {
            return sent.bytes;
        }
        yield_now();
    }
}

#[test]
fn a_packet_for_a_worker_that_is_about_to_sleep_is_sent_at_once() {
    in_every_order(2, || {
        let mut scene = Scene::new();
        let mut kernel = scene.add();
        assert!(scene.hand_over(1, 7));
        assert_eq!(arrives(&mut kernel), [7; 60]);
        drop(kernel);
        assert_eq!(scene.end(), ALL_BACK);
    });
}

/// Fails when `Out::take_over` does not give back the frames of a packet for a port that is gone.
#[test]
fn no_frame_is_lost_when_a_port_goes_while_packets_for_it_are_handed_over() {
    in_every_order(2, || {
        let mut scene = Scene::new();
        let kernel = scene.add();
        scene.hand_over(1, 1);
        let (done, answer) = sync_channel(1);
        scene.tell(Command::Remove { id: PORT, done });
        scene.hand_over(1, 2);
        drop(kernel);
        let umem = scene.umem.clone();
        scene.end();
        let port = answer.try_recv().expect("an answer").expect("it was owned");
        port.close();
        assert_eq!(umem.census(), ALL_BACK);
    });
}

/// Fails when `handoff::send` puts segment by segment on the ring.
#[test]
fn a_packet_of_several_frames_is_handed_over_whole_or_not_at_all() {
    in_every_order(2, || {
        let mut scene = Scene::new();
        let mut kernel = scene.add();
        assert!(scene.hand_over(2, 1), "there is room for two frames");
        // There is room again once the first was taken over, and not before; on the port's ring perhaps later.
        scene.hand_over(2, 2);
        assert_eq!(arrives(&mut kernel), [1; 120]);
        drop(kernel);
        assert_eq!(scene.end(), ALL_BACK);
    });
}

/// Fails when `Wanted::take` resets the flag before it silences the bell, and when only who found the queue empty rings: of two
/// workers at once one may see the other's address, already taken, and leave its own where no bell rings for it.
#[test]
fn an_address_that_is_wanted_rings_the_bell_until_it_is_taken() {
    in_every_order(2, || {
        let wanted = Arc::new(Wanted::new().expect("a bell"));
        let address = |number| IpAddr::V4(Ipv4Addr::new(10, 0, 0, number));
        let workers: Vec<_> = [1, 2]
            .map(|number| {
                let wanted = Arc::clone(&wanted);
                thread(move || wanted.put(address(number), std::iter::empty()))
            })
            .into();
        let mut got = Vec::new();
        while got.len() < 2 {
            wanted.wait();
            got.extend(wanted.take());
        }
        workers.into_iter().for_each(|worker| worker.join().expect("it gets through"));
        got.sort_unstable();
        assert_eq!(got, [address(1), address(2)]);
        // What comes later rings again.
        wanted.put(address(3), std::iter::empty());
        wanted.wait();
        assert_eq!(wanted.take(), [address(3)]);
    });
}
