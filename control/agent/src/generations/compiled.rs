//! What was compiled of the objects, and for what.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_model::{Attachment, Compiler, Index, Node, Setting};

use crate::config::Network;

/// Compiles the objects; what does not change is shared from one generation to the next.
#[derive(Debug, Default)]
pub(super) struct Compilation {
    compiler: Compiler,
    /// Whether anything was compiled yet.
    made: bool,
}

/// What the objects are compiled for.
pub(super) struct For<'a> {
    pub(super) node: &'a Node,
    /// All addresses of the node's stack.
    pub(super) addresses: &'a [IpAddr],
    /// What the uplink reaches without a tunnel.
    pub(super) underlay: &'a [IpNet],
    pub(super) attachments: &'a [Attachment],
    pub(super) network: &'a Network,
    /// Seeds the hash maps.
    pub(super) seed: u64,
}

impl Compilation {
    /// What was compiled last.
    pub(super) fn compiled(&self) -> Option<&Compiler> {
        self.made.then_some(&self.compiler)
    }

    /// Compiles what has changed.
    pub(super) fn compile(&mut self, index: &mut Index, wanted: &For<'_>) {
        let For { node, addresses, underlay, attachments, network, seed } = *wanted;
        let services = &network.services(addresses);
        let peers = &network.peers(node, addresses, underlay);
        self.compiler.compile(index, &Setting { node, attachments, services, peers, seed });
        self.made = true;
    }
}
