//! The way back: what this node uses goes to its Node object, what is wrong with an object goes to it as an Event.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sluice_model::{NodeName, Subject};
use tokio::sync::{mpsc, watch};

use crate::kube::access::Access;
use crate::kube::connection::{Connection, Patience};
use crate::kube::reporter::lately::{Lately, News};
use crate::kube::reporter::write::Writer;

mod event;
mod lately;
mod node;
mod write;

/// Faults that wait to be reported; more than that are dropped and counted.
const QUEUE: usize = 256;

/// How long the server is waited for.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(10), answer: Duration::from_secs(30) };

/// What this node uses, for its peers to read. Each becomes an annotation of its Node, and is taken off it when missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Addresses of its end of the tunnels, at most one a family: `sluice.io/tunnel-address`, separated by commas.
    pub tunnel_addresses: Vec<IpAddr>,
    /// `vxlan`, `geneve` or `none`: `sluice.io/encapsulation`.
    pub encapsulation: Option<String>,
    /// UDP port of the tunnels: `sluice.io/tunnel-port`.
    pub tunnel_port: Option<u16>,
    /// Number of the virtual network, 24 bits: `sluice.io/vni`.
    pub vni: Option<u32>,
    /// Largest packet of its pods in bytes: `sluice.io/mtu`.
    pub mtu: Option<u32>,
}

/// A condition in the status of the own Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCondition {
    /// Its type: `NetworkUnavailable`, `SluiceAddressesExhausted`.
    pub kind: &'static str,
    /// Whether it holds: its status is `True` or `False`.
    pub holds: bool,
    /// Why, as one word for machines.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// What the own Node is to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// `None`: nothing is known yet, and its annotations are left as they are.
    pub(crate) facts: Option<NodeFacts>,
    /// Those that are missing here are left as they are.
    pub(crate) conditions: Vec<NodeCondition>,
}

/// What is wrong with an object, to be told as an Event on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectFault {
    /// The object. One without a name is not reported.
    pub subject: Subject,
    /// Why, as one word for machines: `Invalid`, `AddressesExhausted`.
    pub reason: &'static str,
    /// Why, for people. The same note from several nodes becomes one Event, so it should not name the node it comes from
    /// unless the object is that node.
    pub note: String,
}

impl From<&sluice_model::Fault> for ObjectFault {
    fn from(fault: &sluice_model::Fault) -> ObjectFault {
        let note = format!("{} {}", fault.field, fault.problem);
        ObjectFault { subject: fault.subject.clone(), reason: "Invalid", note: note.trim().to_owned() }
    }
}

/// How often the reporter writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReporterTiming {
    /// The same fault of the same object is told again after this. Default 1 h.
    pub repeat: Duration,
    /// Events in a minute, at most. Default 20.
    pub events_per_minute: u32,
    /// An Event waits up to this at random, so that the nodes of a cluster do not all make it at once. Default 5 s.
    pub spread: Duration,
    /// The Node is looked after again after this, in case somebody took something off it, or made it anew. Default 2 min.
    pub refresh: Duration,
    /// The Node is written again no sooner than this after the last time. Default 1 s.
    pub pause: Duration,
    /// Before the first try after a failure; doubled at each further one. Default 1 s.
    pub backoff: Duration,
    /// But no longer than this. Default 60 s.
    pub backoff_limit: Duration,
}

impl Default for ReporterTiming {
    fn default() -> ReporterTiming {
        ReporterTiming {
            repeat: Duration::from_secs(3600),
            events_per_minute: 20,
            spread: Duration::from_secs(5),
            refresh: Duration::from_secs(120),
            pause: Duration::from_secs(1),
            backoff: Duration::from_secs(1),
            backoff_limit: Duration::from_secs(60),
        }
    }
}

/// How reporting fares, for `sluice status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReporterStatus {
    /// When the Node was last written.
    pub node_written: Option<SystemTime>,
    /// Why the Node could not be written at the last try; `None` when it could.
    pub node_failure: Option<String>,
    /// Events written.
    pub events_written: u64,
    /// Times that a fault was not told, as there were too many or as it could not be written.
    pub events_dropped: u64,
    /// Why an Event could not be written at the last try; `None` when it could.
    pub event_failure: Option<String>,
}

/// Writes to the API in the background. No call waits. Dropping the last of its clones ends it.
#[derive(Clone, Debug)]
pub struct Reporter {
    wanted: watch::Sender<Wanted>,
    faults: mpsc::Sender<ObjectFault>,
    lately: Arc<Mutex<Lately>>,
    repeat: Duration,
    status: Arc<Mutex<ReporterStatus>>,
}

impl Reporter {
    /// Starts to report in the name of a node.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O enabled.
    pub fn start(access: Access, node: NodeName, timing: ReporterTiming) -> Reporter {
        let (wanted, newest) = watch::channel(Wanted::default());
        let (faults, queue) = mpsc::channel(QUEUE);
        let (lately, status): (Arc<Mutex<Lately>>, Arc<Mutex<ReporterStatus>>) = Default::default();
        let connection = Arc::new(Connection::new(access, PATIENCE));
        let writer = Writer { connection, node, timing, status: Arc::clone(&status) };
        tokio::spawn(writer.clone().keep_node(newest));
        tokio::spawn(writer.make_events(queue, Arc::clone(&lately)));
        Reporter { wanted, faults, lately, repeat: timing.repeat, status }
    }

    /// Puts the facts on the own Node. The newest count.
    pub fn publish_node(&self, facts: NodeFacts) {
        self.wanted.send_if_modified(|wanted| {
            let new = wanted.facts.as_ref() != Some(&facts);
            wanted.facts = Some(facts);
            new
        });
    }

    /// Puts conditions into the status of the own Node: those that it does not have so. The newest count; a type that is not among
    /// them is left as it is. Another message alone is written with the next refresh.
    pub fn publish_conditions(&self, conditions: Vec<NodeCondition>) {
        fn essence(conditions: &[NodeCondition]) -> impl Iterator<Item = (&str, bool, &str)> {
            conditions.iter().map(|condition| (condition.kind, condition.holds, condition.reason))
        }
        self.wanted.send_if_modified(|wanted| {
            let new = !essence(&wanted.conditions).eq(essence(&conditions));
            wanted.conditions = conditions;
            new
        });
    }

    /// Tells faults as Events on their objects. All that hold may be given each time: those told lately are passed over.
    pub fn report(&self, faults: &[ObjectFault]) {
        let now = Instant::now();
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.iter().filter(|fault| is_named(&fault.subject)) {
            match lately.news(fault, now, self.repeat) {
                News::Told => continue,
                News::Tell if self.faults.try_send(fault.clone()).is_ok() => continue,
                News::Tell => lately.forget(fault),
                News::NoRoom => {}
            }
            self.status.lock().unwrap_or_else(PoisonError::into_inner).events_dropped += 1;
        }
    }

    /// How reporting fares.
    pub fn status(&self) -> ReporterStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether the names are such that a path may be made of them: they are as written, and may be anything.
fn is_named(subject: &Subject) -> bool {
    let good = |name: &str| NodeName::new(name).is_ok();
    subject.name.as_deref().is_some_and(good) && subject.namespace.as_deref().is_none_or(good)
}
