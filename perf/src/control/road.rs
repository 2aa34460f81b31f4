//! The way from objects to tables, as the agent goes it.

use std::sync::Arc;

use anyhow::Result;
use sluice_model::{
    Attachment, Compiler, ContainerId, Family, HostPort, Index, Inputs, Node, Object, PeersConfig, ServicesConfig,
    Setting, UplinkPort, compile, masquerade,
};
use sluice_tables::{Encapsulation, Hop, PortId, Tables, Tunnel, Underlay, UnderlayBuilder, WorkerId, tunnel_mac};
use sluice_wire::MacAddr;

use super::cluster::{Cluster, node_name};

/// Seeds the tables' maps.
const SEED: u64 = 7;

/// The index and what is kept between two generations.
#[derive(Debug)]
pub(super) struct Road {
    index: Index,
    compiler: Compiler,
    node: Node,
    host: HostPort,
    uplinks: Vec<UplinkPort>,
    underlay: Arc<Underlay>,
    attachments: Vec<Attachment>,
    last: u64,
    /// The last one and the one before, as a worker may still hold that.
    published: [Arc<Tables>; 2],
}

impl Road {
    /// Nothing applied yet, all pods of this node attached.
    pub(super) fn new(cluster: &Cluster) -> Road {
        let node = cluster.node(0, 0);
        let empty = Arc::new(sluice_tables::TablesBuilder::new(0, SEED).build().expect("nothing contradicts nothing"));
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let uplink = UplinkPort { port: PortId(1), worker: WorkerId(0), mac, path_mtu: 1500, max_l3_len: 1500 };
        let underlay =
            UnderlayBuilder::new(SEED).route("172.16.0.0/12".parse().expect("a network"), Hop::OnLink).build();
        Road {
            index: Index::new(),
            compiler: Compiler::new(),
            node,
            host: HostPort { port: PortId(0), worker: WorkerId(0), mac, path_mtu: 1450, max_l3_len: 65_000 },
            uplinks: vec![uplink],
            underlay: Arc::new(underlay),
            attachments: (0..cluster.size.attached).map(|number| attachment(cluster, number)).collect(),
            last: 0,
            published: [Arc::clone(&empty), empty],
        }
    }

    /// Takes an object.
    pub(super) fn apply(&mut self, object: Object) {
        self.index.apply(object);
    }

    /// The latest generation.
    pub(super) fn tables(&self) -> &Tables {
        &self.published[0]
    }

    /// Makes a generation of what was applied.
    pub(super) fn publish(&mut self) -> Result<()> {
        let config = ServicesConfig::default();
        let (service_cidrs, node_addresses, underlay) = (Vec::new(), Vec::new(), Vec::new());
        let peers = PeersConfig { family: Family::V4, service_cidrs, node_addresses, underlay, tunnel: None };
        let (node, attachments) = (&self.node, &self.attachments[..]);
        let setting = Setting { node, attachments, services: &config, peers: &peers, seed: SEED };
        self.compiler.compile(&mut self.index, &setting);
        self.last += 1;
        let mut inputs = Inputs::new(self.last, SEED, &self.node);
        inputs.host = Some(&self.host);
        inputs.attachments = &self.attachments;
        inputs.uplinks = &self.uplinks;
        inputs.underlay = Arc::clone(&self.underlay);
        inputs.masquerade = masquerade(&self.node, config.masquerade_ports, Vec::new(), true);
        inputs.services = Arc::clone(self.compiler.services());
        inputs.identities = Arc::clone(self.compiler.identities());
        inputs.policies = self.compiler.policies();
        inputs.peers = self.compiler.peers();
        inputs.tunnel = Some(tunnel(&self.node));
        let tables = Arc::new(compile(&inputs)?);
        self.published.swap(0, 1);
        self.published[0] = tables;
        Ok(())
    }
}

fn tunnel(node: &Node) -> Tunnel {
    let local = node.internal_ips[0];
    Tunnel { encapsulation: Encapsulation::Vxlan, vni: 1, port: 4789, local, mac: tunnel_mac(local), inner_mtu: 1450 }
}

fn attachment(cluster: &Cluster, number: usize) -> Attachment {
    let pod = cluster.pod(cluster.size.pods + number, 0);
    Attachment {
        container: ContainerId::new(&format!("{}-{number:064x}", node_name(0))),
        pod: pod.name,
        port: PortId(number as u16 + 2),
        worker: WorkerId(0),
        mac: MacAddr([2, 0, 0, 1, (number >> 8) as u8, number as u8]),
        addresses: vec![cluster.attached_address(number)],
        path_mtu: 1450,
        max_l3_len: 65_000,
    }
}
