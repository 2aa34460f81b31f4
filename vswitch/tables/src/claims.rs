//! What the XDP program on the uplink may take from the host, derived from a generation.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Services, Tables};

/// What is taken on the uplink; everything else goes on to the kernel. Ordered, so that two are equal if they claim the
/// same, and an agent can tell what came and went. Empty without an uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// UDP datagrams to this address and port.
    pub tunnel: Option<TunnelClaim>,
    /// Everything to these prefixes: Service ranges, ClusterIPs and external addresses that are not the node's, and the
    /// node's podCIDRs where nothing is encapsulated. Disjoint, not adjacent. None has an address of the node, save that
    /// of its host port in a podCIDR.
    pub networks: Vec<IpNet>,
    /// The node addresses that `ports` are claimed at: those that serve NodePorts, and those that are external
    /// addresses of Services.
    pub node_addresses: Vec<IpAddr>,
    /// Ports at `node_addresses`. One that is claimed at one address only is taken at all of them, and what is no
    /// Service's there goes back to the host.
    pub ports: Vec<ClaimedPort>,
    /// Ports that masqueraded connections have as their source.
    pub masquerade: Option<MasqueradeClaim>,
    /// Whether later fragments to `node_addresses` and to the masquerade addresses are taken, since they show no port.
    pub fragments: bool,
    /// Whether ICMP errors to `node_addresses`, the masquerade addresses and the tunnel's are taken: they may quote a
    /// packet of the switch's. (Echo replies count as `masquerade`: their identifier is in its range.)
    pub icmp_errors: bool,
}

/// Datagrams of the tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelClaim {
    /// Destination address.
    pub local: IpAddr,
    /// UDP destination port.
    pub port: u16,
}

/// A port of the node that is a Service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimedPort {
    /// IP protocol.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
}

/// Replies to masqueraded connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasqueradeClaim {
    /// The addresses that stand as source, one a family at most.
    pub addresses: Vec<IpAddr>,
    /// Destination ports (TCP, UDP, SCTP) and echo identifiers, first and last inclusive.
    pub ports: (u16, u16),
}

impl Tables {
    /// What the XDP program on the uplink may take.
    #[must_use]
    pub fn claims(&self) -> Claims {
        if self.uplink().is_none() {
            return Claims::default();
        }
        let tunnel = self.tunnel().map(|tunnel| TunnelClaim { local: tunnel.local, port: tunnel.port });
        let (node_addresses, ports) = self.claimed_ports();
        let masquerade = self.claimed_masquerade();
        let fragments = !ports.is_empty() || masquerade.is_some();
        Claims {
            networks: self.claimed_networks(),
            icmp_errors: fragments || tunnel.is_some(),
            tunnel,
            node_addresses,
            ports,
            masquerade,
            fragments,
        }
    }

    fn claimed_networks(&self) -> Vec<IpNet> {
        let services = self.services();
        let mut networks: Vec<IpNet> = services.service_cidrs().to_vec();
        let addresses = services.frontends().map(|(key, ..)| key.address);
        networks.extend(addresses.filter(|address| !self.is_node_address(*address)).map(IpNet::from));
        if self.tunnel().is_none() {
            networks.extend(self.pod_cidrs());
        }
        IpNet::aggregate(&networks)
    }

    fn claimed_ports(&self) -> (Vec<IpAddr>, Vec<ClaimedPort>) {
        let services: &Services = self.services();
        let mut ports: Vec<ClaimedPort> =
            services.node_ports().map(|(_, port, protocol, _)| ClaimedPort { protocol, port }).collect();
        let mut addresses: Vec<IpAddr> = Vec::new();
        if !ports.is_empty() {
            addresses.extend(services.node_port_addresses());
        }
        for (key, ..) in services.frontends().filter(|(key, ..)| self.is_node_address(key.address)) {
            addresses.push(key.address);
            ports.push(ClaimedPort { protocol: key.protocol, port: key.port });
        }
        addresses.sort_unstable();
        addresses.dedup();
        ports.sort_unstable();
        ports.dedup();
        (addresses, ports)
    }

    fn claimed_masquerade(&self) -> Option<MasqueradeClaim> {
        let masquerade = &self.node().masquerade;
        let v4 = masquerade.v4.map(IpAddr::V4);
        let addresses: Vec<IpAddr> = v4.into_iter().chain(masquerade.v6.map(IpAddr::V6)).collect();
        (!addresses.is_empty()).then_some(MasqueradeClaim { addresses, ports: masquerade.ports })
    }
}
