//! Follows the objects: what they say of this node goes to the ledger, the host port and the tables.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sluice_host::Netlink;
use sluice_model::{Index, Node, NodeName};
use sluice_source::{Event, Watch};
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::readiness::Condition;

/// The objects in force and the faults of the files they come from.
#[derive(Debug, Default)]
struct Objects {
    index: Index,
    file_faults: BTreeMap<PathBuf, Vec<String>>,
    synced: bool,
}

impl Objects {
    fn take(&mut self, event: Event) {
        match event {
            Event::Apply(object) => drop(self.index.apply(object)),
            Event::Delete(key) => drop(self.index.delete(&key)),
            Event::Synced => self.synced = true,
            Event::Fault(fault) => {
                let text = fault.to_string();
                self.file_faults.entry(fault.file).or_default().push(text);
            }
            Event::FaultCleared { file } => drop(self.file_faults.remove(&file)),
        }
    }

    fn faults(&self) -> Vec<String> {
        let between = self.index.faults().into_iter().map(|fault| fault.to_string());
        self.file_faults.values().flatten().cloned().chain(between).collect()
    }

    fn node(&self, name: &NodeName) -> Option<Node> {
        self.index.node(name).cloned()
    }
}

/// Follows `watch` until the task is dropped. Events that come together are acted on together.
pub(crate) async fn follow(mut watch: Watch, agent: Arc<Agent>) {
    let mut objects = Objects::default();
    while let Some(event) = watch.recv().await {
        objects.take(event);
        while let Some(event) = watch.try_recv() {
            objects.take(event);
        }
        for fault in agent.faults.replace(objects.faults()) {
            warn!(fault, "an object is not as it should be");
        }
        if objects.synced {
            agent.readiness.met(Condition::Objects);
        }
        let node = objects.node(&agent.config.node_name);
        let agent = Arc::clone(&agent);
        // A panic has been logged; the next change tries again.
        let _ = tokio::task::spawn_blocking(move || agent.follow_node(node)).await;
    }
    error!("the objects are not followed any more");
}

impl Agent {
    /// Takes over what the Node object says. Without one the last one known stays in force.
    fn follow_node(&self, node: Option<Node>) {
        let Some(node) = node else {
            if !self.generations.node().pod_cidrs.is_empty() {
                warn!(node = self.config.node_name.as_str(), "the Node object is gone; what it said stays in force");
            }
            return;
        };
        if node.pod_cidrs.is_empty() {
            let reason = format!("Node {} has no podCIDRs", node.name);
            return self.readiness.unmet_because(Condition::Node, reason);
        }
        if node == self.generations.node() {
            return;
        }
        if let Err(error) = self.ledger.set_networks(&node.pod_cidrs) {
            error!(%error, "the node's podCIDRs cannot be used");
            return self.readiness.unmet_because(Condition::Node, error.to_string());
        }
        info!(node = node.name.as_str(), pod_cidrs = ?node.pod_cidrs, "the node's podCIDRs are known");
        self.generations.set_node(node);
        if let Err(error) = self.publish() {
            error!(%error, "tables of the new podCIDRs cannot be made; the ones before stay in force");
        }
        self.readiness.met(Condition::Node);
        self.set_up_host_port();
    }

    /// Gives the host port the node's addresses and routes. A failure makes the agent not ready until a later try.
    pub(crate) fn set_up_host_port(&self) {
        let follow = |mut netlink| self.host_port.follow(&mut netlink, || self.generations.node());
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
