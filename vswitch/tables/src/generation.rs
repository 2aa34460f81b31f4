//! One generation of the tables, as the path reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;
use ipnet::IpNet;

use crate::{Gateway, Port, PortId, hash::Seeded};

/// Position of a port in `Tables::ports`. At most 65 536 ports exist, so `u16` holds every position.
pub(crate) type Slot = u16;

/// One immutable generation. Made by [`crate::TablesBuilder`] alone, so whoever holds one may rely on what the builder
/// checked: unique ids and addresses, at most one host port, every pod address inside a podCIDR.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) generation: u64,
    pub(crate) gateway: Gateway,
    pub(crate) ports: Vec<Port>,
    /// Slot by port id; `None` where no port has that id.
    pub(crate) by_id: Vec<Option<Slot>>,
    pub(crate) by_v4: HashMap<Ipv4Addr, Slot, Seeded>,
    pub(crate) by_v6: HashMap<Ipv6Addr, Slot, Seeded>,
    pub(crate) pod_cidrs: Vec<IpNet>,
    pub(crate) host: Option<Slot>,
}

impl Tables {
    /// The number that the control side gave this generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the switch answers for.
    #[must_use]
    #[inline]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The port called `id`.
    #[must_use]
    #[inline]
    pub fn port(&self, id: PortId) -> Option<&Port> {
        let slot = *self.by_id.get(usize::from(id.0))?;
        self.ports.get(usize::from(slot?))
    }

    /// Every port, ordered by id.
    pub fn ports(&self) -> impl ExactSizeIterator<Item = &Port> {
        self.ports.iter()
    }

    /// The port that `address` is reached through, be it a pod's or the host's.
    #[must_use]
    #[inline]
    pub fn owner(&self, address: IpAddr) -> Option<&Port> {
        let slot = match address {
            IpAddr::V4(v4) => self.by_v4.get(&v4)?,
            IpAddr::V6(v6) => self.by_v6.get(&v6)?,
        };
        self.ports.get(usize::from(*slot))
    }

    /// Whether `address` lies in one of the node's podCIDRs, with a pod or without.
    #[must_use]
    #[inline]
    pub fn in_pod_cidr(&self, address: IpAddr) -> bool {
        self.pod_cidrs.iter().any(|cidr| cidr.contains(&address))
    }

    /// The node's podCIDRs, in the order they were given.
    #[must_use]
    pub fn pod_cidrs(&self) -> &[IpNet] {
        &self.pod_cidrs
    }

    /// The port that leads to the node's own stack, if there is one.
    #[must_use]
    #[inline]
    pub fn host_port(&self) -> Option<&Port> {
        self.ports.get(usize::from(self.host?))
    }
}
