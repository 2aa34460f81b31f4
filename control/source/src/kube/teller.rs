//! Tells a kind's events, faults and state to whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use sluice_model::{FieldPath, Kind};
use tokio::sync::mpsc;

use crate::event::{Event, Fault, Origin, Problem};
use crate::failure::Failure;
use crate::kube::status::{KindState, KindStatus, Status};

/// Nobody listens any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// Where a kind's follower tells what it finds.
pub(crate) struct Teller {
    kind: Kind,
    events: mpsc::Sender<Event>,
    status: Status,
    /// Kinds without a complete list yet, this one among them until it has one.
    unlisted: Arc<AtomicUsize>,
    listed: bool,
    told: Option<Failure>,
}

impl Teller {
    pub(crate) fn new(kind: Kind, events: mpsc::Sender<Event>, status: Status, unlisted: Arc<AtomicUsize>) -> Teller {
        Teller { kind, events, status, unlisted, listed: false, told: None }
    }

    /// Tells what happened to an object. Waits while too much waits to be read.
    pub(crate) async fn tell(&self, event: Event) -> Result<(), Closed> {
        self.status(|status| status.events += u64::from(matches!(event, Event::Apply(_) | Event::Delete(_))));
        self.send(event).await
    }

    /// Whether a complete list has been told.
    pub(crate) fn has_listed(&self) -> bool {
        self.listed
    }

    /// A complete list has been told. After the last kind's first one, all is.
    pub(crate) async fn synced(&mut self) -> Result<(), Closed> {
        if self.listed {
            return Ok(());
        }
        self.listed = true;
        self.status(|status| status.synced = true);
        // Whoever is last has seen the others' events go before.
        if self.unlisted.fetch_sub(1, Ordering::AcqRel) == 1 { self.send(Event::Synced).await } else { Ok(()) }
    }

    /// Something failed: a fault, unless the same one is in force.
    pub(crate) async fn failed(&mut self, failure: Failure) -> Result<(), Closed> {
        let forbidden = matches!(failure, Failure::Forbidden { .. });
        self.note(&failure, if forbidden { KindState::Forbidden } else { KindState::BackingOff });
        if self.told.as_ref() == Some(&failure) {
            return Ok(());
        }
        self.clear().await?;
        self.told = Some(failure.clone());
        let (origin, problem) = (Origin::Watch(self.kind), Problem::Failure(failure));
        self.send(Event::Fault(Fault { origin, line: None, subject: None, field: FieldPath::root(), problem })).await
    }

    /// The watch was too far behind, which is no fault.
    pub(crate) fn note_gone(&self, failure: Failure) {
        self.note(&failure, KindState::Listing);
    }

    /// It works again.
    pub(crate) async fn recovered(&mut self) -> Result<(), Closed> {
        self.enter(KindState::Watching);
        self.clear().await
    }

    /// A list begins. After a failure it only shows once it is complete.
    pub(crate) fn lists(&self) {
        if self.told.is_none() {
            self.enter(KindState::Listing);
        }
    }

    /// Goes over to a state.
    fn enter(&self, state: KindState) {
        self.status(|status| status.enter(state));
    }

    /// Changes what the status says of the kind.
    pub(crate) fn status(&self, change: impl FnOnce(&mut KindStatus)) {
        self.status.update(self.kind, change);
    }

    /// Until nobody listens.
    pub(crate) async fn closed(&self) {
        self.events.closed().await;
    }

    fn note(&self, failure: &Failure, state: KindState) {
        self.status(|status| {
            status.enter(state);
            status.failures += 1;
            status.last_failure = Some((failure.clone(), SystemTime::now()));
        });
    }

    async fn clear(&mut self) -> Result<(), Closed> {
        match self.told.take() {
            Some(_) => self.send(Event::FaultCleared { origin: Origin::Watch(self.kind) }).await,
            None => Ok(()),
        }
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }
}
