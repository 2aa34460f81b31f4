//! What the agent still waits for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Something without which the agent is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// The objects have been read once.
    Objects,
    /// The Node object is known and has podCIDRs.
    Node,
    /// The host port has its addresses and routes.
    HostPort,
    /// The uplink is the device that was bound at the start.
    Uplink,
    /// What an earlier agent left is repaired and the socket is open.
    Socket,
    /// The agent is not being stopped.
    Running,
}

/// The conditions that do not hold, each with the reason.
#[derive(Debug)]
pub(crate) struct Readiness {
    unmet: Mutex<BTreeMap<Condition, String>>,
}

impl Readiness {
    /// At the start: nothing holds yet but that we run.
    pub(crate) fn starting(node: &str) -> Self {
        let unmet = BTreeMap::from([
            (Condition::Objects, "the objects have not been read yet".to_owned()),
            (Condition::Node, format!("Node {node} is not known")),
            (Condition::HostPort, "the host port has no address yet".to_owned()),
            (Condition::Socket, "the socket for CNI requests is not open yet".to_owned()),
        ]);
        Self { unmet: Mutex::new(unmet) }
    }

    /// The condition holds now.
    pub(crate) fn met(&self, condition: Condition) {
        self.unmet().remove(&condition);
    }

    /// The condition does not hold (any more).
    pub(crate) fn unmet_because(&self, condition: Condition, reason: impl Into<String>) {
        self.unmet().insert(condition, reason.into());
    }

    /// Says more precisely why the condition does not hold; of one that holds, nothing.
    pub(crate) fn explain(&self, condition: Condition, reason: impl Into<String>) {
        if let Some(known) = self.unmet().get_mut(&condition) {
            *known = reason.into();
        }
    }

    /// Whether the condition does not hold.
    pub(crate) fn is_unmet(&self, condition: Condition) -> bool {
        self.unmet().contains_key(&condition)
    }

    /// Why the condition does not hold; `None` when it does.
    pub(crate) fn reason(&self, condition: Condition) -> Option<String> {
        self.unmet().get(&condition).cloned()
    }

    /// Why the agent is not ready; empty when it is.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.unmet().values().cloned().collect()
    }

    /// The conditions that do not hold, each with the reason.
    pub(crate) fn all_unmet(&self) -> BTreeMap<Condition, String> {
        self.unmet().clone()
    }

    fn unmet(&self) -> MutexGuard<'_, BTreeMap<Condition, String>> {
        self.unmet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_hold_and_not_when_one_fails_again() {
        let readiness = Readiness::starting("n1");
        for condition in [Condition::Objects, Condition::Node, Condition::HostPort] {
            readiness.met(condition);
        }
        assert_eq!(readiness.reasons().len(), 1);
        readiness.met(Condition::Socket);
        assert!(readiness.reasons().is_empty());
        readiness.unmet_because(Condition::Running, "stopping");
        assert_eq!(readiness.reasons(), ["stopping"]);
        readiness.explain(Condition::Running, "stopping soon");
        readiness.explain(Condition::Socket, "it is open");
        assert_eq!(readiness.reasons(), ["stopping soon"], "what holds needs no explanation");
    }
}
