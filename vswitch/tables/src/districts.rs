//! Whose an IPv4 address is, worked out for whole ranges: what [`Tables::destination`] finds out in several look-ups, in one, for the
//! addresses that most connections go to.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::prefixes::Prefixes;
use crate::words::Words;
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

/// Most blocks that have an entry of their own: as many as a cluster of /24s with 65,536 nodes has.
const BLOCKS: usize = 1 << 16;

/// The IPv4 addresses that are pods'.
#[derive(Clone, Debug, Default)]
pub(crate) struct Districts {
    /// Of addresses without their last byte, those that are all one peer's, with that peer: its number is found sooner here.
    blocks: Words,
    ranges: Prefixes<District>,
}

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
        let singles: Vec<(IpNet, District)> = [gateway].into_iter().chain(node).chain(of_ports).collect();
        let own = tables.pod_cidrs.iter().map(|cidr| (*cidr, District::Other));
        let of_peers = peers_cidrs(tables).map(|(cidr, peer)| (IpNet::V4(cidr), District::PeerPod(peer)));
        let blocks = blocks(tables, &singles);
        let all = singles.into_iter().chain(own).chain(of_peers);
        Self { blocks, ranges: Prefixes::longest(all.filter(|(net, _)| matches!(net, IpNet::V4(_)))) }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "peers have numbers of 16 bits")]
    pub(crate) fn get(&self, address: Ipv4Addr) -> District {
        match self.blocks.get(address.to_bits() >> 8) {
            Some(peer) => District::PeerPod(PeerId(peer as u16)),
            None => self.of_range(address),
        }
    }

    #[inline(never)]
    fn of_range(&self, address: Ipv4Addr) -> District {
        self.ranges.get(address.into()).copied().unwrap_or(District::Other)
    }
}

fn peers_cidrs(tables: &Tables) -> impl Iterator<Item = (Ipv4Net, PeerId)> + '_ {
    let numbered = (0..=u16::MAX).map(PeerId).zip(&tables.peers);
    numbered.flat_map(|(id, peer)| {
        peer.pod_cidrs.iter().filter_map(move |cidr| match cidr.trunc() {
            IpNet::V4(cidr) => Some((cidr, id)),
            IpNet::V6(_) => None,
        })
    })
}

/// The blocks of 256 addresses in peers' podCIDRs, but for those in which somebody else has a single address.
fn blocks(tables: &Tables, singles: &[(IpNet, District)]) -> Words {
    let whole = || peers_cidrs(tables).filter(|(cidr, _)| cidr.prefix_len() <= 24);
    let count: usize = whole().map(|(cidr, _)| 1 << (24 - cidr.prefix_len())).sum();
    if count > BLOCKS {
        return Words::default();
    }
    let mut blocks = Words::with_room(count, 0);
    for (cidr, PeerId(peer)) in whole() {
        for block in cidr.network().to_bits() >> 8..=cidr.broadcast().to_bits() >> 8 {
            blocks.insert(block, peer.into());
        }
    }
    for (net, _) in singles {
        if let IpNet::V4(net) = net {
            blocks.remove(net.addr().to_bits() >> 8);
        }
    }
    blocks
}
