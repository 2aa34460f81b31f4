//! What the configuration says of the network beyond the node, in the words of the model.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_model::{Node, PeersConfig, PortMapping, ServicesConfig, TunnelConfig, masquerade};
use sluice_tables::{Choice, Encapsulation as Header, Family, Masquerade, Tunnel};

use crate::config::{Encapsulation, EndpointChoice, Network, Switched};

/// Bytes that an encapsulated packet is longer: an inner Ethernet header (14), VXLAN or Geneve (8), UDP (8), IP.
const OVERHEAD_V4: u16 = 14 + 8 + 8 + 20;
const OVERHEAD_V6: u16 = 14 + 8 + 8 + 40;

impl Network {
    /// How Services are compiled; `addresses` are all that the node's stack has, `port_mappings` its ports that are pods'.
    pub(crate) fn services(&self, addresses: &[IpAddr], port_mappings: Vec<PortMapping>) -> ServicesConfig {
        ServicesConfig {
            service_cidrs: self.service_cidrs.clone(),
            node_port_addresses: self.node_port_addresses.clone(),
            node_addresses: addresses.to_vec(),
            external_ips: self.external_ips == Switched::On,
            proxy_name: self.proxy_name.clone(),
            choice: match self.choice {
                EndpointChoice::Random => Choice::Random,
                EndpointChoice::Maglev => Choice::Maglev,
            },
            masquerade_ports: self.masquerade_ports,
            tunnel_port: self.is_tunnelled().then_some(self.tunnel_port),
            port_mappings,
        }
    }

    /// How other nodes are made peers; `addresses` are all that the node's stack has, `underlay` is what the uplink reaches without a
    /// tunnel.
    pub(crate) fn peers(&self, node: &Node, addresses: &[IpAddr], underlay: &[IpNet]) -> PeersConfig {
        PeersConfig {
            family: family(node),
            service_cidrs: self.service_cidrs.clone(),
            node_addresses: addresses.to_vec(),
            underlay: underlay.to_vec(),
            tunnel: self.uplink.is_some().then(|| TunnelConfig {
                encapsulation: self.header(),
                port: self.tunnel_port,
                vni: self.vni,
            }),
        }
    }

    /// What is written around packets between nodes.
    fn header(&self) -> Header {
        match self.encapsulation {
            Encapsulation::None => Header::None,
            Encapsulation::Vxlan => Header::Vxlan,
            Encapsulation::Geneve => Header::Geneve,
        }
    }

    /// Under which address pods speak to the outside. Without an uplink nothing leaves by the switch, and what goes to the
    /// node's own stack keeps its source.
    pub(crate) fn masquerade(&self, node: &Node) -> Masquerade {
        let outside = self.uplink.is_some() && self.masquerade_outside == Switched::On;
        masquerade(node, self.masquerade_ports, self.masquerade_excluded.clone(), outside)
    }

    /// This node's end of the tunnels; none where nothing is encapsulated or the node has no address for it. Pods' packets are at
    /// most `pod_mtu` bytes, and less where the `uplink`'s MTU has been lowered since pods got theirs.
    pub(crate) fn tunnel(&self, node: &Node, pod_mtu: u16, uplink: u16) -> Option<Tunnel> {
        let encapsulation = match self.header() {
            Header::None => return None,
            header => header,
        };
        let local = node.internal_ip(family(node))?;
        let mac = node.tunnel_mac_at(local);
        let inner_mtu = pod_mtu.min(self.pod_mtu(uplink.into(), local.is_ipv4()));
        Some(Tunnel { encapsulation, vni: self.vni, port: self.tunnel_port, local, mac, inner_mtu })
    }

    /// Whether packets to other nodes are encapsulated.
    pub(crate) fn is_tunnelled(&self) -> bool {
        self.uplink.is_some() && self.encapsulation != Encapsulation::None
    }

    /// The path MTU that pods have when the configuration names none and the uplink takes packets of `uplink` bytes. The node's
    /// addresses are not known yet when pods' devices get their sizes, so there is room for the longer outer header where an
    /// IPv4 one may be enough only if `v4`.
    pub(crate) fn pod_mtu(&self, uplink: u32, v4: bool) -> u16 {
        let uplink = u16::try_from(uplink).unwrap_or(u16::MAX);
        match self.encapsulation {
            Encapsulation::None => uplink,
            _ => uplink.saturating_sub(if v4 { OVERHEAD_V4 } else { OVERHEAD_V6 }),
        }
    }
}

/// Family of the addresses between which packets travel: IPv4 where the node has such an address.
fn family(node: &Node) -> Family {
    if node.internal_ip(Family::V4).is_some() || node.internal_ip(Family::V6).is_none() {
        Family::V4
    } else {
        Family::V6
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::NodeName;

    use super::*;
    use crate::config::{Config, Keys, SourceKeys, Surroundings, TunnelKeys, UplinkKeys};

    fn network(encapsulation: Encapsulation) -> Network {
        let keys = Keys {
            node_name: Some("n".into()),
            source: SourceKeys::of_directory("/m"),
            uplink: UplinkKeys { device: Some("eth1".into()) },
            tunnel: TunnelKeys { encapsulation: Some(encapsulation), ..TunnelKeys::default() },
            ..Keys::default()
        };
        Config::check(keys, &Surroundings { cores: vec![0], ..Surroundings::default() }).unwrap().network
    }

    fn node(addresses: &[&str]) -> Node {
        let internal_ips = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Node { internal_ips, ..Node::named(NodeName::new("n").unwrap()) }
    }

    #[test]
    fn pods_leave_room_for_the_outer_headers() {
        assert_eq!(network(Encapsulation::Vxlan).pod_mtu(1500, true), 1450);
        assert_eq!(network(Encapsulation::Geneve).pod_mtu(1500, false), 1430);
        assert_eq!(network(Encapsulation::None).pod_mtu(9000, true), 9000);
        assert_eq!(network(Encapsulation::None).pod_mtu(100_000, true), 65535);
    }

    #[test]
    fn tunnels_end_at_the_node_s_address_of_the_underlay_s_family() {
        let both = network(Encapsulation::Vxlan).tunnel(&node(&["2001:db8::1", "192.0.2.1"]), 1450, 1500).unwrap();
        assert_eq!((both.local, both.port), ("192.0.2.1".parse().unwrap(), 4789));
        let six = network(Encapsulation::Geneve).tunnel(&node(&["2001:db8::1"]), 1450, 1400).unwrap();
        assert_eq!((both.inner_mtu, six.inner_mtu), (1450, 1330));
        assert_eq!((six.local, six.port), ("2001:db8::1".parse().unwrap(), 6081));
        assert_eq!(network(Encapsulation::None).tunnel(&node(&["192.0.2.1"]), 1500, 1500), None);
        assert_eq!(network(Encapsulation::Vxlan).tunnel(&node(&[]), 1450, 1500), None);
    }
}
