//! Commands whose asker no longer waits, and what is left when workers end.
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sluice_tables::TablesBuilder;
use sluice_xsk::pair::{Kernel, pair};
use sluice_xsk::{Features, HugePages, Segment, UmemConfig};

use super::*;
use crate::handoff::{Label, mesh, send};

const FRAMES: u32 = 1024;
const A: PortId = PortId(1);

struct Bench {
    umem: Arc<Umem>,
    doors: Arc<[Door]>,
    worker: Worker,
}

impl Bench {
    fn new() -> Bench {
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).unwrap();
        let publisher = Publisher::new(TablesBuilder::new(1, 3).build().unwrap());
        let doors: Arc<[Door]> = Arc::new([Door::new().unwrap()]);
        let handoff = mesh(1).pop().unwrap();
        let counters = Arc::new(WorkerCounters::new());
        let path = Path::new(PathConfig::default(), Arc::default());
        let wanted = Arc::new(Wanted::silent());
        let (id, umem_of, doors_of) = (WorkerId(0), umem.clone(), doors.clone());
        let parts = Parts { id, umem: umem_of, path, handoff, doors: doors_of, counters, wanted, join: true };
        let worker = Worker::new(parts, &publisher);
        Bench { umem, doors, worker }
    }

    fn port(&self) -> (Box<Port>, Kernel) {
        let (port, kernel) = pair(&self.umem, 512, Features::default()).unwrap();
        (Box::new(port), kernel)
    }

    fn tell(&self, command: Command) {
        self.doors[0].tell(command).unwrap();
    }

    /// Tells it to own a port; the answer is lost if the returned end is dropped.
    fn tell_add(&self) -> (Kernel, Receiver<()>) {
        let (port, kernel) = self.port();
        let (done, answer) = sync_channel(1);
        self.tell(Command::Add { id: A, port, limits: Limits::default(), counters: Arc::default(), done });
        (kernel, answer)
    }

    /// Ends everything and counts the frames in the depot.
    fn frames_back(self) -> usize {
        drop(self.worker);
        self.umem.census().depot
    }
}

fn nobody<T>() -> SyncSender<T> {
    sync_channel(1).0
}

#[test]
fn a_port_whose_adder_gave_up_waiting_is_closed_and_its_id_is_free() {
    let mut bench = Bench::new();
    drop(bench.tell_add());
    bench.worker.turn(Time(1));
    assert!(bench.worker.remove(A).is_none());
    assert_eq!(bench.umem.census().kernel, 0);
    let (_kernel, answer) = bench.tell_add();
    bench.worker.turn(Time(2));
    assert_eq!(answer.try_recv(), Ok(()));
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_port_whose_remover_gave_up_waiting_gives_back_every_frame() {
    let mut bench = Bench::new();
    let (_kernel, _answer) = bench.tell_add();
    bench.worker.turn(Time(1));
    assert!(bench.umem.census().kernel > 0);
    bench.tell(Command::Remove { id: A, done: nobody() });
    bench.worker.turn(Time(2));
    assert_eq!(bench.umem.census().kernel, 0);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_port_that_comes_after_the_stop_gives_back_every_frame() {
    let mut bench = Bench::new();
    let (_first, _answer) = bench.tell_add();
    bench.tell(Command::Stop { done: nobody() });
    let (_second, _answer) = bench.tell_add();
    assert!(bench.worker.turn(Time(1)).stopped);
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn a_worker_that_ends_with_ports_of_its_own_gives_back_every_frame() {
    let mut bench = Bench::new();
    let (_kernel, _answer) = bench.tell_add();
    bench.worker.turn(Time(1));
    assert_eq!(bench.frames_back(), FRAMES as usize);
}

#[test]
fn packets_between_workers_when_they_end_are_given_back() {
    let bench = Bench::new();
    let mut ends = mesh(2);
    let ring = ends[0].to[1].as_mut().unwrap();
    let packet: Vec<Segment> = (0..3).map(|_| Segment::new(bench.umem.take().unwrap(), 256, 60).unwrap()).collect();
    assert!(send(ring, packet.into_iter(), 3, Label { port: A, partial: None, packets: 1 }));
    assert_eq!(bench.umem.census().user, 3);
    ends.into_iter().for_each(|end| end.drain(&bench.umem));
    assert_eq!(bench.frames_back(), FRAMES as usize);
}
