//! How the watches fare, for `sluice status`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sluice_model::Kind;

use crate::failure::Failure;

/// The kinds that are watched, in the order in which they are shown.
pub(crate) const KINDS: [Kind; 6] =
    [Kind::Node, Kind::Namespace, Kind::Pod, Kind::Service, Kind::EndpointSlice, Kind::NetworkPolicy];

/// What the watch of a kind is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KindState {
    /// The server is asked for all objects.
    #[default]
    Listing,
    /// All objects are known, and changes are told as they come.
    Watching,
    /// Something failed; it is tried again soon.
    BackingOff,
    /// The rights are missing; it is tried again now and then.
    Forbidden,
}

impl fmt::Display for KindState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KindState::Listing => "listing",
            KindState::Watching => "watching",
            KindState::BackingOff => "backing off",
            KindState::Forbidden => "forbidden",
        })
    }
}

/// How the watch of one kind fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindStatus {
    /// The kind.
    pub kind: Kind,
    /// What its watch is doing.
    pub state: KindState,
    /// Since when it does that.
    pub since: SystemTime,
    /// Whether a complete list has been told.
    pub synced: bool,
    /// Objects known, those without a good form not among them.
    pub objects: usize,
    /// Objects whose newest form makes no sense.
    pub faulty: usize,
    /// Where the watch has got to, as the server counts; empty before the first list.
    pub resource_version: String,
    /// When the server was last heard of on this watch.
    pub heard: Option<SystemTime>,
    /// What failed last, and when, even if it has been good since.
    pub last_failure: Option<(Failure, SystemTime)>,
    /// Complete lists so far.
    pub lists: u64,
    /// Failures so far.
    pub failures: u64,
    /// Events of the server so far: objects listed, changed and deleted.
    pub events: u64,
}

/// How all watches fare: a handle that can be cloned and asked at any time, also when the [`crate::kube::Watch`] is in
/// use elsewhere or gone.
#[derive(Clone, Debug)]
pub struct Status {
    kinds: Arc<[Mutex<KindStatus>; 6]>,
}

impl Status {
    pub(crate) fn new() -> Status {
        let now = SystemTime::now();
        let kinds = KINDS.map(|kind| {
            Mutex::new(KindStatus {
                kind,
                state: KindState::Listing,
                since: now,
                synced: false,
                objects: 0,
                faulty: 0,
                resource_version: String::new(),
                heard: None,
                last_failure: None,
                lists: 0,
                failures: 0,
                events: 0,
            })
        });
        Status { kinds: Arc::new(kinds) }
    }

    /// How each kind fares, in a fixed order.
    pub fn kinds(&self) -> Vec<KindStatus> {
        self.kinds.iter().map(|kind| kind.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Whether the first complete lists of all kinds have been told.
    pub fn is_synced(&self) -> bool {
        self.kinds.iter().all(|kind| kind.lock().unwrap_or_else(PoisonError::into_inner).synced)
    }

    /// Changes what is known of a kind.
    pub(crate) fn update(&self, kind: Kind, change: impl FnOnce(&mut KindStatus)) {
        let place = KINDS.iter().position(|other| *other == kind).unwrap_or_default();
        change(&mut self.kinds[place].lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl KindStatus {
    /// Goes over to a state; the time stays when it is the same one.
    pub(crate) fn enter(&mut self, state: KindState) {
        if self.state != state {
            self.state = state;
            self.since = SystemTime::now();
        }
    }
}
