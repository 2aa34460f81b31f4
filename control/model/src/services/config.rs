//! What the operator says of Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_tables::{Choice, DEFAULT_MASQUERADE_PORTS};

use crate::node::{Node, is_reachable};
use crate::protocol::Protocol;

use super::port_mappings::PortMapping;

/// How Services are carried out on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicesConfig {
    /// Ranges that ClusterIPs are taken from: a packet to an address in them that is no Service's is dropped.
    pub service_cidrs: Vec<IpNet>,
    /// At which addresses NodePorts are served.
    pub node_port_addresses: NodePortAddresses,
    /// All addresses that the node's own stack has at this moment. [`NodePortAddresses::Primary`] needs none.
    pub node_addresses: Vec<IpAddr>,
    /// Whether `spec.externalIPs` are carried out. Off by default: whoever may write a Service could take any address
    /// with them (CVE-2020-8554), and Kubernetes 1.36 deprecates them.
    pub external_ips: bool,
    /// The name by which `service.kubernetes.io/service-proxy-name` means this switch, if it has one.
    pub proxy_name: Option<String>,
    /// How backends are chosen.
    pub choice: Choice,
    /// Ports on the node that masquerading needs, first and last inclusive: no Service can have them there.
    pub masquerade_ports: (u16, u16),
    /// UDP port on the node that the tunnels need.
    pub tunnel_port: Option<u16>,
    /// Ports of the node that lead to one pod of it, in the order in which they were asked for.
    pub port_mappings: Vec<PortMapping>,
}

impl Default for ServicesConfig {
    fn default() -> ServicesConfig {
        ServicesConfig {
            service_cidrs: Vec::new(),
            node_port_addresses: NodePortAddresses::default(),
            node_addresses: Vec::new(),
            external_ips: false,
            proxy_name: None,
            choice: Choice::default(),
            masquerade_ports: DEFAULT_MASQUERADE_PORTS,
            tunnel_port: None,
            port_mappings: Vec::new(),
        }
    }
}

/// At which of the node's addresses NodePorts are served. Loopback and link-local addresses never serve any: what comes
/// to those does not pass the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Those in the Node's status, as kube-proxy's nftables mode has it.
    #[default]
    Primary,
    /// All that the node's stack has, as kube-proxy's iptables mode has it.
    All,
    /// Those of all and of the Node's status that lie in one of these ranges.
    Ranges(Vec<IpNet>),
}

impl ServicesConfig {
    /// The addresses at which NodePorts are served, ordered. Those among ClusterIPs are Services', whoever has them.
    pub(crate) fn served_at(&self, node: &Node) -> BTreeSet<IpAddr> {
        let all = || node.addresses().chain(self.node_addresses.iter().copied());
        let chosen: BTreeSet<IpAddr> = match &self.node_port_addresses {
            NodePortAddresses::Primary => node.addresses().collect(),
            NodePortAddresses::All => all().collect(),
            NodePortAddresses::Ranges(ranges) => {
                all().filter(|address| ranges.iter().any(|range| range.contains(address))).collect()
            }
        };
        let internal = |address: &IpAddr| self.service_cidrs.iter().any(|range| range.contains(address));
        chosen.into_iter().filter(|address| is_reachable(*address) && !internal(address)).collect()
    }

    /// Whether Services are made alike under both: ports of pods come and go, and concern no Service.
    pub(crate) fn makes_services_as(&self, other: &ServicesConfig) -> bool {
        let ServicesConfig {
            service_cidrs,
            node_port_addresses,
            node_addresses,
            external_ips,
            proxy_name,
            choice,
            masquerade_ports,
            tunnel_port,
            port_mappings: _,
        } = self;
        *service_cidrs == other.service_cidrs
            && *node_port_addresses == other.node_port_addresses
            && *node_addresses == other.node_addresses
            && *external_ips == other.external_ips
            && *proxy_name == other.proxy_name
            && *choice == other.choice
            && *masquerade_ports == other.masquerade_ports
            && *tunnel_port == other.tunnel_port
    }

    /// Whether the switch itself needs a port on the node.
    pub(crate) fn reserves(&self, port: u16, protocol: Protocol) -> bool {
        let (first, last) = self.masquerade_ports;
        (first..=last).contains(&port) || (protocol == Protocol::Udp && self.tunnel_port == Some(port))
    }
}
