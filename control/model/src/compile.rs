//! Model to tables: one generation from this node, its host port and what is attached.

use std::fmt;
use std::net::IpAddr;

use sluice_tables::{Port, PortId, PortKind, Tables, TablesBuilder, TablesError};

use crate::attachment::{Attachment, ContainerId, HostPort};
use crate::name::{NodeName, PodName};
use crate::node::Node;

/// Why no generation could be made. The one before goes on serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A pod's port without an address.
    #[error("{0} has no address: attach it again")]
    NoAddress(Owner),
    /// A pod's port with the node's own address.
    #[error("{owner} has {address}, which is the node's own address in the pod network: attach it again")]
    OwnAddress {
        /// The pod.
        owner: Owner,
        /// The address.
        address: IpAddr,
    },
    /// The tables refused what concerns these ports.
    #[error("{}: {source}", names(.owners))]
    Ports {
        /// Who the ports in question belong to.
        owners: Vec<Owner>,
        /// What the tables say.
        source: TablesError,
    },
    /// The tables refused what concerns the node as a whole.
    #[error("Node {node}: {source}")]
    Node {
        /// This node.
        node: NodeName,
        /// What the tables say.
        source: TablesError,
    },
}

/// Who a port belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A pod's sandbox.
    Pod {
        /// The pod.
        pod: PodName,
        /// Its sandbox.
        container: ContainerId,
    },
    /// The node's own stack.
    Host,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Pod { pod, container } => write!(f, "Pod {pod} (container {container})"),
            Owner::Host => f.write_str("the host port"),
        }
    }
}

fn names(owners: &[Owner]) -> String {
    owners.iter().map(Owner::to_string).collect::<Vec<_>>().join(", ")
}

/// Makes generation `generation` of this node's tables; `seed` seeds their hash maps.
///
/// # Errors
/// [`CompileError`] names the pods or the node whose data does not fit together.
pub fn compile(
    generation: u64,
    seed: u64,
    node: &Node,
    host: Option<&HostPort>,
    attachments: &[Attachment],
) -> Result<Tables, CompileError> {
    let own = node.own_addresses();
    let mut builder = TablesBuilder::new(generation, seed);
    for network in &node.pod_cidrs {
        builder = builder.pod_cidr(*network);
    }
    if let Some(host) = host {
        builder = builder.port(host_port(host, own.clone()));
    }
    for attachment in attachments {
        if attachment.addresses.is_empty() {
            return Err(CompileError::NoAddress(owner(attachment)));
        }
        if let Some(&address) = attachment.addresses.iter().find(|address| own.contains(address)) {
            return Err(CompileError::OwnAddress { owner: owner(attachment), address });
        }
        builder = builder.port(pod_port(attachment));
    }
    builder.build().map_err(|source| explain(source, node, host, attachments))
}

fn host_port(host: &HostPort, addresses: Vec<IpAddr>) -> Port {
    let HostPort { port: id, worker, mac, path_mtu, max_l3_len } = *host;
    Port { id, kind: PortKind::Host, worker, mac, addresses, path_mtu, max_l3_len }
}

fn pod_port(attachment: &Attachment) -> Port {
    let Attachment { container: _, pod: _, port: id, worker, mac, ref addresses, path_mtu, max_l3_len } = *attachment;
    Port { id, kind: PortKind::Pod, worker, mac, addresses: addresses.clone(), path_mtu, max_l3_len }
}

fn owner(attachment: &Attachment) -> Owner {
    Owner::Pod { pod: attachment.pod.clone(), container: attachment.container.clone() }
}

/// The tables know ports; people know pods.
fn explain(source: TablesError, node: &Node, host: Option<&HostPort>, attachments: &[Attachment]) -> CompileError {
    let concerned = ports_of(&source);
    let host = host.filter(|host| concerned.contains(&host.port)).map(|_| Owner::Host);
    let pods = attachments.iter().filter(|attachment| concerned.contains(&attachment.port)).map(owner);
    let owners: Vec<Owner> = host.into_iter().chain(pods).collect();
    if owners.is_empty() {
        return CompileError::Node { node: node.name.clone(), source };
    }
    CompileError::Ports { owners, source }
}

fn ports_of(error: &TablesError) -> Vec<PortId> {
    match error {
        TablesError::DuplicatePort(port) | TablesError::UnusableMac(port) => vec![*port],
        TablesError::DuplicateAddress { first, second, .. } | TablesError::TwoHostPorts { first, second } => {
            vec![*first, *second]
        }
        TablesError::AddressOutsidePodCidrs { port, .. }
        | TablesError::UnusableAddress { port, .. }
        | TablesError::PathMtuTooSmall { port, .. }
        | TablesError::LimitBelowPathMtu { port, .. } => vec![*port],
        _ => Vec::new(),
    }
}
