//! The control side's handle on all workers.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use sluice_path::{Path, PathConfig, Shared, Time};
use sluice_tables::{PortId, Publisher, WorkerId};
use sluice_xsk::{Port, Umem};
use thiserror::Error;

use crate::between::yield_now;
use crate::command::{Command, Door};
use crate::counters::{PortCounters, PortSnapshot, WorkerCounters, WorkerSnapshot};
use crate::handoff::{Handoff, mesh};
use crate::idle::{Idle, IdlePolicy, Next};
use crate::limits::Limits;
use crate::wanted::Wanted;
use crate::worker::{Parts, Worker};

/// Turns without a packet between two readings of the clock: a few microseconds, so that time is never far off.
const TURNS_A_READING: u32 = if cfg!(feature = "loom") { 1 } else { 16 };

/// How long a worker may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to run the workers.
#[derive(Debug, Clone)]
pub struct SwitchConfig {
    /// One worker a core, in this order; 1 to 64.
    pub cores: Vec<usize>,
    /// What a worker does when it finds nothing to do.
    pub idle: IdlePolicy,
    /// Configuration of each worker's path; `worker` is set for each.
    pub path: PathConfig,
    /// What all paths share.
    pub shared: Arc<Shared>,
    /// Whether TCP segments that continue one another in a burst are joined to super-frames for pods that take them.
    pub join: bool,
}

/// Why the workers do not run, or do not do as told.
#[derive(Debug, Error)]
pub enum SwitchError {
    /// No core or too many.
    #[error("{0} worker cores; give 1 to 64")]
    Cores(usize),
    /// A core that this process may not run on.
    #[error("core {core} is not available to this process; available: {available:?}")]
    NoSuchCore {
        /// The core asked for.
        core: usize,
        /// The cores to choose from.
        available: Vec<usize>,
    },
    /// A thread could not be pinned.
    #[error("worker {0} could not be pinned to its core: check the cpuset and affinity of the process")]
    Pin(WorkerId),
    /// The kernel gave no thread or descriptor.
    #[error("starting a worker: {0}")]
    Start(#[from] std::io::Error),
    /// A worker does not answer.
    #[error("{worker} did not {what} within 5 s: it is stuck; restart the agent")]
    Silent {
        /// The worker.
        worker: WorkerId,
        /// What it was told.
        what: String,
    },
    /// The port is already owned.
    #[error("{0} is already attached")]
    Attached(PortId),
    /// The port's frames are of other memory than the workers'.
    #[error("{0} is bound on other packet memory than the switch runs on: bind it on Switch::umem()")]
    OtherMemory(PortId),
    /// The port is not owned.
    #[error("{0} is not attached")]
    NotAttached(PortId),
}

/// A port as the control side knows it.
#[derive(Debug)]
struct Attached {
    worker: WorkerId,
    limits: Limits,
    counters: Arc<PortCounters>,
}

/// All workers. Dropping it stops them.
#[derive(Debug)]
pub struct Switch {
    umem: Arc<Umem>,
    cores: Vec<usize>,
    doors: Arc<[Door]>,
    counters: Vec<Arc<WorkerCounters>>,
    ports: Mutex<HashMap<PortId, Attached>>,
    threads: Vec<JoinHandle<Handoff>>,
    wanted: Arc<Wanted>,
}

impl Switch {
    /// Starts one pinned thread for each core.
    pub fn start(config: SwitchConfig, umem: Arc<Umem>, publisher: &Publisher) -> Result<Switch, SwitchError> {
        let SwitchConfig { cores, idle, path, shared, join } = config;
        if cores.is_empty() || cores.len() > 64 {
            return Err(SwitchError::Cores(cores.len()));
        }
        // Listed by this thread before any is pinned: the list is the calling thread's own mask.
        let available: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|c| c.id).collect();
        if let Some(&core) = cores.iter().find(|core| !available.contains(core)) {
            return Err(SwitchError::NoSuchCore { core, available });
        }
        let doors: Result<Vec<Door>, _> = cores.iter().map(|_| Door::new()).collect();
        let doors: Arc<[Door]> = doors.map_err(std::io::Error::from)?.into();
        let mut switch = Switch {
            umem: umem.clone(),
            cores: cores.clone(),
            doors: doors.clone(),
            counters: Vec::new(),
            ports: Mutex::new(HashMap::new()),
            threads: Vec::new(),
            wanted: Arc::new(Wanted::new().map_err(std::io::Error::from)?),
        };
        for (at, (core, handoff)) in cores.into_iter().zip(mesh(doors.len())).enumerate() {
            let id = WorkerId(at as u8);
            let counters = Arc::new(WorkerCounters::new());
            switch.counters.push(counters.clone());
            let path = Path::new(PathConfig { worker: id, ..path }, shared.clone());
            let (umem, doors_of_all, wanted) = (umem.clone(), doors.clone(), switch.wanted.clone());
            let parts = Parts { id, umem, path, handoff, doors: doors_of_all, counters, wanted, join };
            let worker = Worker::new(parts, publisher);
            let (pinned, pin_result) = sync_channel(1);
            let doors = doors.clone();
            let thread = Builder::new().name(format!("sluice-worker-{at}")).spawn(move || {
                let _ = pinned.send(core_affinity::set_for_current(core_affinity::CoreId { id: core }));
                run(worker, Idle::new(idle), &doors[at])
            })?;
            switch.threads.push(thread);
            if pin_result.recv() != Ok(true) {
                return Err(SwitchError::Pin(id));
            }
        }
        Ok(switch)
    }

    /// The packet memory.
    pub fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// Which worker owns a port, or will when it is added: known before, so that the tables can say it.
    pub fn worker_for(&self, id: PortId) -> WorkerId {
        WorkerId((usize::from(id.0) % self.doors.len()) as u8)
    }

    /// Has the port polled by its worker; returns once it is. On an error the port is closed, at once or by its worker.
    pub fn add_port(&self, id: PortId, port: Port) -> Result<WorkerId, SwitchError> {
        self.add_limited_port(id, port, Limits::default())
    }

    /// The same for a port whose pod may receive or send only so much, as long as the port is there.
    pub fn add_limited_port(&self, id: PortId, port: Port, limits: Limits) -> Result<WorkerId, SwitchError> {
        if !port.is_on(&self.umem) {
            return Err(SwitchError::OtherMemory(id));
        }
        let worker = self.worker_for(id);
        let counters = Arc::new(PortCounters::default());
        match self.ports().entry(id) {
            Entry::Occupied(_) => return Err(SwitchError::Attached(id)),
            Entry::Vacant(place) => place.insert(Attached { worker, limits, counters: counters.clone() }),
        };
        let (done, answer) = sync_channel(1);
        let told = self.tell(worker, Command::Add { id, port: Box::new(port), limits, counters, done }, &answer);
        if told.is_err() {
            // The worker may get to the command yet, even between the end of our patience and here: then this follows it.
            let (done, _) = sync_channel(1);
            drop(self.doors[usize::from(worker.0)].tell(Command::Remove { id, done }));
            self.ports().remove(&id);
        }
        told.map(|()| worker)
    }

    /// Takes the port from its worker, closes its socket and gives every frame back; returns how many came from the kernel.
    pub fn remove_port(&self, id: PortId) -> Result<usize, SwitchError> {
        let worker = self.ports().get(&id).ok_or(SwitchError::NotAttached(id))?.worker;
        let (done, answer) = sync_channel(1);
        let port = self.tell(worker, Command::Remove { id, done }, &answer)?;
        self.ports().remove(&id);
        Ok(port.ok_or(SwitchError::NotAttached(id))?.close())
    }

    /// Neighbours of the uplink that packets are for and whose MAC no worker's tables have: to be resolved, and the tables to be
    /// published anew when they are.
    pub fn wanted(&self) -> &Arc<Wanted> {
        &self.wanted
    }

    /// Workers whose threads have ended though nobody stopped them: their ports are dead, and only a new process mends that.
    pub fn dead(&self) -> Vec<WorkerId> {
        let threads = self.threads.iter().enumerate();
        threads.filter(|(_, thread)| thread.is_finished()).map(|(at, _)| WorkerId(at as u8)).collect()
    }

    /// Counters of every worker, read while they run.
    pub fn counters(&self) -> Vec<WorkerSnapshot> {
        self.counters.iter().zip(&self.cores).map(|(counters, core)| counters.read(*core)).collect()
    }

    /// Counters of one port; `None` if it is not attached.
    pub fn port_counters(&self, id: PortId) -> Option<PortSnapshot> {
        Some(self.ports().get(&id)?.counters.read())
    }

    /// What a port's pod may receive and send; `None` if the port is not attached.
    pub fn port_limits(&self, id: PortId) -> Option<Limits> {
        Some(self.ports().get(&id)?.limits)
    }

    /// Counters of every port, by id.
    pub fn ports_counters(&self) -> Vec<(PortId, PortSnapshot)> {
        let mut all: Vec<(PortId, PortSnapshot)> =
            self.ports().iter().map(|(id, attached)| (*id, attached.counters.read())).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// Stops the workers, closes every port and waits for the threads.
    pub fn stop(mut self) -> Result<(), SwitchError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), SwitchError> {
        let mut result = Ok(());
        let mut ports = Vec::new();
        let mut handoffs = Vec::new();
        for (at, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            let (done, answer) = sync_channel(1);
            match self.tell(WorkerId(at as u8), Command::Stop { done }, &answer) {
                Ok(given_up) => {
                    ports.extend(given_up);
                    handoffs.extend(thread.join());
                }
                // Not joined: it may never end.
                Err(error) => result = Err(error),
            }
        }
        handoffs.into_iter().for_each(|handoff| handoff.drain(&self.umem));
        ports.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        for (_, port) in ports {
            port.close();
        }
        self.ports().clear();
        result
    }

    fn tell<T>(&self, worker: WorkerId, command: Command, answer: &Receiver<T>) -> Result<T, SwitchError> {
        let door = &self.doors[usize::from(worker.0)];
        let what = format!("{command:?}");
        let deadline = Instant::now() + PATIENCE;
        let mut command = command;
        while let Err(back) = door.tell(command) {
            if Instant::now() > deadline {
                return Err(SwitchError::Silent { worker, what });
            }
            command = back;
            std::thread::yield_now();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        answer.recv_timeout(left).map_err(|_| SwitchError::Silent { worker, what })
    }

    fn ports(&self) -> std::sync::MutexGuard<'_, HashMap<PortId, Attached>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The time that workers give to the path: nanoseconds of the kernel's monotonic clock. It goes on across a restart of the
/// process, as do the connections that remember when they were last used.
#[cfg(not(feature = "loom"))]
pub fn now() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Time(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// The time of a model: it stands, as what comes of a scene must not depend on it.
#[cfg(feature = "loom")]
pub fn now() -> Time {
    Time(0)
}

/// A worker's thread. What it leaves is what others handed to it after its last turn.
pub(crate) fn run(mut worker: Worker, mut idle: Idle, door: &Door) -> Handoff {
    loop {
        // Reading the clock costs as much as looking at an idle port or two: turns that find nothing share a reading.
        let time = now();
        worker.looks(time);
        let mut turn = worker.turn(time);
        let mut turns = 1;
        while turns < TURNS_A_READING && !(turn.worked || turn.waiting || turn.stopped) {
            turn = worker.turn(time);
            turns += 1;
        }
        if turn.stopped {
            return worker.into_handoff();
        }
        match idle.after(turn.worked, turn.waiting, time) {
            Next::Spin => std::hint::spin_loop(),
            Next::Yield => {
                worker.rests();
                yield_now();
            }
            Next::Sleep(limit) => {
                worker.rests();
                door.going_to_sleep();
                let turn = worker.turn(now());
                if turn.stopped {
                    return worker.into_handoff();
                }
                if turn.worked {
                    // The spin begins anew, as after any turn that found something.
                    idle.after(true, turn.waiting, now());
                } else {
                    worker.before_sleep(now());
                    worker.sleep(limit);
                }
                door.awake();
            }
        }
    }
}
