//! What was compiled of the objects, and for what.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_model::{Attachment, Compiler, Index, Node, PortMapping, Setting};

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
    /// Ports of the node that lead to pods.
    pub(super) port_mappings: &'a [PortMapping],
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
        let For { node, addresses, underlay, attachments, port_mappings, network, seed } = *wanted;
        let services = &network.services(addresses, port_mappings.to_vec());
        let peers = &network.peers(node, addresses, underlay);
        self.through(|compiler| compiler.compile(index, &Setting { node, attachments, services, peers, seed }));
    }

    /// After a panic of `work` nothing counts as compiled: the changes that it took from the index would be lost, so all of it is
    /// compiled anew.
    fn through(&mut self, work: impl FnOnce(&mut Compiler)) {
        let Self { mut compiler, .. } = std::mem::take(self);
        work(&mut compiler);
        *self = Self { compiler, made: true };
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use sluice_model::{NodeName, Object};

    use super::*;
    use crate::config::{Config, Keys, SourceKeys, Surroundings};

    fn node(name: &str, number: u8) -> Node {
        let (pod_cidrs, internal_ips) =
            (vec![IpNet::new([10, 1, number, 0].into(), 24).unwrap()], vec![[192, 0, 2, number].into()]);
        Node { pod_cidrs, internal_ips, ..Node::named(NodeName::new(name).unwrap()) }
    }

    #[test]
    fn a_panic_while_compiling_loses_no_change() {
        let keys = Keys { node_name: Some("n1".into()), source: SourceKeys::of_directory("/m"), ..Keys::default() };
        let network = Config::check(keys, &Surroundings { cores: vec![0], ..Default::default() }).unwrap().network;
        let own = node("n1", 1);
        let wanted = For {
            node: &own,
            addresses: &[],
            underlay: &[],
            attachments: &[],
            port_mappings: &[],
            network: &network,
            seed: 7,
        };
        let (mut index, mut compilation) = (Index::new(), Compilation::default());
        index.apply(Object::Node(own.clone()));
        compilation.compile(&mut index, &wanted);
        index.apply(Object::Node(node("n2", 2)));
        let panics = |_: &mut Compiler| {
            // Takes the changes, as all that compiles does first.
            Compilation::default().compile(&mut index, &wanted);
            std::panic::resume_unwind(Box::new("half done"));
        };
        assert!(catch_unwind(AssertUnwindSafe(|| compilation.through(panics))).is_err());
        assert!(compilation.compiled().is_none(), "nothing half done is published");
        compilation.compile(&mut index, &wanted);
        assert_eq!(compilation.compiled().map(|compiled| compiled.peers().len()), Some(1));
    }
}
