//! Makes the switch's tables from what is attached, and publishes them.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use sluice_model::{
    Applied, Attachment, CompileError, ContainerId, HealthCheck, HostPort, Index, Inputs, Key, Kind, KnownServices,
    NameError, Node, NodeName, Object, PodName, Policies, UplinkPort, compile, compile_peers, compile_policies,
    health_checks,
};
use sluice_tables::{
    Peer, PodPolicy, PortId, RulesBuilder, Services, Tables, TablesBuilder, TablesError, Underlay, WorkerId,
};
use sluice_wire::MacAddr;

use crate::config::{Encapsulation, Network};
use crate::shape::Shape;
use crate::state::StoredAttachment;

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
}

#[derive(Debug)]
struct Inner {
    last: u64,
    node: Node,
    index: Index,
    /// The index holds all there is. Before, Services and policies are not known: none is compiled, and pods are shut.
    synced: bool,
    surroundings: Surroundings,
    /// Services as they were made last: those that do not change are made once.
    known: KnownServices,
    /// What was compiled of the objects; `None` once they, the node or its addresses have changed.
    objects: Option<Objects>,
    /// Whether anything changed since the last generation.
    stale: bool,
    /// The generation since which only neighbours of the underlay changed; `None` if more has since the last.
    decisions: Option<u64>,
    /// What was attached in the last generation.
    attached: Vec<Attachment>,
    /// Why the latest generation could not be made, until one can.
    refused: Option<String>,
}

/// What was compiled of the objects.
#[derive(Debug)]
struct Objects {
    /// The node's networks, for which they were compiled.
    networks: Vec<IpNet>,
    services: Arc<Services>,
    peers: Vec<Arc<Peer>>,
    health_checks: Vec<HealthCheck>,
    /// For the attachments that they were compiled for.
    policies: Option<(Vec<Attachment>, Policies)>,
    faults: Vec<String>,
}

/// What the kernel says of the node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Surroundings {
    /// All addresses of the node's stack.
    pub(crate) addresses: Vec<IpAddr>,
    /// Queues of the uplink, where there is one.
    pub(crate) uplinks: Vec<UplinkPort>,
    /// Routes and neighbours of the uplink.
    pub(crate) underlay: Arc<Underlay>,
    /// Routers on the uplink.
    pub(crate) routers: Vec<IpAddr>,
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
            node: Node::named(node),
            index: Index::new(),
            synced: false,
            surroundings: Surroundings::default(),
            known: KnownServices::default(),
            objects: None,
            stale: true,
            decisions: None,
            attached: Vec::new(),
            refused: None,
        };
        Self { seed: random_seed(), host, shape, network, inner: Mutex::new(inner) }
    }

    /// Later generations are of this node object.
    pub(crate) fn set_node(&self, node: Node) {
        let mut inner = self.lock();
        inner.node = node;
        inner.changed();
    }

    /// The node as it is known.
    pub(crate) fn node(&self) -> Node {
        self.lock().node.clone()
    }

    /// Takes an object, new or changed.
    pub(crate) fn apply(&self, object: Object) {
        let mut inner = self.lock();
        if inner.index.apply(object) != Applied::Unchanged {
            inner.changed();
        }
    }

    /// Forgets an object.
    pub(crate) fn delete(&self, key: &Key) {
        let mut inner = self.lock();
        if inner.index.delete(key).is_some() {
            inner.changed();
        }
    }

    /// All objects there are have been applied once.
    pub(crate) fn set_synced(&self) {
        let mut inner = self.lock();
        inner.synced = true;
        inner.changed();
    }

    /// Whether all objects there are have been applied once.
    pub(crate) fn is_synced(&self) -> bool {
        self.lock().synced
    }

    /// What the objects say of a node.
    pub(crate) fn node_object(&self, name: &NodeName) -> Option<Node> {
        self.lock().index.node(name).cloned()
    }

    /// Later generations have these surroundings. Returns whether they are others than before.
    pub(crate) fn set_surroundings(&self, surroundings: Surroundings) -> bool {
        let mut inner = self.lock();
        if inner.surroundings == surroundings {
            return false;
        }
        if inner.surroundings.addresses != surroundings.addresses {
            inner.objects = None;
        }
        if !inner.surroundings.decides_as(&surroundings) {
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
    pub(crate) fn faults(&self) -> Vec<String> {
        let inner = self.lock();
        let between = inner.index.faults().into_iter().map(|fault| fault.to_string());
        let compiled = inner.objects.iter().flat_map(|objects| {
            let policies = objects.policies.iter().flat_map(|(_, policies)| &policies.faults);
            objects.faults.iter().cloned().chain(policies.map(ToString::to_string))
        });
        let mut faults: Vec<String> = between.chain(compiled).collect();
        faults.dedup();
        faults
    }

    /// Health checks of Services that the node is to answer.
    pub(crate) fn health_checks(&self) -> Vec<HealthCheck> {
        self.lock().objects.as_ref().map(|objects| objects.health_checks.clone()).unwrap_or_default()
    }

    /// The addresses of the node at which NodePorts are served.
    pub(crate) fn node_port_addresses(&self) -> Vec<IpAddr> {
        let inner = self.lock();
        let live = &inner.surroundings.addresses;
        let served = inner.objects.iter().flat_map(|objects| objects.services.node_port_addresses());
        served.filter(|address| live.contains(address)).collect()
    }

    /// What is in force of the objects, in numbers.
    pub(crate) fn counts(&self) -> ObjectCounts {
        let inner = self.lock();
        let objects = inner.objects.as_ref();
        ObjectCounts {
            services: objects.map_or(0, |objects| objects.services.iter().len()),
            peers: objects.map_or(0, |objects| objects.peers.len()),
            policies: inner.index.count(Kind::NetworkPolicy),
        }
    }

    /// Networks beyond the node that its own stack is to reach through the switch: Service ranges, Services' other addresses,
    /// and the pods of other nodes, where packets to them are encapsulated.
    pub(crate) fn networks_beyond(&self) -> Vec<IpNet> {
        let inner = self.lock();
        let Some(objects) = &inner.objects else { return Vec::new() };
        let own = inner.node.all_addresses(&inner.surroundings.addresses);
        // Another node serves the Service at its own address itself, and is more than that to this one; and so is a router.
        let others = |address: &IpAddr| {
            inner.surroundings.routers.contains(address)
                || objects.peers.iter().any(|peer| peer.addresses.contains(address))
        };
        let mut networks = objects.services.service_cidrs().to_vec();
        let frontends = objects.services.frontends().map(|(key, ..)| key.address);
        networks.extend(frontends.filter(|address| !own.contains(address) && !others(address)).map(IpNet::from));
        if !inner.surroundings.uplinks.is_empty() && self.network.encapsulation != Encapsulation::None {
            networks.extend(objects.peers.iter().flat_map(|peer| peer.pod_cidrs.iter().copied()));
        }
        IpNet::aggregate(&networks)
    }

    /// Hosts on the uplink that packets are sure to be sent to: other nodes and routers.
    pub(crate) fn hosts_beyond(&self) -> Vec<IpAddr> {
        let inner = self.lock();
        let peers = inner.objects.iter().flat_map(|objects| objects.peers.iter().map(|peer| peer.tunnel));
        peers.chain(inner.surroundings.routers.iter().copied()).collect()
    }

    /// Since when nothing changed but neighbours of the uplink; `None` if more has since the last generation.
    pub(crate) fn decisions(&self) -> Option<u64> {
        self.lock().decisions
    }

    /// Why the latest generation was not made; `None` when it was.
    pub(crate) fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// Makes the next generation and hands it to `publish`. `attached` is asked under the lock, so that generations
    /// are published in the order in which they were made and the last one is the latest truth.
    pub(crate) fn next(
        &self,
        attached: impl FnOnce() -> Vec<StoredAttachment>,
        worker_for: impl Fn(PortId) -> WorkerId,
        publish: impl FnOnce(Tables),
    ) -> Result<(), GenerationError> {
        let mut inner = self.lock();
        let made = self.compile(&mut inner, &attached(), worker_for);
        inner.refused = made.as_ref().err().map(ToString::to_string);
        inner.stale = false;
        let tables = made?;
        inner.last += 1;
        inner.decisions = Some(tables.decisions());
        publish(tables);
        Ok(())
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
        self.compile_objects(inner, &node, &attachments);
        if inner.attached != attachments {
            inner.decisions = None;
        }
        let mut inputs = Inputs::new(inner.last + 1, self.seed, &node);
        inputs.decisions = inner.decisions.unwrap_or(inputs.generation);
        inputs.host = Some(&self.host);
        inputs.attachments = &attachments;
        inputs.node_addresses = &inner.surroundings.addresses;
        inputs.uplinks = &inner.surroundings.uplinks;
        inputs.underlay = Arc::clone(&inner.surroundings.underlay);
        inputs.masquerade = self.network.masquerade(&node);
        // What is allowed is not known, so nothing is, but for the node itself.
        let shut: Vec<(PortId, PodPolicy)> = match inner.synced {
            true => Vec::new(),
            false => attachments.iter().map(|attachment| (attachment.port, shut(self.seed))).collect(),
        };
        inputs.policies = &shut;
        if let Some(objects) = &inner.objects {
            inputs.services = Arc::clone(&objects.services);
            if let Some(uplink) = inputs.uplinks.first() {
                inputs.peers = &objects.peers;
                inputs.tunnel = self.network.tunnel(&node, self.shape.path_mtu, uplink.path_mtu);
            }
            if let Some((_, policies)) = &objects.policies {
                inputs.identities = Arc::clone(&policies.identities);
                inputs.policies = &policies.by_port;
            }
        }
        let tables = compile(&inputs)?;
        inner.attached = attachments;
        Ok(tables)
    }

    /// Compiles of the objects what is not compiled yet.
    fn compile_objects(&self, inner: &mut Inner, node: &Node, attachments: &[Attachment]) {
        if !inner.synced {
            return;
        }
        let Inner { index, surroundings, known, objects, .. } = inner;
        // Pods' networks are part of what the others must not claim.
        if objects.as_ref().is_some_and(|objects| objects.networks != node.pod_cidrs) {
            *objects = None;
        }
        let objects = objects.get_or_insert_with(|| {
            let config = self.network.services(&surroundings.addresses);
            let (services, service_faults) = known.compile(index, node, &config, self.seed);
            let peers = compile_peers(index, node, &self.network.peers(node, &surroundings.addresses));
            let faults = service_faults.iter().chain(&peers.faults).map(ToString::to_string).collect();
            let health_checks = health_checks(index, node, &config);
            let networks = node.pod_cidrs.clone();
            let services = Arc::new(services);
            Objects { networks, services, peers: peers.peers, health_checks, policies: None, faults }
        });
        if objects.policies.as_ref().is_none_or(|(of, _)| of != attachments) {
            let policies = compile_policies(index, &node.name, attachments, self.seed);
            objects.policies = Some((attachments.to_vec(), policies));
        }
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
    /// What was compiled does not hold any more.
    fn changed(&mut self) {
        self.objects = None;
        self.stale = true;
        self.decisions = None;
    }
}

impl Surroundings {
    /// Whether they differ in neighbours of the underlay at most.
    fn decides_as(&self, other: &Self) -> bool {
        let Self { addresses, uplinks, underlay, routers } = self;
        *addresses == other.addresses
            && *uplinks == other.uplinks
            && *routers == other.routers
            && underlay.routes_as(&other.underlay)
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
mod tests {
    use super::*;
    use crate::config::{Config, Keys, SourceKeys};

    fn network() -> Network {
        let source = SourceKeys::of_directory("/m");
        let keys = Keys { node_name: Some("n1".into()), source, ..Keys::default() };
        let around = crate::config::Surroundings { cores: vec![0], ..Default::default() };
        Config::check(keys, &around).unwrap().network
    }

    fn generations() -> Generations {
        let host = HostPort {
            port: PortId(0),
            worker: WorkerId(0),
            mac: MacAddr([2, 0, 0, 0, 0, 9]),
            path_mtu: 1500,
            max_l3_len: 65000,
        };
        let shape = Shape { path_mtu: 1500, super_frames: true, wire_mtu: 0 };
        Generations::new(NodeName::new("n1").unwrap(), host, shape, network())
    }

    fn attached(port: u16, address: &str) -> StoredAttachment {
        StoredAttachment {
            container_id: format!("c{port}"),
            ifname: "eth0".into(),
            netns: "/run/netns/x".into(),
            host_veth: "slu0".into(),
            mac: [2, 0, 0, 0, 0, 1],
            addresses: vec![address.parse().unwrap()],
            pod_namespace: "default".into(),
            pod_name: format!("p{port}"),
            pod_uid: None,
            port,
            network: "sluice".into(),
        }
    }

    fn next(generations: &Generations, attached: &[StoredAttachment]) -> Result<Tables, GenerationError> {
        let mut made = None;
        generations.next(|| attached.to_vec(), |_| WorkerId(0), |tables| made = Some(tables))?;
        Ok(made.expect("published"))
    }

    #[test]
    fn a_pod_has_its_port_before_the_node_object_is_known() {
        let tables = next(&generations(), &[attached(1, "10.0.0.2")]).unwrap();
        assert_eq!(tables.generation(), 1);
        assert!(tables.port(PortId(1)).is_some());
    }

    #[test]
    fn pods_are_shut_until_the_objects_are_known() {
        let generations = generations();
        let before = next(&generations, &[attached(1, "10.0.0.2")]).unwrap();
        let shut = before.policy(PortId(1));
        let anyone = "10.0.0.9".parse().unwrap();
        for rules in [&shut.ingress, &shut.egress] {
            let rules = rules.as_ref().expect("isolated in both directions");
            assert!(!rules.allows(anyone, None, 6, 80) && !rules.allows(anyone, None, 1, 0));
        }
        generations.set_synced();
        let after = next(&generations, &[attached(1, "10.0.0.2")]).unwrap();
        assert!(after.policy(PortId(1)).ingress.is_none() && after.policy(PortId(1)).egress.is_none());
        assert_eq!(after.decisions(), 2, "what was shut is decided again");
    }

    #[test]
    fn connections_are_decided_again_after_any_change_but_that_of_a_neighbour() {
        let generations = generations();
        let pods = [attached(1, "10.0.0.2")];
        let decisions = |pods: &[StoredAttachment]| next(&generations, pods).unwrap().decisions();
        let surroundings = |gateway: Option<&str>, mac: Option<u8>| {
            let builder = sluice_tables::UnderlayBuilder::new(0);
            let builder = gateway.into_iter().fold(builder, |builder, gateway| {
                builder.route("0.0.0.0/0".parse().unwrap(), sluice_tables::Hop::Via(gateway.parse().unwrap()))
            });
            let builder = mac.into_iter().fold(builder, |builder, mac| {
                builder.neighbour("192.0.2.1".parse().unwrap(), MacAddr([2, 0, 0, 0, 0, mac]))
            });
            Surroundings { underlay: Arc::new(builder.build()), ..Surroundings::default() }
        };
        assert_eq!(decisions(&pods), 1);
        assert!(generations.set_surroundings(surroundings(None, Some(1))));
        assert_eq!(decisions(&pods), 1, "a neighbour came");
        assert!(generations.set_surroundings(surroundings(Some("192.0.2.1"), Some(1))));
        assert_eq!(decisions(&pods), 3, "a route came");
        assert!(generations.set_surroundings(surroundings(Some("192.0.2.1"), Some(2))));
        assert_eq!(decisions(&pods), 3, "a neighbour changed");
        assert_eq!(decisions(&[attached(1, "10.0.0.2"), attached(2, "10.0.0.3")]), 5, "a pod came");
        generations.set_node(Node { pod_cidrs: vec!["10.0.0.0/24".parse().unwrap()], ..generations.node() });
        assert_eq!(decisions(&[attached(1, "10.0.0.2"), attached(2, "10.0.0.3")]), 6, "the node changed");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name_and_the_number_is_not_spent() {
        let generations = generations();
        let refused = next(&generations, &[attached(1, "10.0.0.2"), attached(2, "10.0.0.2")]).unwrap_err().to_string();
        assert!(refused.contains("default/p1") && refused.contains("default/p2"), "{refused}");
        assert_eq!(generations.refused(), Some(refused));
        assert_eq!(next(&generations, &[attached(1, "10.0.0.2")]).unwrap().generation(), 1);
        assert_eq!(generations.refused(), None);
    }
}
