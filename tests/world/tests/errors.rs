//! ICMP errors about flows that are translated or tunnelled, and path MTU discovery with VXLAN in between.

use std::net::IpAddr;

use sluice_packets::icmp_error::quote;
use sluice_packets::{Ethernet, IcmpError};
use sluice_path::DropReason;
use sluice_wire::{icmpv4, icmpv6, parse, protocol};
use sluice_world::cluster::{Cluster, Encapsulation, Protocol, Setup, node_address, on_link, pod_address};
use sluice_world::cluster_switch::{ClusterSwitch, Seen};
use sluice_world::conversation::first_packet;
use sluice_world::datagram::Datagram;
use sluice_world::expect::To;
use sluice_world::small::{address, arrive, cluster, flow, from_pod, send, service};
use sluice_world::traffic::{Content, Flow, From, outsider};
use sluice_world::wiring::{UPLINK_MAC, uplink_of};

/// An error as its receiver reads it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    to: To,
    source: IpAddr,
    destination: IpAddr,
    /// Type, code and the four bytes behind the checksum.
    message: (u8, u8, u32),
    /// The packet it quotes, from its IP header on.
    quoted: Vec<u8>,
}

fn told(seen: Seen) -> Told {
    let (Seen::Left { to, frame } | Seen::Answered { to, frame, .. }) = seen else { panic!("no error: {seen:?}") };
    Datagram::read(&frame).unwrap_or_else(|error| panic!("an error that {error}"));
    let headers = parse::parse(&frame, frame.len()).expect("an error parses");
    let (source, destination) = headers.addresses(&frame).expect("an error is IP");
    assert!([protocol::ICMPV4, protocol::ICMPV6].contains(&headers.protocol), "{headers:?}");
    let end = usize::from(headers.l3_offset) + headers.ip_len as usize;
    let message = &frame[usize::from(headers.l4_offset)..end];
    let rest = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
    let quoted = message[8..].to_vec();
    Told { to, source, destination, message: (message[0], message[1], rest), quoted }
}

/// The IP packet of a datagram as it would be quoted whole.
fn packet(datagram: &Datagram) -> Vec<u8> {
    datagram.frame(Ethernet::new(UPLINK_MAC, UPLINK_MAC), false)[14..].to_vec()
}

/// What is quoted names these ends. Its checksums need not be looked at where only 8 bytes of transport are quoted.
fn assert_quotes(told: &Told, sent: &Datagram) {
    let frame = [&[0_u8; 12][..], if sent.source.is_ipv4() { &[8, 0] } else { &[0x86, 0xdd] }, &told.quoted].concat();
    let (source, destination, at) = if sent.source.is_ipv4() {
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).expect("4 bytes"));
        (address(26), address(30), 34)
    } else {
        let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).expect("16 bytes"));
        (address(22), address(38), 54)
    };
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let ends = (source, destination, port(at), port(at + 2));
    assert_eq!(ends, (sent.source, sent.destination, sent.source_port, sent.destination_port));
}

/// An error about `lost`, from whoever got it, back to whom it seems to come from.
fn complain(
    switch: &mut ClusterSwitch,
    from: From,
    by: IpAddr,
    error: IcmpError,
    lost: &Datagram,
    length: usize,
) -> Seen {
    let lost_frame = lost.frame(Ethernet::new(UPLINK_MAC, UPLINK_MAC), false);
    let back = Datagram { source: by, destination: lost.source, ..lost.clone() };
    let frame = switch.wrap(from, by, |link| back.ip(link).icmp_error(error, quote(&lost_frame, length)));
    let port = switch.entry(from, 0);
    switch.send(port, &frame).remove(0)
}

fn with_backends(pods: &[(usize, u8)]) -> Cluster {
    Cluster { services: vec![service(pods)], ..cluster() }
}

/// services.md, connection state: "ICMP errors for a NATed flow: translate outer and embedded headers both ways, v4 and v6".
#[test]
fn an_error_about_a_cluster_ip_comes_from_the_cluster_ip_and_quotes_what_the_pod_sent() {
    for (vip, v4) in [("10.96.0.10", true), ("fd00:96::a", false)] {
        for (backend, back, length) in [((0, 3), From::Pod(1), 2000), ((1, 4), From::Peer(1), 48)] {
            for (protocol, port) in [(Protocol::Udp, 53), (Protocol::Tcp, 80), (Protocol::Sctp, 5060)] {
                let cluster = with_backends(&[backend]);
                let mut switch = ClusterSwitch::new(&cluster, 2);
                let flow = from_pod(&cluster, 0, vip, protocol, port);
                let (_, got) = arrive(&mut switch, &flow);
                let by = pod_address(backend.0, backend.1, v4);
                let told = told(complain(&mut switch, back, by, IcmpError::PortUnreachable, &got, length));
                assert_eq!((told.to, told.source, told.destination), (To::Pod(0), flow.destination, flow.source));
                assert_quotes(&told, &first_packet(&flow));
            }
        }
    }
}

/// As before, for a client whose address is hidden: the error goes out to it.
#[test]
fn an_error_about_a_node_port_finds_the_client_behind_the_masquerade() {
    for v4 in [true, false] {
        let cluster = with_backends(&[(1, 4)]);
        let mut switch = ClusterSwitch::new(&cluster, 2);
        let flow = flow(From::Outside, outsider(9, v4), node_address(0, v4), Protocol::Udp, 30_001);
        let (_, got) = arrive(&mut switch, &flow);
        assert_eq!(got.source, node_address(0, v4));
        let by = pod_address(1, 4, v4);
        let told = told(complain(&mut switch, From::Peer(1), by, IcmpError::PortUnreachable, &got, 2000));
        assert_eq!((told.to, told.source), (To::Neighbour(on_link(1, v4)), flow.destination));
        assert_eq!(told.destination, flow.source);
        assert_quotes(&told, &first_packet(&flow));
    }
}

/// A router beyond the node complains about a packet that left masqueraded; its own address stays the error's source.
#[test]
fn a_routers_error_about_masqueraded_egress_reaches_the_pod() {
    for v4 in [true, false] {
        let cluster = cluster();
        let mut switch = ClusterSwitch::new(&cluster, 2);
        let destination = outsider(20, v4).to_string();
        let flow = from_pod(&cluster, 0, &destination, Protocol::Tcp, 443);
        let (_, got) = arrive(&mut switch, &flow);
        for error in [IcmpError::TooBig { mtu: 1400 }, IcmpError::HostUnreachable, IcmpError::TimeExceeded] {
            let by = outsider(1, v4);
            let told = told(complain(&mut switch, From::Outside, by, error, &got, if v4 { 28 } else { 48 }));
            assert_eq!((told.to, told.source, told.destination), (To::Pod(0), by, flow.source));
            assert_quotes(&told, &first_packet(&flow));
            if error == (IcmpError::TooBig { mtu: 1400 }) {
                assert_eq!(told.message.2 & 0xffff, 1400);
            }
        }
    }
}

#[test]
fn an_error_about_a_translated_echo_has_the_identifier_that_the_pod_used() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let to = from_pod(&cluster, 0, "198.51.100.20", Protocol::Tcp, 443);
    let flow = Flow { content: Content::Echo, destination_port: 0, ..to };
    let (_, got) = arrive(&mut switch, &flow);
    let told = told(complain(&mut switch, From::Outside, outsider(1, true), IcmpError::TimeExceeded, &got, 28));
    assert_eq!((told.to, told.destination), (To::Pod(0), flow.source));
    assert_eq!(u16::from_be_bytes([told.quoted[24], told.quoted[25]]), flow.source_port);
}

/// network-policy.md: "related ICMP passes", also out of a pod that may send nothing by itself.
#[test]
fn errors_about_an_allowed_connection_pass_whatever_the_policies_are() {
    use sluice_world::cluster::Way;
    use sluice_world::small::shut;
    let mut cluster = cluster();
    cluster.policies.push(shut(1, Way::Ingress));
    let labels = [("app".to_owned(), "a".to_owned())].into();
    let mut quiet = shut(0, Way::Egress);
    quiet.subject.labels = labels;
    cluster.policies.push(quiet);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.7.0.3", Protocol::Udp, 53);
    let (_, got) = arrive(&mut switch, &flow);
    let by = pod_address(0, 3, true);
    let told = told(complain(&mut switch, From::Pod(1), by, IcmpError::PortUnreachable, &got, 28));
    assert_eq!(told.to, To::Pod(0));
    let own = from_pod(&cluster, 1, "10.7.0.2", Protocol::Udp, 53);
    let seen = send(&mut switch, own.from, &first_packet(&own));
    assert_eq!(seen, Seen::Dropped(DropReason::PolicyEgress), "by itself it says nothing");
}

fn too_big(told: &Told, v4: bool) -> u32 {
    let (kind, code, rest) = told.message;
    if v4 {
        assert_eq!((kind, code), (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::FRAGMENTATION_NEEDED));
        rest & 0xffff
    } else {
        assert_eq!(kind, icmpv6::kind::PACKET_TOO_BIG);
        rest
    }
}

/// The issue: "path MTU discovery works pod to Service to remote pod with VXLAN in between, v4 and v6". The pod's own device
/// takes more than the tunnel does when the underlay's MTU fell after it was attached: here its sender just ignores it.
#[test]
fn a_packet_too_long_for_the_tunnel_is_answered_with_what_fits_inside() {
    for encapsulation in [Encapsulation::Vxlan, Encapsulation::Geneve, Encapsulation::None] {
        for (vip, v4) in [("10.96.0.10", true), ("fd00:96::a", false)] {
            let setup = Setup { encapsulation, ..Setup::default() };
            let cluster = Cluster { setup, ..with_backends(&[(1, 4)]) };
            let mut switch = ClusterSwitch::new(&cluster, 1);
            let flow = from_pod(&cluster, 0, vip, Protocol::Udp, 53);
            let mtu = if encapsulation == Encapsulation::None { 1500 } else { 1450 };
            let headers = if v4 { 28 } else { 48 };
            let long = |length: usize| Datagram { payload: vec![7; length - headers], ..first_packet(&flow) };
            let told = told(send(&mut switch, flow.from, &long(mtu + 1)));
            assert_eq!((told.to, told.destination), (To::Pod(0), flow.source));
            assert_eq!(too_big(&told, v4) as usize, mtu);
            assert_quotes(&told, &long(mtu + 1));
            let Seen::Left { to, .. } = send(&mut switch, flow.from, &long(mtu)) else { panic!("what fits must pass") };
            assert_eq!(to, To::Peer(1));
        }
    }
}

/// services.md: "PMTUD must work ... client->NodePort, with VXLAN overhead": the client outside is told by an address that it
/// knows, about the packet that it sent.
#[test]
fn a_client_outside_is_told_what_fits_into_the_tunnel_behind_the_node_port() {
    for v4 in [true, false] {
        let cluster = with_backends(&[(1, 4)]);
        let mut switch = ClusterSwitch::new(&cluster, 1);
        let flow = flow(From::Outside, outsider(9, v4), node_address(0, v4), Protocol::Udp, 30_001);
        let headers = if v4 { 28 } else { 48 };
        let long = Datagram { payload: vec![7; 1500 - headers], ..first_packet(&flow) };
        let told = told(send(&mut switch, flow.from, &long));
        assert_eq!((told.to, told.destination), (To::Neighbour(on_link(1, v4)), flow.source));
        assert_eq!(too_big(&told, v4), 1450);
        assert_quotes(&told, &long);
        assert!(
            !told.source.is_loopback() && told.source != address("169.254.1.1") && told.source != address("fe80::1")
        );
    }
}

/// A router between the nodes whose MTU is smaller than ours complains to our node about a tunnel packet: the pod inside
/// learns what fits.
#[test]
fn a_routers_error_about_a_tunnel_packet_becomes_one_about_what_was_inside() {
    for v4 in [true, false] {
        let cluster = with_backends(&[(1, 4)]);
        let mut switch = ClusterSwitch::new(&cluster, 1);
        let vip = if v4 { "10.96.0.10" } else { "fd00:96::a" };
        let flow = from_pod(&cluster, 0, vip, Protocol::Udp, 53);
        let headers = if v4 { 28 } else { 48 };
        let long = Datagram { payload: vec![7; 1450 - headers], ..first_packet(&flow) };
        let Seen::Left { to: To::Peer(1), frame: inner } = send(&mut switch, flow.from, &long) else {
            panic!("it fits as far as we know")
        };
        // What the router got, as our node sent it.
        let outer = switch.tunnelled(1, &inner);
        let (ours, theirs) = (node_address(0, true), node_address(1, true));
        let (IpAddr::V4(ours), IpAddr::V4(theirs)) = (ours, theirs) else { panic!("the tunnels are IPv4") };
        let outer = sluice_packets::Ip::v4(Ethernet::new(UPLINK_MAC, UPLINK_MAC), ours, theirs)
            .checksum(sluice_packets::ChecksumMode::Zero)
            .udp(50_001, 4789, &outer[42..]);
        let by = on_link(1, true);
        let complaint = Datagram { source: by, destination: ours.into(), ..first_packet(&flow) };
        // Such a router quotes more than 8 bytes (RFC 1812 section 4.3.2.3), or nobody could be told.
        let frame = switch.wrap(From::Outside, by, |link| {
            complaint.ip(link).icmp_error(IcmpError::TooBig { mtu: 1400 }, quote(&outer, 500))
        });
        let told = told(switch.send(uplink_of(0), &frame).remove(0));
        assert_eq!((told.to, told.destination), (To::Pod(0), flow.source));
        assert_eq!(too_big(&told, v4), 1350, "what the tunnel adds is not the pod's to know");
        assert_quotes(&told, &long);
    }
}

/// Quotes stay right: a whole quoted packet has the checksums that the pod's packet had.
#[test]
fn a_whole_packet_in_a_quote_is_the_one_that_was_sent() {
    for (vip, protocol, port) in
        [("10.96.0.10", Protocol::Udp, 53), ("fd00:96::a", Protocol::Tcp, 80), ("10.96.0.10", Protocol::Sctp, 5060)]
    {
        let cluster = with_backends(&[(1, 4)]);
        let mut switch = ClusterSwitch::new(&cluster, 1);
        let flow = from_pod(&cluster, 0, vip, protocol, port);
        let (_, got) = arrive(&mut switch, &flow);
        let by = pod_address(1, 4, flow.source.is_ipv4());
        let told = told(complain(&mut switch, From::Peer(1), by, IcmpError::PortUnreachable, &got, 2000));
        assert_eq!(told.quoted, packet(&first_packet(&flow)), "{vip}");
    }
}
