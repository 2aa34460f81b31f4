//! The way back: what this node uses goes to its Node object, what is wrong with an object goes to it as an Event.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sluice_model::{NodeName, Subject};
use tokio::sync::{mpsc, watch};

use crate::kube::access::Access;

/// Faults that wait to be reported; more than that are dropped and counted.
const QUEUE: usize = 256;

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
    /// The annotations are written again after this, in case somebody took them off. Default 10 min.
    pub refresh: Duration,
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
            refresh: Duration::from_secs(600),
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
    /// Faults not told because there were too many.
    pub events_dropped: u64,
    /// Why an Event could not be written at the last try; `None` when it could.
    pub event_failure: Option<String>,
}

/// Writes to the API in the background. No call waits. Dropping the last of its clones ends it.
#[derive(Clone, Debug)]
pub struct Reporter {
    facts: watch::Sender<Option<NodeFacts>>,
    faults: mpsc::Sender<ObjectFault>,
    status: Arc<Mutex<ReporterStatus>>,
}

impl Reporter {
    /// Starts to report in the name of a node.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O enabled.
    pub fn start(access: Access, node: NodeName, timing: ReporterTiming) -> Reporter {
        let (facts, _) = watch::channel(None);
        let (faults, _) = mpsc::channel(QUEUE);
        let _ = (access, node, timing);
        Reporter { facts, faults, status: Arc::default() }
    }

    /// Puts the facts on the own Node, and says there that its network is available. The newest facts count.
    pub fn publish_node(&self, facts: NodeFacts) {
        self.facts.send_if_modified(|known| {
            let new = known.as_ref() != Some(&facts);
            *known = Some(facts);
            new
        });
    }

    /// Tells faults as Events on their objects. All that hold may be given each time: those told lately are passed over.
    pub fn report(&self, faults: &[ObjectFault]) {
        for fault in faults {
            if self.faults.try_send(fault.clone()).is_err() {
                self.status.lock().unwrap_or_else(PoisonError::into_inner).events_dropped += 1;
            }
        }
    }

    /// How reporting fares.
    pub fn status(&self) -> ReporterStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
