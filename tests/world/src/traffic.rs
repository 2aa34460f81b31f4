//! What is sent into a cluster: flows, made up without knowing the cluster and then fitted to it.

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::Index;
use sluice_wire::protocol;

use crate::cluster::{
    CLUSTER_NETWORKS, Cluster, Encapsulation, Protocol, generate::NAMED_PORTS, is_in, node_address, on_link,
    own_address, pod_address, pod_network,
};

/// Where a flow begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A pod with a port.
    Pod(usize),
    /// The node's own stack.
    Host,
    /// Another node, for its pods or for itself.
    Peer(usize),
    /// Beyond the nodes, over the uplink.
    Outside,
}

/// What a flow is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// A transport that has ports.
    Transport(Protocol),
    /// Echo requests.
    Echo,
    /// A protocol that the switch does not know.
    Other,
}

impl Content {
    /// The number in the IP header.
    #[must_use]
    pub fn number(self, v4: bool) -> u8 {
        match self {
            Self::Transport(Protocol::Tcp) => protocol::TCP,
            Self::Transport(Protocol::Udp) => protocol::UDP,
            Self::Transport(Protocol::Sctp) => protocol::SCTP,
            Self::Echo if v4 => protocol::ICMPV4,
            Self::Echo => protocol::ICMPV6,
            Self::Other => protocol::ESP,
        }
    }
}

/// A flow as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where it begins.
    pub from: From,
    /// The sender's address.
    pub source: IpAddr,
    /// The address it sends to.
    pub destination: IpAddr,
    /// What it sends.
    pub content: Content,
    /// Its port, or the identifier of its echo requests.
    pub source_port: u16,
    /// The port it sends to; 0 where there is none.
    pub destination_port: u16,
}

/// A flow before it knows its cluster.
#[derive(Clone, Debug)]
pub struct Draft {
    from: DraftFrom,
    /// Which of those.
    sender: Index,
    /// Which of the sender's addresses.
    source: Index,
    honest: bool,
    v4: bool,
    kind: DraftTo,
    /// Which of those.
    receiver: Index,
    content: Content,
    /// Whether a frontend is addressed with the protocol it is made for.
    fitting: bool,
    port: Option<Index>,
    source_port: u16,
}

/// What kind of thing sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DraftFrom {
    Pod,
    Host,
    Peer,
    Outside,
}

/// What kind of thing is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DraftTo {
    Pod,
    ClusterIp,
    ClusterIpOtherPort,
    External,
    NodePort,
    Node,
    Outside,
    Nobody,
}

/// Any flow. Few source ports, so that connections meet each other.
pub fn drafts() -> impl Strategy<Value = Draft> {
    let from = prop_oneof![
        10 => Just(DraftFrom::Pod), 3 => Just(DraftFrom::Host), 3 => Just(DraftFrom::Peer), 5 => Just(DraftFrom::Outside)
    ];
    let kind = prop_oneof![
        6 => Just(DraftTo::Pod),
        6 => Just(DraftTo::ClusterIp),
        1 => Just(DraftTo::ClusterIpOtherPort),
        4 => Just(DraftTo::External),
        4 => Just(DraftTo::NodePort),
        2 => Just(DraftTo::Node),
        2 => Just(DraftTo::Outside),
        1 => Just(DraftTo::Nobody),
    ];
    let sender = (from, any::<Index>(), any::<Index>(), prop::bool::weighted(0.97), 40_000_u16..40_016);
    let receiver = (any::<bool>(), kind, any::<Index>());
    let port = proptest::option::weighted(0.85, any::<Index>());
    (sender, receiver, contents(), prop::bool::weighted(0.9), port).prop_map(
        |((from, sender, source, honest, source_port), (v4, kind, receiver), content, fitting, port)| Draft {
            from,
            sender,
            source,
            honest,
            v4,
            kind,
            receiver,
            content,
            fitting,
            port,
            source_port,
        },
    )
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![
        5 => Just(Content::Transport(Protocol::Tcp)),
        4 => Just(Content::Transport(Protocol::Udp)),
        2 => Just(Content::Transport(Protocol::Sctp)),
        2 => Just(Content::Echo),
        1 => Just(Content::Other),
    ]
}

impl Draft {
    /// The flow in `cluster`, where it has what the flow needs.
    #[must_use]
    pub fn fit(&self, cluster: &Cluster) -> Option<Flow> {
        let from = self.origin(cluster);
        let source = self.address(cluster, from)?;
        let (destination, port, content) = self.target(cluster, from)?;
        let ported = matches!(content, Content::Transport(_));
        let flow = Flow {
            from,
            source,
            destination,
            content,
            source_port: if content == Content::Other { 0 } else { self.source_port },
            destination_port: if ported { port } else { 0 },
        };
        is_possible(cluster, &flow).then_some(flow)
    }

    /// Without an uplink nothing comes from elsewhere.
    fn origin(&self, cluster: &Cluster) -> From {
        let attached: Vec<usize> = cluster.attached().collect();
        match self.from {
            DraftFrom::Peer if cluster.setup.uplink => From::Peer(1 + self.sender.index(cluster.nodes.len() - 1)),
            DraftFrom::Outside if cluster.setup.uplink => From::Outside,
            DraftFrom::Host => From::Host,
            _ => From::Pod(attached[self.sender.index(attached.len())]),
        }
    }

    fn address(&self, cluster: &Cluster, from: From) -> Option<IpAddr> {
        let pick = self.source.index(4);
        match from {
            From::Pod(_) if !self.honest => Some(pod_address(0, 77, self.v4)),
            From::Pod(pod) => cluster.addresses_of(pod).into_iter().find(|address| address.is_ipv4() == self.v4),
            From::Host if !self.honest => Some(outsider(7, self.v4)),
            From::Host if pick == 0 => Some(own_address(0, self.v4)),
            From::Host => Some(node_address(0, self.v4)),
            From::Peer(_) if !self.honest && cluster.setup.encapsulation != Encapsulation::None => {
                Some(outsider(8, self.v4))
            }
            From::Peer(node) => {
                let there: Vec<IpAddr> = (0..cluster.pods.len())
                    .filter(|&pod| cluster.pods[pod].node == node && !cluster.pods[pod].host_network)
                    .flat_map(|pod| cluster.addresses_of(pod))
                    .chain([true, false].map(|v4| own_address(node, v4)))
                    .filter(|address| address.is_ipv4() == self.v4)
                    .collect();
                Some(there[self.source.index(there.len())])
            }
            From::Outside => Some(match pick {
                0 => node_address(cluster.nodes.len() - 1, self.v4),
                1 => on_link(61, self.v4),
                2 => outsider(9, self.v4),
                _ => outsider(209, self.v4),
            }),
        }
    }

    /// Address, port and content; for a Service what it is made for, mostly.
    fn target(&self, cluster: &Cluster, from: From) -> Option<(IpAddr, u16, Content)> {
        let v4 = self.v4;
        let plain = |address| Some((address, self.plain_port(), self.content));
        match self.kind {
            DraftTo::Pod => {
                let all: Vec<IpAddr> = (0..cluster.pods.len())
                    .filter(|&pod| !matches!(from, From::Peer(_)) || cluster.is_attached(pod))
                    .flat_map(|pod| cluster.addresses_of(pod))
                    .filter(|address| address.is_ipv4() == v4)
                    .collect();
                plain(*all.get(self.receiver.index(all.len().max(1)))?)
            }
            DraftTo::Node => {
                let node = self.receiver.index(cluster.nodes.len());
                plain(if self.fitting { node_address(node, v4) } else { own_address(node, v4) })
            }
            DraftTo::Outside => plain(if self.receiver.index(4) == 0 { on_link(62, v4) } else { outsider(20, v4) }),
            DraftTo::Nobody if self.receiver.index(2) == 0 => plain(pod_address(0, 199, v4)),
            DraftTo::Nobody => {
                let unallocated = if v4 { "10.96.200.1" } else { "fd00:96::c8c8" };
                plain(unallocated.parse().expect("an address"))
            }
            DraftTo::ClusterIp | DraftTo::ClusterIpOtherPort | DraftTo::External | DraftTo::NodePort => {
                let all = self.frontends(cluster);
                let (address, port, protocol) = *all.get(self.receiver.index(all.len().max(1)))?;
                match self.kind {
                    DraftTo::ClusterIpOtherPort => Some((address, port + 1, self.content)),
                    _ if !self.fitting => Some((address, port, self.content)),
                    _ => Some((address, port, Content::Transport(protocol))),
                }
            }
        }
    }

    fn frontends(&self, cluster: &Cluster) -> Vec<(IpAddr, u16, Protocol)> {
        let mut all = Vec::new();
        for service in &cluster.services {
            for port in &service.ports {
                let mut add = |address: IpAddr, number| {
                    if address.is_ipv4() == self.v4 {
                        all.push((address, number, port.protocol));
                    }
                };
                match self.kind {
                    DraftTo::External => {
                        service.external_ips.iter().for_each(|&address| add(address, port.port));
                        service.ingress.iter().for_each(|&(address, _)| add(address, port.port));
                    }
                    DraftTo::NodePort => {
                        if let Some(number) = port.node_port {
                            add(node_address(0, self.v4), number);
                        }
                    }
                    _ => service.cluster_ips.iter().for_each(|&address| add(address, port.port)),
                }
            }
        }
        all
    }

    /// One that containers name, or another.
    fn plain_port(&self) -> u16 {
        self.port.map_or(7777, |port| NAMED_PORTS[port.index(NAMED_PORTS.len())].1)
    }
}

/// An address far away.
#[must_use]
pub fn outsider(host: u8, v4: bool) -> IpAddr {
    match v4 {
        true => [198, 51, 100, host].into(),
        false => [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, u16::from(host)].into(),
    }
}

/// Some things do not reach our switch: what peers do not send into the tunnel, what the uplink does not take.
fn is_possible(cluster: &Cluster, flow: &Flow) -> bool {
    let to_ours = cluster.attached().any(|pod| cluster.addresses_of(pod).contains(&flow.destination));
    let to_own_networks = [true, false].iter().any(|&v4| pod_network(0, v4).contains(&flow.destination));
    match flow.from {
        From::Pod(_) | From::Host => true,
        From::Peer(_) => to_own_networks,
        From::Outside => {
            // Only where pods are routed as they are does the underlay bring packets for them.
            let direct = cluster.setup.encapsulation == Encapsulation::None;
            let is_pods = CLUSTER_NETWORKS.iter().any(|network| is_in(network, flow.destination));
            !is_pods || (direct && to_ours)
        }
    }
}
