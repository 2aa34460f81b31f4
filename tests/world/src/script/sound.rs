//! What must hold for a frame that leaves, whatever came in.

use std::net::IpAddr;

use sluice_packets::{Geneve, sctp, tunnel::vxlan_header};
use sluice_tables::{GATEWAY_MAC, Port, PortId, PortKind, Tables, tunnel_mac};
use sluice_wire::parse::{self, Fragment, Headers, L3};
use sluice_wire::{MacAddr, checksum, ethernet, protocol};

use super::Ground;
use super::mutate::INNER;
use crate::cluster::{Encapsulation, node_address, pod_network};
use crate::traffic::From;
use crate::wiring::{HOST_PORT, UPLINK_MAC, VNI, neighbour_mac, tunnel_port};

/// A packet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// By which port.
    pub port: PortId,
    /// From which MAC.
    pub source: Option<MacAddr>,
    /// Whether its transport checksum was right, inside a tunnel the inner one.
    pub right: bool,
}

/// A packet as it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// By which port.
    pub port: PortId,
    /// Its bytes, the checksum completed.
    pub frame: Vec<u8>,
    /// Whether it is to be cut into segments first, so that its length means nothing.
    pub cut: bool,
}

/// A packet that left, to be answered or quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Who has it now.
    pub to: From,
    /// Its bytes, without a tunnel's headers.
    pub frame: Vec<u8>,
    /// The same with them, where there are any.
    pub outer: Option<Vec<u8>>,
}

/// Whether the checksum behind the IP header is right, or partial as a sender leaves it for its device. `None` where that
/// cannot be told: a fragment, a protocol without one, a length that contradicts that of the IP packet, UDP without a checksum.
#[must_use]
pub fn transport_is_right(frame: &[u8], partial: bool) -> Option<bool> {
    let headers = parse::parse(frame, frame.len()).ok()?;
    if headers.fragment != Fragment::None || !matches!(headers.l3, L3::Ipv4 | L3::Ipv6) {
        return None;
    }
    let l4 = frame.get(usize::from(headers.l4_offset)..end(&headers))?;
    let pseudo = headers.pseudo_header(frame)?;
    let field = |at: usize| Some(u16::from_be_bytes([*l4.get(at)?, *l4.get(at + 1)?]));
    let sums_up = pseudo.add_bytes(l4).folded() == 0xffff;
    match (headers.protocol, headers.l3) {
        (protocol::TCP, _) => Some(sums_up || partial && checksum::is_partial(field(16)?, pseudo)),
        (protocol::UDP, _) if field(6)? == 0 || usize::from(field(4)?) != l4.len() => None,
        (protocol::UDP, _) => Some(sums_up || partial && checksum::is_partial(field(6)?, pseudo)),
        (protocol::SCTP, _) if l4.len() >= 12 => Some(sctp::checksum_ok(l4)),
        (protocol::ICMPV4, L3::Ipv4) if l4.len() >= 8 => Some(checksum::of(l4) == 0),
        (protocol::ICMPV6, L3::Ipv6) if l4.len() >= 8 => Some(sums_up),
        _ => None,
    }
}

fn end(headers: &Headers) -> usize {
    usize::from(headers.l3_offset) + headers.ip_len as usize
}

/// Checks a frame that left; what came is not known where packets of several workers mix.
///
/// # Panics
/// When it goes by a port that is not in the tables, has other MACs than those of its way, does not parse, says other lengths
/// than it has, is longer than its way takes, has a wrong IPv4 header checksum, comes to a pod that does not have its
/// destination, is in a wrong tunnel, or when its transport checksum was right and is no longer.
#[must_use]
pub fn check(ground: &Ground, tables: &Tables, arrived: Option<&Arrived>, sent: &Sent) -> Left {
    let port = tables.port(sent.port).expect("it leaves by a port that is in the tables");
    let frame = &sent.frame;
    let view = ethernet::Frame::new_checked(&frame[..]).expect("what leaves has an Ethernet header");
    let macs = (view.destination(), view.source());
    match port.kind {
        PortKind::Uplink => {
            // Errors go back to where the packet came from; in what was changed on the way that is anybody.
            let back = arrived.is_none_or(|arrived| arrived.source == Some(macs.0));
            let known = back || matches!(macs.0.octets(), [2, 0xaa, 0, 0, 0, _]);
            assert!(known && macs.1 == UPLINK_MAC, "goes from {} to {}", macs.1, macs.0);
        }
        // What is punted is the node's own.
        _ if sent.port == HOST_PORT && macs.1 == port.mac => assert_eq!(macs.0, port.mac),
        _ => assert_eq!(macs, (port.mac, GATEWAY_MAC)),
    }
    let came_by = arrived.and_then(|arrived| tables.port(arrived.port)).map(|port| port.kind);
    let punted = sent.port == HOST_PORT && came_by.is_none_or(|kind| kind == PortKind::Uplink);
    assert!(punted || macs.1 == GATEWAY_MAC || port.kind == PortKind::Uplink, "nothing else comes back as it was");
    let is_ip = matches!(view.ethertype(), ethernet::ethertype::IPV4 | ethernet::ethertype::IPV6);
    if punted || !is_ip {
        assert!(punted || arrived.is_none_or(|arrived| arrived.port == sent.port), "only answers are not IP");
        return Left { to: receiver(ground, port, frame), frame: frame.clone(), outer: None };
    }
    if port.kind == PortKind::Uplink
        && let Some((peer, inner)) = tunnelled(ground, frame, came_by == Some(PortKind::Host))
    {
        if !sent.cut {
            check_ip(frame, port.path_mtu.into());
        }
        let mtu = tables.tunnel().map_or(0, |tunnel| tunnel.inner_mtu);
        let destination = check_ip(inner, if sent.cut { u32::MAX } else { mtu.into() });
        let behind = ground.cluster.addresses_of_node(peer).contains(&destination)
            || [true, false].iter().any(|&v4| pod_network(peer, v4).contains(&destination));
        assert!(behind, "{destination} is not behind node {peer}");
        check_transport(arrived, inner);
        return Left { to: From::Peer(peer), frame: inner.to_vec(), outer: Some(frame.clone()) };
    }
    let answer = is_answer(tables, frame, arrived, sent);
    let headers = parse::parse(frame, frame.len()).unwrap_or_else(|error| panic!("what leaves {error}: {frame:02x?}"));
    let tcp = headers.protocol == protocol::TCP && headers.fragment == Fragment::None;
    let over_the_uplink = came_by.is_none_or(|kind| kind == PortKind::Uplink);
    let limit = if tcp || over_the_uplink { port.max_l3_len } else { port.path_mtu.into() };
    let destination = check_ip(frame, if sent.cut || answer { u32::MAX } else { limit });
    if port.kind == PortKind::Pod && !answer {
        assert!(port.addresses.contains(&destination), "{destination} is not of {:?}", port.id);
    }
    check_transport(arrived, frame);
    Left { to: receiver(ground, port, frame), frame: frame.clone(), outer: None }
}

/// Whether it is the gateway who speaks, or the packet turned round.
fn is_answer(tables: &Tables, frame: &[u8], arrived: Option<&Arrived>, sent: &Sent) -> bool {
    let headers = parse::parse(frame, frame.len()).unwrap_or_else(|error| panic!("what leaves {error}: {frame:02x?}"));
    let (source, _) = headers.addresses(frame).expect("it is IP");
    tables.gateway().has_address(source) && arrived.is_none_or(|arrived| arrived.port == sent.port)
}

/// Lengths and header checksum; the destination.
fn check_ip(frame: &[u8], limit: u32) -> IpAddr {
    let headers = parse::parse(frame, frame.len()).unwrap_or_else(|error| panic!("what leaves {error}: {frame:02x?}"));
    let (_, destination) = headers.addresses(frame).expect("it is IP");
    assert_eq!(end(&headers), frame.len(), "the IP packet is all of the frame");
    let ip_len = headers.ip_len;
    assert!(ip_len <= limit, "{ip_len} bytes where {limit} fit: {:02x?}", &frame[..frame.len().min(140)]);
    assert!(headers.ttl > 0);
    if headers.l3 == L3::Ipv4 {
        let header = &frame[usize::from(headers.l3_offset)..usize::from(headers.l4_offset)];
        assert_eq!(checksum::of(header), 0, "a wrong IPv4 header checksum");
    }
    destination
}

fn check_transport(arrived: Option<&Arrived>, frame: &[u8]) {
    if arrived.is_some_and(|arrived| arrived.right) {
        assert_ne!(transport_is_right(frame, false), Some(false), "the checksum was right and is no longer");
    }
}

/// The peer that a tunnel packet goes to, and what is inside. The node's own processes may send anything to that port.
fn tunnelled<'f>(ground: &Ground, frame: &'f [u8], from_host: bool) -> Option<(usize, &'f [u8])> {
    let encapsulation = ground.cluster.setup.encapsulation;
    let ip = frame.get(ethernet::HEADER_LEN..)?;
    let udp = frame.get(34..42)?;
    let (source, destination): ([u8; 4], [u8; 4]) = (ip[12..16].try_into().ok()?, ip[16..20].try_into().ok()?);
    let peer = (1..ground.cluster.nodes.len()).find(|&node| node_address(node, true) == IpAddr::from(destination))?;
    let is_tunnel = encapsulation != Encapsulation::None
        && (ip[0], ip[9]) == (0x45, protocol::UDP)
        && u16::from_be_bytes([udp[2], udp[3]]) == tunnel_port(encapsulation)
        && IpAddr::from(source) == node_address(0, true);
    if !is_tunnel {
        return None;
    }
    let header = match encapsulation {
        Encapsulation::Geneve => Geneve::ethernet(VNI).bytes(),
        _ => vxlan_header(VNI).to_vec(),
    };
    if from_host && frame.get(42..50) != Some(&header[..]) {
        return None;
    }
    assert_eq!(frame.get(42..50), Some(&header[..]), "a wrong tunnel header");
    assert_eq!(frame[..6], neighbour_mac(node_address(peer, true)).octets());
    let inner = &frame[INNER - ethernet::HEADER_LEN..];
    let view = ethernet::Frame::new_checked(inner).expect("an Ethernet frame in the tunnel");
    let [theirs, ours] = [peer, 0].map(|node| tunnel_mac(node_address(node, true)));
    assert_eq!((view.destination(), view.source()), (theirs, ours), "wrong MACs in the tunnel");
    Some((peer, inner))
}

/// Who has it now.
fn receiver(ground: &Ground, port: &Port, frame: &[u8]) -> From {
    match port.kind {
        PortKind::Host => From::Host,
        PortKind::Uplink => {
            let headers = parse::parse(frame, frame.len()).ok();
            let destination = headers.and_then(|headers| headers.addresses(frame)).map(|(_, destination)| destination);
            let direct = ground.cluster.setup.encapsulation == Encapsulation::None;
            let behind = |node: &usize| {
                destination.is_some_and(|it| [true, false].iter().any(|&v4| pod_network(*node, v4).contains(&it)))
            };
            (1..ground.cluster.nodes.len()).find(|node| direct && behind(node)).map_or(From::Outside, From::Peer)
        }
        PortKind::Pod => From::Pod(usize::from(port.id.0) - 10),
    }
}
