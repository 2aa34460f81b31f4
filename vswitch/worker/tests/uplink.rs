//! Two nodes in memory, joined by their uplinks: what leaves for a wire is cut and summed, what comes off it is joined again;
//! with one queue and one worker or two of each.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice_packets::{Ethernet, Ip, Segment};
use sluice_path::{DropReason, PathConfig, Shared, SharedConfig, Time};
use sluice_tables::{
    Encapsulation, GATEWAY_MAC, Hop, NodeEntry, Peer, Port, PortId, PortKind, Publisher, Tables, TablesBuilder, Tunnel,
    UnderlayBuilder, WorkerId, tunnel_mac,
};
use sluice_wire::parse::parse;
use sluice_wire::{MacAddr, ethernet, ipv4, protocol, tcp, udp};
use sluice_worker::{Worker, mesh};
use sluice_xsk::pair::{Kernel, Sent, pair};
use sluice_xsk::{Features, HugePages, Umem, UmemConfig};

const FRAMES: u32 = 4096;
const FRAME: usize = 4096 - 256;
const POD: PortId = PortId(1);
/// The uplink's queues, one a worker.
const QUEUES: [PortId; 2] = [PortId(10), PortId(11)];
const VXLAN: u16 = 4789;
const MTU: u16 = 1500;
/// Bytes that a tunnel puts around an IP packet, at most: IPv6, UDP, VXLAN, Ethernet.
const AROUND: u16 = 40 + 8 + 8 + 14;

/// How the nodes are joined.
#[derive(Debug, Clone, Copy)]
struct Layout {
    workers: u8,
    tunnel: Encapsulation,
    /// Whether the underlay is IPv6.
    v6: bool,
    /// Whether the nodes know each other's MAC.
    resolved: bool,
}

fn pod(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, 7)
}

fn pod_mac(node: u8) -> MacAddr {
    MacAddr([2, 0, 10, 244, node, 7])
}

fn node_mac(node: u8) -> MacAddr {
    MacAddr([2, 0, 192, 0, 2, node])
}

fn node_address(node: u8, layout: Layout) -> IpAddr {
    match layout.v6 {
        true => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, node.into()).into(),
        false => Ipv4Addr::new(192, 0, 2, node).into(),
    }
}

fn cidr(node: u8) -> ipnet::IpNet {
    format!("10.244.{node}.0/24").parse().expect("a prefix")
}

fn tables(node: u8, layout: Layout, generation: u64) -> Tables {
    let other = 3 - node;
    let (own, peer) = (node_address(node, layout), node_address(other, layout));
    let port = |id, kind, worker, mac, path_mtu, max_l3_len| Port {
        id,
        kind,
        worker: WorkerId(worker),
        mac,
        addresses: if kind == PortKind::Pod { vec![pod(node).into()] } else { vec![] },
        path_mtu,
        max_l3_len,
    };
    let inner_mtu = MTU - AROUND;
    let mut builder = TablesBuilder::new(generation, 3)
        .pod_cidr(cidr(node))
        .port(port(POD, PortKind::Pod, 0, pod_mac(node), inner_mtu, 65_000))
        .node(NodeEntry { addresses: vec![own], ..NodeEntry::default() })
        .peer(Peer {
            name: format!("node-{other}").into(),
            addresses: vec![peer],
            tunnel: peer,
            mac: tunnel_mac(peer),
            pod_cidrs: vec![cidr(other)],
        });
    if layout.tunnel != Encapsulation::None {
        let encapsulation = layout.tunnel;
        let mac = tunnel_mac(own);
        builder = builder.tunnel(Tunnel { encapsulation, vni: 7, port: VXLAN, local: own, mac, inner_mtu });
    }
    for worker in 0..layout.workers {
        let id = QUEUES[usize::from(worker)];
        builder = builder.port(port(id, PortKind::Uplink, worker, node_mac(node), MTU, MTU.into()));
    }
    let on_link = if layout.v6 { "2001:db8::/64" } else { "192.0.2.0/24" };
    let mut underlay = UnderlayBuilder::new(3).route(on_link.parse().expect("a prefix"), Hop::OnLink);
    if layout.resolved {
        underlay = underlay.neighbour(peer, node_mac(other));
    }
    builder.underlay(Arc::new(underlay.build())).build().expect("good tables")
}

struct Node {
    umem: Arc<Umem>,
    publisher: Publisher,
    workers: Vec<Worker>,
    pod: Kernel,
    queues: Vec<Kernel>,
    now: u64,
}

impl Node {
    fn new(number: u8, layout: Layout) -> Node {
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Off }).expect("memory");
        let publisher = Publisher::new(tables(number, layout, 1));
        let mut config = SharedConfig { affinity: 64, ..SharedConfig::default() };
        config.connections.capacity = 1024;
        let shared = Arc::new(Shared::new(config));
        let ends = mesh(layout.workers.into());
        let mut workers: Vec<Worker> = (0..)
            .zip(ends)
            .map(|(id, handoff)| {
                Worker::detached(WorkerId(id), umem.clone(), &publisher, PathConfig::default(), shared.clone(), handoff)
            })
            .collect();
        let features = Features { multi_buffer: true, tx_metadata: true, ..Features::default() };
        let (port, pod) = pair(&umem, 512, features).expect("a pair");
        workers[0].add(POD, port);
        let queues = workers
            .iter_mut()
            .zip(QUEUES)
            .map(|(worker, id)| {
                let (port, far) = pair(&umem, 512, features).expect("a pair");
                worker.add(id, port);
                far
            })
            .collect();
        Node { umem, publisher, workers, pod, queues, now: 0 }
    }

    fn turn(&mut self) {
        for _ in 0..self.workers.len() {
            for worker in &mut self.workers {
                self.now += 1000;
                worker.turn(Time(self.now));
            }
        }
    }

    /// What left by the uplink, by whichever queue.
    fn left(&mut self) -> Vec<Sent> {
        let all = self.queues.iter_mut().flat_map(|queue| {
            let sent = queue.transmit(usize::MAX);
            queue.complete(usize::MAX);
            sent
        });
        all.collect()
    }

    fn looped(&self, name: &str) -> u64 {
        let all = self.workers.iter().flat_map(|worker| worker.looped());
        all.filter(|(counter, _)| *counter == name).map(|(_, count)| count).sum()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.workers.iter().map(|worker| worker.counts().dropped(reason)).sum()
    }

    fn ends_whole(mut self) {
        assert!(self.workers.iter().all(|worker| worker.counts().is_balanced()));
        for worker in &mut self.workers {
            for id in QUEUES.into_iter().chain([POD]) {
                if let Some(port) = worker.remove(id) {
                    port.close();
                }
            }
        }
        drop(self.workers);
        assert_eq!(self.umem.census().depot, FRAMES as usize);
    }
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn segment(from: u8, flags: u8, sequence: u32, data: &[u8]) -> Vec<u8> {
    let ip = Ip::v4(Ethernet::new(pod_mac(from), GATEWAY_MAC), pod(from), pod(3 - from));
    // The one answers from the port that the other asks.
    let (source, destination) = if from == 1 { (1000, 80) } else { (80, 1000) };
    let segment = Segment { flags, sequence, ..Segment::data(source, destination) };
    ip.partial().tcp(&segment, data)
}

/// Checks a packet on the wire: whole, no longer than the wire takes, every checksum right without help.
fn check_on_the_wire(sent: &Sent, layout: Layout) {
    assert_eq!(sent.partial, None, "no device behind the uplink is asked for sums");
    let outer = parse(&sent.bytes, sent.bytes.len()).expect("well formed");
    assert!(outer.ip_len <= MTU.into(), "{} bytes", outer.ip_len);
    let mut inner = &sent.bytes[..];
    if layout.tunnel != Encapsulation::None {
        assert_eq!((outer.protocol, outer.destination_port), (protocol::UDP, VXLAN));
        let l4 = usize::from(outer.l4_offset);
        let datagram = udp::Packet::new_checked(&sent.bytes[l4..]).expect("UDP");
        match layout.v6 {
            true => assert!(datagram.checksum_ok(outer.pseudo_header(&sent.bytes).expect("IP"))),
            false => assert_eq!(datagram.checksum(), 0),
        }
        inner = &sent.bytes[l4 + 8 + 8..];
    }
    let headers = parse(inner, inner.len()).expect("well formed inside");
    assert!(ipv4::Packet::new_checked(&inner[ethernet::HEADER_LEN..]).expect("IPv4").checksum_ok());
    let segment = tcp::Packet::new_checked(&inner[usize::from(headers.l4_offset)..]).expect("TCP");
    assert!(segment.checksum_ok(headers.pseudo_header(inner).expect("IP")));
}

/// Pod 1 opens a connection and sends `data` in one super-frame; returns what pod 2 got, packet by packet.
fn transfer(nodes: &mut [Node; 2], layout: Layout, data: &[u8]) -> Vec<(usize, Vec<u8>)> {
    use tcp::flag::{ACK, PSH, SYN};
    let mut got = Vec::new();
    let open = [(1, SYN, 0, &b""[..]), (2, SYN | ACK, 0, b""), (1, ACK, 1, b""), (1, ACK | PSH, 1, data)];
    for (from, flags, sequence, data) in open {
        let (near, far) = if from == 1 { (0, 1) } else { (1, 0) };
        assert!(nodes[near].pod.deliver(&segment(from, flags, sequence, data), FRAME));
        nodes[near].turn();
        for (at, sent) in nodes[near].left().iter().enumerate() {
            check_on_the_wire(sent, layout);
            // A device spreads by flow, and this is one: but which queue it is must not matter.
            let queue = if data.is_empty() { at % nodes[far].queues.len() } else { nodes[far].queues.len() - 1 };
            assert!(nodes[far].queues[queue].deliver(&sent.bytes, FRAME));
        }
        nodes[far].turn();
        let sent = nodes[far].pod.transmit(usize::MAX);
        nodes[far].pod.complete(usize::MAX);
        if data.is_empty() {
            assert_eq!(sent.len(), 1, "the handshake of {from}");
            continue;
        }
        for sent in sent {
            let headers = parse(&sent.bytes, sent.bytes.len()).expect("well formed");
            let l4 = usize::from(headers.l4_offset);
            let payload = tcp::Packet::new_checked(&sent.bytes[l4..]).expect("TCP").payload().to_vec();
            got.push((sent.segments.len(), payload));
        }
    }
    nodes.iter_mut().for_each(Node::turn);
    got
}

#[test]
fn a_super_frame_crosses_the_wire_as_segments_and_arrives_as_super_frames() {
    for (tunnel, v6) in [
        (Encapsulation::Vxlan, false),
        (Encapsulation::Vxlan, true),
        (Encapsulation::Geneve, true),
        (Encapsulation::None, false),
    ] {
        for workers in [1, 2] {
            let layout = Layout { workers, tunnel, v6, resolved: true };
            let mut nodes = [Node::new(1, layout), Node::new(2, layout)];
            let data = text(40_000);
            let got = transfer(&mut nodes, layout, &data);
            let stream: Vec<u8> = got.iter().flat_map(|(_, payload)| payload.clone()).collect();
            assert!(stream == data, "{layout:?}");
            assert!(got.len() <= 3 && got[0].0 == 18, "{layout:?}: {} packets", got.len());
            assert_eq!(nodes[0].looped("super_frames_cut"), 1);
            assert!(nodes[1].looped("super_frames_joined") >= 2);
            nodes.into_iter().for_each(Node::ends_whole);
        }
    }
}

#[test]
fn packets_leave_by_the_queue_of_their_pods_worker_and_cross_over_only_where_they_came_by_another() {
    let layout = Layout { workers: 2, tunnel: Encapsulation::Vxlan, v6: false, resolved: true };
    let mut nodes = [Node::new(1, layout), Node::new(2, layout)];
    transfer(&mut nodes, layout, &text(9000));
    assert_eq!(nodes[0].looped("handed_over"), 0);
    let super_frames = nodes[1].looped("super_frames_joined");
    assert!(super_frames > 0);
    assert_eq!(nodes[1].looped("handed_over"), super_frames, "joined by the worker that received them");
    nodes.into_iter().for_each(Node::ends_whole);
}

#[test]
fn a_neighbour_without_a_mac_is_wanted_and_the_packets_flow_once_it_is_known() {
    let layout = Layout { workers: 1, tunnel: Encapsulation::Vxlan, v6: false, resolved: false };
    let mut nodes = [Node::new(1, layout), Node::new(2, layout)];
    let syn = segment(1, tcp::flag::SYN, 0, b"");
    for _ in 0..3 {
        assert!(nodes[0].pod.deliver(&syn, FRAME));
        nodes[0].turn();
    }
    assert_eq!(nodes[0].dropped(DropReason::NeighbourMissing), 3);
    assert!(nodes[0].left().is_empty());
    assert_eq!(
        nodes[0].workers[0].wanted().take(),
        [node_address(2, layout)],
        "asked once, however often it was needed"
    );
    assert!(nodes[0].workers[0].wanted().take().is_empty());
    nodes[0].publisher.publish(tables(1, Layout { resolved: true, ..layout }, 2));
    assert!(nodes[0].pod.deliver(&syn, FRAME));
    nodes[0].turn();
    assert_eq!(nodes[0].left().len(), 1);
    nodes[0].turn();
    nodes.into_iter().for_each(Node::ends_whole);
}
