//! Ports of the node that lead to one pod (`hostPort`, CNI's port mappings), as Services with one endpoint.
//!
//! They are handed out behind all Services: a NodePort or an address of a Service that is claimed too stays the Service's.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_tables::{
    Backend, Choice, Family, FrontendKey, FrontendKind, KnownBackend, ServiceEntry, ServicesBuilder, ServicesError,
};

use super::ServicesConfig;
use super::claims::explain;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::PodName;
use crate::object::Key;
use crate::protocol::Protocol;

/// A port of the node that leads to one pod's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// The pod.
    pub pod: PodName,
    /// At which address of the node; `None` for all at which NodePorts of the family are served.
    pub at: Option<IpAddr>,
    /// The node's port.
    pub port: u16,
    /// The protocol of both.
    pub protocol: Protocol,
    /// The pod's address and port.
    pub backend: Backend,
}

/// Gives each mapping its frontend. Who comes first has it, but Services before all.
pub(super) fn map_ports(builder: &mut ServicesBuilder, config: &ServicesConfig, faults: &mut Vec<Fault>) {
    for mapping in &config.port_mappings {
        let refused = if config.reserves(mapping.port, mapping.protocol) {
            Some(Problem::ReservedPort { port: mapping.port })
        } else {
            claim(builder, mapping).err().map(explain)
        };
        if let Some(problem) = refused {
            let subject = Key::Pod(mapping.pod.clone()).subject();
            let field = FieldPath::of(&["spec", "containers", "ports", "hostPort"]);
            faults.push(Fault { subject, field, problem });
        }
    }
}

fn claim(builder: &mut ServicesBuilder, mapping: &PortMapping) -> Result<(), ServicesError> {
    let PortMapping { at, port, protocol, backend, .. } = mapping;
    let id = builder.service(entry(mapping))?;
    match *at {
        None => builder.node_port(*port, protocol.number(), id),
        Some(address) if Family::of(address) == Family::of(backend.address) => {
            let key = FrontendKey { address, port: *port, protocol: protocol.number() };
            builder.frontend(key, FrontendKind::NodePort, id)
        }
        // The pod's other address is the one that it leads to.
        Some(_) => Ok(()),
    }
}

/// The pod is on this node, so clients from outside keep their addresses.
fn entry(mapping: &PortMapping) -> ServiceEntry {
    let PortMapping { pod, port, protocol, backend, at } = mapping;
    let family = Family::of(backend.address);
    let at = at.map(|address| format!("{address}:")).unwrap_or_default();
    let name: Arc<str> = format!("{pod}:{at}{port}").into();
    ServiceEntry {
        key: stable_key(&format!("{name}/{protocol}/{family}")),
        name,
        family,
        protocol: protocol.number(),
        cluster: vec![*backend],
        local: vec![*backend],
        known: vec![KnownBackend { address: backend.address, port: backend.port, serving: true }],
        internal_local: false,
        external_local: true,
        affinity: None,
        source_ranges: None,
        choice: Choice::default(),
    }
}

/// Services' names have two slashes before the family and these one more colon, so no two texts are alike; two that meet in
/// one key all the same are told. FNV-1a.
fn stable_key(text: &str) -> u64 {
    text.bytes()
        .fold(0x84222325_cbf29ce4_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
