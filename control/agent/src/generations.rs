//! Makes the switch's tables from what is attached and the objects in force, and publishes them.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use ipnet::IpNet;
use sluice_model::{
    Attachment, CompileError, Compiler, ContainerId, Fault, HealthCheck, HostPort, Inputs, Key, Kind, NameError, Node,
    NodeName, Object, PodName, compile,
};
use sluice_tables::{PodPolicy, PortId, RulesBuilder, Tables, TablesBuilder, TablesError, WorkerId};
use sluice_wire::MacAddr;
use tracing::{error, info};

use self::clocks::Clocks;
use self::compiled::Compilation;
use self::in_force::InForce;
use self::latency::{Latency, Pending, happened};
use self::port_mappings::port_mappings;
use crate::config::Network;
use crate::shape::Shape;
use crate::state::StoredAttachment;

mod beyond;
mod clocks;
mod compiled;
mod in_force;
mod latency;
mod load;
mod port_mappings;
mod surroundings;

pub(crate) use self::clocks::{Step, Steps};
pub(crate) use self::in_force::Standing;
pub(crate) use self::latency::Latencies;
pub(crate) use self::load::{Load, MANY_LABELS};
pub(crate) use self::surroundings::Surroundings;

/// Why a generation could not be made. The one before goes on serving.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerationError {
    /// The objects do not fit together.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An attachment is of a pod that cannot be.
    #[error("attachment of container {container} is of no possible pod: {source}")]
    Pod {
        /// Its container.
        container: String,
        /// What is wrong with the name.
        source: NameError,
    },
}

/// What the next generation is made of, besides the attachments.
#[derive(Debug)]
pub(crate) struct Generations {
    seed: u64,
    host: HostPort,
    shape: Shape,
    network: Network,
    inner: Mutex<Inner>,
    latency: Latency,
    clocks: Clocks,
}

#[derive(Debug)]
struct Inner {
    last: u64,
    node: Node,
    /// The objects. As long as none are in force, Services and policies are not known: none is compiled, and pods are shut.
    objects: InForce,
    surroundings: Surroundings,
    compilation: Compilation,
    /// Changes of the objects that are not in force yet.
    pending: Pending,
    /// Counts changes of what concerns others than the workers: Services and Nodes, this node and its addresses, its pods. Those of
    /// endpoints, which are many more, are not among them.
    beyond: u64,
    /// Whether anything changed since the last generation.
    stale: bool,
    /// The generation since which only neighbours of the underlay changed; `None` if more has since the last.
    decisions: Option<u64>,
    /// What was attached in the last generation.
    attached: Vec<Attachment>,
    /// Why the latest generation could not be made, until one can.
    refused: Option<String>,
}

/// What is in force of the objects, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ObjectCounts {
    /// Service ports of one family that are served.
    pub(crate) services: usize,
    /// Other nodes that are reached.
    pub(crate) peers: usize,
    /// NetworkPolicies.
    pub(crate) policies: usize,
}

/// The generation before anything is known: no port, no network.
pub(crate) fn empty() -> Result<Tables, TablesError> {
    TablesBuilder::new(0, random_seed()).build()
}

/// The standard library's only source of randomness: two keys a process, which the kernel chose.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

impl Generations {
    /// Generations of a node of which nothing but the host port is known yet.
    pub(crate) fn new(node: NodeName, host: HostPort, shape: Shape, network: Network) -> Self {
        let inner = Inner {
            last: 0,
            node: Node::named(node.clone()),
            objects: InForce::on(node),
            surroundings: Surroundings::default(),
            compilation: Compilation::default(),
            pending: Pending::default(),
            beyond: 0,
            stale: true,
            decisions: None,
            attached: Vec::new(),
            refused: None,
        };
        Self {
            seed: random_seed(),
            host,
            shape,
            network,
            inner: Mutex::new(inner),
            latency: Latency::default(),
            clocks: Clocks::default(),
        }
    }

    /// Later generations are of this node object.
    pub(crate) fn set_node(&self, node: Node) {
        let mut inner = self.lock();
        inner.node = node;
        inner.beyond += 1;
        inner.changed();
    }

    /// The node as it is known.
    pub(crate) fn node(&self) -> Node {
        self.lock().node.clone()
    }

    /// Objects of an earlier time, which serve until all that there are now have come.
    pub(crate) fn serve_last_good(&self, objects: impl IntoIterator<Item = Object>, written: SystemTime) {
        let mut inner = self.lock();
        inner.objects.serve_last_good(objects, written);
        inner.beyond += 1;
        inner.changed();
    }

    /// Takes an object, new or changed, that came at `arrived`.
    pub(crate) fn apply(&self, object: Object, arrived: Instant) {
        let happened = happened(&object);
        let beyond = matches!(object, Object::Service(_) | Object::Node(_));
        let mut inner = self.lock();
        let before = inner.objects.standing();
        let changed = inner.objects.apply(object);
        if let (Standing::Withheld(_), Standing::Current) = (before, inner.objects.standing()) {
            info!(
                node = inner.node.name.as_str(),
                "the Node object is there again; what was told meanwhile is taken over"
            );
            // Services and other Nodes may be among it.
            inner.beyond += 1;
        }
        if changed {
            inner.pending.note(arrived, happened);
            inner.beyond += u64::from(beyond);
            inner.changed();
        }
    }

    /// Forgets an object, as was told at `arrived`.
    pub(crate) fn delete(&self, key: &Key, arrived: Instant) {
        let mut inner = self.lock();
        let before = inner.objects.standing();
        let deleted = inner.objects.delete(key, SystemTime::now());
        if let (Standing::Current, Standing::Withheld(_)) = (before, inner.objects.standing()) {
            error!(
                node = inner.node.name.as_str(),
                "the Node object is gone; nothing is taken away, and nothing new taken over, until it is there again"
            );
        }
        if deleted {
            inner.pending.note(arrived, None);
            inner.beyond += u64::from(matches!(key, Key::Service(_) | Key::Node(_)));
            inner.changed();
        }
    }

    /// All objects there are have been applied once.
    pub(crate) fn set_synced(&self) {
        let mut inner = self.lock();
        inner.objects.set_synced();
        inner.beyond += 1;
        inner.changed();
    }

    /// Where the objects in force come from.
    pub(crate) fn standing(&self) -> Standing {
        self.lock().objects.standing()
    }

    /// Whether the objects are known, and what they say of this node is in force too, as far as it can be.
    pub(crate) fn is_whole(&self) -> bool {
        let inner = self.lock();
        let Some(index) = inner.objects.index() else { return false };
        index.node(&inner.node.name).is_none_or(|node| node.pod_cidrs.is_empty() || *node == inner.node)
    }

    /// How often the objects that came have changed: another number, other objects.
    pub(crate) fn object_changes(&self) -> u64 {
        self.lock().objects.changes()
    }

    /// The objects in force behind `after`, at most so many.
    pub(crate) fn page(&self, after: Option<&Key>, most: usize) -> Vec<Object> {
        self.lock().objects.index().map(|index| index.page(after, most)).unwrap_or_default()
    }

    /// How long changes of the objects took until they were in force.
    pub(crate) fn latencies(&self) -> Latencies {
        self.latency.read()
    }

    /// What the objects in force say of a node.
    pub(crate) fn node_object(&self, name: &NodeName) -> Option<Node> {
        self.lock().objects.index()?.node(name).cloned()
    }

    /// Later generations have these surroundings. Returns whether they are others than before.
    pub(crate) fn set_surroundings(&self, surroundings: Surroundings) -> bool {
        let mut inner = self.lock();
        if inner.surroundings == surroundings {
            return false;
        }
        if !inner.surroundings.decides_as(&surroundings) {
            inner.beyond += 1;
            inner.decisions = None;
        }
        inner.stale = true;
        inner.surroundings = surroundings;
        true
    }

    /// Whether something changed since the last generation was made.
    pub(crate) fn is_stale(&self) -> bool {
        self.lock().stale
    }

    /// What is wrong between the objects and with their use on this node.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let inner = self.lock();
        let mut faults = inner.compilation.compiled().map(Compiler::faults).unwrap_or_default();
        faults.dedup();
        faults
    }

    /// Health checks of Services that the node is to answer.
    pub(crate) fn health_checks(&self) -> Vec<HealthCheck> {
        self.lock().compilation.compiled().map(|compiled| compiled.health_checks().to_vec()).unwrap_or_default()
    }

    /// What is in force of the objects, in numbers.
    pub(crate) fn counts(&self) -> ObjectCounts {
        let inner = self.lock();
        let compiled = inner.compilation.compiled();
        ObjectCounts {
            services: compiled.map_or(0, |compiled| compiled.services().iter().len()),
            peers: compiled.map_or(0, |compiled| compiled.peers().len()),
            policies: inner.objects.index().map_or(0, |index| index.count(Kind::NetworkPolicy)),
        }
    }

    /// Since when nothing changed but neighbours of the uplink; `None` if more has since the last generation.
    pub(crate) fn decisions(&self) -> Option<u64> {
        self.lock().decisions
    }

    /// Why the latest generation was not made; `None` when it was.
    pub(crate) fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// Another number: what concerns others than the workers may have changed.
    pub(crate) fn beyond(&self) -> u64 {
        self.lock().beyond
    }

    /// Makes the next generation and hands it to `publish`. Returns the number of [`Generations::beyond`] that it was made at.
    /// `attached` is asked under the lock, so that generations are published in the order in which they were made and the last
    /// one is the latest truth; what takes long and has no need of that is for afterwards.
    pub(crate) fn next(
        &self,
        attached: impl FnOnce() -> Vec<StoredAttachment>,
        worker_for: impl Fn(PortId) -> WorkerId,
        publish: impl FnOnce(Tables),
    ) -> Result<u64, GenerationError> {
        let mut inner = self.lock();
        let made = self.compile(&mut inner, &attached(), worker_for);
        inner.refused = made.as_ref().err().map(ToString::to_string);
        inner.stale = false;
        let tables = made?;
        inner.last += 1;
        inner.decisions = Some(tables.decisions());
        publish(tables);
        self.latency.observe(&mut inner.pending, Instant::now(), SystemTime::now());
        Ok(inner.beyond)
    }

    fn compile(
        &self,
        inner: &mut Inner,
        attached: &[StoredAttachment],
        worker_for: impl Fn(PortId) -> WorkerId,
    ) -> Result<Tables, GenerationError> {
        let attachments: Vec<Attachment> =
            attached.iter().map(|one| self.attachment(one, &worker_for)).collect::<Result<_, _>>()?;
        let addresses = attachments.iter().flat_map(|attachment| attachment.addresses.iter().copied());
        let node = with_networks_of(inner.node.clone(), addresses);
        if let Some(index) = inner.objects.index_mut() {
            let wanted = compiled::For {
                node: &node,
                addresses: &inner.surroundings.addresses,
                underlay: &inner.surroundings.reached(),
                attachments: &attachments,
                port_mappings: &port_mappings(attached, &attachments),
                network: &self.network,
                seed: self.seed,
            };
            inner.compilation.compile(index, &wanted);
        }
        if inner.attached != attachments {
            inner.beyond += 1;
            inner.decisions = None;
        }
        let mut inputs = Inputs::new(inner.last + 1, self.seed, &node);
        inputs.decisions = inner.decisions.unwrap_or(inputs.generation);
        inputs.host = Some(&self.host);
        inputs.attachments = &attachments;
        inputs.node_addresses = &inner.surroundings.addresses;
        inputs.uplinks = &inner.surroundings.uplinks;
        inputs.underlay = Arc::clone(&inner.surroundings.underlay);
        inputs.answers_return = inner.surroundings.answers_return;
        inputs.masquerade = self.network.masquerade(&node);
        // What is allowed is not known, so nothing is, but for the node itself.
        let shut: Vec<(PortId, PodPolicy)> = match inner.objects.index() {
            Some(_) => Vec::new(),
            None => attachments.iter().map(|attachment| (attachment.port, shut(self.seed))).collect(),
        };
        inputs.policies = &shut;
        if let Some(compiled) = inner.compilation.compiled() {
            inputs.services = Arc::clone(compiled.services());
            if let Some(uplink) = inputs.uplinks.first() {
                inputs.peers = compiled.peers();
                inputs.tunnel = self.network.tunnel(&node, self.shape.path_mtu, uplink.path_mtu);
            }
            inputs.identities = Arc::clone(compiled.identities());
            inputs.policies = compiled.policies();
        }
        let tables = compile(&inputs)?;
        inner.attached = attachments;
        Ok(tables)
    }

    fn attachment(
        &self,
        stored: &StoredAttachment,
        worker_for: impl Fn(PortId) -> WorkerId,
    ) -> Result<Attachment, GenerationError> {
        let pod = PodName::parse(&stored.pod_namespace, &stored.pod_name)
            .map_err(|source| GenerationError::Pod { container: stored.container_id.clone(), source })?;
        let port = PortId(stored.port);
        Ok(Attachment {
            container: ContainerId::new(&stored.container_id),
            pod,
            port,
            worker: worker_for(port),
            mac: MacAddr(stored.mac),
            addresses: stored.addresses.clone(),
            path_mtu: self.shape.path_mtu,
            max_l3_len: self.shape.link_mtu(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policy of a pod before any policy is known.
fn shut(seed: u64) -> PodPolicy {
    let nothing = Arc::new(RulesBuilder::new(seed).build());
    PodPolicy { ingress: Some(Arc::clone(&nothing)), egress: Some(nothing) }
}

impl Inner {
    /// What was decided does not hold any more.
    fn changed(&mut self) {
        self.stale = true;
        self.decisions = None;
    }
}

/// A pod that has an address outside of the node's podCIDRs was attached before they changed, or the Node object is not
/// known (yet) after a restart. It keeps its connectivity: its address counts as a network of its own.
pub(crate) fn with_networks_of(mut node: Node, addresses: impl IntoIterator<Item = IpAddr>) -> Node {
    let outside = |address: &IpAddr| !node.pod_cidrs.iter().any(|net| net.contains(address));
    let addresses: BTreeSet<IpAddr> = addresses.into_iter().filter(outside).collect();
    node.pod_cidrs.extend(addresses.into_iter().map(IpNet::from));
    node
}

#[cfg(test)]
mod tests;
