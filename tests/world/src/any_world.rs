//! Bytes of any kind, read as packets into a node with everything on it: Services, policies, a tunnel, an uplink, connections.
//! What property tests and the fuzz targets drive the whole path with.
//!
//! Whatever the bytes are: each packet ends in one place, what leaves has the MACs of its way and can be read, and what waits
//! comes back in the end, so no frame leaks.

use core::time::Duration;
use std::net::IpAddr;

use sluice_packets::{Ethernet, IcmpError, Ip, fragment};
use sluice_path::{DropReason, PathConfig, SharedConfig};
use sluice_tables::PortId;
use sluice_wire::{ethernet, ipv4};

use crate::cluster::{
    Cluster, Encapsulation, Peer, Policy, Protocol, Rule, Selector, ServiceKind, Way, node_address, own_address,
    pod_address,
};
use crate::cluster_switch::{ClusterSwitch, Seen};
use crate::conversation::first_packet;
use crate::datagram::Datagram;
use crate::small::{OUTER, address, cluster, from_pod, send, shut};
use crate::traffic::{From, outsider};
use crate::wiring::tunnel_port;

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Packets of any kind, by every way in.
    Packets,
    /// What follows the UDP header of tunnel packets from a peer.
    Tunnelled,
    /// Changes to what ICMP errors quote of packets that were sent.
    Quotes,
    /// Which fragments of datagrams come, and in which order.
    Fragments,
}

/// Sends everything in `data` into a switch. The first byte chooses how nodes are joined.
///
/// # Panics
/// When what holds for any bytes does not hold.
pub fn exercise(data: &[u8], meaning: Meaning) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let encapsulation = [Encapsulation::Vxlan, Encapsulation::Geneve, Encapsulation::None][usize::from(first % 3)];
    if meaning == Meaning::Tunnelled && encapsulation == Encapsulation::None {
        return;
    }
    let mut cluster = node_with_everything();
    cluster.setup.encapsulation = encapsulation;
    let mut shared = SharedConfig { affinity: 64, ..SharedConfig::default() };
    shared.connections.capacity = 256;
    let mut switch = ClusterSwitch::with(&cluster, 2, PathConfig::default(), shared);
    let sent = begin(&cluster, &mut switch);
    while !rest.is_empty() {
        let (port, frame, after) = match meaning {
            Meaning::Packets => any_packet(&switch, rest),
            Meaning::Tunnelled => any_tunnelled(&switch, encapsulation, rest),
            Meaning::Quotes => any_quote(&switch, &sent, rest),
            Meaning::Fragments => any_fragment(&switch, rest),
        };
        rest = after;
        let seen = switch.send(port, &frame);
        assert!(!seen.contains(&Seen::Dropped(DropReason::Undecided)));
        switch.clock.advance(Duration::from_millis(50));
    }
    switch.clock.advance(Duration::from_secs(3600));
    for _ in 0..10_000 {
        if switch.waiting() == 0 {
            break;
        }
        switch.idle();
    }
    assert_eq!((switch.waiting(), switch.counts().parked), (0, 0), "something waits for ever");
}

fn node_with_everything() -> Cluster {
    let mut cluster = cluster();
    let service = &mut cluster.services[0];
    service.kind = ServiceKind::LoadBalancer;
    service.ingress = OUTER.map(|ip| (address(ip), false)).to_vec();
    service.affinity = Some(600);
    let labels = [("app".to_owned(), "a".to_owned())].into();
    let mut policy: Policy = shut(0, Way::Ingress);
    policy.subject = Selector { labels, ..Selector::default() };
    let namespaces = Some(Selector::default());
    policy.ingress = Some(vec![Rule { peers: vec![Peer::Pods { namespaces, pods: None }], ports: Vec::new() }]);
    cluster.policies.push(policy);
    cluster
}

/// Connections of several kinds; as whose packets they arrived.
fn begin(cluster: &Cluster, switch: &mut ClusterSwitch) -> Vec<(From, Datagram)> {
    let mut sent = Vec::new();
    for (to, protocol, port) in [
        ("10.96.0.10", Protocol::Udp, 53),
        ("fd00:96::a", Protocol::Tcp, 80),
        ("198.51.100.20", Protocol::Tcp, 443),
        ("10.7.0.3", Protocol::Sctp, 9),
    ] {
        let flow = from_pod(cluster, 0, to, protocol, port);
        if let Seen::Left { to, frame } = send(switch, flow.from, &first_packet(&flow)) {
            let back = match to {
                crate::expect::To::Pod(pod) => From::Pod(pod),
                crate::expect::To::Host => From::Host,
                crate::expect::To::Peer(node) => From::Peer(node),
                crate::expect::To::Neighbour(_) => From::Outside,
            };
            sent.push((back, Datagram::read(&frame).expect("what leaves is right")));
        }
    }
    sent
}

const SENDERS: [From; 5] = [From::Pod(0), From::Pod(1), From::Host, From::Outside, From::Peer(1)];

/// Takes up to `length` bytes.
fn take(data: &[u8], length: usize) -> (&[u8], &[u8]) {
    data.split_at(length.min(data.len()))
}

/// Three bytes in front: who sends, choices, length in units of 4. Choices: 1 the Ethernet header is among the bytes too, 2 the
/// source address is made the sender's, 4 the IPv4 header checksum and length are made right, 8 the destination is one of
/// eight, by the upper three bits.
fn any_packet<'d>(switch: &ClusterSwitch, data: &'d [u8]) -> (PortId, Vec<u8>, &'d [u8]) {
    let (head, rest) = take(data, 3);
    let [sender, choices, length] = [0, 1, 2].map(|at| head.get(at).copied().unwrap_or_default());
    let (bytes, rest) = take(rest, usize::from(length) * 4);
    let chosen = |bit: u8| choices & bit != 0;
    let Some(&from) = SENDERS.get(usize::from(sender % 6)) else {
        return (PortId(999), bytes.to_vec(), rest);
    };
    let port = switch.entry(from, usize::from(sender >> 4));
    if chosen(1) && !matches!(from, From::Outside | From::Peer(_)) {
        return (port, bytes.to_vec(), rest);
    }
    let v4 = bytes.first().is_none_or(|first| first >> 4 != 6);
    let mut packet = bytes.to_vec();
    let source = chosen(2).then(|| own(from, v4));
    let destination = chosen(8).then(|| destination(choices >> 5, v4));
    write_addresses(&mut packet, v4, source, destination);
    if chosen(4) && packet.len() >= ipv4::HEADER_LEN && v4 {
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        if let Ok(mut header) = ipv4::Packet::new_header(&mut packet[..]) {
            header.fill_checksum();
        }
    }
    let kind = if v4 { ethernet::ethertype::IPV4 } else { ethernet::ethertype::IPV6 };
    (port, switch.wrap(from, own(from, v4), |link| link.frame(kind, &packet)), rest)
}

fn own(from: From, v4: bool) -> IpAddr {
    match from {
        From::Pod(0) => pod_address(0, 2, v4),
        From::Pod(_) => pod_address(0, 3, v4),
        From::Host => node_address(0, v4),
        From::Peer(_) => pod_address(1, 4, v4),
        From::Outside => outsider(9, v4),
    }
}

fn destination(which: u8, v4: bool) -> IpAddr {
    match which {
        0 => pod_address(0, 2, v4),
        1 => pod_address(0, 3, v4),
        2 => address(if v4 { "10.96.0.10" } else { "fd00:96::a" }),
        3 => address(if v4 { OUTER[0] } else { OUTER[1] }),
        4 => node_address(0, v4),
        5 => outsider(20, v4),
        6 => pod_address(1, 4, v4),
        _ => own_address(0, v4),
    }
}

fn write_addresses(packet: &mut [u8], v4: bool, source: Option<IpAddr>, destination: Option<IpAddr>) {
    let (first, length) = if v4 { (12, 4) } else { (8, 16) };
    for (at, address) in [(first, source), (first + length, destination)] {
        let bytes = match address {
            Some(IpAddr::V4(v4)) => v4.octets().to_vec(),
            Some(IpAddr::V6(v6)) => v6.octets().to_vec(),
            None => continue,
        };
        if let Some(field) = packet.get_mut(at..at + length) {
            field.copy_from_slice(&bytes);
        }
    }
}

/// One byte in front: the length in units of 4.
fn any_tunnelled<'d>(
    switch: &ClusterSwitch,
    encapsulation: Encapsulation,
    data: &'d [u8],
) -> (PortId, Vec<u8>, &'d [u8]) {
    let (head, rest) = take(data, 1);
    let (bytes, rest) = take(rest, usize::from(head[0]) * 4);
    let frame = switch.outer(node_address(1, true)).udp(50_000, tunnel_port(encapsulation), bytes);
    (switch.entry(From::Peer(1), 0), frame, rest)
}

/// Two bytes in front: which connection and error, and the length of the quote; the others are added to the right quote, bit by
/// bit.
fn any_quote<'d>(switch: &ClusterSwitch, sent: &[(From, Datagram)], data: &'d [u8]) -> (PortId, Vec<u8>, &'d [u8]) {
    let (head, rest) = take(data, 2);
    let [which, length] = [0, 1].map(|at| head.get(at).copied().unwrap_or_default());
    let (changes, rest) = take(rest, usize::from(length));
    let (from, lost) = &sent[usize::from(which) % sent.len()];
    let link = Ethernet::new(Default::default(), Default::default());
    let mut quoted = lost.frame(link, false).split_off(ethernet::HEADER_LEN);
    quoted.truncate(usize::from(length));
    quoted.iter_mut().zip(changes).for_each(|(byte, change)| *byte ^= change);
    let errors = [
        IcmpError::PortUnreachable,
        IcmpError::TooBig { mtu: 1300 },
        IcmpError::TooBig { mtu: 0 },
        IcmpError::TimeExceeded,
    ];
    let error = errors[usize::from(which >> 4) % errors.len()];
    let back = Datagram { source: lost.destination, destination: lost.source, ..lost.clone() };
    let frame = switch.wrap(*from, back.source, |link| back.ip(link).icmp_error(error, &quoted));
    (switch.entry(*from, 0), frame, rest)
}

/// Three bytes a fragment: sender, family and destination; which of four datagrams, and the size it is cut to; which piece.
fn any_fragment<'d>(switch: &ClusterSwitch, data: &'d [u8]) -> (PortId, Vec<u8>, &'d [u8]) {
    let (head, rest) = take(data, 3);
    let [sender, which, piece] = [0, 1, 2].map(|at| head.get(at).copied().unwrap_or_default());
    let from = SENDERS[usize::from(sender % 5)];
    let v4 = sender & 0x80 == 0;
    let (source, destination) = (own(from, v4), destination(sender >> 4 & 7, v4));
    let size = 104 + 8 * usize::from(which >> 2);
    let frame = switch.wrap(from, source, |link| {
        let ip = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ip::v4(link, source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Ip::v6(link, source, destination),
            _ => unreachable!("one family was asked for"),
        };
        let mut pieces = fragment::split(&ip.udp(40_000, 53, &[7; 900]), size, u32::from(which & 3));
        pieces.swap_remove(usize::from(piece) % pieces.len())
    });
    (switch.entry(from, 0), frame, rest)
}

/// Inputs that say something right for each meaning, with a name each: where a fuzzer starts from.
///
/// # Panics
/// Never: the packets are short.
#[must_use]
pub fn seeds(meaning: Meaning) -> Vec<(String, Vec<u8>)> {
    let units = |bytes: &[u8]| u8::try_from(bytes.len().div_ceil(4)).expect("a short packet");
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let kinds = || crate::samples::every_kind().into_iter().filter(|(_, frame)| frame.len() < 900);
    match meaning {
        Meaning::Packets => kinds()
            .enumerate()
            .map(|(at, (name, frame))| {
                let packet = padded(frame[ethernet::HEADER_LEN..].to_vec());
                let choices = 2 | 4 | 8 | (at as u8 % 8) << 5;
                (name, [&[at as u8 / 8 % 3, at as u8 % 6, choices, units(&packet)], &packet[..]].concat())
            })
            .collect(),
        Meaning::Tunnelled => kinds()
            .map(|(name, mut frame)| {
                // From the peer's end of the tunnel to ours.
                let macs = [0, 1].map(|node| sluice_tables::tunnel_mac(node_address(node, true)).octets());
                frame[..12].copy_from_slice(&macs.concat());
                let inside = padded([&sluice_packets::tunnel::vxlan_header(crate::wiring::VNI)[..], &frame].concat());
                (name, [&[0, units(&inside)], &inside[..]].concat())
            })
            .collect(),
        Meaning::Quotes => {
            (0..16_u8).map(|which| (format!("quote-{which}"), [&[0, which * 17, 60][..], &[0; 60]].concat())).collect()
        }
        Meaning::Fragments => [[0_u8, 1, 2], [2, 1, 0], [1, 0, 2], [1, 1, 0]]
            .iter()
            .enumerate()
            .map(|(at, order)| {
                let pieces = order.iter().flat_map(|piece| [0x20 | (at as u8 & 1) << 7, 200, *piece]);
                (format!("fragments-{at}"), [0].into_iter().chain(pieces).collect())
            })
            .collect(),
    }
}
