//! What the control side tells a worker, over a lock-free queue.
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use rustix::io::Errno;
use sluice_tables::PortId;
use sluice_xsk::Port;

use crate::between::{ArrayQueue, AtomicBool, Bell, Ordering, fence};
use crate::counters::PortCounters;
use crate::limits::Limits;

/// One command. Each carries the sender of its answer, which has room for it: answering does not block.
pub(crate) enum Command {
    /// Own this port from now on.
    Add { id: PortId, port: Box<Port>, limits: Limits, counters: Arc<PortCounters>, done: SyncSender<()> },
    /// Give this port up; `None` if it is not owned.
    Remove { id: PortId, done: SyncSender<Option<Box<Port>>> },
    /// Give all ports up and end.
    Stop { done: SyncSender<Vec<(PortId, Box<Port>)>> },
}

/// A worker's door: commands go in, and a sleeper is woken.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) commands: ArrayQueue<Command>,
    /// Set by the worker before it looks for work a last time and sleeps; read by whoever gave it some. Both sides use
    /// sequentially consistent order, so that either the worker sees the work or the giver sees the sleeper.
    asleep: AtomicBool,
    bell: Bell,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Command::Add { id, .. } => write!(f, "add {id}"),
            Command::Remove { id, .. } => write!(f, "remove {id}"),
            Command::Stop { .. } => f.write_str("stop"),
        }
    }
}

impl Door {
    pub(crate) fn new() -> Result<Door, Errno> {
        Ok(Door { commands: ArrayQueue::new(64), asleep: AtomicBool::new(false), bell: Bell::new()? })
    }

    /// Puts a command in and wakes the worker; gives the command back when the queue is full.
    pub(crate) fn tell(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)?;
        self.wake();
        Ok(())
    }

    /// Wakes the worker if it sleeps: one system call then, none otherwise.
    #[inline]
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.bell.ring();
        }
    }

    /// Worker: from now on whoever brings work rings the bell.
    pub(crate) fn going_to_sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Worker: awake again; silences the bell.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        self.bell.silence();
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }
}
