//! Peers, the node, its tunnel and the underlay: what is found, and what the builder refuses.

mod parts;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use parts::{builder, ip, net, node, peer, port, tunnel};
use proptest::prelude::*;
use sluice_tables::*;
use sluice_wire::MacAddr;

fn refused(builder: TablesBuilder) -> TablesError {
    builder.build().expect_err("refused")
}

fn whose(tables: &Tables, address: &str) -> String {
    match tables.destination(ip(address)) {
        Destination::Port(port) => format!("{:?} {}", port.kind, port.id),
        Destination::PeerPod(id, peer) => format!("pod of {} ({id})", peer.name),
        Destination::Peer(id, peer) => format!("{} ({id})", peer.name),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_address_is_somebodys_or_outside() {
    let tables = builder()
        .peer(peer("b", "192.0.2.2", &["10.1.1.0/24", "fd00:1:0:1::/64"]))
        .peer(Peer { tunnel: ip("198.51.100.3"), ..peer("c", "192.0.2.3", &["10.1.2.0/24"]) })
        .tunnel(tunnel())
        .build()
        .expect("good tables");
    assert_eq!(whose(&tables, "169.254.1.1"), "Gateway");
    assert_eq!(whose(&tables, "10.1.0.7"), "Pod port 1");
    assert_eq!(whose(&tables, "10.1.0.1"), "Host port 2");
    assert_eq!(whose(&tables, "192.0.2.1"), "Node");
    assert_eq!(whose(&tables, "10.1.0.8"), "NoPod");
    assert_eq!(whose(&tables, "fd00:1:0:1::9"), "pod of b (peer 0)");
    assert_eq!(whose(&tables, "10.1.2.255"), "pod of c (peer 1)");
    assert_eq!(whose(&tables, "198.51.100.3"), "c (peer 1)");
    assert_eq!(whose(&tables, "192.0.2.3"), "c (peer 1)");
    assert_eq!(whose(&tables, "10.1.3.0"), "Outside");
    let (id, found) = tables.peer_of(ip("10.1.1.9")).expect("a peer");
    assert!(found.has_pod(ip("10.1.1.9")) && !found.has_pod(ip("10.1.2.9")));
    assert_eq!(tables.peer(id), Some(found));
    assert_eq!(tables.peers().map(|(id, _)| id.0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(tables.peer(PeerId(2)), None);
    assert_eq!(tables.tunnel(), Some(&tunnel()));
}

#[test]
fn a_tunnel_without_encapsulation_is_none() {
    let direct = Tunnel { encapsulation: Encapsulation::None, ..tunnel() };
    assert_eq!(builder().tunnel(direct).build().expect("good tables").tunnel(), None);
}

#[test]
fn a_nodes_end_of_the_tunnel_has_a_mac_from_its_address() {
    assert_eq!(tunnel_mac(ip("192.0.2.1")), MacAddr([0x02, 0x53, 192, 0, 2, 1]));
    assert_eq!(tunnel_mac(ip("2001:db8::102:304")), MacAddr([0x02, 0x53, 1, 2, 3, 4]));
}

#[test]
fn pod_cidrs_that_overlap_are_refused_and_both_nodes_named() {
    let error = refused(builder().peer(peer("b", "192.0.2.2", &["10.1.0.128/25"])));
    assert_eq!(
        error.to_string(),
        "podCIDRs 10.1.0.0/24 of this node and 10.1.0.128/25 of Node b overlap: change one of them"
    );
    let error = refused(
        builder()
            .peer(peer("b", "192.0.2.2", &["10.2.0.0/24", "10.2.9.0/24"]))
            .peer(peer("c", "192.0.2.3", &["10.2.1.0/24"]))
            .peer(peer("d", "192.0.2.4", &["10.2.8.0/23"])),
    );
    let expected = TablesError::PeerPodCidrs {
        first: "Node d".into(),
        first_cidr: net("10.2.8.0/23"),
        second: "Node b".into(),
        second_cidr: net("10.2.9.0/24"),
    };
    assert_eq!(error, expected);
}

#[test]
fn a_single_address_that_a_pod_has_may_lie_in_a_peers_pod_cidr_and_is_the_pods() {
    let with = |networks: &[&str]| {
        let b = peer("b", "192.0.2.2", networks);
        builder().pod_cidr(net("10.1.1.9/32")).pod_cidr(net("fd00:2::9/128")).peer(b)
    };
    let left_over = || port(3, PortKind::Pod, &["10.1.1.9", "fd00:2::9"]);
    let tables = with(&["10.1.1.0/24", "fd00:2::/64"]).port(left_over()).build().expect("good tables");
    for (address, owner) in [
        ("10.1.1.9", "Pod port 3"),
        ("10.1.1.8", "pod of b (peer 0)"),
        ("10.1.1.10", "pod of b (peer 0)"),
        ("fd00:2::9", "Pod port 3"),
        ("fd00:2::8", "pod of b (peer 0)"),
    ] {
        assert_eq!(whose(&tables, address), owner, "{address}");
    }
    let district = |last| tables.district(Ipv4Addr::new(10, 1, 1, last));
    assert_eq!(
        [8, 9, 10].map(district),
        [District::PeerPod(PeerId(0)), District::Pod(PortId(3)), District::PeerPod(PeerId(0))]
    );
    let error = refused(with(&["10.1.1.0/24"]));
    assert!(matches!(error, TablesError::PeerPodCidrs { .. }), "nobody has it: {error}");
    let error = refused(with(&["10.1.1.0/24", "10.1.1.8/30"]).port(left_over()));
    assert!(matches!(error, TablesError::PeerPodCidrs { .. }), "the peer's own overlap: {error}");
}

#[test]
fn peers_that_cannot_be_told_apart_or_reached_are_refused() {
    let with = |peers: &[Peer]| {
        peers.iter().cloned().fold(builder().tunnel(tunnel()), |builder, peer| builder.peer(Arc::new(peer)))
    };
    let b = peer("b", "192.0.2.2", &["10.1.1.0/24"]);
    let name: Arc<str> = "b".into();
    let twice = [b.clone(), peer("b", "192.0.2.3", &[])];
    assert_eq!(refused(with(&twice)), TablesError::DuplicatePeer(name.clone()));
    let address = ip("192.0.2.2");
    let expected = TablesError::DuplicatePeerAddress { address, first: name.clone(), second: "c".into() };
    assert_eq!(refused(with(&[b.clone(), peer("c", "192.0.2.2", &[])])), expected);
    let address = ip("192.0.2.1");
    let own = peer("b", "192.0.2.1", &[]);
    assert_eq!(refused(with(&[own])), TablesError::PeerHasNodeAddress { address, peer: name.clone() });
    for text in ["10.1.0.99", "10.1.1.99", "127.0.0.1", "0.0.0.0"] {
        let expected = TablesError::UnusablePeerAddress { address: ip(text), peer: "c".into() };
        assert_eq!(refused(with(&[b.clone(), peer("c", text, &[])])), expected);
    }
    let (address, local) = (ip("2001:db8::2"), ip("192.0.2.1"));
    let other_family = Peer { tunnel: address, ..b.clone() };
    assert_eq!(refused(with(&[other_family])), TablesError::PeerFamily { peer: name.clone(), address, local });
    let silent = Peer { mac: MacAddr([0; 6]), ..b };
    assert_eq!(refused(with(&[silent])), TablesError::UnusablePeerMac(name));
}

#[test]
fn a_tunnel_that_cannot_work_is_refused() {
    let refused = |tunnel| refused(builder().tunnel(tunnel));
    for local in ["0.0.0.0", "192.0.2.9"] {
        let error = refused(Tunnel { local: ip(local), ..tunnel() });
        assert_eq!(error, TablesError::TunnelAddress(ip(local)));
    }
    assert_eq!(refused(Tunnel { vni: 1 << 24, ..tunnel() }), TablesError::TunnelVni(1 << 24));
    assert_eq!(refused(Tunnel { port: 0, ..tunnel() }), TablesError::TunnelPort(0));
    assert_eq!(refused(Tunnel { port: 61_000, ..tunnel() }), TablesError::TunnelPort(61_000));
    assert_eq!(refused(Tunnel { inner_mtu: 1279, ..tunnel() }), TablesError::TunnelMtu(1279));
    assert_eq!(refused(Tunnel { mac: MacAddr([1; 6]), ..tunnel() }), TablesError::TunnelMac);
}

#[test]
fn a_node_that_cannot_masquerade_is_refused() {
    let with = |ports| NodeEntry { masquerade: Masquerade { ports, ..node().masquerade }, ..node() };
    for (first, last) in [(61_001, 61_000), (1023, 61_000), (0, 0)] {
        assert_eq!(refused(builder().node(with((first, last)))), TablesError::MasqueradePorts { first, last });
    }
    assert!(builder().node(with((1024, 1024))).build().is_ok());
    let masquerade = Masquerade { v6: Some("2001:db8::9".parse().expect("an address")), ..node().masquerade };
    let error = refused(builder().node(NodeEntry { masquerade, ..node() }));
    assert_eq!(error, TablesError::MasqueradeAddress(ip("2001:db8::9")));
}

#[test]
fn a_node_address_may_be_the_host_ports_but_not_a_pods() {
    let with = |address| NodeEntry { addresses: vec![ip("192.0.2.1"), ip(address)], ..node() };
    assert!(builder().node(with("10.1.0.1")).build().is_ok());
    let address = ip("10.1.0.7");
    let expected = TablesError::NodeAddressOfPod { address, port: PortId(1) };
    assert_eq!(refused(builder().node(with("10.1.0.7"))), expected);
}

#[test]
fn policies_are_for_pods_that_are_there() {
    let policy = PodPolicy { ingress: Some(Arc::new(RulesBuilder::new(0).build())), egress: None };
    let tables = builder().policy(PortId(1), policy.clone()).build().expect("good tables");
    assert_eq!(tables.policy(PortId(1)), &policy);
    assert_eq!(tables.policy(PortId(2)), &PodPolicy::default());
    assert_eq!(tables.policy(PortId(99)), &PodPolicy::default());
    let with = |port| builder().policy(PortId(1), policy.clone()).policy(PortId(port), policy.clone());
    assert_eq!(refused(with(1)), TablesError::DuplicatePolicy(PortId(1)));
    assert_eq!(refused(with(2)), TablesError::PolicyForNoPod(PortId(2)));
    assert_eq!(refused(with(3)), TablesError::PolicyWithoutPort(PortId(3)));
}

#[test]
fn an_uplink_has_a_port_for_each_queue_and_no_addresses() {
    let uplink = |id| port(id, PortKind::Uplink, &[]);
    let tables = builder().port(uplink(9)).port(uplink(8)).build().expect("good tables");
    assert_eq!(tables.uplink().map(|port| port.id), Some(PortId(8)));
    assert_eq!(tables.uplinks().map(|port| port.id.0).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(builder().build().expect("good tables").uplink(), None);
    let error = refused(builder().port(port(8, PortKind::Uplink, &["192.0.2.1"])));
    assert_eq!(error, TablesError::UplinkAddress(PortId(8)));
}

#[test]
fn the_next_hop_is_by_the_longest_prefix_and_the_first_of_equal_ones() {
    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    let underlay = UnderlayBuilder::new(0)
        .route(net("0.0.0.0/0"), Hop::Via(ip("192.0.2.254")))
        .route(net("0.0.0.0/0"), Hop::Via(ip("192.0.2.253")))
        .route(net("192.0.2.0/24"), Hop::OnLink)
        .route(net("198.51.100.0/24"), Hop::Elsewhere)
        .route(net("203.0.113.0/24"), Hop::Via(ip("fe80::1")))
        .neighbour(ip("192.0.2.254"), mac)
        .neighbour(ip("192.0.2.7"), MacAddr([0; 6]))
        .neighbour(ip("fe80::1"), mac)
        .build();
    assert_eq!(underlay.next_hop(ip("8.8.8.8")), NextHop::Known(mac));
    assert_eq!(underlay.next_hop(ip("192.0.2.7")), NextHop::Missing(ip("192.0.2.7")));
    assert_eq!(underlay.next_hop(ip("198.51.100.1")), NextHop::NoRoute);
    let elsewhere = ["198.51.100.1", "203.0.113.1", "2001:db8::2"].map(|text| underlay.leads_elsewhere(ip(text)));
    assert_eq!(elsewhere, [true, false, false], "no route at all is none to elsewhere");
    assert_eq!(underlay.next_hop(ip("203.0.113.1")), NextHop::Known(mac));
    assert_eq!(underlay.next_hop(ip("2001:db8::2")), NextHop::NoRoute);
    assert_eq!(underlay.neighbour(ip("192.0.2.254")), Some(mac));
    let tables = builder().underlay(Arc::new(underlay)).build().expect("good tables");
    assert_eq!(tables.underlay().next_hop(ip("192.0.2.254")), NextHop::Known(mac));
}

/// `count` peers with disjoint podCIDRs of 24 to 28 bits, one in each /24 of 10.64.0.0/10.
fn many(lens: &[u8]) -> Vec<Peer> {
    let cidr = |number: usize, len| {
        let base = Ipv4Addr::from(0x0a40_0000 + ((number as u32) << 8));
        Peer {
            pod_cidrs: vec![IpNet::V4(Ipv4Net::new(base, len).expect("a length"))],
            ..peer(&format!("n{number}"), &format!("172.16.{}.{}", number >> 8, number & 0xff), &[])
        }
    };
    lens.iter().enumerate().map(|(number, len)| cidr(number, *len)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_pods_peer_is_found_as_by_a_loop(lens in proptest::collection::vec(24_u8..=28, 0..1000)) {
        let peers = many(&lens);
        let tables = peers.iter().cloned().fold(builder(), TablesBuilder::peer).build().expect("good tables");
        for number in (0..peers.len() as u32 * 256 + 600).step_by(37) {
            let address = IpAddr::V4(Ipv4Addr::from(0x0a40_0000 - 300 + number));
            let expected = peers.iter().find(|peer| peer.pod_cidrs.iter().any(|cidr| cidr.contains(&address)));
            prop_assert_eq!(tables.peer_of(address).map(|(_, peer)| peer), expected, "{}", address);
        }
        for (number, peer) in peers.iter().enumerate() {
            let found = tables.peer_at(peer.tunnel).map(|(id, found)| (usize::from(id.0), found));
            prop_assert_eq!(found, Some((number, peer)));
        }
    }
}
