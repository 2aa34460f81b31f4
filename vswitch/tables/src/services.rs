//! Services: which backend stands behind an address and port.
//!
//! ```text
//! (address, port, protocol) --frontends, node ports--> Service --choose(hash)--> Backend
//! ```
//!
//! They are built apart from the rest ([`ServicesBuilder`]) and shared between generations by `Arc`, and so is each
//! [`Service`], so a change of one Service rebuilds that Service and the maps that name it, no other's tables.

mod backends;
mod builder;
mod fronts;
mod maglev;
mod service;

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

pub use backends::{Backend, Backends, Choice};
pub use builder::{ServicesBuilder, ServicesError};
pub use fronts::{Beginning, Front};
pub use service::{KnownBackend, MAX_AFFINITY_SECONDS, Service, ServiceEntry};

use fronts::Fronts;

use crate::Family;
use crate::hash::{Seeded, seeded};
use crate::prefixes::Prefixes;

/// Position of a Service in its [`Services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// What a client addresses to reach a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendKey {
    /// Destination address.
    pub address: IpAddr,
    /// Destination port.
    pub port: u16,
    /// IP protocol: TCP, UDP or SCTP.
    pub protocol: u8,
}

impl fmt::Display for FrontendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(v4) => write!(f, "{v4}:{}/{}", self.port, protocol_name(self.protocol)),
            IpAddr::V6(v6) => write!(f, "[{v6}]:{}/{}", self.port, protocol_name(self.protocol)),
        }
    }
}

/// By which of a Service's faces it is reached. All but `ClusterIp` are external.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// The Service's own address inside the cluster.
    ClusterIp,
    /// A port at the node's addresses.
    NodePort,
    /// An address from `status.loadBalancer.ingress`.
    LoadBalancer,
    /// An address from `spec.externalIPs`.
    ExternalIp,
}

impl FrontendKind {
    /// Whether `externalTrafficPolicy` governs it rather than `internalTrafficPolicy`.
    #[must_use]
    #[inline]
    pub const fn is_external(self) -> bool {
        !matches!(self, Self::ClusterIp)
    }
}

/// What stands at an address, port and protocol.
#[derive(Clone, Copy, Debug)]
pub enum FrontendLookup<'t> {
    /// A Service's frontend.
    Found(&'t Service, FrontendKind),
    /// A ClusterIP, but not at this port or protocol. Other kinds of addresses have no such case: an external address
    /// may serve the node or another machine at the ports that no Service claims.
    UndefinedPort,
    /// Inside a Service range, but nobody's ClusterIP.
    Unallocated,
    /// No Service's business.
    None,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    service: ServiceId,
    kind: FrontendKind,
}

/// Every Service port of the cluster, per family. Made by [`ServicesBuilder`] alone.
#[derive(Clone, Debug)]
pub struct Services {
    services: Vec<Arc<Service>>,
    v4: HashMap<u64, Target, Seeded>,
    /// The same, for most new connections.
    fronts: Fronts,
    v6: HashMap<(u128, u32), Target, Seeded>,
    node_ports: HashMap<(Family, u16, u8), ServiceId, Seeded>,
    node_port_addresses: HashSet<IpAddr, Seeded>,
    cluster_ips: HashSet<IpAddr, Seeded>,
    /// Addresses of load balancers and external IPs.
    external: HashSet<IpAddr, Seeded>,
    ranges: Prefixes<()>,
    /// The ranges as given, for [`crate::Claims`] and the checks.
    cidrs: Vec<ipnet::IpNet>,
}

impl Default for Services {
    fn default() -> Self {
        Self::empty(0)
    }
}

impl Services {
    fn empty(seed: u64) -> Self {
        Self {
            services: Vec::new(),
            v4: HashMap::with_hasher(seeded(seed)),
            fronts: Fronts::default(),
            v6: HashMap::with_hasher(seeded(seed)),
            node_ports: HashMap::with_hasher(seeded(seed)),
            node_port_addresses: HashSet::with_hasher(seeded(seed)),
            cluster_ips: HashSet::with_hasher(seeded(seed)),
            external: HashSet::with_hasher(seeded(seed)),
            ranges: Prefixes::default(),
            cidrs: Vec::new(),
        }
    }

    /// What stands at `address`, `port` and `protocol`. A frontend of its own goes before a NodePort.
    #[must_use]
    #[inline]
    pub fn frontend(&self, address: IpAddr, port: u16, protocol: u8) -> FrontendLookup<'_> {
        let found = match address {
            IpAddr::V4(v4) => self.v4.get(&key_v4(u32::from(v4), port, protocol)),
            IpAddr::V6(v6) => self.v6.get(&key_v6(u128::from(v6), port, protocol)),
        };
        match found {
            Some(target) => self.found(target.service, target.kind),
            None => self.without_frontend(address, port, protocol),
        }
    }

    /// What a pod's new connection to an IPv4 address is given, without looking at anything but frontends of their own.
    #[must_use]
    #[inline]
    pub fn front(&self, address: u32, port: u16, protocol: u8) -> Front<'_> {
        self.front_at(self.begin_front(address, port, protocol).0)
    }

    /// Where [`Services::front_at`] begins to look, to be asked for all of a burst first, so that its packets wait for memory together.
    /// The second word means nothing; it is there to be kept.
    #[inline]
    #[must_use]
    pub fn begin_front(&self, address: u32, port: u16, protocol: u8) -> (Beginning, u64) {
        self.fronts.begin(key_v4(address, port, protocol))
    }

    /// As [`Services::front`], of these Services.
    #[inline]
    #[must_use]
    pub fn front_at(&self, beginning: Beginning) -> Front<'_> {
        self.fronts.get(beginning)
    }

    fn without_frontend(&self, address: IpAddr, port: u16, protocol: u8) -> FrontendLookup<'_> {
        if self.node_port_addresses.contains(&address)
            && let Some(service) = self.node_ports.get(&(Family::of(address), port, protocol))
        {
            return self.found(*service, FrontendKind::NodePort);
        }
        if self.cluster_ips.contains(&address) {
            return FrontendLookup::UndefinedPort;
        }
        if self.ranges.get(address).is_some() {
            return FrontendLookup::Unallocated;
        }
        FrontendLookup::None
    }

    #[inline]
    fn found(&self, id: ServiceId, kind: FrontendKind) -> FrontendLookup<'_> {
        self.services.get(id.0 as usize).map_or(FrontendLookup::None, |service| FrontendLookup::Found(service, kind))
    }

    /// The Service called `id`.
    #[must_use]
    #[inline]
    pub fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.services.get(id.0 as usize)
    }

    /// Every Service, in the order given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// Every frontend except NodePorts, in no order.
    pub fn frontends(&self) -> impl Iterator<Item = (FrontendKey, FrontendKind, &Service)> {
        let v4 = self.v4.iter().map(|(key, target)| (unkey_v4(*key), *target));
        let v6 = self.v6.iter().map(|(key, target)| (unkey_v6(*key), *target));
        v4.chain(v6).filter_map(|(key, target)| {
            Some((key, target.kind, self.services.get(target.service.0 as usize)?.as_ref()))
        })
    }

    /// Every NodePort with its family and protocol, in no order.
    pub fn node_ports(&self) -> impl Iterator<Item = (Family, u16, u8, &Service)> {
        self.node_ports.iter().filter_map(|(&(family, port, protocol), id)| {
            Some((family, port, protocol, self.services.get(id.0 as usize)?.as_ref()))
        })
    }

    /// The addresses at which NodePorts are served, in no order.
    pub fn node_port_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.node_port_addresses.iter().copied()
    }

    /// Whether `address` is a ClusterIP or in a Service range, so that it can be nobody else's.
    #[must_use]
    #[inline]
    pub fn is_internal(&self, address: IpAddr) -> bool {
        self.cluster_ips.contains(&address) || self.ranges.get(address).is_some()
    }

    /// Whether a Service has `address` as a load balancer's or an external IP, at any port. Somebody else may be reached at
    /// the other ports.
    #[must_use]
    pub fn is_external(&self, address: IpAddr) -> bool {
        self.external.contains(&address)
    }

    /// The ranges that ClusterIPs are taken from, in the order given.
    #[must_use]
    pub fn service_cidrs(&self) -> &[ipnet::IpNet] {
        &self.cidrs
    }
}

/// Packs address, port and protocol so that hashing takes one step.
#[inline]
const fn key_v4(address: u32, port: u16, protocol: u8) -> u64 {
    (address as u64) << 32 | (port as u64) << 16 | protocol as u64
}

#[inline]
const fn key_v6(address: u128, port: u16, protocol: u8) -> (u128, u32) {
    (address, (port as u32) << 16 | protocol as u32)
}

#[allow(clippy::cast_possible_truncation, reason = "the fields are taken out where they were put in")]
fn unkey_v4(key: u64) -> FrontendKey {
    let address = IpAddr::V4(((key >> 32) as u32).into());
    FrontendKey { address, port: (key >> 16) as u16, protocol: key as u8 }
}

#[allow(clippy::cast_possible_truncation, reason = "the fields are taken out where they were put in")]
fn unkey_v6((address, rest): (u128, u32)) -> FrontendKey {
    FrontendKey { address: IpAddr::V6(address.into()), port: (rest >> 16) as u16, protocol: rest as u8 }
}

/// As Kubernetes writes it, for messages.
pub(crate) fn protocol_name(protocol: u8) -> String {
    match protocol {
        sluice_wire::protocol::TCP => "TCP".into(),
        sluice_wire::protocol::UDP => "UDP".into(),
        sluice_wire::protocol::SCTP => "SCTP".into(),
        other => format!("protocol {other}"),
    }
}
