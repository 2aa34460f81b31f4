//! What a cluster's objects say must become of a flow: plain loops over the lists of objects, nothing compiled, nothing
//! shared with the code under test.
//!
//! Every answer is a set: a backend is chosen at random, so any of the usable ones is right. What the set does not hold is
//! wrong.

mod policy;
mod service;

use std::net::IpAddr;

use crate::cluster::{
    CLUSTER_NETWORKS, Cluster, Encapsulation, Protocol, ROUTER_V4, ROUTER_V6, is_in, node_address, pod_network,
};
use crate::traffic::{Content, Flow, From};

pub use policy::permits;
pub use service::{Frontend, Lookup, Usable, find, usable};

/// One thing that may become of a flow's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It arrives.
    Delivered(Delivery),
    /// Its sender gets an ICMP error; counted under the reason of this name.
    Rejected(&'static str),
    /// Nothing leaves; counted under the reason of this name.
    Dropped(&'static str),
    /// It goes to the host as it came.
    Punted,
    /// The specification leaves it open, as long as no pod gets it.
    AnythingButAPod,
}

/// Where and as what a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it leaves the switch.
    pub to: To,
    /// The sender's address as the receiver sees it.
    pub source: Source,
    /// The address in the packet.
    pub destination: IpAddr,
    /// The destination port in the packet.
    pub port: u16,
}

/// Where a packet leaves the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// By the port of a pod.
    Pod(usize),
    /// By the host port.
    Host,
    /// To another node, for its pods: in a tunnel, or as it is.
    Peer(usize),
    /// By the uplink, to this neighbour.
    Neighbour(IpAddr),
}

/// The sender's address as the receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The sender's own.
    Kept,
    /// The node's.
    Masqueraded,
    /// Either.
    Either,
}

/// A destination with what is to be done on the way there.
#[derive(Clone, Copy, Debug)]
struct Target {
    address: IpAddr,
    port: u16,
    /// Whether the rules of the Service ask for the node's address.
    masquerade: bool,
    of_service: bool,
}

/// Answers for the first packet of a flow.
#[must_use]
pub fn answer(cluster: &Cluster, flow: &Flow) -> Vec<Answer> {
    if let Some(reason) = false_origin(cluster, flow) {
        return vec![Answer::Dropped(reason)];
    }
    let Content::Transport(protocol) = flow.content else {
        return match find(cluster, flow.destination, Protocol::Tcp, 0) {
            Lookup::Nothing => direct(cluster, flow),
            Lookup::Unallocated => vec![Answer::Dropped("service_unallocated")],
            // Nobody answers a ping to a Service; whether its sender hears that is left open.
            _ if is_own_address(cluster, flow.destination) => direct(cluster, flow),
            _ => vec![Answer::AnythingButAPod],
        };
    };
    if matches!(flow.from, From::Pod(_)) && opens_a_tunnel(cluster, flow) {
        return vec![Answer::Dropped("tunnel_from_pod")];
    }
    match find(cluster, flow.destination, protocol, flow.destination_port) {
        Lookup::Nothing => direct(cluster, flow),
        Lookup::Unallocated => vec![Answer::Dropped("service_unallocated")],
        Lookup::OtherPort { cluster_ip: true } => vec![Answer::Rejected("service_no_port")],
        Lookup::OtherPort { cluster_ip: false } if is_own_address(cluster, flow.destination) => direct(cluster, flow),
        Lookup::OtherPort { cluster_ip: false } => vec![Answer::AnythingButAPod],
        Lookup::Found(frontend) => to_service(cluster, flow, &frontend),
    }
}

/// Whether the sender is beyond the cluster; the host may forward for such.
fn is_outsider(cluster: &Cluster, flow: &Flow) -> bool {
    match flow.from {
        From::Pod(_) | From::Peer(_) => false,
        From::Host => !is_own_address(cluster, flow.source),
        From::Outside => true,
    }
}

/// Whether the address is one of our node's: those belong to its own stack, whatever Services claim there.
fn is_own_address(cluster: &Cluster, address: IpAddr) -> bool {
    cluster.addresses_of_node(0).contains(&address)
}

fn false_origin(cluster: &Cluster, flow: &Flow) -> Option<&'static str> {
    match flow.from {
        From::Pod(pod) if !cluster.addresses_of(pod).contains(&flow.source) => Some("spoofed_address"),
        From::Peer(node) if cluster.setup.encapsulation != Encapsulation::None => {
            let of_pods = [true, false].iter().any(|&v4| pod_network(node, v4).contains(&flow.source));
            let of_node = cluster.addresses_of_node(node).contains(&flow.source);
            (!of_pods && !of_node).then_some("tunnel_spoofed")
        }
        _ => None,
    }
}

/// A pod that sends to a node's tunnel port could otherwise speak for other pods.
fn opens_a_tunnel(cluster: &Cluster, flow: &Flow) -> bool {
    let port = match cluster.setup.encapsulation {
        Encapsulation::None => return false,
        Encapsulation::Vxlan => 4789,
        Encapsulation::Geneve => 6081,
    };
    let of_peers = (1..cluster.nodes.len()).flat_map(|node| [true, false].map(|v4| node_address(node, v4)));
    let to_node = is_own_address(cluster, flow.destination) || of_peers.into_iter().any(|it| it == flow.destination);
    to_node && flow.content == Content::Transport(Protocol::Udp) && flow.destination_port == port
}

fn direct(cluster: &Cluster, flow: &Flow) -> Vec<Answer> {
    let target =
        Target { address: flow.destination, port: flow.destination_port, masquerade: false, of_service: false };
    to_target(cluster, flow, target)
}

/// A Service's frontend: which endpoints may be chosen, and whose address they see.
fn to_service(cluster: &Cluster, flow: &Flow, frontend: &Frontend<'_>) -> Vec<Answer> {
    let service = frontend.service;
    if frontend.load_balancer && !service.source_ranges.is_empty() {
        let allowed = |address: IpAddr| service.source_ranges.iter().any(|range| range.contains(&address));
        if !allowed(flow.source) {
            return vec![Answer::Dropped("service_source_range")];
        }
    }
    let usable = usable(cluster, service, frontend.port, flow.destination.is_ipv4());
    if usable.cluster.is_empty() && usable.local.is_empty() {
        return vec![Answer::Rejected("service_no_endpoints")];
    }
    let outsider = is_outsider(cluster, flow);
    let (set, masquerade) = match (frontend.is_external, flow.from) {
        (false, _) => {
            let set = if service.internal_local { usable.local } else { usable.cluster };
            (set, outsider)
        }
        (true, _) if !service.external_local => (usable.cluster, true),
        (true, _) if outsider => (usable.local, false),
        // As if it left the node and came back.
        (true, from) => (usable.cluster, from == From::Host),
    };
    if set.is_empty() {
        return vec![Answer::Dropped("service_no_local_endpoints")];
    }
    let targets = set.iter().map(|&(address, port)| {
        let hairpin = address == flow.source;
        Target { address, port, masquerade: masquerade || hairpin, of_service: true }
    });
    targets.flat_map(|target| to_target(cluster, flow, target)).collect()
}

/// Policy, then the way. A packet that has no way may be refused for that before or after policy is asked.
fn to_target(cluster: &Cluster, flow: &Flow, target: Target) -> Vec<Answer> {
    let mut answers = Vec::new();
    if let Err(reason) = permits(cluster, flow, target.address, target.port) {
        answers.push(Answer::Dropped(reason));
    }
    let ways = ways(cluster, flow, target);
    let refused = ways.iter().all(|way| !matches!(way, Answer::Delivered(_) | Answer::Punted));
    if answers.is_empty() || refused {
        answers.extend(ways);
    }
    answers
}

fn ways(cluster: &Cluster, flow: &Flow, target: Target) -> Vec<Answer> {
    let Target { address, port, masquerade, of_service } = target;
    let source = if masquerade { Source::Masqueraded } else { Source::Kept };
    let delivered = |to, source| vec![Answer::Delivered(Delivery { to, source, destination: address, port })];
    if let Some(pod) = cluster.pod_at(address).filter(|&pod| cluster.is_attached(pod)) {
        if flow.from == From::Pod(pod) && !of_service {
            return vec![Answer::Dropped("same_port")];
        }
        return delivered(To::Pod(pod), source);
    }
    if cluster.addresses_of_node(0).contains(&address) {
        return match flow.from {
            From::Host if !of_service => vec![Answer::Rejected("no_route")],
            From::Outside if !of_service => vec![Answer::Punted],
            From::Peer(_) if cluster.setup.encapsulation == Encapsulation::None => vec![Answer::Punted],
            // Which of its addresses the host sees as the sender is for the host port to make work.
            _ if of_service => delivered(To::Host, Source::Either),
            _ => delivered(To::Host, source),
        };
    }
    if pod_network(0, address.is_ipv4()).contains(&address) {
        return match flow.from {
            From::Outside => vec![Answer::Rejected("no_such_pod"), Answer::Punted],
            _ => vec![Answer::Rejected("no_such_pod")],
        };
    }
    if !cluster.setup.uplink {
        return match flow.from {
            From::Host if of_service => {
                let mut ways = delivered(To::Host, Source::Either);
                ways.push(Answer::Rejected("no_route"));
                ways
            }
            From::Host => vec![Answer::Rejected("no_route")],
            _ => delivered(To::Host, if of_service { Source::Either } else { source }),
        };
    }
    let peer = (1..cluster.nodes.len()).find(|&node| pod_network(node, address.is_ipv4()).contains(&address));
    if let Some(peer) = peer {
        // A peer takes from us what is our pods' and our node's, and would answer others past us.
        let ours = pod_network(0, flow.source.is_ipv4()).contains(&flow.source) || is_own_address(cluster, flow.source);
        return delivered(To::Peer(peer), if ours { source } else { Source::Masqueraded });
    }
    match flow.from {
        From::Host if !of_service => vec![Answer::Rejected("no_route")],
        From::Outside if !of_service => vec![Answer::Punted],
        _ => {
            let inside = CLUSTER_NETWORKS.iter().any(|network| is_in(network, address));
            delivered(To::Neighbour(next_hop(address)), if inside { source } else { Source::Masqueraded })
        }
    }
}

/// The neighbour that packets to an address beyond the cluster are handed to.
#[must_use]
pub fn next_hop(address: IpAddr) -> IpAddr {
    let on_link = is_in("192.0.2.0/24", address) || is_in("2001:db8:1::/64", address);
    match address {
        _ if on_link => address,
        IpAddr::V4(_) => ROUTER_V4.into(),
        IpAddr::V6(_) => ROUTER_V6.into(),
    }
}

/// The address that masqueraded packets carry.
#[must_use]
pub fn masquerade_address(v4: bool) -> IpAddr {
    node_address(0, v4)
}
