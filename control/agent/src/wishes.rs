//! What an ADD asks for beyond the usual, checked against this node.

use std::net::IpAddr;

use sluice_cni_protocol::{AddSettings, PortMapping, RuntimeConfig, TransportProtocol};
use sluice_host::{Error, Netlink};
use sluice_tables::GATEWAY_MAC;
use sluice_wire::MacAddr;
use tracing::warn;

use crate::agent::Agent;
use crate::config::Network;
use crate::state::{Requested, StoredAttachment};

/// Why a wish cannot be fulfilled, whatever the pods of the node have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WishError {
    /// The switch's own hardware address.
    #[error("runtimeConfig.mac {0} is the gateway's; ask for another or for none")]
    GatewayMac(MacAddr),
    /// An address that the node does not have.
    #[error("runtimeConfig.portMappings: {0} is at no address of this node; take one of the node's as hostIP, or none")]
    NotOfThisNode(PortMapping),
    /// A port that masquerading or the tunnels need.
    #[error("runtimeConfig.portMappings: {0} is a port that the switch masquerades or tunnels with; take another")]
    Reserved(PortMapping),
    /// An address of a family that the pod has no address of.
    #[error("runtimeConfig.portMappings: the pod has no address of the family of {0}; give the node such a podCIDR")]
    NoFamily(PortMapping),
    /// The node's addresses cannot be had.
    #[error(transparent)]
    Kernel(#[from] Error),
}

/// What is to be entered in the ledger.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Addresses for the pod, at most one a family.
    pub(crate) addresses: Vec<IpAddr>,
    /// Hardware address for the pod.
    pub(crate) mac: Option<[u8; 6]>,
    /// What is kept with the attachment.
    pub(crate) requested: Requested,
}

impl Agent {
    /// What is wished for, as far as the node can do it.
    pub(crate) fn wishes(&self, settings: &AddSettings) -> Result<Wishes, WishError> {
        let AddSettings { runtime, default_route, routes, .. } = settings;
        let RuntimeConfig { port_mappings, bandwidth, ips, mac, dns: _ } = runtime;
        if let Some(mac) = mac.map(MacAddr).filter(|mac| *mac == GATEWAY_MAC) {
            return Err(WishError::GatewayMac(mac));
        }
        let own = if port_mappings.iter().any(|mapping| mapping.host_ip.is_some()) {
            Netlink::open()?.addresses()?.iter().map(|address| address.net.addr()).collect()
        } else {
            Vec::new()
        };
        port_mappings.iter().try_for_each(|mapping| check_mapping(mapping, &own, &self.config.network))?;
        let requested = Requested {
            port_mappings: port_mappings.clone(),
            bandwidth: *bandwidth,
            default_route: *default_route,
            routes: routes.clone(),
        };
        Ok(Wishes { addresses: ips.clone(), mac: *mac, requested })
    }
}

/// `own` are the addresses of the node's stack.
fn check_mapping(mapping: &PortMapping, own: &[IpAddr], network: &Network) -> Result<(), WishError> {
    if mapping.host_ip.is_some_and(|ip| !ip.is_unspecified() && !own.contains(&ip)) {
        return Err(WishError::NotOfThisNode(mapping.clone()));
    }
    let (first, last) = network.masquerade_ports;
    let tunnel = network.is_tunnelled() && mapping.protocol == TransportProtocol::Udp;
    if (first..=last).contains(&mapping.host_port) || (tunnel && mapping.host_port == network.tunnel_port) {
        return Err(WishError::Reserved(mapping.clone()));
    }
    if mapping.host_ip.is_some_and(|ip| ip.is_loopback()) {
        warn!(%mapping, "a host port at the node's loopback address is kept for its pod but leads nowhere: what the node sends there does not pass the switch");
    }
    Ok(())
}

/// Each mapping has to lead to some address of the pod.
pub(crate) fn check_families(stored: &StoredAttachment) -> Result<(), WishError> {
    let leads = |mapping: &&PortMapping| stored.addresses.iter().any(|address| mapping.is_of_family(*address));
    match stored.requested.port_mappings.iter().find(|mapping| !leads(mapping)) {
        Some(mapping) => Err(WishError::NoFamily(mapping.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Config, Keys, SourceKeys, Surroundings};

    fn mapping(host_ip: &str, port: u16, protocol: &str) -> PortMapping {
        let mut given = json!({"hostPort": port, "protocol": protocol, "containerPort": 80});
        if !host_ip.is_empty() {
            given["hostIP"] = host_ip.into();
        }
        serde_json::from_value(given).expect("a mapping")
    }

    fn checked(mapping: &PortMapping) -> Result<(), String> {
        let keys = Keys { node_name: Some("n1".into()), source: SourceKeys::of_directory("/m"), ..Keys::default() };
        let surroundings = Surroundings { cores: vec![0], ..Surroundings::default() };
        let network = Config::check(keys, &surroundings).expect("good").network;
        let own = ["192.0.2.1", "127.0.0.1", "2001:db8::1"].map(|it| it.parse().expect("an address"));
        check_mapping(mapping, &own, &network).map_err(|error| error.to_string())
    }

    #[test]
    fn ports_of_the_node_alone_can_be_mapped() {
        for good in ["", "0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "127.0.0.1"] {
            assert_eq!(checked(&mapping(good, 8080, "tcp")), Ok(()), "{good}");
        }
        for other in ["192.0.2.2", "198.51.100.1", "2001:db8::2"] {
            let refused = checked(&mapping(other, 8080, "tcp")).expect_err("it is another's");
            assert!(refused.contains(other) && refused.contains("no address of this node"), "{refused}");
        }
    }

    #[test]
    fn ports_that_the_switch_needs_cannot_be_mapped() {
        for (port, protocol, free) in [(60999, "tcp", true), (61000, "tcp", false), (65535, "udp", false)] {
            assert_eq!(checked(&mapping("", port, protocol)).is_ok(), free, "{port}");
        }
    }
}
