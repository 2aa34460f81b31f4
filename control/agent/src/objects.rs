//! Follows the objects: what they say of this node goes to the ledger, the host port and the tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_host::Netlink;
use sluice_model::Node;
use sluice_source::{Event, Origin, Watch};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::generations::{GenerationError, with_networks_of};
use crate::ipam::IpamError;
use crate::readiness::Condition;

/// Time between tries to put a Node in force that could not be.
const RETRY: Duration = Duration::from_secs(5);

/// Why a Node could not be put in force.
#[derive(Debug, thiserror::Error)]
enum NodeError {
    /// No tables of it.
    #[error(transparent)]
    Tables(#[from] GenerationError),
    /// No addresses of its networks.
    #[error(transparent)]
    Networks(#[from] IpamError),
}

/// How long the first complete list of objects is waited for before pods of an earlier time are served without it: shut, as their
/// policies are not known.
const FIRST_LIST: Duration = Duration::from_secs(5);

/// The objects on their way into force, and the faults of where they come from.
#[derive(Debug)]
pub(crate) struct Objects {
    watch: Watch,
    source_faults: BTreeMap<Origin, Vec<String>>,
    synced: bool,
}

impl Objects {
    /// Objects of which none is known yet.
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, source_faults: BTreeMap::new(), synced: false }
    }

    /// Takes what is there at the start, until it is all there or the time is over.
    pub(crate) async fn first(&mut self, agent: &Agent) {
        let whole = async {
            while !self.synced {
                match self.watch.recv().await {
                    Some(event) => self.take(event, agent),
                    None => break,
                }
            }
        };
        if timeout(FIRST_LIST, whole).await.is_err() {
            warn!(
                "the objects are not all known; until they are, pods attached earlier may talk to nobody but the node"
            );
        }
    }

    fn take(&mut self, event: Event, agent: &Agent) {
        match event {
            Event::Apply(object) => agent.generations.apply(object),
            Event::Delete(key) => agent.generations.delete(&key),
            Event::Synced => {
                self.synced = true;
                agent.generations.set_synced();
            }
            Event::Fault(fault) => {
                let text = fault.to_string();
                self.source_faults.entry(fault.origin).or_default().push(text);
            }
            Event::FaultCleared { origin } => drop(self.source_faults.remove(&origin)),
        }
    }

    fn faults(&self, agent: &Agent) -> Vec<String> {
        self.source_faults.values().flatten().cloned().chain(agent.generations.faults()).collect()
    }
}

/// Follows the objects until the task is dropped. Events that come together are acted on together.
pub(crate) async fn follow(mut objects: Objects, agent: Arc<Agent>) {
    let mut settled = true;
    // What came at the start has not been acted on.
    let mut waiting = true;
    loop {
        // What could not be put in force is tried again: it may have been in the way of a pod that goes.
        let next = match (waiting, settled) {
            (true, _) => Err(()),
            (_, true) => Ok(objects.watch.recv().await),
            (_, false) => timeout(RETRY, objects.watch.recv()).await.map_err(drop),
        };
        waiting = false;
        match next {
            Ok(Some(event)) => objects.take(event, &agent),
            Ok(None) => break,
            Err(()) => {}
        }
        while let Some(event) = objects.watch.try_recv() {
            objects.take(event, &agent);
        }
        let following = Arc::clone(&agent);
        let followed = tokio::task::spawn_blocking(move || {
            let node = following.generations.node_object(&following.config.node_name);
            let followed = following.follow_node(node);
            following.republish();
            followed
        })
        .await;
        for fault in agent.faults.replace(objects.faults(&agent)) {
            warn!(fault, "manifests are not as they should be");
        }
        if objects.synced {
            agent.readiness.met(Condition::Objects);
        }
        // A panic has been logged.
        settled = followed.unwrap_or(false);
    }
    error!("the objects are not followed any more");
    agent.readiness.unmet_because(Condition::Objects, "the objects are not followed any more; restart sluiced");
}

impl Agent {
    /// Takes over what the Node object says. Without one the last one known stays in force, and so does one that cannot
    /// be put in force. Returns `false` when it is to be tried again.
    fn follow_node(&self, node: Option<Node>) -> bool {
        let known = self.generations.node();
        let Some(node) = node else {
            if !known.pod_cidrs.is_empty() {
                warn!(node = self.config.node_name.as_str(), "the Node object is gone; what it said stays in force");
            }
            return true;
        };
        if node.pod_cidrs.is_empty() {
            let reason = format!("Node {} has no podCIDRs", node.name);
            self.readiness.unmet_because(Condition::Node, reason);
            return true;
        }
        if node == known {
            // It may have been something else meanwhile.
            self.readiness.met(Condition::Node);
            return true;
        }
        if let Err(error) = self.put_in_force(&node, known) {
            error!(%error, "the node's podCIDRs cannot be used; those before stay in force");
            self.readiness.unmet_because(Condition::Node, error.to_string());
            return false;
        }
        info!(node = node.name.as_str(), pod_cidrs = ?node.pod_cidrs, "the node's podCIDRs are known");
        // Ready only with the addresses of these podCIDRs on the host port.
        self.set_up_host_port();
        self.readiness.met(Condition::Node);
        true
    }

    /// All of `node` or nothing: tables first, for they may be refused; then pods are given addresses of it.
    fn put_in_force(&self, node: &Node, known: Node) -> Result<(), NodeError> {
        self.generations.set_node(node.clone());
        let done =
            self.publish().map_err(NodeError::from).and_then(|()| Ok(self.ledger.set_networks(&node.pod_cidrs)?));
        if done.is_err() {
            self.generations.set_node(known);
            if let Err(error) = self.publish() {
                error!(%error, "tables of the podCIDRs before cannot be made");
            }
        }
        done
    }

    /// Gives the host port the node's addresses and routes, also to pods that have addresses of earlier podCIDRs. A failure makes the agent not ready until a later try.
    pub(crate) fn set_up_host_port(&self) {
        let latest = || {
            let node = with_networks_of(self.generations.node(), self.ledger.addresses());
            (node, self.generations.networks_beyond())
        };
        let follow = |mut netlink| self.host_port.follow(&mut netlink, latest);
        let done = Netlink::open().and_then(follow);
        match done {
            Ok(()) => self.readiness.met(Condition::HostPort),
            Err(error) => {
                error!(%error, "the host port cannot be set up");
                self.readiness.unmet_because(Condition::HostPort, error.to_string());
            }
        }
    }
}
