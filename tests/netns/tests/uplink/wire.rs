//! A node with an uplink, and an outside from which any frame can be sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::Arc;

use sluice_ebpf::{Uplink, UplinkAttachment, UplinkCounters, XdpMode};
use sluice_host::{AddressSpec, LinkChange, LinkIndex, VethEnd};
use sluice_netns::{Namespace, wait_for};
use sluice_packets::{Ethernet, Ip};
use sluice_tables::{ClaimedPort, Claims, MasqueradeClaim, TunnelClaim};
use sluice_wire::MacAddr;
use sluice_xsk::{BindConfig, Burst, HugePages, Pool, Port, Segment, Umem, UmemConfig};

pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(crate) const NODE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(crate) const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
pub(crate) const NODE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const OUTSIDE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x10);
pub(crate) const TUNNEL_PORT: u16 = 4789;
pub(crate) const NODE_PORT: u16 = 30_080;
pub(crate) const MASQUERADE_PORT: u16 = 61_234;

/// Everything that can be claimed.
pub(crate) fn claims() -> Claims {
    Claims {
        tunnel: Some(TunnelClaim { local: NODE.into(), port: TUNNEL_PORT }),
        networks: vec!["10.96.0.0/16".parse().expect("a prefix"), "fd00:96::/112".parse().expect("a prefix")],
        node_addresses: vec![NODE.into(), NODE6.into()],
        ports: [6, 17, 132].map(|protocol| ClaimedPort { protocol, port: NODE_PORT }).to_vec(),
        masquerade: Some(MasqueradeClaim { addresses: vec![NODE.into(), NODE6.into()], ports: (61_000, 65_535) }),
        fragments: true,
        icmp_errors: true,
    }
}

/// What the switch has of the uplink.
pub(crate) struct Switch {
    pub(crate) program: Uplink,
    pub(crate) attachment: UplinkAttachment,
    pub(crate) ends: Ends,
}

pub(crate) struct Wire {
    pub(crate) node: Namespace,
    pub(crate) outside: Namespace,
    pub(crate) uplink: LinkIndex,
    /// On the far end: sends frames as they are. What comes there goes to the outside's own stack.
    sender: std::sync::Mutex<Ends>,
}

/// A socket and its frames.
pub(crate) struct Ends {
    pub(crate) port: Port,
    pub(crate) pool: Pool,
}

impl Ends {
    /// Sends a frame as it is, in frames of the memory that hold `piece` bytes each.
    pub(crate) fn send(&mut self, frame: &[u8], piece: usize) {
        let Ends { port, pool } = self;
        let umem = Arc::clone(pool.umem());
        let chain: Vec<Segment> = frame
            .chunks(piece)
            .map(|bytes| {
                let mut frame = pool.take().expect("a frame");
                umem.chunk_mut(&mut frame)[256..256 + bytes.len()].copy_from_slice(bytes);
                Segment::new(frame, 256, bytes.len()).expect("it fits a chunk")
            })
            .collect();
        port.send(chain.into_iter(), None).expect("room in the ring");
        while port.kick() {}
        port.reclaim(pool);
    }

    /// The frames that the socket received since the last time.
    pub(crate) fn received(&mut self) -> Vec<Vec<u8>> {
        let mut burst = Burst::new();
        let mut all = Vec::new();
        while self.port.receive(&mut burst, &mut self.pool) > 0 {
            let umem = Arc::clone(self.pool.umem());
            let mut segments = burst.segments.drain(..);
            for packet in burst.packets.drain(..) {
                let mut bytes = Vec::new();
                for segment in segments.by_ref().take(packet.segments.into()) {
                    bytes.extend_from_slice(umem.bytes(&segment));
                    self.pool.give_segment(segment);
                }
                all.push(bytes);
            }
            drop(segments);
            self.port.refill(&mut self.pool);
        }
        all
    }
}

pub(crate) fn bind(netns: &Namespace, link: LinkIndex, queue: u32, generic: bool) -> Ends {
    let umem = Umem::new(UmemConfig { frames: 2048, huge_pages: HugePages::Off }).expect("packet memory");
    let config = BindConfig { generic, ..BindConfig::new(link.0, queue) };
    let port = netns.run(|| Port::bind(&umem, config).expect("bind")).expect("the namespace");
    Ends { port, pool: Pool::new(umem, 512) }
}

pub(crate) fn ethernet() -> Ethernet {
    Ethernet::new(OUTSIDE_MAC, NODE_MAC)
}

/// From the outside.
pub(crate) fn v4(to: Ipv4Addr) -> Ip {
    Ip::v4(ethernet(), OUTSIDE, to)
}

pub(crate) fn v6(to: Ipv6Addr) -> Ip {
    Ip::v6(ethernet(), OUTSIDE6, to)
}

impl Wire {
    pub(crate) fn new() -> Wire {
        let (node, outside) = (Namespace::new("node"), Namespace::new("outside"));
        let (mut near, mut far) = (node.netlink(), outside.netlink());
        let end = VethEnd { mac: Some(NODE_MAC), ..VethEnd::named("eth0") };
        let other = VethEnd { mac: Some(OUTSIDE_MAC), netns: Some(&outside), ..VethEnd::named("eth0") };
        let uplink = near.create_veth(&end, &other).expect("a wire").near;
        let far_index = far.link_by_name("eth0").expect("its other end").index;
        let sides: [(_, _, IpAddr, IpAddr); 2] =
            [(&mut near, uplink, NODE.into(), NODE6.into()), (&mut far, far_index, OUTSIDE.into(), OUTSIDE6.into())];
        for (netlink, index, v4, v6) in sides {
            netlink.set_link(index, &LinkChange::up()).expect("up");
            for net in [format!("{v4}/24"), format!("{v6}/64")] {
                netlink
                    .add_address(index, &AddressSpec::with_prefix_route(net.parse().expect("a net")))
                    .expect("an address");
            }
        }
        let sender = bind(&outside, far_index, 0, true).into();
        let wire = Wire { node, outside, uplink, sender };
        wait_for("the wire", || wire.ping().then_some(())).expect("the wire carries packets");
        wire
    }

    /// A socket on the uplink's queue and the program, which claims nothing yet.
    pub(crate) fn switch(&self, mode: XdpMode) -> Switch {
        let program = Uplink::load().expect("the uplink's program");
        let attached = self.node.run(|| program.attach(self.uplink.0, NODE_MAC, mode));
        let attachment = attached.expect("the node").expect("attach");
        let mut ends = bind(&self.node, self.uplink, 0, mode == XdpMode::Generic);
        ends.port.refill(&mut ends.pool);
        program.register(&attachment, 0, ends.port.socket().expect("a kernel socket")).expect("register");
        Switch { program, attachment, ends }
    }

    /// Sends a frame from the outside, as it is, in frames of the memory that hold `piece` bytes each.
    pub(crate) fn send_in(&self, frame: &[u8], piece: usize) {
        self.sender.lock().expect("one test, one thread").send(frame, piece);
    }

    /// Sends a frame from the outside, as it is.
    pub(crate) fn send(&self, frame: &[u8]) {
        self.send_in(frame, 3500);
    }

    /// Whether one echo request to the node is answered.
    pub(crate) fn ping(&self) -> bool {
        let mut ping = Command::new("ping");
        self.outside.output(ping.args(["-n", "-c", "1", "-W", "1", &NODE.to_string()])).expect("ping").status.success()
    }
}

impl Switch {
    pub(crate) fn counters(&self) -> UplinkCounters {
        self.program.counters().expect("counters")
    }

    /// The frames that the socket received since the last time.
    pub(crate) fn received(&mut self) -> Vec<Vec<u8>> {
        self.ends.received()
    }
}
