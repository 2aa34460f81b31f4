//! Model to tables: one generation from this node, its ports, and what was compiled of the other objects.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_tables::{
    Family, Identities, Masquerade, NodeEntry, Peer, PodPolicy, Port, PortId, PortKind, Services, Tables,
    TablesBuilder, TablesError, Tunnel, Underlay,
};

use crate::attachment::{Attachment, ContainerId, HostPort, UplinkPort};
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
    /// The network outside.
    Uplink,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Pod { pod, container } => write!(f, "Pod {pod} (container {container})"),
            Owner::Host => f.write_str("the host port"),
            Owner::Uplink => f.write_str("the uplink"),
        }
    }
}

fn names(owners: &[Owner]) -> String {
    owners.iter().map(Owner::to_string).collect::<Vec<_>>().join(", ")
}

/// What a generation is made of. [`Inputs::new`] has the least; the rest is set field by field.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The generation's number.
    pub generation: u64,
    /// The generation since which only neighbours of the underlay changed; its own number where anything else did.
    pub decisions: u64,
    /// Seeds the hash maps.
    pub seed: u64,
    /// This node.
    pub node: &'a Node,
    /// The port that joins the node's own stack.
    pub host: Option<&'a HostPort>,
    /// Pods' ports.
    pub attachments: &'a [Attachment],
    /// Queues of the device to the network outside.
    pub uplinks: &'a [UplinkPort],
    /// All addresses that the node's own stack has at this moment. Those that the Node object and its pod networks tell
    /// of count as the node's without being here.
    pub node_addresses: &'a [IpAddr],
    /// Under which address and ports pods speak to the outside.
    pub masquerade: Masquerade,
    /// From [`crate::compile_services`].
    pub services: Arc<Services>,
    /// From [`crate::compile_policies`].
    pub identities: Arc<Identities>,
    /// From [`crate::compile_policies`], by the attachments' ports.
    pub policies: &'a [(PortId, PodPolicy)],
    /// From [`crate::compile_peers`].
    pub peers: &'a [Arc<Peer>],
    /// This node's end of the tunnels.
    pub tunnel: Option<Tunnel>,
    /// Routes and neighbours of the uplink.
    pub underlay: Arc<Underlay>,
    /// Whether what the node's own endpoints answer to clients from outside comes to the host port.
    pub answers_return: bool,
}

impl<'a> Inputs<'a> {
    /// A generation of a node with no port, no Service, no policy and no other node.
    pub fn new(generation: u64, seed: u64, node: &'a Node) -> Inputs<'a> {
        Inputs {
            generation,
            decisions: generation,
            seed,
            node,
            host: None,
            attachments: &[],
            uplinks: &[],
            node_addresses: &[],
            masquerade: Masquerade::default(),
            services: Arc::default(),
            identities: Arc::default(),
            policies: &[],
            peers: &[],
            tunnel: None,
            underlay: Arc::default(),
            answers_return: false,
        }
    }
}

/// Makes a generation of this node's tables.
///
/// # Errors
/// [`CompileError`] names the pods or the node whose data does not fit together.
pub fn compile(inputs: &Inputs<'_>) -> Result<Tables, CompileError> {
    let node = inputs.node;
    let own = node.own_addresses();
    let addresses = node.all_addresses(inputs.node_addresses).into_iter().collect();
    let mut builder = TablesBuilder::new(inputs.generation, inputs.seed)
        .decisions(inputs.decisions)
        .services(Arc::clone(&inputs.services))
        .identities(Arc::clone(&inputs.identities))
        .node(NodeEntry { addresses, masquerade: inputs.masquerade.clone() })
        .underlay(Arc::clone(&inputs.underlay))
        .answers_return(inputs.answers_return);
    for network in &node.pod_cidrs {
        builder = builder.pod_cidr(*network);
    }
    if let Some(host) = inputs.host {
        builder = builder.port(host_port(host, own.clone()));
    }
    for attachment in inputs.attachments {
        if attachment.addresses.is_empty() {
            return Err(CompileError::NoAddress(owner(attachment)));
        }
        if let Some(&address) = attachment.addresses.iter().find(|address| own.contains(address)) {
            return Err(CompileError::OwnAddress { owner: owner(attachment), address });
        }
        builder = builder.port(pod_port(attachment));
    }
    builder = inputs.uplinks.iter().fold(builder, |builder, uplink| builder.port(uplink_port(uplink)));
    builder = inputs.policies.iter().fold(builder, |builder, (port, policy)| builder.policy(*port, policy.clone()));
    builder = inputs.peers.iter().fold(builder, |builder, peer| builder.peer(Arc::clone(peer)));
    if let Some(tunnel) = inputs.tunnel {
        builder = builder.tunnel(tunnel);
    }
    builder.build().map_err(|source| explain(source, inputs))
}

/// How pods of a node speak to the outside: under the node's first InternalIP of each family, from `ports` (first and
/// last inclusive); not to `excluded` networks, and not at all unless `outside`.
pub fn masquerade(node: &Node, ports: (u16, u16), excluded: Vec<IpNet>, outside: bool) -> Masquerade {
    let v4 = node.internal_ip(Family::V4).and_then(|address| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    });
    let v6 = node.internal_ip(Family::V6).and_then(|address| match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    });
    Masquerade { v4, v6, ports, excluded, outside }
}

fn uplink_port(uplink: &UplinkPort) -> Port {
    let UplinkPort { port: id, worker, mac, path_mtu, max_l3_len } = *uplink;
    Port { id, kind: PortKind::Uplink, worker, mac, addresses: Vec::new(), path_mtu, max_l3_len }
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
fn explain(source: TablesError, inputs: &Inputs<'_>) -> CompileError {
    let concerned = ports_of(&source);
    let host = inputs.host.filter(|host| concerned.contains(&host.port)).map(|_| Owner::Host);
    let pods = inputs.attachments.iter().filter(|attachment| concerned.contains(&attachment.port)).map(owner);
    let uplink = inputs.uplinks.iter().find(|uplink| concerned.contains(&uplink.port)).map(|_| Owner::Uplink);
    let owners: Vec<Owner> = host.into_iter().chain(uplink).chain(pods).collect();
    if owners.is_empty() {
        return CompileError::Node { node: inputs.node.name.clone(), source };
    }
    CompileError::Ports { owners, source }
}

fn ports_of(error: &TablesError) -> Vec<PortId> {
    match error {
        TablesError::DuplicatePort(port)
        | TablesError::UnusableMac(port)
        | TablesError::UplinkAddress(port)
        | TablesError::PolicyWithoutPort(port)
        | TablesError::PolicyForNoPod(port)
        | TablesError::DuplicatePolicy(port) => vec![*port],
        TablesError::DuplicateAddress { first, second, .. } | TablesError::TwoHostPorts { first, second } => {
            vec![*first, *second]
        }
        TablesError::AddressOutsidePodCidrs { port, .. }
        | TablesError::UnusableAddress { port, .. }
        | TablesError::PathMtuTooSmall { port, .. }
        | TablesError::LimitBelowPathMtu { port, .. }
        | TablesError::NodeAddressOfPod { port, .. } => vec![*port],
        // What concerns no port concerns the node as a whole.
        _ => Vec::new(),
    }
}
