//! Why a generation is refused.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

use crate::{FrontendKey, MIN_PATH_MTU, PortId};

/// Why a generation was refused. The one before it goes on serving.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TablesError {
    /// Two ports have one id.
    #[error("{0} is given twice: give every port an id of its own")]
    DuplicatePort(PortId),
    /// Two ports, or one port twice, claim an address.
    #[error("address {address} belongs to {first} and to {second}: take it from one of them")]
    DuplicateAddress {
        /// The address in question.
        address: IpAddr,
        /// The port with the lower id.
        first: PortId,
        /// The port with the higher id.
        second: PortId,
    },
    /// A generation can have one host port only.
    #[error("{first} and {second} are both host ports: a node has one")]
    TwoHostPorts {
        /// The port with the lower id.
        first: PortId,
        /// The port with the higher id.
        second: PortId,
    },
    /// A pod's address is outside every podCIDR, so nothing would route to it.
    #[error("address {address} of {port} is in none of the node's podCIDRs: add the podCIDR or change the address")]
    AddressOutsidePodCidrs {
        /// The address in question.
        address: IpAddr,
        /// Its port.
        port: PortId,
    },
    /// An address that no port may have, because no router forwards to it: this-network, loopback, link-local (the
    /// gateway's among them), multicast, reserved, or an IPv4 address mapped into IPv6.
    #[error("address {address} of {port} cannot be a port's: take a unicast address that is not link-local")]
    UnusableAddress {
        /// The address in question.
        address: IpAddr,
        /// Its port.
        port: PortId,
    },
    /// A MAC that no port may have: all zero, multicast, or the gateway's.
    #[error("MAC of {0} is zero, multicast or the gateway's: give the device a unicast MAC of its own")]
    UnusableMac(PortId),
    /// A path MTU below what IPv6 asks of a link.
    #[error("path MTU {path_mtu} of {port} is below {MIN_PATH_MTU}: raise it")]
    PathMtuTooSmall {
        /// The port in question.
        port: PortId,
        /// The path MTU given, in bytes.
        path_mtu: u16,
    },
    /// The device takes less than the path MTU promises.
    #[error("{port} takes {max_l3_len} bytes but has a path MTU of {path_mtu}: lower the path MTU to what it takes")]
    LimitBelowPathMtu {
        /// The port in question.
        port: PortId,
        /// Largest IP packet the device takes, in bytes.
        max_l3_len: u32,
        /// The path MTU given, in bytes.
        path_mtu: u16,
    },
    /// Two podCIDRs share addresses.
    #[error("podCIDRs {0} and {1} overlap: a node's podCIDRs are disjoint")]
    OverlappingPodCidrs(IpNet, IpNet),
    /// An uplink's addresses are the node's.
    #[error("{0} is an uplink and has addresses: give them to the node")]
    UplinkAddress(PortId),
    /// A policy for a port that is not there.
    #[error("there is a policy for {0}, which does not exist: add the port or drop the policy")]
    PolicyWithoutPort(PortId),
    /// A policy for a port that is no pod's.
    #[error("there is a policy for {0}, which is no pod's: policies are for pods")]
    PolicyForNoPod(PortId),
    /// Two policies for one port.
    #[error("{0} is given two policies: unite them")]
    DuplicatePolicy(PortId),
    /// A node address that is a pod's.
    #[error("address {address} is the node's and that of {port}, a pod: take it from one of them")]
    NodeAddressOfPod {
        /// The address in question.
        address: IpAddr,
        /// The pod's port.
        port: PortId,
    },
    /// The node speaks to others from an address that would be taken for a Service's.
    #[error("node address {address} is in the Service range {range}: change the range, or the node cannot be reached")]
    NodeInServiceRange {
        /// The node's address.
        address: IpAddr,
        /// The range.
        range: IpNet,
    },
    /// No port to masquerade with, or ports that belong to the system (RFC 6335 section 6).
    #[error("masquerade ports {first} to {last} cannot be used: give a range that is not empty, from 1024 up")]
    MasqueradePorts {
        /// First port given.
        first: u16,
        /// Last port given.
        last: u16,
    },
    /// Replies would go elsewhere.
    #[error("masquerade address {0} is not the node's: take one of the node's addresses")]
    MasqueradeAddress(IpAddr),
    /// The tunnel's datagrams would come from or go to nowhere.
    #[error("the tunnel's local address {0} is not the node's: take one of the node's addresses")]
    TunnelAddress(IpAddr),
    /// More than 24 bits.
    #[error("VNI {0} does not fit 24 bits: give 0 to 16777215")]
    TunnelVni(u32),
    /// A port that is none, or that masquerading would give away.
    #[error("the tunnel's UDP port {0} is 0 or a masquerade port: change one of them")]
    TunnelPort(u16),
    /// An inner MTU below what IPv6 asks of a link.
    #[error("the tunnel's inner MTU {0} is below {MIN_PATH_MTU}: raise the underlay's")]
    TunnelMtu(u16),
    /// A MAC that no frame can be sent to.
    #[error("the tunnel's MAC is zero or a group's: take tunnel_mac of the node's address")]
    TunnelMac,
    /// Peers are counted in 16 bits.
    #[error("{0} peers are more than 65536: remove Nodes")]
    TooManyPeers(usize),
    /// One peer given twice.
    #[error("Node {0} is given twice: give every peer a name of its own")]
    DuplicatePeer(Arc<str>),
    /// Two peers claim an address.
    #[error("address {address} belongs to Node {first} and to Node {second}: take it from one of them")]
    DuplicatePeerAddress {
        /// The address in question.
        address: IpAddr,
        /// The peer given first.
        first: Arc<str>,
        /// The other.
        second: Arc<str>,
    },
    /// A peer with an address of this node.
    #[error("address {address} of Node {peer} is this node's: take it from one of them")]
    PeerHasNodeAddress {
        /// The address in question.
        address: IpAddr,
        /// The peer.
        peer: Arc<str>,
    },
    /// A peer that nothing can be sent to.
    #[error("Node {peer} cannot be reached at {address}: give it a unicast address outside every podCIDR")]
    UnusablePeerAddress {
        /// The address in question.
        address: IpAddr,
        /// The peer.
        peer: Arc<str>,
    },
    /// A peer whose end of the tunnel is of the other family.
    #[error("Node {peer} has its tunnel at {address}, this node at {local}: give both an address of one family")]
    PeerFamily {
        /// The peer.
        peer: Arc<str>,
        /// Its end.
        address: IpAddr,
        /// This node's end.
        local: IpAddr,
    },
    /// A peer's MAC that no frame can be sent to.
    #[error("the MAC of Node {0} is zero or a group's: take tunnel_mac of its address")]
    UnusablePeerMac(Arc<str>),
    /// Two nodes' podCIDRs share addresses.
    #[error("podCIDRs {first_cidr} of {first} and {second_cidr} of {second} overlap: change one of them")]
    PeerPodCidrs {
        /// `this node` or `Node` and its name.
        first: String,
        /// Its podCIDR.
        first_cidr: IpNet,
        /// The other: `this node` or `Node` and its name.
        second: String,
        /// Its podCIDR.
        second_cidr: IpNet,
    },
    /// A Service range that shares addresses with pods.
    #[error("Service range {range} and podCIDR {cidr} overlap: change one of them")]
    ServiceRangeOfPods {
        /// The Service range.
        range: IpNet,
        /// The podCIDR.
        cidr: IpNet,
    },
    /// A frontend at an address that is for pods.
    #[error("frontend {key} of Service {service} is in podCIDR {cidr}: change the Service's address")]
    FrontendInPodCidr {
        /// The frontend.
        key: FrontendKey,
        /// Its Service.
        service: Arc<str>,
        /// The podCIDR.
        cidr: IpNet,
    },
    /// A ClusterIP from which the node speaks to others; it would be shut at every other port.
    #[error("ClusterIP {key} of Service {service} is the node's address: change the Service's address")]
    ClusterIpOfNode {
        /// The frontend.
        key: FrontendKey,
        /// Its Service.
        service: Arc<str>,
    },
    /// NodePorts at an address that is not the node's.
    #[error("NodePorts are served at {0}, which is not the node's address: add it to the node or leave it out")]
    NodePortAddress(IpAddr),
    /// A Service port on the node that masquerading or the tunnel needs.
    #[error("port {port} of Service {service} on the node is a masquerade port or the tunnel's: change the Service's")]
    ServicePortTaken {
        /// The Service.
        service: Arc<str>,
        /// The port.
        port: u16,
    },
}
