//! The watches of all kinds, and the stream of what they find.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use sluice_model::NodeName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::event::Event;
use crate::kube::access::Access;
use crate::kube::connection::{Connection, Patience};
use crate::kube::follower::Follower;
use crate::kube::own_node::OwnNode;
use crate::kube::status::{KINDS, Status};

/// Events that wait for their reader; the watches wait when there are more.
const BACKLOG: usize = 1024;

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a connection, its certificates included. Default 10 s.
    pub connect: Duration,
    /// For the next bytes of an answer that is not whole. Default 30 s.
    pub answer: Duration,
    /// For the next bytes of a watch that has told all: the server sends a bookmark about once a minute. Default 90 s.
    pub quiet: Duration,
    /// How long the server is asked to serve one watch; a random part of this is added. Default 300 s.
    pub watch: Duration,
    /// Before the first try after a failure; doubled at each further one. Default 500 ms.
    pub backoff: Duration,
    /// But no longer than this. A `Retry-After` of the server counts up to ten times as much. Default 30 s.
    pub backoff_limit: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            quiet: Duration::from_secs(90),
            watch: Duration::from_secs(300),
            backoff: Duration::from_millis(500),
            backoff_limit: Duration::from_secs(30),
        }
    }
}

/// The watched API. Dropping it ends the watches.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<Event>,
    status: Status,
    // Dropped with the watch, which ends them.
    _tasks: JoinSet<()>,
}

impl Watch {
    /// The next event. `None` only when the watches have ended, which they do not by themselves. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, for callers outside an async runtime.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        self.events.blocking_recv()
    }

    /// The next event when there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// How the watches fare: a handle, to be asked at any time.
    pub fn status(&self) -> Status {
        self.status.clone()
    }
}

/// Lists and watches every kind of object Sluice reads. The server need not be there, nor the files of `access`: that is
/// a fault of each kind until they are.
///
/// # Panics
/// Outside a tokio runtime with time and I/O enabled.
pub fn watch(access: Access, timing: Timing) -> Watch {
    follow(access, timing, None)
}

/// The same in the name of a node. Once its Node was told, a server that does not have it any more is not believed when it tells
/// all anew: its store may be another. The Node alone is told to be gone then.
///
/// # Panics
/// Outside a tokio runtime with time and I/O enabled.
pub fn watch_for(node: NodeName, access: Access, timing: Timing) -> Watch {
    follow(access, timing, Some(node))
}

fn follow(access: Access, timing: Timing, own: Option<NodeName>) -> Watch {
    let (sender, events) = mpsc::channel(BACKLOG);
    let status = Status::new();
    let connection = Arc::new(Connection::new(access, Patience { connect: timing.connect, answer: timing.answer }));
    let own = Arc::new(OwnNode::new(own));
    let unlisted = Arc::new(AtomicUsize::new(KINDS.len()));
    let mut tasks = JoinSet::new();
    for kind in KINDS {
        let (connection, own, unlisted) = (Arc::clone(&connection), Arc::clone(&own), Arc::clone(&unlisted));
        let follower = Follower::new(kind, connection, own, timing, sender.clone(), status.clone(), unlisted);
        tasks.spawn(follower.run());
    }
    Watch { events, status, _tasks: tasks }
}
