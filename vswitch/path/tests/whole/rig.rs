//! A node of a cluster of two, and the real path through it: frames in, frames out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice_packets::{Ethernet, Ip};
use sluice_path::{
    Checksum, Counts, CutTo, DropReason, Packet, Path, PathConfig, Release, Shared, SharedConfig, Time, Verdict,
};
use sluice_tables::{
    Backend, Choice, Encapsulation, Family, FrontendKey, FrontendKind, GATEWAY_MAC, Hop, Identities, Identity,
    KnownBackend, Masquerade, NodeEntry, Peer, PodPolicy, Port, PortId, PortKind, ServiceEntry, ServicesBuilder,
    Tables, TablesBuilder, Tunnel, UnderlayBuilder, WorkerId, tunnel_mac,
};
use sluice_wire::{MacAddr, protocol};

/// One end: a pod of this node, the host, a pod of the peer, or somebody outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) port: PortId,
    pub(crate) mac: MacAddr,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

const fn end(port: u16, v4: [u8; 4], v6: [u16; 8]) -> End {
    let [a, b, c, d] = v4;
    let [e, f, g, h, i, j, k, l] = v6;
    let mac = MacAddr([2, 0, 0, 0, 0, port as u8]);
    End { port: PortId(port), mac, v4: Ipv4Addr::new(a, b, c, d), v6: Ipv6Addr::new(e, f, g, h, i, j, k, l) }
}

pub(crate) const HOST: End = end(1, [10, 1, 0, 1], [0xfd00, 1, 0, 0, 0, 0, 0, 1]);
pub(crate) const A: End = end(2, [10, 1, 0, 2], [0xfd00, 1, 0, 0, 0, 0, 0, 2]);
pub(crate) const B: End = end(3, [10, 1, 0, 3], [0xfd00, 1, 0, 0, 0, 0, 0, 3]);
pub(crate) const UPLINK: End = end(9, [192, 168, 0, 1], [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1]);
/// A pod of the peer.
pub(crate) const FAR: End = end(9, [10, 1, 1, 2], [0xfd00, 1, 0, 1, 0, 0, 0, 2]);
/// The peer itself.
pub(crate) const PEER: End = end(12, [192, 168, 0, 2], [0x2001, 0xdb8, 1, 0, 0, 0, 0, 2]);
/// The router to everywhere else.
pub(crate) const ROUTER: End = end(13, [192, 168, 0, 254], [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe]);
/// Somebody outside.
pub(crate) const OUTSIDE: End = end(9, [203, 0, 113, 7], [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7]);
/// A ClusterIP.
pub(crate) const VIP: End = end(0, [10, 96, 0, 10], [0xfd00, 96, 0, 0, 0, 0, 0, 10]);
/// An address of a load balancer.
pub(crate) const BALANCER: End = end(0, [198, 51, 100, 1], [0x2001, 0xdb8, 51, 0, 0, 0, 0, 1]);
pub(crate) const TUNNEL_PORT: u16 = 4789;
pub(crate) const VNI: u32 = 7;
pub(crate) const NODE_PORT: u16 = 30_080;
/// Longest packet that fits the tunnel.
pub(crate) const INNER_MTU: u16 = 1450;

/// A Service with frontends on [`VIP`]:80, [`BALANCER`]:80 and [`NODE_PORT`], both families.
#[derive(Clone)]
pub(crate) struct Svc {
    pub(crate) key: u64,
    pub(crate) vip: End,
    pub(crate) protocol: u8,
    pub(crate) cluster: Vec<(End, u16)>,
    pub(crate) local: Vec<(End, u16)>,
    pub(crate) known: Vec<(End, u16, bool)>,
    pub(crate) internal_local: bool,
    pub(crate) external_local: bool,
    pub(crate) affinity: Option<u32>,
    pub(crate) ranges: Option<Vec<&'static str>>,
    pub(crate) choice: Choice,
    pub(crate) external: bool,
}

pub(crate) fn service(protocol: u8, backends: &[(End, u16)]) -> Svc {
    let local = backends.iter().copied().filter(|(end, _)| [A, B, HOST].contains(end)).collect();
    Svc {
        key: 1,
        vip: VIP,
        protocol,
        cluster: backends.to_vec(),
        local,
        known: Vec::new(),
        internal_local: false,
        external_local: false,
        affinity: None,
        ranges: None,
        choice: Choice::Random,
        external: true,
    }
}

pub(crate) struct Setup {
    pub(crate) services: Vec<Svc>,
    pub(crate) policies: Vec<(PortId, PodPolicy)>,
    pub(crate) identities: Vec<(End, u32)>,
    pub(crate) uplink: bool,
    pub(crate) encapsulation: Encapsulation,
    pub(crate) tunnel_v6: bool,
    pub(crate) masquerade_ports: (u16, u16),
    pub(crate) excluded: Vec<&'static str>,
    pub(crate) neighbours: bool,
    pub(crate) peer: bool,
    pub(crate) pods: Vec<End>,
    pub(crate) answers_return: bool,
    pub(crate) elsewhere: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            policies: Vec::new(),
            identities: Vec::new(),
            uplink: true,
            encapsulation: Encapsulation::Vxlan,
            tunnel_v6: false,
            masquerade_ports: (61_000, 65_535),
            excluded: vec!["10.0.0.0/8", "fd00::/8"],
            neighbours: true,
            peer: true,
            pods: vec![A, B],
            answers_return: false,
            elsewhere: Vec::new(),
        }
    }
}

impl Setup {
    pub(crate) fn tables(&self, generation: u64) -> Tables {
        let mut builder = TablesBuilder::new(generation, 0).pod_cidr(net("10.1.0.0/24")).pod_cidr(net("fd00:1::/64"));
        builder = builder.port(port(HOST, PortKind::Host, 1500));
        for pod in &self.pods {
            builder = builder.port(port(*pod, PortKind::Pod, 1500));
        }
        let own = |v6: bool| if v6 { IpAddr::V6(UPLINK.v6) } else { IpAddr::V4(UPLINK.v4) };
        let far = if self.tunnel_v6 { IpAddr::V6(PEER.v6) } else { IpAddr::V4(PEER.v4) };
        if self.uplink {
            builder = builder.port(port(UPLINK, PortKind::Uplink, 1500));
            if self.peer {
                builder = builder.peer(Peer {
                    name: "two".into(),
                    addresses: vec![PEER.v4.into(), PEER.v6.into()],
                    tunnel: far,
                    mac: tunnel_mac(far),
                    pod_cidrs: vec![net("10.1.1.0/24"), net("fd00:1:0:1::/64")],
                });
            }
            if self.encapsulation != Encapsulation::None {
                let local = own(self.tunnel_v6);
                let (encapsulation, mac) = (self.encapsulation, tunnel_mac(local));
                let tunnel = Tunnel { encapsulation, vni: VNI, port: TUNNEL_PORT, local, mac, inner_mtu: INNER_MTU };
                builder = builder.tunnel(tunnel);
            }
        }
        let masquerade = Masquerade {
            v4: Some(UPLINK.v4),
            v6: Some(UPLINK.v6),
            ports: self.masquerade_ports,
            excluded: self.excluded.iter().map(|text| net(text)).collect(),
            outside: true,
        };
        builder = builder.node(NodeEntry { addresses: vec![UPLINK.v4.into(), UPLINK.v6.into()], masquerade });
        for (port, policy) in &self.policies {
            builder = builder.policy(*port, policy.clone());
        }
        let mut identities = Identities::new(0);
        for (end, identity) in &self.identities {
            identities.insert(end.v4.into(), Identity(*identity));
            identities.insert(end.v6.into(), Identity(*identity));
        }
        builder
            .services(Arc::new(self.build_services()))
            .identities(Arc::new(identities))
            .underlay(Arc::new(self.underlay()))
            .answers_return(self.answers_return)
            .build()
            .expect("good tables")
    }

    fn underlay(&self) -> sluice_tables::Underlay {
        let mut underlay = UnderlayBuilder::new(0)
            .route(net("192.168.0.0/24"), Hop::OnLink)
            .route(net("2001:db8:1::/64"), Hop::OnLink)
            .route(net("0.0.0.0/0"), Hop::Via(ROUTER.v4.into()))
            .route(net("::/0"), Hop::Via(ROUTER.v6.into()));
        for text in &self.elsewhere {
            underlay = underlay.route(net(text), Hop::Elsewhere);
        }
        for end in [PEER, ROUTER].iter().filter(|_| self.neighbours) {
            underlay = underlay.neighbour(end.v4.into(), end.mac).neighbour(end.v6.into(), end.mac);
        }
        underlay.build()
    }

    fn build_services(&self) -> sluice_tables::Services {
        let mut builder = ServicesBuilder::new(0);
        builder.service_cidr(net("10.96.0.0/16")).service_cidr(net("fd00:60::/64"));
        builder.node_port_address(UPLINK.v4.into()).node_port_address(UPLINK.v6.into());
        for (number, svc) in self.services.iter().enumerate() {
            for family in [Family::V4, Family::V6] {
                let address = |end: &End| if family == Family::V4 { IpAddr::V4(end.v4) } else { IpAddr::V6(end.v6) };
                let backend = |(end, port): &(End, u16)| Backend { address: address(end), port: *port };
                let known = |(end, port, serving): &(End, u16, bool)| KnownBackend {
                    address: address(end),
                    port: *port,
                    serving: *serving,
                };
                let ranges = svc.ranges.as_ref().map(|ranges| ranges.iter().map(|text| net(text)).collect());
                let id = builder
                    .service(ServiceEntry {
                        key: svc.key * 2 + u64::from(family == Family::V6),
                        name: "default/web:http".into(),
                        family,
                        protocol: svc.protocol,
                        cluster: svc.cluster.iter().map(backend).collect(),
                        local: svc.local.iter().map(backend).collect(),
                        known: svc.known.iter().map(known).collect(),
                        internal_local: svc.internal_local,
                        external_local: svc.external_local,
                        affinity: svc.affinity,
                        source_ranges: ranges,
                        choice: svc.choice,
                    })
                    .expect("a good Service");
                let key = |end: &End| FrontendKey { address: address(end), port: 80, protocol: svc.protocol };
                builder.frontend(key(&svc.vip), FrontendKind::ClusterIp, id).expect("a free frontend");
                if svc.external && number == 0 {
                    builder.frontend(key(&BALANCER), FrontendKind::LoadBalancer, id).expect("a free frontend");
                    builder.node_port(NODE_PORT, svc.protocol, id).expect("a free port");
                }
            }
        }
        builder.build()
    }
}

pub(crate) fn net<T: core::str::FromStr>(text: &str) -> T
where
    T::Err: core::fmt::Debug,
{
    text.parse().expect("a prefix")
}

fn port(end: End, kind: PortKind, path_mtu: u16) -> Port {
    let uplink = kind == PortKind::Uplink;
    let own: [IpAddr; 2] = [end.v4.into(), end.v6.into()];
    let addresses = own.into_iter().filter(|address| !uplink && !address.is_unspecified()).collect();
    let max_l3_len = if uplink { u32::from(path_mtu) } else { 65_000 };
    Port { id: end.port, kind, worker: WorkerId(0), mac: end.mac, addresses, path_mtu, max_l3_len }
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    /// It leaves; a partial checksum has been completed.
    Out {
        port: PortId,
        frame: Vec<u8>,
        cut: Option<CutTo>,
    },
    Dropped(DropReason),
    Parked(u16),
}

impl Got {
    pub(crate) fn frame(self) -> Vec<u8> {
        match self {
            Got::Out { frame, .. } => frame,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn port(&self) -> PortId {
        match self {
            Got::Out { port, .. } => *port,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct Bed {
    pub(crate) setup: Setup,
    pub(crate) path: Path,
    pub(crate) counts: Counts,
    /// The same without the shortcut: what it has seen and done.
    stages: Option<(Path, Counts)>,
    pub(crate) tables: Tables,
    pub(crate) now: Time,
}

impl Bed {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::with(setup, PathConfig::default())
    }

    pub(crate) fn with(setup: Setup, config: PathConfig) -> Self {
        Self::of(setup, config, SharedConfig::default())
    }

    pub(crate) fn over(setup: Setup, shared: SharedConfig) -> Self {
        Self::of(setup, PathConfig::default(), shared)
    }

    fn of(setup: Setup, config: PathConfig, shared: SharedConfig) -> Self {
        let tables = setup.tables(1);
        let path = Path::new(config, Arc::new(Shared::new(shared)));
        let stages = Path::new(config, Arc::new(Shared::new(shared))).without_shortcut();
        let stages = Some((stages, Counts::new()));
        Self { setup, path, counts: Counts::new(), stages, tables, now: Time(1_000_000_000) }
    }

    /// Publishes the changed setup.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        self.tables = self.setup.tables(self.tables.generation() + 1);
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now.0 += seconds * 1_000_000_000;
    }

    pub(crate) fn send(&mut self, from: End, frame: &[u8]) -> Got {
        let mut room = vec![0xee; 256 + frame.len() + 64];
        room[256..256 + frame.len()].copy_from_slice(frame);
        let mut packet = Packet::new(&mut room, 256, frame.len(), frame.len(), from.port);
        self.path.run(self.now, &self.tables, &mut self.counts, std::slice::from_mut(&mut packet));
        assert!(self.counts.is_balanced(), "{:?}", self.counts);
        self.compare(frame, &packet);
        match packet.verdict() {
            Verdict::Drop(reason) => Got::Dropped(reason),
            Verdict::Park { slot } => Got::Parked(slot),
            Verdict::Forward { port, checksum } => {
                let (mut frame, cut) = (packet.head().to_vec(), packet.cut_to());
                if let Checksum::Partial { start, offset } = checksum {
                    let sum = sluice_wire::checksum::of(&frame[usize::from(start)..]);
                    let sum = if sum == 0 { 0xffff } else { sum };
                    let at = usize::from(start + offset);
                    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
                }
                Got::Out { port, frame, cut }
            }
        }
    }

    /// Sends the frame without the shortcut too: what has become of it must be the same, and so must all counts.
    fn compare(&mut self, frame: &[u8], took: &Packet<'_>) {
        let Some((path, counts)) = &mut self.stages else { return };
        let mut room = vec![0xee; 256 + frame.len() + 64];
        room[256..256 + frame.len()].copy_from_slice(frame);
        let mut packet = Packet::new(&mut room, 256, frame.len(), frame.len(), took.port());
        path.run(self.now, &self.tables, counts, std::slice::from_mut(&mut packet));
        assert_eq!(whole(took), whole(&packet), "the shortcut and the stages differ");
        assert_eq!(*counts, self.counts, "the shortcut and the stages count otherwise");
        assert_eq!(path.shared().connections.len(), self.path.shared().connections.len());
    }

    /// Sends frames in one burst, and without the shortcut too: what has become of each must be the same, and so must all counts
    /// and all connections.
    pub(crate) fn send_together(&mut self, frames: &[(End, Vec<u8>)]) {
        let (stages, counts) = self.stages.as_mut().expect("both ways are compared");
        let through = |path: &mut Path, counts: &mut Counts| {
            let mut rooms: Vec<Vec<u8>> =
                frames.iter().map(|(_, frame)| [&[0xee; 256][..], frame, &[0xee; 64]].concat()).collect();
            let mut burst: Vec<Packet<'_>> = rooms
                .iter_mut()
                .zip(frames)
                .map(|(room, (from, frame))| Packet::new(room, 256, frame.len(), frame.len(), from.port))
                .collect();
            path.run(self.now, &self.tables, counts, &mut burst);
            burst.iter().map(whole).collect::<Vec<_>>()
        };
        let (took, expected) = (through(&mut self.path, &mut self.counts), through(stages, counts));
        for (number, (took, expected)) in took.iter().zip(&expected).enumerate() {
            assert_eq!(took, expected, "packet {number}: {:?}", frames[number]);
        }
        assert_eq!(self.counts, *counts, "the shortcut and the stages count otherwise");
        assert_eq!(connections(&self.path), connections(stages));
    }

    /// For who changes the path itself in the middle.
    pub(crate) fn compare_no_longer(&mut self) {
        self.stages = None;
    }

    /// Time without packets.
    pub(crate) fn idle(&mut self) {
        self.path.idle(self.now, &mut self.counts);
        if let Some((path, counts)) = &mut self.stages {
            path.idle(self.now, counts);
        }
    }

    /// Sends a frame that must come out by `to` as `expected`.
    #[track_caller]
    pub(crate) fn expect(&mut self, from: End, frame: &[u8], to: End, expected: &[u8]) {
        let got = self.send(from, frame);
        assert_eq!(got, Got::Out { port: to.port, frame: expected.to_vec(), cut: None });
    }

    #[track_caller]
    pub(crate) fn expect_drop(&mut self, from: End, frame: &[u8], reason: DropReason) {
        let got = self.send(from, frame);
        assert_eq!(got, Got::Dropped(reason));
    }

    /// Sends a frame that must be dropped for `reason`, and be answered to its sender.
    #[track_caller]
    pub(crate) fn expect_refusal(&mut self, from: End, frame: &[u8], reason: DropReason) -> Vec<u8> {
        let before = self.counts.dropped(reason);
        let got = self.send(from, frame);
        assert_eq!(self.counts.dropped(reason), before + 1, "{got:?}");
        assert_eq!(got.port(), from.port);
        got.frame()
    }

    pub(crate) fn released(&mut self) -> Vec<(u16, Release)> {
        let released = std::iter::from_fn(|| self.path.released(&mut self.counts)).collect();
        if let Some((path, counts)) = &mut self.stages {
            while path.released(counts).is_some() {}
        }
        assert!(self.counts.parked < 65);
        released
    }
}

/// All that has become of a packet.
fn whole(packet: &Packet<'_>) -> (Verdict, Vec<u8>, usize, Option<CutTo>) {
    (packet.verdict(), packet.head().to_vec(), packet.total_len(), packet.cut_to())
}

/// Every connection, but for where it is kept.
fn connections(path: &Path) -> Vec<String> {
    let listed = path.shared().connections.list().map(|listed| {
        let it = listed.connection;
        let decided = (it.generation, it.owner, it.flags, it.mss, it.state);
        let actions =
            it.actions.map(|action| (action.egress, [action.l3_delta, action.l4_delta].map(|it| it % 0xffff)));
        format!("{:?} {:?} {actions:?} {decided:?} {:?}", it.original, it.reply, listed.last_used)
    });
    let mut all: Vec<String> = listed.collect();
    all.sort_unstable();
    all
}

/// The beginning of a packet from one end to another as it stands on a link.
pub(crate) fn ip(v6: bool, link: (MacAddr, MacAddr), from: End, to: End) -> Ip {
    let link = Ethernet::new(link.0, link.1);
    if v6 { Ip::v6(link, from.v6, to.v6) } else { Ip::v4(link, from.v4, to.v4) }
}

/// From a pod or the host to the switch.
pub(crate) fn up(v6: bool, from: End, to: End) -> Ip {
    ip(v6, (from.mac, GATEWAY_MAC), from, to)
}

/// From the switch to a pod or the host: one hop older.
pub(crate) fn down(v6: bool, link: End, from: End, to: End) -> Ip {
    ip(v6, (GATEWAY_MAC, link.mac), from, to).ttl(63)
}

/// From the router to this node.
pub(crate) fn incoming(v6: bool, from: End, to: End) -> Ip {
    ip(v6, (ROUTER.mac, UPLINK.mac), from, to)
}

/// From this node to the router: one hop older.
pub(crate) fn outgoing(v6: bool, from: End, to: End) -> Ip {
    ip(v6, (UPLINK.mac, ROUTER.mac), from, to).ttl(63)
}

/// Inside a tunnel packet to the peer.
pub(crate) fn inner_out(v6: bool, from: End, to: End) -> Ip {
    ip(v6, (tunnel_mac(UPLINK.v4.into()), tunnel_mac(PEER.v4.into())), from, to).ttl(63)
}

/// A frame of the peer, in its tunnel packet.
pub(crate) fn from_peer(inner: impl FnOnce(Ethernet) -> Vec<u8>) -> Vec<u8> {
    let link = Ethernet::new(tunnel_mac(PEER.v4.into()), tunnel_mac(UPLINK.v4.into()));
    let outer = Ip::v4(Ethernet::new(PEER.mac, UPLINK.mac), PEER.v4, UPLINK.v4);
    outer.vxlan(50_000, TUNNEL_PORT, VNI, &inner(link))
}

/// What a tunnel packet of ours to the peer carries.
#[track_caller]
pub(crate) fn unwrap(got: Got) -> Vec<u8> {
    let Got::Out { port, frame, .. } = got else { panic!("{got:?}") };
    assert_eq!(port, UPLINK.port);
    let headers = sluice_wire::parse::parse(&frame, frame.len()).expect("an outer packet");
    assert_eq!((headers.source_mac, headers.destination_mac), (UPLINK.mac, PEER.mac));
    let addresses = headers.addresses(&frame).expect("IP");
    assert_eq!(addresses, (UPLINK.v4.into(), PEER.v4.into()));
    assert_eq!((headers.protocol, headers.destination_port), (protocol::UDP, TUNNEL_PORT));
    let at = usize::from(headers.l4_offset) + 8;
    assert_eq!(frame[at..at + 8], sluice_packets::tunnel::vxlan_header(VNI));
    frame[at + 8..].to_vec()
}
