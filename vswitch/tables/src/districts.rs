//! Whose an IPv4 address is, worked out for whole ranges: what [`Tables::destination`] finds out in several look-ups, in one, for the
//! addresses that most connections go to.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::prefixes::Prefixes;
use crate::{PeerId, PortId, PortKind, Tables};

/// Whose an address is, as far as [`Tables::district`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum District {
    /// A pod of this node, behind this port.
    Pod(PortId),
    /// In the podCIDRs of this peer, and nothing else.
    PeerPod(PeerId),
    /// Somebody else's, or nobody's: [`Tables::destination`] says.
    Other,
}

/// The IPv4 addresses that are pods'.
#[derive(Clone, Debug, Default)]
pub(crate) struct Districts(Prefixes<District>);

impl Districts {
    /// The builder has checked that no Service has an address in them, and that podCIDRs are disjoint.
    pub(crate) fn of(tables: &Tables) -> Self {
        let single = |address: IpAddr| match address {
            IpAddr::V4(v4) => Some(IpNet::V4(Ipv4Net::from(v4))),
            IpAddr::V6(_) => None,
        };
        // What is first counts where two have one address.
        let gateway = (IpNet::V4(Ipv4Net::from(tables.gateway.v4)), District::Other);
        let node = tables.node.addresses.iter().filter_map(|it| Some((single(*it)?, District::Other)));
        let of_ports = tables.ports.iter().flat_map(|port| {
            let district = if port.kind == PortKind::Pod { District::Pod(port.id) } else { District::Other };
            port.addresses.iter().filter_map(move |it| Some((single(*it)?, district)))
        });
        let own = tables.pod_cidrs.iter().map(|cidr| (*cidr, District::Other));
        let of_peers = (0..=u16::MAX).zip(&tables.peers).flat_map(|(number, peer)| {
            peer.pod_cidrs.iter().map(move |cidr| (cidr.trunc(), District::PeerPod(PeerId(number))))
        });
        let all = [gateway].into_iter().chain(node).chain(of_ports).chain(own).chain(of_peers);
        Self(Prefixes::longest(all.filter(|(net, _)| matches!(net, IpNet::V4(_)))))
    }

    #[inline]
    pub(crate) fn get(&self, address: Ipv4Addr) -> District {
        self.0.get(address.into()).copied().unwrap_or(District::Other)
    }
}
