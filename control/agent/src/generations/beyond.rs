//! What lies beyond the node, as the objects in force and the kernel say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_model::Node;
use sluice_tables::Tunnel;

use super::{Generations, with_networks_of};
use crate::config::Encapsulation;

impl Generations {
    /// The addresses of the node at which NodePorts are served.
    pub(crate) fn node_port_addresses(&self) -> Vec<IpAddr> {
        let inner = self.lock();
        let live = &inner.surroundings.addresses;
        let compiled = inner.compilation.compiled();
        let served = compiled.iter().flat_map(|compiled| compiled.services().node_port_addresses());
        served.filter(|address| live.contains(address)).collect()
    }

    /// This node's end of the tunnels, where it has one.
    pub(crate) fn tunnel(&self) -> Option<Tunnel> {
        let inner = self.lock();
        let uplink = inner.surroundings.uplinks.first()?;
        self.network.tunnel(&inner.node, self.shape.path_mtu, uplink.path_mtu)
    }

    /// The node as its own stack is to reach its `pods`: with addresses of theirs that are left over from other networks, and without
    /// networks of hosts between the nodes. Led into the switch with these, the node would be on its own.
    pub(crate) fn node_with(&self, pods: impl IntoIterator<Item = IpAddr>) -> Node {
        let inner = self.lock();
        let mut node = with_networks_of(inner.node.clone(), pods);
        let told = inner.compilation.compiled().map(|compiled| compiled.networks_of_hosts()).unwrap_or_default();
        let surroundings = &inner.surroundings;
        let internal: &[IpAddr] = &inner.node.internal_ips;
        let holds = |net: &IpNet, hosts: &[IpAddr]| hosts.iter().any(|host| net.contains(host));
        let of_hosts = |net: &IpNet| {
            told.contains(net)
                || surroundings.is_on_link(net)
                || holds(net, &surroundings.routers)
                || holds(net, internal)
        };
        node.pod_cidrs.retain(|net| !of_hosts(net));
        node
    }

    /// Networks beyond the node that its own stack is to reach through the switch: Service ranges, Services' other addresses,
    /// and the pods of other nodes, where packets to them are encapsulated.
    pub(crate) fn networks_beyond(&self) -> Vec<IpNet> {
        let inner = self.lock();
        let Some(compiled) = inner.compilation.compiled() else { return Vec::new() };
        let own = inner.node.all_addresses(&inner.surroundings.addresses);
        // Another node serves the Service at its own address itself, and is more than that to this one; and so is a router. A Node is
        // one whether or not it can be a peer.
        let peers = compiled.peers().iter().flat_map(|peer| peer.addresses.iter().copied());
        let nodes = inner.objects.index().into_iter().flat_map(|index| index.nodes());
        let nodes = nodes.flat_map(|node| node.internal_ips.iter().copied());
        let others: BTreeSet<IpAddr> = peers.chain(nodes).chain(inner.surroundings.routers.iter().copied()).collect();
        let mut networks = compiled.services().service_cidrs().to_vec();
        let frontends = compiled.services().frontends().map(|(key, ..)| key.address);
        networks
            .extend(frontends.filter(|address| !own.contains(address) && !others.contains(address)).map(IpNet::from));
        if !inner.surroundings.uplinks.is_empty() && self.network.encapsulation != Encapsulation::None {
            // Whatever objects say, no way to a host between the nodes leads into the switch.
            let holds =
                |net: &IpNet, hosts: &BTreeSet<IpAddr>| hosts.range(net.network()..=net.broadcast()).next().is_some();
            let pods = compiled.peers().iter().flat_map(|peer| peer.pod_cidrs.iter().copied());
            let on_link = |net: &IpNet| inner.surroundings.is_on_link(net);
            networks.extend(pods.filter(|net| !holds(net, &own) && !holds(net, &others) && !on_link(net)));
        }
        IpNet::aggregate(&networks)
    }

    /// Hosts on the uplink that packets are sure to be sent to: other nodes and routers.
    pub(crate) fn hosts_beyond(&self) -> Vec<IpAddr> {
        let inner = self.lock();
        let peers = inner.compilation.compiled().into_iter().flat_map(|compiled| compiled.peers());
        peers.map(|peer| peer.tunnel).chain(inner.surroundings.routers.iter().copied()).collect()
    }
}
