//! Packets that lie, at every way in: each ends in one place, under the reason that names it, and leaves nothing behind.

use sluice_packets::icmp_error::quote;
use sluice_packets::{ChecksumMode, Ethernet, Geneve, IcmpError, Ip, Segment, corrupt, fragment, tunnel};
use sluice_path::DropReason;
use sluice_tables::{PortId, tunnel_mac};
use sluice_wire::MacAddr;
use sluice_wire::tcp::flag;
use sluice_world::cluster::{Cluster, Encapsulation, Protocol, Setup, Way, node_address, on_link, pod_address};
use sluice_world::cluster_switch::{ClusterSwitch, Seen};
use sluice_world::conversation::first_packet;
use sluice_world::datagram::Datagram;
use sluice_world::expect::To;
use sluice_world::small::{address, arrive, arrived, cluster, dropped, flow, from_pod, send, shut};
use sluice_world::traffic::{Content, Flow, From, outsider};
use sluice_world::wiring::{UPLINK_MAC, VNI, tunnel_port, uplink_of};

const TUNNELS: [Encapsulation; 2] = [Encapsulation::Vxlan, Encapsulation::Geneve];

fn with(encapsulation: Encapsulation) -> Cluster {
    Cluster { setup: Setup { encapsulation, ..Setup::default() }, ..cluster() }
}

/// A right packet of a pod of node 1 to pod 0, as it is inside the tunnel.
fn inner() -> Vec<u8> {
    inner_ip().udp(1000, 2000, b"inside")
}

fn inner_ip() -> Ip {
    let [theirs, ours] = [1, 0].map(|node| tunnel_mac(node_address(node, true)));
    Ip::v4(Ethernet::new(theirs, ours), [10, 7, 1, 4].into(), [10, 7, 0, 2].into())
}

fn header(encapsulation: Encapsulation, vni: u32) -> Vec<u8> {
    match encapsulation {
        Encapsulation::Geneve => Geneve::ethernet(vni).bytes(),
        _ => tunnel::vxlan_header(vni).to_vec(),
    }
}

/// A tunnel packet by parts: outer source, tunnel header, what follows.
fn tunnelled(switch: &ClusterSwitch, encapsulation: Encapsulation, from: u8, header: &[u8], inner: &[u8]) -> Vec<u8> {
    let outer = switch.outer(on_link(from, true)).checksum(ChecksumMode::Zero);
    outer.udp(50_000, tunnel_port(encapsulation), &[header, inner].concat())
}

fn fate(switch: &mut ClusterSwitch, port: PortId, frame: &[u8]) -> Seen {
    let mut seen = switch.send(port, frame);
    assert_eq!(seen.len(), 1, "one packet, one fate");
    seen.remove(0)
}

fn by_uplink(switch: &mut ClusterSwitch, frame: &[u8]) -> Seen {
    fate(switch, uplink_of(0), frame)
}

fn reason(seen: Seen) -> DropReason {
    match seen {
        Seen::Dropped(reason) => reason,
        other => panic!("not dropped in silence: {other:?}"),
    }
}

#[test]
fn a_right_tunnel_packet_arrives() {
    for encapsulation in TUNNELS {
        let mut switch = ClusterSwitch::new(&with(encapsulation), 1);
        let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &inner());
        assert_eq!(arrived(by_uplink(&mut switch, &frame)).0, To::Pod(0));
    }
}

/// Bad input: "unknown VNI".
#[test]
fn an_unknown_vni_is_dropped() {
    for encapsulation in TUNNELS {
        let mut switch = ClusterSwitch::new(&with(encapsulation), 1);
        for vni in [0, VNI - 1, VNI + 1, 0xff_ffff] {
            let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, vni), &inner());
            assert_eq!(reason(by_uplink(&mut switch, &frame)), DropReason::TunnelVni);
        }
    }
}

/// Bad input: "tunnel packets from an address that is no node".
#[test]
fn a_tunnel_packet_from_an_address_that_is_no_node_is_dropped() {
    for encapsulation in TUNNELS {
        let mut switch = ClusterSwitch::new(&with(encapsulation), 1);
        for host in [1, 10, 12, 77] {
            let frame = tunnelled(&switch, encapsulation, host, &header(encapsulation, VNI), &inner());
            let reason = reason(by_uplink(&mut switch, &frame));
            assert!(matches!(reason, DropReason::TunnelPeer | DropReason::SpoofedAddress), "{host}: {reason}");
        }
    }
}

/// Bad input: "spoofed addresses", inside the tunnel.
#[test]
fn a_peer_speaks_for_its_own_pods_alone() {
    for encapsulation in TUNNELS {
        let mut switch = ClusterSwitch::new(&with(encapsulation), 1);
        let [theirs, ours] = [1, 0].map(|node| tunnel_mac(node_address(node, true)));
        let link = Ethernet::new(theirs, ours);
        for source in ["10.7.0.3", "10.7.2.4", "192.0.2.10", "198.51.100.7", "10.96.0.10", "127.0.0.1", "169.254.1.1"] {
            let frame = Ip::v4(link, source.parse().expect("IPv4"), [10, 7, 0, 2].into()).udp(1, 2, b"x");
            let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &frame);
            assert_eq!(reason(by_uplink(&mut switch, &frame)), DropReason::TunnelSpoofed, "{source}");
        }
        let source = address("fd00:7::3");
        let (std::net::IpAddr::V6(source), std::net::IpAddr::V6(pod)) = (source, pod_address(0, 2, false)) else {
            panic!("IPv6")
        };
        let frame = Ip::v6(link, source, pod).udp(1, 2, b"x");
        let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &frame);
        assert_eq!(reason(by_uplink(&mut switch, &frame)), DropReason::TunnelSpoofed);
    }
}

#[test]
fn the_frame_inside_a_tunnel_is_for_our_end_of_it() {
    for encapsulation in TUNNELS {
        let mut switch = ClusterSwitch::new(&with(encapsulation), 1);
        for destination in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr([2, 9, 9, 9, 9, 9]), UPLINK_MAC]
        {
            let mut frame = inner();
            frame[..6].copy_from_slice(&destination.octets());
            let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &frame);
            assert_eq!(reason(by_uplink(&mut switch, &frame)), DropReason::TunnelMac);
        }
    }
}

/// Bad input: "lying lengths inside tunnels".
#[test]
fn lying_lengths_inside_tunnels_are_dropped_by_name() {
    use corrupt::Lie;
    let names = [DropReason::Truncated, DropReason::Malformed, DropReason::TunnelMalformed, DropReason::BadIpChecksum];
    for encapsulation in TUNNELS {
        let mut switch = ClusterSwitch::new(&with(encapsulation), 1);
        let whole = inner();
        for cut in corrupt::truncations(&whole) {
            let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &cut);
            let reason = reason(by_uplink(&mut switch, &frame));
            assert!(names.contains(&reason), "{reason} for {} bytes inside", cut.len());
        }
        let lies = [
            Lie::Version(6),
            Lie::Ipv4HeaderLen(4),
            Lie::Ipv4HeaderLen(15),
            Lie::IpLen(19),
            Lie::IpLen(60_000),
            Lie::UdpLen(7),
            Lie::UdpLen(60_000),
        ];
        for lie in lies {
            let mut told = corrupt::lie(&whole, lie);
            if let Ok(mut header) = sluice_wire::ipv4::Packet::new_header(&mut told[14..]) {
                header.fill_checksum();
            }
            let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &told);
            let reason = reason(by_uplink(&mut switch, &frame));
            assert!(names.contains(&reason), "{reason} for {lie:?}");
        }
        for length in [0, 7, 8, 9, 15, 60_000] {
            let frame = tunnelled(&switch, encapsulation, 11, &header(encapsulation, VNI), &whole);
            let frame = corrupt::lie(&frame, Lie::UdpLen(length));
            let reason = reason(by_uplink(&mut switch, &frame));
            assert!(names.contains(&reason), "{reason} for an outer UDP length of {length}");
        }
        assert_eq!(switch.shared.connections.len(), 0);
    }
}

#[test]
fn tunnel_headers_that_are_not_understood_are_dropped() {
    let base = Geneve::ethernet(VNI);
    let odd = [
        Geneve { version: 1, ..base.clone() },
        Geneve { protocol: 0x0800, ..base.clone() },
        Geneve { critical: true, options: vec![0, 1, 0x80, 1, 0, 0, 0, 0], ..base.clone() },
        Geneve { control: true, ..base.clone() },
    ];
    let mut switch = ClusterSwitch::new(&with(Encapsulation::Geneve), 1);
    for header in odd {
        let frame = tunnelled(&switch, Encapsulation::Geneve, 11, &header.bytes(), &inner());
        assert_eq!(reason(by_uplink(&mut switch, &frame)), DropReason::TunnelMalformed, "{header:?}");
    }
    let unknown = Geneve { options: vec![0, 1, 1, 1, 0, 0, 0, 0], ..base };
    let frame = tunnelled(&switch, Encapsulation::Geneve, 11, &unknown.bytes(), &inner());
    assert_eq!(
        arrived(by_uplink(&mut switch, &frame)).0,
        To::Pod(0),
        "an option that is not critical may be passed over"
    );

    let mut switch = ClusterSwitch::new(&with(Encapsulation::Vxlan), 1);
    let mut header = tunnel::vxlan_header(VNI);
    header[0] = 0;
    let frame = tunnelled(&switch, Encapsulation::Vxlan, 11, &header, &inner());
    assert_eq!(
        reason(by_uplink(&mut switch, &frame)),
        DropReason::TunnelMalformed,
        "without the flag the VNI means nothing"
    );
}

/// Bad input: "a pod sending tunnel packets".
#[test]
fn a_pod_cannot_speak_into_a_tunnel() {
    for encapsulation in TUNNELS {
        let cluster = with(encapsulation);
        let mut switch = ClusterSwitch::new(&cluster, 1);
        for node in ["192.0.2.10", "192.0.2.11", "2001:db8:1::b", "10.7.0.1"] {
            let flow = from_pod(&cluster, 0, node, Protocol::Udp, tunnel_port(encapsulation));
            let seen = send(&mut switch, flow.from, &first_packet(&flow));
            assert_eq!(reason(seen), DropReason::TunnelFromPod, "{node}");
        }
    }
}

/// Bad input: "spoofed addresses".
#[test]
fn a_pod_speaks_under_its_own_addresses_alone() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let right = from_pod(&cluster, 0, "10.96.0.10", Protocol::Tcp, 80);
    for source in ["10.7.0.3", "10.7.1.4", "192.0.2.10", "10.96.0.10", "198.51.100.7", "0.0.0.0", "127.0.0.1"] {
        let flow = Flow { source: address(source), ..right };
        assert_eq!(reason(send(&mut switch, flow.from, &first_packet(&flow))), DropReason::SpoofedAddress, "{source}");
    }
    assert_eq!(switch.shared.connections.len(), 0);
}

/// Bad input: "spoofed addresses", over the uplink: what says it is a pod of ours or ourselves is not.
#[test]
fn nobody_outside_is_one_of_ours() {
    let cluster = with(Encapsulation::None);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    for source in ["10.7.0.3", "192.0.2.10", "10.7.0.1"] {
        for destination in ["10.7.0.2", "10.96.0.10"] {
            let flow = flow(From::Outside, address(source), address(destination), Protocol::Tcp, 80);
            let reason = dropped(send(&mut switch, flow.from, &first_packet(&flow)));
            assert_eq!(reason, DropReason::SpoofedAddress, "{source} to {destination}");
        }
    }
}

/// Bad input: "ICMP quoting a packet that never was".
#[test]
fn an_error_about_a_packet_that_never_was_reaches_nobody() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let never = from_pod(&cluster, 0, "198.51.100.20", Protocol::Tcp, 443);
    let masqueraded = Datagram { source: node_address(0, true), source_port: 61_234, ..first_packet(&never) };
    let pods = first_packet(&from_pod(&cluster, 1, "10.7.0.2", Protocol::Udp, 53)).answered();
    for error in [IcmpError::PortUnreachable, IcmpError::TooBig { mtu: 68 }, IcmpError::TimeExceeded] {
        let lost = masqueraded.frame(Ethernet::new(UPLINK_MAC, UPLINK_MAC), false);
        let router = Datagram { source: on_link(1, true), destination: node_address(0, true), ..masqueraded.clone() };
        let frame =
            switch.wrap(From::Outside, router.source, |link| router.ip(link).icmp_error(error, quote(&lost, 28)));
        let seen = by_uplink(&mut switch, &frame);
        let nobody = matches!(seen, Seen::Punted | Seen::Dropped(DropReason::IcmpUnmatched));
        assert!(nobody, "the node may have an opinion, no pod: {seen:?}");

        let lost = pods.frame(Ethernet::new(UPLINK_MAC, UPLINK_MAC), false);
        let from = Datagram { source: pods.destination, destination: pods.source, ..pods.clone() };
        let frame = switch.wrap(From::Pod(1), from.source, |link| from.ip(link).icmp_error(error, quote(&lost, 28)));
        let entry = switch.entry(From::Pod(1), 0);
        assert_eq!(reason(fate(&mut switch, entry, &frame)), DropReason::IcmpUnmatched);
    }
}

#[test]
fn an_error_whose_quote_makes_no_sense_is_dropped() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.7.0.3", Protocol::Udp, 53);
    let (_, got) = arrive(&mut switch, &flow);
    let lost = got.frame(Ethernet::new(UPLINK_MAC, UPLINK_MAC), false);
    let answer = got.answered();
    for length in 0..28 {
        let frame = switch.wrap(From::Pod(1), answer.source, |link| {
            answer.ip(link).icmp_error(IcmpError::PortUnreachable, quote(&lost, length))
        });
        let entry = switch.entry(From::Pod(1), 0);
        assert_eq!(reason(fate(&mut switch, entry, &frame)), DropReason::IcmpQuote, "{length} bytes quoted");
    }
}

/// Bad input: "TCP flag nonsense". It makes no connection to a Service that a first packet would not make, and harms none.
#[test]
fn tcp_flag_nonsense_is_survived_and_harms_nobody() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let right = from_pod(&cluster, 0, "10.96.0.10", Protocol::Tcp, 80);
    let (to, got) = arrive(&mut switch, &right);
    for flags in 0..=255_u8 {
        if flags & (flag::RST | flag::FIN) != 0 {
            continue;
        }
        let odd = Datagram { flags, payload: b"odd".to_vec(), ..first_packet(&right) };
        match send(&mut switch, right.from, &odd) {
            Seen::Dropped(reason) => assert_eq!(reason, DropReason::TcpInvalid, "flags {flags:#04x}"),
            seen => assert_eq!(arrived(seen).0, to, "flags {flags:#04x}"),
        }
    }
    let receiver = if let To::Pod(pod) = to { From::Pod(pod) } else { From::Peer(1) };
    assert_eq!(arrived(send(&mut switch, receiver, &got.answered())).0, To::Pod(0), "the connection lives");

    for flags in [0, flag::FIN | flag::SYN, flag::SYN | flag::RST, 0x3f, flag::FIN | flag::PSH | flag::URG] {
        let flow = Flow { source_port: 41_000 + u16::from(flags), ..right };
        let before = switch.shared.connections.len();
        let odd = Datagram { flags, ..first_packet(&flow) };
        assert_eq!(reason(send(&mut switch, flow.from, &odd)), DropReason::TcpInvalid, "flags {flags:#04x}");
        assert_eq!(switch.shared.connections.len(), before);
    }
}

/// Bad input: "overlapping fragments".
#[test]
fn overlapping_fragments_are_dropped_with_all_of_their_datagram() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let link = |switch: &ClusterSwitch, make: &dyn Fn(Ethernet) -> Vec<u8>| {
        switch.wrap(From::Pod(0), pod_address(0, 2, true), make)
    };
    let whole =
        link(&switch, &|link| Ip::v4(link, [10, 7, 0, 2].into(), [10, 7, 0, 3].into()).udp(1000, 2000, &[7; 600]));
    let pieces = fragment::split(&whole, 220, 9);
    let finer = fragment::split(&whole, 164, 9);
    let entry = switch.entry(From::Pod(0), 0);
    assert_eq!(arrived_raw(fate(&mut switch, entry, &pieces[0])), To::Pod(1));
    assert_eq!(reason(fate(&mut switch, entry, &finer[1])), DropReason::FragmentOverlap);
    for piece in &pieces[1..] {
        assert_eq!(reason(fate(&mut switch, entry, piece)), DropReason::FragmentOverlap, "what comes later too");
    }
}

fn arrived_raw(seen: Seen) -> To {
    match seen {
        Seen::Left { to, .. } => to,
        other => panic!("did not arrive: {other:?}"),
    }
}

/// A flood of one pod fills its own share of the table, not that of others.
#[test]
fn a_flood_of_connections_hurts_the_pod_that_makes_it() {
    let cluster = cluster();
    let mut shared = sluice_path::SharedConfig::default();
    shared.connections.capacity = 1000;
    shared.connections.pod_share = 200;
    let mut switch = ClusterSwitch::with(&cluster, 1, sluice_path::PathConfig::default(), shared);
    let flood = from_pod(&cluster, 0, "10.7.0.3", Protocol::Udp, 53);
    let mut refused = 0;
    for source_port in 1..2000 {
        let seen = send(&mut switch, flood.from, &first_packet(&Flow { source_port, ..flood }));
        if let Seen::Dropped(reason) = seen {
            assert_eq!(reason, DropReason::ConnectionShare);
            refused += 1;
        }
    }
    assert_eq!(refused, 1999 - 200);
    let other = from_pod(&cluster, 1, "10.7.1.4", Protocol::Udp, 53);
    assert_eq!(arrive(&mut switch, &other).0, To::Peer(1));
}

/// A reset or a segment in the middle of a stream that nobody knows: picked up where a pod addresses a pod (connections go on
/// after a restart), never balanced to a random endpoint.
#[test]
fn strays_are_not_balanced() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let reset = Datagram { flags: flag::RST, ..first_packet(&from_pod(&cluster, 0, "10.96.0.10", Protocol::Tcp, 80)) };
    assert_eq!(reason(send(&mut switch, From::Pod(0), &reset)), DropReason::TcpInvalid);
    let middle = Datagram { flags: flag::ACK, ..first_packet(&from_pod(&cluster, 0, "10.7.0.3", Protocol::Tcp, 80)) };
    assert_eq!(arrived(send(&mut switch, From::Pod(0), &middle)).0, To::Pod(1));
}

#[test]
fn a_shut_pod_hears_nobody_but_its_node_whatever_is_sent() {
    let mut cluster = cluster();
    cluster.policies.push(shut(0, Way::Ingress));
    let mut switch = ClusterSwitch::new(&cluster, 1);
    for content in
        [Content::Transport(Protocol::Tcp), Content::Transport(Protocol::Sctp), Content::Echo, Content::Other]
    {
        for flags in [flag::SYN, flag::ACK, flag::SYN | flag::ACK] {
            let other = from_pod(&cluster, 0, "10.7.0.3", Protocol::Tcp, 80);
            let ported = matches!(content, Content::Transport(_));
            let datagram = Datagram {
                flags: if content == Content::Transport(Protocol::Tcp) { flags } else { 0 },
                content,
                source_port: if content == Content::Other { 0 } else { 40_000 },
                destination_port: if ported { 80 } else { 0 },
                ..first_packet(&other)
            };
            assert_eq!(reason(send(&mut switch, From::Pod(0), &datagram)), DropReason::PolicyIngress, "{datagram:?}");
            let far = Datagram { source: pod_address(1, 4, true), ..datagram.clone() };
            assert_eq!(reason(send(&mut switch, From::Peer(1), &far)), DropReason::PolicyIngress);
            let near = Datagram { source: node_address(0, true), ..datagram.clone() };
            assert_eq!(arrived(send(&mut switch, From::Host, &near)).0, To::Pod(1));
        }
    }
    let masked = flow(From::Outside, outsider(9, true), node_address(0, true), Protocol::Tcp, 30_000);
    for source_port in 40_000..40_020 {
        let seen = send(&mut switch, From::Outside, &first_packet(&Flow { source_port, ..masked }));
        // One of the two endpoints is elsewhere and not shut.
        match seen {
            Seen::Left { to, .. } => assert_eq!(to, To::Peer(1)),
            other => assert_eq!(dropped(other), DropReason::PolicyIngress),
        }
    }
}

#[test]
fn segments_of_a_stream_with_odd_options_pass_unchanged() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let entry = switch.entry(From::Pod(0), 0);
    for options in [vec![], vec![2], vec![2, 0, 0, 0], vec![2, 40, 0, 0], vec![0xff; 40], vec![1; 40]] {
        let segment = Segment { options, ..Segment::syn(40_000, 80) };
        let frame = switch.wrap(From::Pod(0), pod_address(0, 2, true), |link| {
            Ip::v4(link, [10, 7, 0, 2].into(), [10, 7, 0, 3].into()).tcp(&segment, b"")
        });
        let Seen::Left { frame: left, .. } = fate(&mut switch, entry, &frame) else { panic!("did not arrive") };
        assert_eq!(left[34..], frame[34..]);
    }
}
