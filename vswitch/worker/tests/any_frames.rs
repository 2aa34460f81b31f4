//! Scripts of any bytes played on whole workers over rings in plain memory: every packet is counted, what leaves is right,
//! and in the end every frame is where it was. The fuzz target `worker` calls the same function.

use std::sync::Arc;

use core::time::Duration;

use sluice_path::{Checksum, DropReason, PathConfig, Shared, SharedConfig, Time};
use sluice_tables::{PortId, Publisher, WorkerId};
use sluice_worker::{Worker, mesh};
use sluice_world::datagram;
use sluice_world::script::{Focus, Given, Ground, Script, Sent, Step, check};
use sluice_xsk::pair::{Kernel, pair};
use sluice_xsk::ring::Descriptor;
use sluice_xsk::{Features, HugePages, Umem, UmemConfig};

/// Few, so that they run out.
const FRAMES: u32 = 512;
const RING: u32 = 32;

/// The node of a script, on workers.
struct Bench {
    ground: &'static Ground,
    stage: usize,
    umem: Arc<Umem>,
    publisher: Publisher,
    workers: Vec<Worker>,
    /// The far end of each port.
    ends: Vec<(PortId, Kernel)>,
    delivered: u64,
    /// Descriptors that a kernel would not have made.
    lies: u64,
    now: u64,
}

/// Plays the script in `data`.
///
/// # Panics
/// When a frame is lost, a packet is not counted, or what leaves is wrong.
pub fn exercise(data: &[u8]) {
    let mut script = Script::new(Focus::Cluster, data);
    let mut bench = Bench::new(script.ground(), script.workers);
    while let Some(step) = script.step() {
        match step {
            Step::Frame(given) => {
                let (together, slow) = (given.together, given.headroom);
                bench.deliver(&given);
                if together {
                    continue;
                }
                bench.turn();
                // Else receivers take nothing for a while.
                if slow {
                    bench.take(&mut script);
                }
            }
            Step::Wait(time) => bench.wait(time, &mut script),
            Step::Publish => bench.publish(),
        }
    }
    bench.end(&mut script);
}

impl Bench {
    fn new(ground: &'static Ground, count: usize) -> Bench {
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).expect("memory");
        let publisher = Publisher::new(ground.tables[0].clone());
        let mut config = SharedConfig { affinity: 32, ..SharedConfig::default() };
        config.connections.capacity = 256;
        let shared = Arc::new(Shared::new(config));
        let mut workers: Vec<Worker> = (0..)
            .zip(mesh(count))
            .map(|(id, handoff)| {
                let path = PathConfig { seed: id.into(), ..PathConfig::default() };
                Worker::detached(WorkerId(id), umem.clone(), &publisher, path, shared.clone(), handoff)
            })
            .collect();
        let mut ends = Vec::new();
        for port in ground.tables[0].ports() {
            // Devices differ in what they take.
            let whole = port.id.0 % 3 != 0;
            let features = Features { multi_buffer: true, tx_metadata: whole, ..Features::default() };
            let (near, far) = pair(&umem, RING, features).expect("a pair");
            workers[usize::from(port.worker.0)].add(port.id, near);
            ends.push((port.id, far));
        }
        Bench { ground, stage: 0, umem, publisher, workers, ends, delivered: 0, lies: 0, now: 0 }
    }

    /// Puts a packet on its port's rx ring, if there is room. Where there is no such port, another gets a descriptor as only a
    /// broken kernel makes it.
    fn deliver(&mut self, given: &Given) {
        if let Some((_, end)) = self.ends.iter_mut().find(|(id, _)| *id == given.port) {
            self.delivered += u64::from(end.deliver(&given.frame, given.first));
            return;
        }
        let at = usize::from(given.port.0) % self.ends.len();
        let end = &mut self.ends[at].1;
        let word = |at: usize| given.frame.get(at).copied().map_or(0, u32::from);
        let Some(addr) = end.take_fill() else { return };
        let descriptor = match word(0) & 3 {
            0 => Descriptor { addr: addr + u64::from(word(1) << 5), len: word(2) << 5, options: 0 },
            1 => Descriptor { addr: addr + 256, len: word(1) << 16 | word(2), options: 0 },
            2 => Descriptor { addr: u64::from(word(1)) << 12, len: 60, options: 0 },
            _ => Descriptor { addr: u64::MAX - u64::from(word(1)), len: word(2), options: 0 },
        };
        self.lies += u64::from(end.deliver_raw(descriptor));
    }

    fn turn(&mut self) {
        for _ in 0..self.workers.len() {
            for worker in &mut self.workers {
                self.now += 1000;
                worker.turn(Time(self.now));
                assert!(worker.counts().is_balanced(), "{:?}", worker.counts());
            }
        }
    }

    /// Takes what left, and gives its frames back.
    fn take(&mut self, script: &mut Script<'_>) {
        for (port, end) in &mut self.ends {
            for sent in end.transmit(usize::MAX) {
                let checksum = sent.partial.map_or(Checksum::Complete, |partial| Checksum::Partial {
                    start: partial.start,
                    offset: partial.offset,
                });
                let frame = datagram::completed(sent.bytes, checksum).expect("a partial checksum inside the frame");
                let sent = Sent { port: *port, frame, cut: false };
                script.remember(check(self.ground, &self.ground.tables[self.stage], None, &sent));
            }
            end.complete(usize::MAX);
        }
    }

    fn wait(&mut self, time: Duration, script: &mut Script<'_>) {
        self.now += u64::try_from(time.as_nanos()).expect("a short time");
        self.turn();
        self.take(script);
        self.turn();
    }

    fn publish(&mut self) {
        if self.stage + 1 < self.ground.tables.len() {
            self.stage += 1;
            self.publisher.publish(self.ground.tables[self.stage].clone());
        }
    }

    fn end(mut self, script: &mut Script<'_>) {
        // Each turn looks at some of the fragmented packets; the time is that after which none of them waits.
        for _ in 0..40 {
            self.wait(Duration::from_secs(2), script);
        }
        for worker in &self.workers {
            assert_eq!((worker.parked(), worker.counts().parked), (0, 0), "packets wait for ever");
        }
        let seen = |worker: &Worker| {
            let counts = worker.counts();
            counts.received + counts.dropped(DropReason::BadChain) + counts.dropped(DropReason::ChainTooLong)
        };
        let seen: u64 = self.workers.iter().map(seen).sum();
        assert_eq!(seen, self.delivered + self.lies, "packets are lost");
        for worker in &mut self.workers {
            for (port, _) in &self.ends {
                if let Some(port) = worker.remove(*port) {
                    port.close();
                }
            }
        }
        drop(self.workers);
        assert_eq!(self.umem.census().depot, FRAMES as usize, "frames are lost");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

        #[test]
        fn workers_lose_no_frame_whatever_comes(bytes in vec(any::<u8>(), 0..1500)) {
            super::exercise(&bytes);
        }
    }
}
