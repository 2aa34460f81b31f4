//! The way into [`Tables`]: everything is collected, then checked as a whole.

use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use thiserror::Error;

use crate::{Gateway, Port, PortId, PortKind, Tables, generation::Slot, hash::seeded};

/// Smallest path MTU of a port in bytes: the least that IPv6 asks of a link (RFC 8200 section 5).
pub const MIN_PATH_MTU: u16 = 1280;

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

/// Collects a generation.
#[derive(Clone, Debug)]
pub struct TablesBuilder {
    generation: u64,
    seed: u64,
    gateway: Gateway,
    ports: Vec<Port>,
    pod_cidrs: Vec<IpNet>,
}

impl TablesBuilder {
    /// An empty generation called `generation`, whose maps hash under `seed`.
    #[must_use]
    pub fn new(generation: u64, seed: u64) -> Self {
        Self { generation, seed, gateway: Gateway::default(), ports: Vec::new(), pod_cidrs: Vec::new() }
    }

    /// Adds a port.
    #[must_use]
    pub fn port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Adds one of the node's podCIDRs. Bits below the prefix length are ignored.
    #[must_use]
    pub fn pod_cidr(mut self, cidr: IpNet) -> Self {
        self.pod_cidrs.push(cidr.trunc());
        self
    }

    /// Checks the whole and makes it a generation.
    ///
    /// # Errors
    /// [`TablesError`] names the first object that does not fit, in order of port id.
    pub fn build(self) -> Result<Tables, TablesError> {
        let Self { generation, seed, gateway, mut ports, pod_cidrs } = self;
        check_pod_cidrs(&pod_cidrs)?;
        ports.sort_by_key(|port| port.id);
        if let Some(pair) = ports.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(TablesError::DuplicatePort(pair[0].id));
        }
        for port in &ports {
            check_port(port, &gateway, &pod_cidrs)?;
        }
        let host = host_slot(&ports)?;
        let mut tables = Tables {
            generation,
            gateway,
            by_id: slots_by_id(&ports),
            by_v4: HashMap::with_capacity_and_hasher(ports.len(), seeded(seed)),
            by_v6: HashMap::with_capacity_and_hasher(ports.len(), seeded(seed)),
            ports,
            pod_cidrs,
            host,
        };
        index_addresses(&mut tables)?;
        Ok(tables)
    }
}

fn check_pod_cidrs(cidrs: &[IpNet]) -> Result<(), TablesError> {
    for (position, one) in cidrs.iter().enumerate() {
        for other in &cidrs[position + 1..] {
            if one.contains(other) || other.contains(one) {
                return Err(TablesError::OverlappingPodCidrs(*one, *other));
            }
        }
    }
    Ok(())
}

fn check_port(port: &Port, gateway: &Gateway, pod_cidrs: &[IpNet]) -> Result<(), TablesError> {
    let mac = port.mac.0;
    if mac == [0; 6] || mac[0] & 1 == 1 || port.mac == gateway.mac {
        return Err(TablesError::UnusableMac(port.id));
    }
    if port.path_mtu < MIN_PATH_MTU {
        return Err(TablesError::PathMtuTooSmall { port: port.id, path_mtu: port.path_mtu });
    }
    if port.max_l3_len < u32::from(port.path_mtu) {
        return Err(TablesError::LimitBelowPathMtu {
            port: port.id,
            max_l3_len: port.max_l3_len,
            path_mtu: port.path_mtu,
        });
    }
    for &address in &port.addresses {
        if !is_usable(address) || gateway.has_address(address) {
            return Err(TablesError::UnusableAddress { address, port: port.id });
        }
        if port.kind == PortKind::Pod && !pod_cidrs.iter().any(|cidr| cidr.contains(&address)) {
            return Err(TablesError::AddressOutsidePodCidrs { address, port: port.id });
        }
    }
    Ok(())
}

/// The path relies on this: an address that has a port is not martian, so the path need not ask.
fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets(), [0 | 127 | 224..=255, ..] | [169, 254, ..]),
        IpAddr::V6(v6) => {
            let mapped = v6.to_ipv4_mapped().is_some();
            !(v6.is_unicast_link_local() || v6.is_multicast() || v6.is_loopback() || v6.is_unspecified() || mapped)
        }
    }
}

fn host_slot(ports: &[Port]) -> Result<Option<Slot>, TablesError> {
    let mut hosts = ports.iter().enumerate().filter(|(_, port)| port.kind == PortKind::Host);
    let Some((position, first)) = hosts.next() else {
        return Ok(None);
    };
    match hosts.next() {
        Some((_, second)) => Err(TablesError::TwoHostPorts { first: first.id, second: second.id }),
        None => Ok(Some(slot(position))),
    }
}

/// Ids are unique `u16`, so there are at most 65 536 ports and the last position is 65 535.
fn slot(position: usize) -> Slot {
    Slot::try_from(position).unwrap_or(Slot::MAX)
}

fn slots_by_id(ports: &[Port]) -> Vec<Option<Slot>> {
    let highest = ports.last().map_or(0, |port| usize::from(port.id.0) + 1);
    let mut by_id = vec![None; highest];
    for (position, port) in ports.iter().enumerate() {
        by_id[usize::from(port.id.0)] = Some(slot(position));
    }
    by_id
}

fn index_addresses(tables: &mut Tables) -> Result<(), TablesError> {
    for (position, port) in tables.ports.iter().enumerate() {
        for &address in &port.addresses {
            let earlier = match address {
                IpAddr::V4(v4) => tables.by_v4.insert(v4, slot(position)),
                IpAddr::V6(v6) => tables.by_v6.insert(v6, slot(position)),
            };
            if let Some(earlier) = earlier {
                let first = tables.ports[usize::from(earlier)].id;
                return Err(TablesError::DuplicateAddress { address, first, second: port.id });
            }
        }
    }
    Ok(())
}
