//! Peers: that each can be reached, and that no two nodes claim the same pods or addresses.

use std::sync::Arc;

use hashbrown::HashSet;
use ipnet::IpNet;

use super::is_usable;
use crate::hash::seeded;
use crate::{Family, Peer, Tables, TablesError, is_unicast};

pub(super) fn check(tables: &Tables) -> Result<(), TablesError> {
    let mut names: HashSet<&str, _> = HashSet::with_capacity_and_hasher(tables.peers.len(), seeded(0));
    for peer in &tables.peers {
        if !names.insert(&peer.name) {
            return Err(TablesError::DuplicatePeer(Arc::clone(&peer.name)));
        }
        check_peer(tables, peer)?;
    }
    check_pod_cidrs(tables)
}

fn check_peer(tables: &Tables, peer: &Peer) -> Result<(), TablesError> {
    let name = || Arc::clone(&peer.name);
    for &address in peer.addresses.iter().chain([&peer.tunnel]) {
        if tables.is_node_address(address) || tables.owner(address).is_some() {
            return Err(TablesError::PeerHasNodeAddress { address, peer: name() });
        }
        if !is_unicast(address) || tables.in_pod_cidr(address) || tables.peer_of(address).is_some() {
            return Err(TablesError::UnusablePeerAddress { address, peer: name() });
        }
    }
    let Some(tunnel) = &tables.tunnel else { return Ok(()) };
    if Family::of(peer.tunnel) != Family::of(tunnel.local) {
        return Err(TablesError::PeerFamily { peer: name(), address: peer.tunnel, local: tunnel.local });
    }
    if !is_usable(peer.mac) {
        return Err(TablesError::UnusablePeerMac(name()));
    }
    Ok(())
}

/// Ordered by first address, and by length where that is equal, a prefix that overlaps an earlier one lies in the last
/// that did not: the walk needs to remember only that.
///
/// A single address of this node that a pod has may lie in a peer's podCIDR: the longest prefix wins.
fn check_pod_cidrs(tables: &Tables) -> Result<(), TablesError> {
    let single = |cidr: &IpNet| cidr.prefix_len() == cidr.max_prefix_len() && tables.owner(cidr.addr()).is_some();
    let own = tables.pod_cidrs.iter().filter(|cidr| !single(cidr)).map(|cidr| (*cidr, None));
    let theirs = tables.peers.iter().flat_map(|peer| peer.pod_cidrs.iter().map(move |cidr| (cidr.trunc(), Some(peer))));
    let mut all: Vec<(IpNet, Option<&Arc<Peer>>)> = own.chain(theirs).collect();
    all.sort_by_key(|(cidr, _)| *cidr);
    for pair in all.windows(2) {
        let [(first_cidr, first), (second_cidr, second)] = pair else { continue };
        if first_cidr.contains(second_cidr) {
            return Err(TablesError::PeerPodCidrs {
                first: whose(*first),
                first_cidr: *first_cidr,
                second: whose(*second),
                second_cidr: *second_cidr,
            });
        }
    }
    Ok(())
}

fn whose(peer: Option<&Arc<Peer>>) -> String {
    peer.map_or_else(|| "this node".into(), |peer| format!("Node {}", peer.name))
}
