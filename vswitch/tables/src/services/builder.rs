//! The way into [`Services`].

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use thiserror::Error;

use super::fronts::Fronts;
use super::service::MAX_AFFINITY_SECONDS;
use super::{
    FrontendKey, FrontendKind, Service, ServiceEntry, ServiceId, Services, Target, key_v4, key_v6, protocol_name,
};
use crate::hash::{Seeded, seeded};
use crate::prefixes::Prefixes;
use crate::{Family, is_unicast};

/// Why a Service, or one face of it, was refused. What had been added before stays.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServicesError {
    /// Two Services claim one frontend.
    #[error("frontend {key} belongs to Service {first}: Service {second} cannot have it too, take it from one of them")]
    FrontendTaken {
        /// The frontend.
        key: FrontendKey,
        /// Who has it.
        first: Arc<str>,
        /// Who wanted it.
        second: Arc<str>,
    },
    /// Two Services claim one NodePort.
    #[error(
        "node port {port}/{} belongs to Service {first}: Service {second} needs another", protocol_name(*.protocol)
    )]
    NodePortTaken {
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: u8,
        /// Who has it.
        first: Arc<str>,
        /// Who wanted it.
        second: Arc<str>,
    },
    /// Two Services have one key.
    #[error("Services {first} and {second} have one key: give each (Service, port, family) a key of its own")]
    DuplicateKey {
        /// Who has it.
        first: Arc<str>,
        /// Who wanted it.
        second: Arc<str>,
    },
    /// An id that this builder did not give.
    #[error("{0:?} is no Service of this builder: use the ids that it returned")]
    UnknownService(ServiceId),
    /// Another Service in the place of one.
    #[error("Service {second} cannot stand in the place of {first}: build the Services anew")]
    OtherService {
        /// Who is there.
        first: Arc<str>,
        /// Who was to come.
        second: Arc<str>,
    },
    /// A frontend or NodePort whose protocol is not its Service's.
    #[error(
        "Service {service} cannot be reached by {}: use the protocol of its port", protocol_name(*.protocol)
    )]
    Protocol {
        /// The Service.
        service: Arc<str>,
        /// The protocol given.
        protocol: u8,
    },
    /// A timeout out of range.
    #[error("session affinity of Service {service} lasts {seconds} s: give 1 to {MAX_AFFINITY_SECONDS} s")]
    Affinity {
        /// The Service.
        service: Arc<str>,
        /// The timeout given.
        seconds: u32,
    },
    /// A backend of the other family.
    #[error("backend {address} of Service {service} is not {family}: nothing translates between families")]
    BackendFamily {
        /// The Service.
        service: Arc<str>,
        /// The backend's address.
        address: IpAddr,
        /// The Service's family.
        family: Family,
    },
    /// A backend that nothing can be sent to.
    #[error("backend {address} port {port} of Service {service} cannot be sent to: give a unicast address and a port")]
    UnusableBackend {
        /// The Service.
        service: Arc<str>,
        /// The backend's address.
        address: IpAddr,
        /// The backend's port.
        port: u16,
    },
    /// A frontend that nothing can be sent to, or of the other family.
    #[error("frontend {key} cannot be Service {service}'s: give a unicast address of its family and a port")]
    UnusableFrontend {
        /// The Service.
        service: Arc<str>,
        /// The frontend.
        key: FrontendKey,
    },
}

impl Services {
    /// The same with some Services as they are now, as when their backends changed: same key, family and protocol. All else,
    /// their frontends too, stays as it is.
    ///
    /// # Errors
    /// [`ServicesError::UnknownService`], [`ServicesError::OtherService`].
    pub fn with_changed(
        &self,
        changed: impl IntoIterator<Item = (ServiceId, Arc<Service>)>,
    ) -> Result<Self, ServicesError> {
        let mut services = Self::empty(0);
        self.copy_changed(changed, &mut services)?;
        Ok(services)
    }

    /// The same into Services that nobody needs any more: where they are as large, no memory is asked for. Flat copies that are
    /// asked for again and again, between things that stay, leave gaps that no later copy fits into.
    ///
    /// # Errors
    /// As of [`Services::with_changed`]; `services` are then of no use.
    pub fn copy_changed(
        &self,
        changed: impl IntoIterator<Item = (ServiceId, Arc<Service>)>,
        services: &mut Self,
    ) -> Result<(), ServicesError> {
        services.copy(self);
        let mut ids = BTreeSet::new();
        for (id, service) in changed {
            let place = services.services.get_mut(id.0 as usize).ok_or(ServicesError::UnknownService(id))?;
            let of = |service: &Service| (service.key(), service.family(), service.protocol());
            if of(place) != of(&service) {
                let (first, second) = (Arc::clone(place.name()), Arc::clone(service.name()));
                return Err(ServicesError::OtherService { first, second });
            }
            *place = service;
            ids.insert(id);
        }
        let concerned = self.v4.iter().filter(|(_, target)| ids.contains(&target.service));
        let mut fronts = std::mem::take(&mut services.fronts);
        for (key, target) in concerned {
            fronts.change(*key, plain(services, target));
        }
        services.fronts = fronts;
        Ok(())
    }

    fn copy(&mut self, other: &Self) {
        self.services.clone_from(&other.services);
        self.v4.clone_from(&other.v4);
        self.fronts.clone_from(&other.fronts);
        self.v6.clone_from(&other.v6);
        self.node_ports.clone_from(&other.node_ports);
        self.node_port_addresses.clone_from(&other.node_port_addresses);
        self.cluster_ips.clone_from(&other.cluster_ips);
        self.external.clone_from(&other.external);
        self.ranges.clone_from(&other.ranges);
        self.cidrs.clone_from(&other.cidrs);
    }
}

/// Collects Services. Each call checks what it is given, so a Service that does not fit can be left out and reported
/// while the others go on. Two Services that want one frontend: the first given has it, so give them in the order of
/// the documented rule.
#[derive(Clone, Debug)]
pub struct ServicesBuilder {
    services: Services,
    by_key: HashMap<u64, ServiceId, Seeded>,
}

impl ServicesBuilder {
    /// No Service yet; maps hash under `seed`, which has no bearing on the choice of backends.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { services: Services::empty(seed), by_key: HashMap::with_hasher(seeded(seed)) }
    }

    /// Adds one port of a Service in one family.
    ///
    /// # Errors
    /// [`ServicesError`] names the Service and what is wrong with it.
    pub fn service(&mut self, entry: ServiceEntry) -> Result<ServiceId, ServicesError> {
        self.shared(Service::new(entry)?)
    }

    /// Adds one that was checked before, in this generation or another.
    ///
    /// # Errors
    /// [`ServicesError::DuplicateKey`].
    pub fn shared(&mut self, service: Arc<Service>) -> Result<ServiceId, ServicesError> {
        let id = ServiceId(u32::try_from(self.services.services.len()).unwrap_or(u32::MAX));
        if let Some(&earlier) = self.by_key.get(&service.key()) {
            let first = Arc::clone(self.get(earlier)?.name());
            return Err(ServicesError::DuplicateKey { first, second: Arc::clone(service.name()) });
        }
        self.by_key.insert(service.key(), id);
        self.services.services.push(service);
        Ok(id)
    }

    /// Makes `service` answer at `key`.
    ///
    /// # Errors
    /// [`ServicesError`] names the Service, and the one that has the frontend already.
    pub fn frontend(&mut self, key: FrontendKey, kind: FrontendKind, service: ServiceId) -> Result<(), ServicesError> {
        let checked = self.get(service)?;
        let name = || Arc::clone(checked.name());
        if key.protocol != checked.protocol() {
            return Err(ServicesError::Protocol { service: name(), protocol: key.protocol });
        }
        if key.port == 0 || Family::of(key.address) != checked.family() || !is_unicast(key.address) {
            return Err(ServicesError::UnusableFrontend { service: name(), key });
        }
        if let Some(earlier) = self.target(&key) {
            let first = Arc::clone(self.get(earlier.service)?.name());
            return Err(ServicesError::FrontendTaken { key, first, second: name() });
        }
        let target = Target { service, kind };
        match key.address {
            IpAddr::V4(v4) => self.services.v4.insert(key_v4(v4.into(), key.port, key.protocol), target),
            IpAddr::V6(v6) => self.services.v6.insert(key_v6(v6.into(), key.port, key.protocol), target),
        };
        match kind {
            FrontendKind::ClusterIp => self.services.cluster_ips.insert(key.address),
            FrontendKind::LoadBalancer | FrontendKind::ExternalIp => self.services.external.insert(key.address),
            FrontendKind::NodePort => false,
        };
        Ok(())
    }

    /// Makes `service` answer at `port` of every node port address of its family.
    ///
    /// # Errors
    /// [`ServicesError`] names the Service, and the one that has the port already.
    pub fn node_port(&mut self, port: u16, protocol: u8, service: ServiceId) -> Result<(), ServicesError> {
        let checked = self.get(service)?;
        let name = || Arc::clone(checked.name());
        if port == 0 || protocol != checked.protocol() {
            return Err(ServicesError::Protocol { service: name(), protocol });
        }
        let key = (checked.family(), port, protocol);
        if let Some(&earlier) = self.services.node_ports.get(&key) {
            let first = Arc::clone(self.get(earlier)?.name());
            return Err(ServicesError::NodePortTaken { port, protocol, first, second: name() });
        }
        self.services.node_ports.insert(key, service);
        Ok(())
    }

    /// Serves NodePorts at `address` too, unless it is a ClusterIP or in a Service range.
    pub fn node_port_address(&mut self, address: IpAddr) -> &mut Self {
        self.services.node_port_addresses.insert(address);
        self
    }

    /// Adds a range that ClusterIPs are taken from. Bits below the prefix length are ignored.
    pub fn service_cidr(&mut self, cidr: IpNet) -> &mut Self {
        self.services.cidrs.push(cidr.trunc());
        self
    }

    /// Makes it the Services of a generation.
    #[must_use]
    pub fn build(self) -> Services {
        let mut services = self.services;
        services.fronts = fronts(&services);
        services.ranges = Prefixes::longest(services.cidrs.iter().map(|cidr| (*cidr, ())));
        let internal: Vec<IpAddr> = services.node_port_addresses().filter(|it| services.is_internal(*it)).collect();
        for address in internal {
            services.node_port_addresses.remove(&address);
        }
        services
    }

    fn get(&self, id: ServiceId) -> Result<&Arc<Service>, ServicesError> {
        self.services.service(id).ok_or(ServicesError::UnknownService(id))
    }

    fn target(&self, key: &FrontendKey) -> Option<Target> {
        match key.address {
            IpAddr::V4(v4) => self.services.v4.get(&key_v4(v4.into(), key.port, key.protocol)).copied(),
            IpAddr::V6(v6) => self.services.v6.get(&key_v6(v6.into(), key.port, key.protocol)).copied(),
        }
    }
}

/// What a pod is given at each IPv4 frontend.
fn fronts(services: &Services) -> Fronts {
    Fronts::of(services.v4.iter().map(|(key, target)| (*key, plain(services, target))), 0)
}

/// What a pod is given at one: by way of a ClusterIP only, as others hide it.
fn plain<'s>(services: &'s Services, target: &Target) -> impl Iterator<Item = u64> + use<'s> {
    let of_pods = matches!(target.kind, FrontendKind::ClusterIp);
    let service = services.service(target.service).filter(|_| of_pods);
    service.into_iter().flat_map(|service| service.plain())
}
