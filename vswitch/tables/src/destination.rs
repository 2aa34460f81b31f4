//! Whose an address is, for the stage that routes.

use std::net::IpAddr;

use crate::{Peer, PeerId, Port, Tables};

/// Whose an address is.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'t> {
    /// The gateway's: the switch answers itself.
    Gateway,
    /// Behind a port of this node: a pod, or the host by an address that its port has.
    Port(&'t Port),
    /// This node's own, by an address that its port does not have.
    Node,
    /// In this node's podCIDRs, but no pod's.
    NoPod,
    /// In a peer's podCIDRs.
    PeerPod(PeerId, &'t Peer),
    /// A peer's own.
    Peer(PeerId, &'t Peer),
    /// Nothing that the cluster knows.
    Outside,
}

impl Tables {
    /// Whose `address` is.
    #[must_use]
    pub fn destination(&self, address: IpAddr) -> Destination<'_> {
        if self.gateway().has_address(address) {
            return Destination::Gateway;
        }
        if let Some(port) = self.owner(address) {
            return Destination::Port(port);
        }
        if self.is_node_address(address) {
            return Destination::Node;
        }
        if self.in_pod_cidr(address) {
            return Destination::NoPod;
        }
        if let Some((id, peer)) = self.peer_of(address) {
            return Destination::PeerPod(id, peer);
        }
        match self.peer_at(address) {
            Some((id, peer)) => Destination::Peer(id, peer),
            None => Destination::Outside,
        }
    }
}
