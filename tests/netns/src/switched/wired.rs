//! A switch with an uplink, and an outside behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice_ebpf::{Uplink, UplinkAttachment, XdpMode};
use sluice_host::{AddressSpec, LinkChange, LinkIndex, UnderlayFacts, UnderlayHop, VethEnd};
use sluice_tables::{Hop, Masquerade, NodeEntry, Port, PortId, PortKind, Underlay, UnderlayBuilder};
use sluice_xsk::BindConfig;

use super::{PATH_MTU, Setup, Switched};
use crate::{Namespace, wait_for};

/// The uplink's port.
const UPLINK: PortId = PortId(1000);
const NODE: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const OUTSIDE: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(192, 0, 2, 2), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));

/// A running switch whose pods reach an outside, masqueraded.
pub struct Wired {
    /// The switch and its pods.
    pub switched: Switched,
    /// A host on the uplink's link.
    pub outside: Namespace,
    /// The program on the uplink.
    pub program: Uplink,
    attachment: Option<UplinkAttachment>,
}

impl Wired {
    /// A switch with `pods` pods and an uplink on which the program runs in `mode`.
    ///
    /// # Panics
    /// When the kernel refuses anything.
    pub fn new(pods: u16, setup: Setup, mode: XdpMode) -> Wired {
        let switched = Switched::new(pods, setup);
        let outside = Namespace::new("outside");
        let link = cable(&switched.node, &outside);
        let program = Uplink::load().expect("the uplink's program");
        let facts = facts(&switched.node, link);
        let (attachment, port) = switched
            .node
            .run(|| {
                let attachment = program.attach(link.0, facts.mac, mode).expect("attach");
                let allowed = switched.setup.allowed;
                let config = BindConfig { allowed, generic: mode == XdpMode::Generic, ..BindConfig::new(link.0, 0) };
                (attachment, sluice_xsk::Port::bind(&switched.umem, config).expect("bind"))
            })
            .expect("the node's namespace");
        program.register(&attachment, 0, port.socket().expect("a kernel socket")).expect("register");
        switched.switch().add_port(UPLINK, port).expect("add_port");
        let wired = Wired { switched, outside, program, attachment: Some(attachment) };
        wired.publish(&facts);
        wired
    }

    fn publish(&self, facts: &UnderlayFacts) {
        let masquerade = Masquerade {
            v4: Some(NODE.0),
            v6: Some(NODE.1),
            ports: (61_000, 65_535),
            excluded: vec!["10.244.0.0/16".parse().expect("a CIDR"), "fd00:10:244::/48".parse().expect("a CIDR")],
            outside: true,
        };
        let uplink = Port {
            id: UPLINK,
            kind: PortKind::Uplink,
            worker: self.switched.worker_for(UPLINK),
            mac: facts.mac,
            addresses: vec![],
            path_mtu: PATH_MTU,
            max_l3_len: PATH_MTU.into(),
        };
        let node = NodeEntry { addresses: facts.addresses.iter().map(|net| net.addr()).collect(), masquerade };
        let tables = self.switched.tables(2).port(uplink).node(node).underlay(Arc::new(underlay(facts)));
        let tables = tables.build().expect("valid tables");
        let claims = tables.claims();
        self.switched.publisher.publish(tables);
        self.program.claim(&claims).expect("claims");
    }

    /// The outside's addresses.
    pub fn outside_addresses(&self) -> [IpAddr; 2] {
        [OUTSIDE.0.into(), OUTSIDE.1.into()]
    }

    /// The node's addresses on the uplink.
    pub fn node_addresses(&self) -> [IpAddr; 2] {
        [NODE.0.into(), NODE.1.into()]
    }

    /// The node's own namespace.
    pub fn node(&self) -> &Namespace {
        &self.switched.node
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.program.detach(self.attachment.take().expect("attached until now"));
    }
}

fn underlay(facts: &UnderlayFacts) -> Underlay {
    let mut underlay = UnderlayBuilder::new(7);
    for route in &facts.routes {
        let hop = match route.hop {
            UnderlayHop::OnLink => Hop::OnLink,
            UnderlayHop::Via(router) => Hop::Via(router),
            UnderlayHop::Elsewhere => Hop::Elsewhere,
        };
        underlay = underlay.route(route.destination, hop);
    }
    let neighbours = facts.neighbours.iter();
    neighbours.fold(underlay, |underlay, (address, mac)| underlay.neighbour(*address, *mac)).build()
}

/// The wire between node and outside.
fn cable(node: &Namespace, outside: &Namespace) -> LinkIndex {
    let mut near = node.netlink();
    let far = VethEnd { netns: Some(outside), ..VethEnd::named("eth0") };
    let link = near.create_veth(&VethEnd::named("uplink"), &far).expect("a wire").near;
    near.set_pfifo(link, 1000).expect("pfifo");
    let mut far = outside.netlink();
    let other = far.link_by_name("eth0").expect("eth0").index;
    for (netlink, link, (v4, v6)) in [(&mut near, link, NODE), (&mut far, other, OUTSIDE)] {
        netlink.set_link(link, &LinkChange::up()).expect("up");
        for net in [format!("{v4}/24"), format!("{v6}/64")] {
            netlink.add_address(link, &AddressSpec::with_prefix_route(net.parse().expect("a net"))).expect("address");
        }
    }
    link
}

/// What the kernel knows of the wire, once it knows the outside.
fn facts(node: &Namespace, link: LinkIndex) -> UnderlayFacts {
    let mut netlink = node.netlink();
    let wanted: [IpAddr; 2] = [OUTSIDE.0.into(), OUTSIDE.1.into()];
    wait_for("the outside's MAC", || {
        wanted.iter().for_each(|address| netlink.resolve_neighbour(link, *address).expect("asked"));
        let facts = netlink.underlay(link, &[]).expect("facts");
        let known = |wanted: &IpAddr| facts.neighbours.iter().any(|(address, _)| address == wanted);
        wanted.iter().all(known).then_some(facts)
    })
    .expect("the outside answers")
}
