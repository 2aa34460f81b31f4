//! Follows the objects: what they say of this node goes to the ledger, the host port and the tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_host::Netlink;
use sluice_model::Node;
use sluice_source::Event;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::agent::{Agent, Around};
use crate::feed::{Arrival, Feed};
use crate::generations::{GenerationError, Standing};
use crate::ipam::IpamError;
use crate::readiness::Condition;

/// Time between tries to put a Node in force that could not be.
const RETRY: Duration = Duration::from_secs(5);

/// Events that are acted on together, at most.
const TOGETHER: usize = 4096;

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
/// The same where the objects of an earlier time serve.
const FIRST_LIST_WITH_LAST_GOOD: Duration = Duration::from_secs(1);

/// The objects on their way into force.
#[derive(Debug)]
pub(crate) struct Objects {
    feed: Feed,
    synced: bool,
}

impl Objects {
    /// Objects of which none is known yet.
    pub(crate) fn new(feed: Feed) -> Self {
        Self { feed, synced: false }
    }

    /// Takes what is there at the start, until it is all there or the time is over.
    pub(crate) async fn first(&mut self, agent: &Agent) {
        let known = agent.generations.standing() != Standing::Unknown;
        let whole = async {
            while !self.synced {
                match self.feed.recv().await {
                    Some(arrival) => self.take(arrival, agent),
                    None => break,
                }
            }
        };
        let patience = if known { FIRST_LIST_WITH_LAST_GOOD } else { FIRST_LIST };
        if timeout(patience, whole).await.is_ok() {
            return;
        }
        if known {
            warn!("the objects are not all known; until they are, the last good ones serve");
        } else {
            warn!(
                "the objects are not all known; until they are, pods attached earlier may talk to nobody but the node"
            );
        }
    }

    fn take(&mut self, Arrival { event, at }: Arrival, agent: &Agent) {
        match event {
            Event::Apply(object) => agent.generations.apply(object, at),
            Event::Delete(key) => agent.generations.delete(&key, at),
            Event::Synced => {
                self.synced = true;
                agent.generations.set_synced();
                info!(objects = agent.generations.object_changes(), "the objects are all known");
            }
            Event::Fault(fault) => agent.faults.add(fault),
            Event::FaultCleared { origin } => agent.faults.clear(&origin),
        }
    }

    /// Takes what has come, but not for ever.
    fn take_waiting(&mut self, agent: &Agent) {
        for _ in 0..TOGETHER {
            let Some(arrival) = self.feed.try_recv() else { break };
            self.take(arrival, agent);
        }
    }

    /// Until there is something to do. `false` when nothing will come any more.
    async fn wait(&mut self, agent: &Agent, settled: bool) -> bool {
        tokio::select! {
            arrival = self.feed.recv() => match arrival {
                Some(arrival) => self.take(arrival, agent),
                None => return false,
            },
            () = agent.wake.notified() => {}
            // What could not be put in force is tried again: it may have been in the way of a pod that goes.
            () = sleep(RETRY), if !settled => {}
        }
        true
    }
}

/// Follows the objects, and what else goes into tables, until the task is dropped. What comes together is acted on together.
pub(crate) async fn follow(mut objects: Objects, agent: Arc<Agent>) {
    // What came at the start has not been acted on.
    let mut settled = true;
    agent.wake.notify_one();
    while objects.wait(&agent, settled).await {
        let wait = agent.pace().wait(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
        objects.take_waiting(&agent);
        let following = Arc::clone(&agent);
        let followed = tokio::task::spawn_blocking(move || {
            let node = following.generations.node_object(&following.config.node_name);
            let followed = following.follow_node(node);
            following.republish();
            following.tell_node_facts();
            followed
        })
        .await;
        if agent.generations.standing() != Standing::Unknown && agent.readiness.is_unmet(Condition::Objects) {
            // Who waits for this may ask what is wrong.
            agent.renew_faults();
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
            let before = if known.pod_cidrs.is_empty() {
                "so its pods get no addresses"
            } else {
                "those that it had before stay in force until it has some again"
            };
            let reason = format!(
                "Node {} has no podCIDRs: {before}; have the controller manager give it some (--allocate-node-cidrs and \
                 --cluster-cidr), or set spec.podCIDRs",
                node.name
            );
            self.readiness.unmet_because(Condition::Node, reason);
            return true;
        }
        if node == known && self.ledger.has_networks(&node.pod_cidrs) {
            // It may have been something else meanwhile.
            self.readiness.met(Condition::Node);
            return true;
        }
        let news = !self.ledger.has_networks(&node.pod_cidrs);
        if let Err(error) = self.put_in_force(&node, known) {
            error!(%error, "the node's podCIDRs cannot be used; those before stay in force");
            self.readiness.unmet_because(Condition::Node, error.to_string());
            return false;
        }
        if news {
            info!(node = node.name.as_str(), pod_cidrs = ?node.pod_cidrs, "the node's podCIDRs are known");
        }
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
        let mut taken = None;
        let follow = |mut netlink| {
            self.host_port.follow(&mut netlink, || {
                let Around { node, networks, .. } = taken.insert(self.host_port_wants()).clone();
                (node, networks)
            })
        };
        let done = Netlink::open().and_then(follow);
        *self.host_port_has() = taken.filter(|_| done.is_ok());
        match done {
            Ok(()) => self.readiness.met(Condition::HostPort),
            Err(error) => {
                error!(%error, "the host port cannot be set up");
                self.readiness.unmet_because(Condition::HostPort, error.to_string());
            }
        }
    }

    /// The same where it would have something else than last time: most changes of the objects are none of its.
    pub(crate) fn follow_host_port(&self) {
        let beyond = self.generations.beyond();
        if self.host_port_has().as_ref().is_some_and(|has| has.beyond == beyond) {
            return;
        }
        let wants = self.host_port_wants();
        match &mut *self.host_port_has() {
            Some(has) if (&has.node, &has.networks) == (&wants.node, &wants.networks) => {
                has.beyond = wants.beyond;
                return;
            }
            _ => {}
        }
        self.set_up_host_port();
    }

    fn host_port_wants(&self) -> Around {
        // First, so that what changes meanwhile is seen the next time.
        let beyond = self.generations.beyond();
        let node = self.generations.node_with(self.ledger.addresses());
        Around { beyond, node, networks: self.generations.networks_beyond() }
    }
}
