//! What the kernel says of the node.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_model::UplinkPort;
use sluice_tables::Underlay;

/// What the kernel says of the node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Surroundings {
    /// All addresses of the node's stack.
    pub(crate) addresses: Vec<IpAddr>,
    /// Queues of the uplink, where there is one.
    pub(crate) uplinks: Vec<UplinkPort>,
    /// Routes and neighbours of the uplink.
    pub(crate) underlay: Arc<Underlay>,
    /// Routers on the uplink.
    pub(crate) routers: Vec<IpAddr>,
    /// Networks on link at the uplink.
    pub(crate) links: Vec<IpNet>,
    /// Whether what the node's own endpoints answer to the outside comes to the host port.
    pub(crate) answers_return: bool,
}

impl Surroundings {
    /// What the uplink reaches without a tunnel.
    pub(super) fn reached(&self) -> Vec<IpNet> {
        self.links.iter().copied().chain(self.routers.iter().copied().map(IpNet::from)).collect()
    }

    /// Whether a network has addresses of one that is on link at the uplink.
    pub(super) fn is_on_link(&self, network: &IpNet) -> bool {
        self.links.iter().any(|link| link.contains(network) || network.contains(link))
    }

    /// Whether they differ in neighbours of the underlay at most.
    pub(super) fn decides_as(&self, other: &Self) -> bool {
        let Self { addresses, uplinks, underlay, routers, links, answers_return } = self;
        *addresses == other.addresses
            && *uplinks == other.uplinks
            && *routers == other.routers
            && *links == other.links
            && *answers_return == other.answers_return
            && underlay.routes_as(&other.underlay)
    }
}
