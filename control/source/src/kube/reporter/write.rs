//! The tasks that write for the reporter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use sluice_model::NodeName;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::failure::Failure;
use crate::kube::backoff::{Backoff, part, random};
use crate::kube::connection::{Connection, METADATA};
use crate::kube::reporter::lately::{Lately, Quota};
use crate::kube::reporter::{ObjectFault, ReporterStatus, ReporterTiming, Wanted, event, node};
use crate::kube::resource::resource;
use crate::kube::setback::Setback;

const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json";
/// Times that an Event is tried before it is given up.
const TRIES: u32 = 4;

/// What both tasks have.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) connection: Arc<Connection>,
    pub(crate) node: NodeName,
    pub(crate) timing: ReporterTiming,
    pub(crate) status: Arc<Mutex<ReporterStatus>>,
}

impl Writer {
    fn status(&self, change: impl FnOnce(&mut ReporterStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.timing.backoff, self.timing.backoff_limit)
    }

    /// Keeps the own Node as was wanted last, until nobody wants anything any more.
    pub(crate) async fn keep_node(self, mut wanted: watch::Receiver<Wanted>) {
        let mut backoff = self.backoff();
        let mut wait = None;
        loop {
            let changed = match wait {
                None => wanted.changed().await,
                Some(wait) => timeout(wait, wanted.changed()).await.unwrap_or(Ok(())),
            };
            if changed.is_err() {
                return;
            }
            let newest = wanted.borrow_and_update().clone();
            match self.write_node(&newest).await {
                Ok(()) => {
                    backoff.reset();
                    wait = Some(self.timing.refresh);
                    self.status(|status| {
                        status.node_written = Some(SystemTime::now());
                        status.node_failure = None;
                    });
                    sleep(self.timing.pause).await;
                }
                Err(setback) => {
                    let failure = setback.failure.to_string();
                    wait = Some(backoff.after_failure(setback.retry_after, random()));
                    self.status(|status| {
                        if status.node_failure.as_ref() != Some(&failure) {
                            tracing::warn!(node = %self.node, failure, "the Node cannot be written; it is tried again");
                        }
                        status.node_failure = Some(failure);
                    });
                }
            }
        }
    }

    async fn write_node(&self, wanted: &Wanted) -> Result<(), Setback> {
        let path = resource(sluice_model::Kind::Node).path_of(None, self.node.as_str());
        let node = match &wanted.facts {
            Some(facts) => {
                let written = self.connection.write(Method::PATCH, &path, MERGE_PATCH, &node::annotations(facts)).await;
                written.map_err(|setback| setback.while_asking("patch", "nodes", ""))?
            }
            None => {
                let read = self.connection.read(&path, JSON).await;
                read.map_err(|setback| setback.while_asking("get", "nodes", ""))?
            }
        };
        let Some(conditions) = node::conditions(&node, &wanted.conditions, Timestamp::now()) else { return Ok(()) };
        let path = format!("{path}/status");
        let written = self.connection.write(Method::PATCH, &path, STRATEGIC_MERGE_PATCH, &conditions).await;
        written.map(drop).map_err(|setback| setback.while_asking("patch", "nodes/status", ""))
    }

    /// Makes Events of faults, until nobody has any more to tell.
    pub(crate) async fn make_events(self, mut faults: mpsc::Receiver<ObjectFault>, lately: Arc<Mutex<Lately>>) {
        let mut quota = Quota::new(self.timing.events_per_minute);
        while let Some(fault) = faults.recv().await {
            sleep(quota.take(Instant::now()) + part(self.timing.spread, random())).await;
            match self.make_event(&fault).await {
                Ok(()) => self.status(|status| {
                    status.events_written += 1;
                    status.event_failure = None;
                }),
                Err(failure) => {
                    lately.lock().unwrap_or_else(PoisonError::into_inner).forget(&fault);
                    let failure = failure.to_string();
                    self.status(|status| {
                        if status.event_failure.as_ref() != Some(&failure) {
                            tracing::warn!(object = %fault.subject, failure, "no Event can be made of a fault");
                        }
                        status.events_dropped += 1;
                        status.event_failure = Some(failure);
                    });
                }
            }
        }
    }

    async fn make_event(&self, fault: &ObjectFault) -> Result<(), Failure> {
        let mut backoff = self.backoff();
        let mut tries = 1;
        loop {
            let Err(setback) = self.try_event(fault).await else { return Ok(()) };
            let setback = setback.while_asking("create", "events.events.k8s.io", "");
            let (status, again) = match &setback.failure {
                Failure::Refused { status, .. } => (*status, *status == 429 || *status >= 500),
                Failure::Forbidden { .. } => (403, false),
                _ => (0, true),
            };
            if status == 409 {
                // Another node has told the same.
                return Ok(());
            }
            if !again || tries == TRIES {
                return Err(setback.failure);
            }
            tries += 1;
            sleep(backoff.after_failure(setback.retry_after, random())).await;
        }
    }

    async fn try_event(&self, fault: &ObjectFault) -> Result<(), Setback> {
        let uid = match self.uid(fault).await {
            // The object is gone, and its fault with it.
            Err(Setback { failure: Failure::Refused { status: 404, .. }, .. }) => return Ok(()),
            // Without the right to look at it, the Event is as good as it gets.
            uid => uid.unwrap_or_default(),
        };
        let period = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let period = period.as_secs() / self.timing.repeat.max(Duration::from_secs(1)).as_secs();
        let body = event::event(fault, uid.as_deref(), self.node.as_str(), Timestamp::now(), period);
        self.connection.write(Method::POST, &event::path(fault), JSON, &body).await.map(drop)
    }

    /// The uid by which tools find the Events of an object.
    async fn uid(&self, fault: &ObjectFault) -> Result<Option<String>, Setback> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            uid: Option<String>,
        }
        let name = fault.subject.name.as_deref().unwrap_or_default();
        let path = resource(fault.subject.kind).path_of(fault.subject.namespace.as_deref(), name);
        let bytes = self.connection.read(&path, METADATA).await?;
        Ok(serde_json::from_slice::<Object>(&bytes).ok().and_then(|object| object.metadata.uid))
    }
}
