//! Services as they were made last, and what a change makes of them.
//!
//! A change of endpoints makes the Services anew whose endpoints they are, and leaves who has which frontend as it is. Any other
//! change hands the frontends out again, among Services most of which are those from before.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_tables::{Family, Service as Made, ServiceId, Services, ServicesBuilder, ServicesError};

use super::claims::Claims;
use super::health_check::{HealthCheck, health_check};
use super::port_mappings::{PortMapping, map_ports};
use super::{Entry, ServicesConfig, fault, ports_field, service_entries};
use crate::fault::{Fault, Problem};
use crate::index::{Changes, Index};
use crate::name::ServiceName;
use crate::node::Node;
use crate::service::Service;
use crate::spare::Spare;
use crate::timestamp::Timestamp;

/// The Services of one node, and what they were made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompiledServices {
    /// Those that this switch carries out, the oldest first: `false` and a time before `true` and none.
    order: BTreeSet<(bool, Option<Timestamp>, ServiceName)>,
    parts: BTreeMap<ServiceName, Part>,
    services: Arc<Services>,
    spare: Spare<Services>,
    faults: Vec<Fault>,
    health_checks: Vec<HealthCheck>,
    /// Those that were handed out.
    port_mappings: Vec<PortMapping>,
}

/// What one Service was made into.
#[derive(Clone, Debug)]
struct Part {
    created: Option<Timestamp>,
    /// Each port in each family.
    ports: Vec<Port>,
    health_check: Option<HealthCheck>,
}

/// One port of a Service in one family.
#[derive(Clone, Debug)]
struct Port {
    position: usize,
    family: Family,
    made: Result<Arc<Made>, ServicesError>,
    /// Where it is in the tables, if it is.
    id: Option<ServiceId>,
}

impl CompiledServices {
    /// The Services.
    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// What is wrong with them.
    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The health checks that this node answers: those of load balancers under policy Local, the oldest Service first.
    pub(crate) fn health_checks(&self) -> &[HealthCheck] {
        &self.health_checks
    }

    /// Brings them up to date with an index of which `changes` are all that changed. With other `node`, `config` or `seed`
    /// than before, those are to be everything; port mappings may be other ones in any case.
    pub(crate) fn update(&mut self, index: &Index, changes: &Changes, node: &Node, config: &ServicesConfig, seed: u64) {
        let mut anew = changes.everything || changes.networks || !changes.services.is_empty();
        let mut checks_changed = anew;
        anew |= self.port_mappings != config.port_mappings;
        let mut changed = Vec::new();
        for name in self.concerned(index, changes) {
            let part = index.service(&name).and_then(|service| self.part(index, node, config, service));
            let before = self.parts.get(&name);
            match (before, &part) {
                (Some(before), Some(part)) if !anew => match part.differences(before) {
                    Some(differences) => changed.extend(differences),
                    None => anew = true,
                },
                (None, None) => {}
                _ => anew = true,
            }
            let check = |part: Option<&Part>| part.and_then(|part| part.health_check.clone());
            checks_changed |= check(before) != check(part.as_ref());
            self.put(name, part);
        }
        if anew {
            self.hand_out(index, node, config, seed);
        } else if !changed.is_empty() {
            let mut services = self.spare.take();
            match self.services.copy_changed(changed, &mut services) {
                Ok(()) => self.replace(services),
                // Not expected: what is made of one key is of one family and protocol.
                Err(_) => self.hand_out(index, node, config, seed),
            }
        }
        if anew || checks_changed {
            let checks = self.order.iter().filter_map(|(_, _, name)| self.parts.get(name)?.health_check.clone());
            self.health_checks = checks.collect();
        }
    }

    /// The Services that are to be looked at: those that are there, and those that were.
    fn concerned(&self, index: &Index, changes: &Changes) -> BTreeSet<ServiceName> {
        if changes.everything {
            let known = self.parts.keys().cloned();
            return index.services().map(|service| service.name.clone()).chain(known).collect();
        }
        changes.services.union(&changes.endpoints).cloned().collect()
    }

    /// What a Service is made into, with what it was made into before where that is the same. `None` for one that this
    /// switch does not carry out.
    fn part(&self, index: &Index, node: &Node, config: &ServicesConfig, service: &Service) -> Option<Part> {
        if !service.is_for(config.proxy_name.as_deref()) {
            return None;
        }
        let before = self.parts.get(&service.name).map_or(&[][..], |part| &part.ports);
        let port = |(position, _, entry): (usize, _, sluice_tables::ServiceEntry)| {
            let family = entry.family;
            let made_before = before.iter().filter_map(|port| Some((port.made.as_ref().ok()?, port.id)));
            let mut same = made_before.filter(|(made, _)| made.key() == entry.key);
            let (made, id) = match same.next() {
                Some((made, id)) if made.is_made_of(&entry) => (Ok(Arc::clone(made)), id),
                Some((_, id)) => (Made::new(entry), id),
                None => (Made::new(entry), None),
            };
            Port { position, family, made, id }
        };
        let ports = service_entries(index, node, config, service).into_iter().map(port).collect();
        let health_check = health_check(index, node, config, service);
        Some(Part { created: service.created, ports, health_check })
    }

    fn put(&mut self, name: ServiceName, part: Option<Part>) {
        let age = |part: &Part| (part.created.is_none(), part.created);
        let now = part.as_ref().map(age);
        let before = match part {
            Some(part) => self.parts.insert(name.clone(), part),
            None => self.parts.remove(&name),
        };
        let before = before.as_ref().map(age);
        if before == now {
            return;
        }
        if let Some((undated, created)) = before {
            self.order.remove(&(undated, created, name.clone()));
        }
        if let Some((undated, created)) = now {
            self.order.insert((undated, created, name));
        }
    }

    /// Puts all Services into new tables, and hands their frontends out.
    fn hand_out(&mut self, index: &Index, node: &Node, config: &ServicesConfig, seed: u64) {
        let mut builder = ServicesBuilder::new(seed);
        let mut faults = Vec::new();
        for range in &config.service_cidrs {
            builder.service_cidr(*range);
        }
        let services: Vec<&Service> = self.order.iter().filter_map(|(_, _, name)| index.service(name)).collect();
        let cluster_ips: HashSet<IpAddr> =
            services.iter().flat_map(|service| service.cluster_ips.iter().copied()).collect();
        for address in config.served_at(node).into_iter().filter(|address| !cluster_ips.contains(address)) {
            builder.node_port_address(address);
        }
        let mut entries = Vec::new();
        for service in services {
            let Some(part) = self.parts.get_mut(&service.name) else { continue };
            for Port { position, family, made, id } in &mut part.ports {
                let taken = made.as_ref().map_err(Clone::clone).and_then(|made| builder.shared(Arc::clone(made)));
                *id = taken.as_ref().ok().copied();
                match (taken, service.ports.get(*position)) {
                    (Ok(id), Some(port)) => {
                        entries.push(Entry { service, position: *position, port, family: *family, id });
                    }
                    (Err(reason), _) => {
                        faults.push(fault(service, ports_field(*position), Problem::Refused { reason }));
                    }
                    (Ok(_), None) => {}
                }
            }
        }
        Claims::new(index, node, config, &mut faults).claim(&mut builder, &entries);
        map_ports(&mut builder, config, &mut faults);
        self.port_mappings.clone_from(&config.port_mappings);
        self.replace(builder.build());
        self.faults = faults;
    }

    fn replace(&mut self, services: Services) {
        let before = std::mem::replace(&mut self.services, Arc::new(services));
        self.spare.keep(before);
    }
}

impl Part {
    /// What is another thing than before, where all of it has a place in the tables already; `None`: the tables have to be
    /// made anew.
    fn differences(&self, before: &Part) -> Option<Vec<(ServiceId, Arc<Made>)>> {
        if self.created != before.created || self.ports.len() != before.ports.len() {
            return None;
        }
        let mut differences = Vec::new();
        for (now, before) in self.ports.iter().zip(&before.ports) {
            match (&now.made, &before.made, now.id) {
                (Ok(made), Ok(known), _) if Arc::ptr_eq(made, known) => {}
                (Ok(made), Ok(_), Some(id)) => differences.push((id, Arc::clone(made))),
                (Err(now), Err(before), _) if now == before => {}
                _ => return None,
            }
        }
        Some(differences)
    }
}
