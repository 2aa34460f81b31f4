//! Why a generation is refused.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use crate::{MIN_PATH_MTU, PortId};

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
}
