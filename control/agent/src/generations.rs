//! Makes the switch's tables from what is attached, and publishes them.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use sluice_model::{
    Attachment, CompileError, ContainerId, HostPort, Inputs, NameError, Node, NodeName, PodName, compile,
};
use sluice_tables::{PortId, Tables, TablesBuilder, TablesError, WorkerId};
use sluice_wire::MacAddr;

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
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    last: u64,
    node: Node,
    /// Why the latest generation could not be made, until one can.
    refused: Option<String>,
}

/// The generation before anything is known: no port, no network.
pub(crate) fn empty() -> Result<Tables, TablesError> {
    TablesBuilder::new(0, random_seed()).build()
}

/// The standard library's only source of randomness: two keys a process, which the kernel chose.
fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

impl Generations {
    /// Generations of a node of which nothing but the host port is known yet.
    pub(crate) fn new(node: NodeName, host: HostPort, shape: Shape) -> Self {
        let node = Node::named(node);
        let inner = Inner { last: 0, node, refused: None };
        Self { seed: random_seed(), host, shape, inner: Mutex::new(inner) }
    }

    /// Later generations are of this node object.
    pub(crate) fn set_node(&self, node: Node) {
        self.lock().node = node;
    }

    /// The node as it is known.
    pub(crate) fn node(&self) -> Node {
        self.lock().node.clone()
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
        let made = self.compile(&inner, &attached(), worker_for);
        inner.refused = made.as_ref().err().map(ToString::to_string);
        let tables = made?;
        inner.last += 1;
        publish(tables);
        Ok(())
    }

    fn compile(
        &self,
        inner: &Inner,
        attached: &[StoredAttachment],
        worker_for: impl Fn(PortId) -> WorkerId,
    ) -> Result<Tables, GenerationError> {
        let attachments: Vec<Attachment> =
            attached.iter().map(|one| self.attachment(one, &worker_for)).collect::<Result<_, _>>()?;
        let addresses = attachments.iter().flat_map(|attachment| attachment.addresses.iter().copied());
        let node = with_networks_of(inner.node.clone(), addresses);
        let known = Inputs::new(inner.last + 1, self.seed, &node);
        Ok(compile(&Inputs { host: Some(&self.host), attachments: &attachments, ..known })?)
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

    fn generations() -> Generations {
        let host = HostPort {
            port: PortId(0),
            worker: WorkerId(0),
            mac: MacAddr([2, 0, 0, 0, 0, 9]),
            path_mtu: 1500,
            max_l3_len: 65000,
        };
        Generations::new(NodeName::new("n1").unwrap(), host, Shape { path_mtu: 1500, super_frames: true })
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
    fn what_does_not_fit_is_refused_by_name_and_the_number_is_not_spent() {
        let generations = generations();
        let refused = next(&generations, &[attached(1, "10.0.0.2"), attached(2, "10.0.0.2")]).unwrap_err().to_string();
        assert!(refused.contains("default/p1") && refused.contains("default/p2"), "{refused}");
        assert_eq!(generations.refused(), Some(refused));
        assert_eq!(next(&generations, &[attached(1, "10.0.0.2")]).unwrap().generation(), 1);
        assert_eq!(generations.refused(), None);
    }
}
