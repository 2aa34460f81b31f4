//! Fragments: to pods, to Services, through the tunnel, in both orders, and those whose rest never comes.

use core::time::Duration;
use std::net::IpAddr;

use sluice_packets::{Ethernet, Ip, fragment};
use sluice_path::DropReason;
use sluice_wire::parse::{self, Fragment};
use sluice_wire::{checksum, extension};
use sluice_world::cluster::{Cluster, Encapsulation, Setup, node_address, pod_address};
use sluice_world::cluster_switch::{ClusterSwitch, Seen};
use sluice_world::expect::To;
use sluice_world::small::{address, cluster, service};
use sluice_world::traffic::{From, outsider};

fn with_backends(pods: &[(usize, u8)]) -> Cluster {
    Cluster { services: vec![service(pods)], ..cluster() }
}

/// A UDP datagram of 2000 bytes, in pieces as its sender cuts it.
fn pieces(switch: &ClusterSwitch, from: From, source: IpAddr, destination: IpAddr, port: u16) -> Vec<Vec<u8>> {
    let data: Vec<u8> = (0..2000).map(|at| (at / 7) as u8).collect();
    let cut = |link: Ethernet| {
        let ip = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ip::v4(link, source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Ip::v6(link, source, destination),
            _ => panic!("two families"),
        };
        fragment::split(&ip.udp(40_000, port, &data), 800, 77)
    };
    let count = cut(Ethernet::new(Default::default(), Default::default())).len();
    (0..count).map(|at| switch.wrap(from, source, |link| cut(link).swap_remove(at))).collect()
}

/// The datagram put together from what left, in any order.
fn joined(left: &[Vec<u8>]) -> (IpAddr, IpAddr, Vec<u8>) {
    let mut parts: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut ends = None;
    for frame in left {
        let headers = parse::parse(frame, frame.len()).expect("a fragment parses");
        assert_ne!(headers.fragment, Fragment::None);
        let (source, destination) = headers.addresses(frame).expect("IP");
        assert_eq!(*ends.get_or_insert((source, destination)), (source, destination), "all go the same way");
        let l3 = usize::from(headers.l3_offset);
        let end = l3 + headers.ip_len as usize;
        let (offset, start) = if source.is_ipv4() {
            (usize::from(u16::from_be_bytes([frame[l3 + 6], frame[l3 + 7]]) & 0x1fff) * 8, l3 + 20)
        } else {
            let at = l3 + 40;
            (usize::from(u16::from_be_bytes([frame[at + 2], frame[at + 3]]) & 0xfff8), at + extension::FRAGMENT_LEN)
        };
        parts.push((offset, frame[start..end].to_vec()));
    }
    parts.sort();
    let mut whole = Vec::new();
    for (offset, part) in parts {
        assert_eq!(offset, whole.len(), "nothing is missing");
        whole.extend_from_slice(&part);
    }
    let (source, destination) = ends.expect("something left");
    let pseudo = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum::pseudo_v4(source, destination, 17, whole.len() as u32)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            checksum::pseudo_v6(source, destination, 17, whole.len() as u32)
        }
        _ => panic!("two families"),
    };
    assert_eq!(pseudo.add_bytes(&whole).folded(), 0xffff, "its checksum is right at the end");
    (source, destination, whole)
}

/// Sends pieces in an order; everything that left, which all goes to one place.
fn run(switch: &mut ClusterSwitch, from: From, pieces: &[Vec<u8>], order: &[usize]) -> (To, Vec<Vec<u8>>) {
    let mut left = Vec::new();
    let mut place = None;
    for &at in order {
        let port = switch.entry(from, 0);
        for seen in switch.send(port, &pieces[at]) {
            match seen {
                Seen::Left { to, frame } => {
                    assert_eq!(*place.get_or_insert(to), to);
                    left.push(frame);
                }
                Seen::Parked => {}
                other => panic!("piece {at}: {other:?}"),
            }
        }
    }
    (place.expect("something left"), left)
}

const ORDERS: [[usize; 3]; 4] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]];

/// services.md, connection state: "UDP fragments to a VIP, both orders, v4 and v6".
#[test]
fn fragments_to_a_service_arrive_at_one_endpoint_in_any_order() {
    for (vip, v4) in [("10.96.0.10", true), ("fd00:96::a", false)] {
        for backend in [(0, 3), (1, 4)] {
            for order in ORDERS {
                let cluster = with_backends(&[backend]);
                let mut switch = ClusterSwitch::new(&cluster, 1);
                let source = pod_address(0, 2, v4);
                let pieces = pieces(&switch, From::Pod(0), source, address(vip), 53);
                assert_eq!(pieces.len(), 3);
                let (to, left) = run(&mut switch, From::Pod(0), &pieces, &order);
                assert_eq!(to, if backend.0 == 0 { To::Pod(1) } else { To::Peer(1) }, "{order:?}");
                let (from, into, whole) = joined(&left);
                assert_eq!((from, into), (source, pod_address(backend.0, backend.1, v4)));
                assert_eq!(whole[2..4], 5353_u16.to_be_bytes());
                assert_eq!(switch.counts().parked, 0);
            }
        }
    }
}

#[test]
fn fragments_to_a_pod_and_to_the_outside_keep_together() {
    for v4 in [true, false] {
        for order in ORDERS {
            let cluster = cluster();
            let mut switch = ClusterSwitch::new(&cluster, 1);
            let source = pod_address(0, 2, v4);
            let near = pieces(&switch, From::Pod(0), source, pod_address(0, 3, v4), 9);
            assert_eq!(run(&mut switch, From::Pod(0), &near, &order).0, To::Pod(1));
            let far = pieces(&switch, From::Pod(0), source, outsider(20, v4), 9);
            let (_, left) = run(&mut switch, From::Pod(0), &far, &order);
            assert_eq!(joined(&left).0, node_address(0, v4), "every piece is masqueraded");
        }
    }
}

#[test]
fn fragments_come_out_of_tunnels_and_in_over_the_uplink() {
    for encapsulation in [Encapsulation::Vxlan, Encapsulation::Geneve, Encapsulation::None] {
        for v4 in [true, false] {
            for order in ORDERS {
                let setup = Setup { encapsulation, ..Setup::default() };
                let cluster = Cluster { setup, ..with_backends(&[(0, 3)]) };
                let mut switch = ClusterSwitch::new(&cluster, 1);
                let from = From::Peer(1);
                let near = pieces(&switch, from, pod_address(1, 4, v4), pod_address(0, 2, v4), 9);
                let (to, left) = run(&mut switch, from, &near, &order);
                assert_eq!((to, joined(&left).0), (To::Pod(0), pod_address(1, 4, v4)));

                let node_port = pieces(&switch, From::Outside, outsider(9, v4), node_address(0, v4), 30_001);
                let (to, left) = run(&mut switch, From::Outside, &node_port, &order);
                assert_eq!((to, joined(&left).0), (To::Pod(1), node_address(0, v4)));
            }
        }
    }
}

/// A first fragment that never comes: what waits for it is dropped in time, by name, and its place is free again.
#[test]
fn fragments_that_wait_in_vain_are_dropped() {
    for v4 in [true, false] {
        let cluster = with_backends(&[(0, 3)]);
        let mut switch = ClusterSwitch::new(&cluster, 1);
        let vip = if v4 { "10.96.0.10" } else { "fd00:96::a" };
        let pieces = pieces(&switch, From::Pod(0), pod_address(0, 2, v4), address(vip), 53);
        let port = switch.entry(From::Pod(0), 0);
        assert_eq!(switch.send(port, &pieces[1]), [Seen::Parked]);
        assert_eq!(switch.counts().parked, 1);
        switch.clock.advance(Duration::from_millis(50));
        assert!((0..2000).all(|_| switch.idle().is_empty()), "not at once");
        switch.clock.advance(Duration::from_secs(120));
        let late: Vec<Seen> = (0..2000).flat_map(|_| switch.idle()).collect();
        assert_eq!(late, [Seen::Dropped(DropReason::FragmentTimeout)]);
        assert_eq!((switch.counts().parked, switch.counts().dropped(DropReason::FragmentTimeout)), (0, 1));
    }
}

/// A flood of fragments without a first is bounded, and a right datagram passes all the same.
#[test]
fn a_flood_of_later_fragments_fills_no_more_than_its_share() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let source = pod_address(0, 2, true);
    let (IpAddr::V4(own), IpAddr::V4(other)) = (source, pod_address(0, 3, true)) else { panic!("IPv4") };
    let port = switch.entry(From::Pod(0), 0);
    let mut full = 0;
    for identification in 0..1000 {
        let piece = switch.wrap(From::Pod(0), source, |link| {
            fragment::split(&Ip::v4(link, own, other).udp(1, 2, &[7; 1000]), 800, identification).swap_remove(1)
        });
        for seen in switch.send(port, &piece) {
            full += usize::from(seen == Seen::Dropped(DropReason::FragmentsFull));
        }
    }
    assert!(full > 900, "{full} of 1000 found no room");
    assert!(switch.counts().parked <= 64);
    let right = pieces(&switch, From::Pod(1), pod_address(0, 3, true), pod_address(0, 2, true), 9);
    for order in ORDERS {
        assert_eq!(run(&mut switch, From::Pod(1), &right, &order).0, To::Pod(0), "others are not shut out");
    }
}
