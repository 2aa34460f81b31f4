//! What of the node's own packets has to pass the switch though its stack would not send it there, derived from a generation.

use std::net::IpAddr;

use crate::{ClaimedPort, Family, FrontendKey, FrontendKind, Services, Tables};

/// What the programs around the node's stack lead into the host port. Ordered, so that two are equal if they say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detours {
    /// Addresses of the node that serve NodePorts.
    pub node_addresses: Vec<IpAddr>,
    /// The NodePorts, at `node_addresses` of their family.
    pub node_ports: Vec<(Family, ClaimedPort)>,
    /// Other ports of Services at addresses of the node: external and load balancers' addresses.
    pub frontends: Vec<(IpAddr, ClaimedPort)>,
    /// Endpoints that are the node itself, of Services that keep the addresses of clients from outside: their answers belong to
    /// the switch.
    pub endpoints: Vec<(IpAddr, ClaimedPort)>,
}

impl Tables {
    /// What of the node's own packets has to pass the switch.
    #[must_use]
    pub fn detours(&self) -> Detours {
        let services: &Services = self.services();
        let mut detours = Detours {
            node_addresses: services.node_port_addresses().collect(),
            node_ports: services
                .node_ports()
                .map(|(family, port, protocol, _)| (family, claimed(protocol, port)))
                .collect(),
            ..Detours::default()
        };
        // A ClusterIP that the node's stack has too is a local server's doing, as that of a DNS cache: the node goes on using it.
        let own = |key: &FrontendKey, kind: FrontendKind| kind.is_external() && self.is_node_address(key.address);
        for (key, ..) in services.frontends().filter(|(key, kind, _)| own(key, *kind)) {
            detours.frontends.push((key.address, claimed(key.protocol, key.port)));
        }
        for service in services.iter().filter(|service| service.external_local()) {
            // Also one that takes no new connections goes on with those it has.
            let own = service.known_backends().iter().filter(|backend| self.is_node_address(backend.address));
            detours.endpoints.extend(own.map(|backend| (backend.address, claimed(service.protocol(), backend.port))));
        }
        if detours.node_ports.is_empty() {
            detours.node_addresses.clear();
        }
        sort(&mut detours.node_addresses);
        sort(&mut detours.node_ports);
        sort(&mut detours.frontends);
        sort(&mut detours.endpoints);
        detours
    }
}

fn claimed(protocol: u8, port: u16) -> ClaimedPort {
    ClaimedPort { protocol, port }
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}
