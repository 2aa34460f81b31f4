//! A burst costs no allocation, whatever becomes of its packets.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_packets::{Ethernet, Ip, Segment, arp, ndp};
use sluice_path::Packet;
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use sluice_world::cluster::{Protocol, Service, ServiceKind, Way, node_address, pod_address};
use sluice_world::cluster_switch::ClusterSwitch;
use sluice_world::conversation::first_packet;
use sluice_world::traffic::{From, outsider};
use sluice_world::{Node, Pod, Switch, small};

const HEADROOM: usize = 256;

fn frames() -> Vec<Vec<u8>> {
    let [a, b] = [2, 3].map(Pod::number);
    let link = Ethernet::new(a.mac, GATEWAY_MAC);
    let v4 = |destination| Ip::v4(link, a.v4.expect("IPv4"), destination);
    let v6 = |destination| Ip::v6(link, a.v6.expect("IPv6"), destination);
    let absent = Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, 99);
    vec![
        v4(b.v4.expect("IPv4")).partial().tcp(&Segment::data(1, 2), &[7; 1400]),
        v6(b.v6.expect("IPv6")).udp(1, 2, &[7; 100]),
        v4(GATEWAY_IPV4).echo_request(1, 2, b"data"),
        v6(GATEWAY_IPV6).echo_request(1, 2, b"data"),
        v4(Ipv4Addr::new(10, 7, 0, 99)).udp(1, 2, b"nobody"),
        v6(absent).udp(1, 2, b"nobody"),
        v4(b.v4.expect("IPv4")).ttl(1).udp(1, 2, b"old"),
        v4(b.v4.expect("IPv4")).udp(1, 2, &[7; 3000]),
        arp::request(a.mac, a.v4.expect("IPv4"), GATEWAY_IPV4),
        ndp::solicit(a.mac, a.v6.expect("IPv6"), GATEWAY_IPV6),
        vec![0; 13],
    ]
}

#[test]
fn a_burst_allocates_nothing() {
    let mut switch = Switch::new(&Node::with_pods([2, 3]));
    let port = Pod::number(2).port;
    let frames = frames();
    let mut rooms: Vec<Vec<u8>> = frames.iter().map(|frame| [&[0; HEADROOM], &frame[..]].concat()).collect();
    let rooms = rooms.iter_mut().zip(&frames);
    let mut burst: Vec<Packet<'_>> =
        rooms.map(|(room, frame)| Packet::new(room, HEADROOM, frame.len(), frame.len(), port)).collect();
    let info = allocation_counter::measure(|| switch.run(&mut burst));
    assert_eq!(info.count_total, 0);
    let counts = switch.counts();
    assert_eq!((counts.forwarded, counts.replies(), counts.icmp_errors), (2, 4, 4), "{counts:?}");
    assert!(counts.is_balanced());
}

/// Services, masquerade, tunnels, policies: a connection's first packets and those that follow, and the changes in between.
#[test]
fn a_burst_of_a_node_with_everything_allocates_nothing() {
    for workers in [1, 2] {
        let mut cluster = small::cluster();
        cluster.services[0].affinity = Some(100);
        let cluster_ips = vec![small::address("10.96.0.11")];
        cluster.services.push(Service { kind: ServiceKind::ClusterIp, cluster_ips, ..small::service(&[]) });
        cluster.services[1].ports.iter_mut().for_each(|port| port.node_port = None);
        let mut switch = ClusterSwitch::new(&cluster, workers);
        let of_pod = |to: &str, port| small::from_pod(&cluster, 0, to, Protocol::Udp, port);
        let outside = small::flow(From::Outside, outsider(9, true), node_address(0, true), Protocol::Udp, 30_001);
        let peer = small::flow(From::Peer(1), pod_address(1, 4, true), pod_address(0, 2, true), Protocol::Udp, 9);
        let flows = [
            of_pod("10.7.0.3", 9),
            of_pod("10.7.1.4", 9),
            of_pod("10.96.0.10", 53),
            of_pod("fd00:96::a", 53),
            of_pod("10.96.0.11", 53),
            of_pod("198.51.100.20", 53),
            of_pod("192.0.2.10", 9),
            outside,
            peer,
        ];
        let frames: Vec<_> = flows
            .iter()
            .map(|flow| (switch.entry(flow.from, 0), switch.frame(flow.from, &first_packet(flow))))
            .collect();
        let info = |switch: &mut ClusterSwitch| {
            let mut rooms: Vec<Vec<u8>> =
                frames.iter().map(|(_, frame)| [&[0; HEADROOM], &frame[..]].concat()).collect();
            let mut burst: Vec<Packet<'_>> = rooms
                .iter_mut()
                .zip(&frames)
                .map(|(room, (port, frame))| Packet::new(room, HEADROOM, frame.len(), frame.len(), *port))
                .collect();
            allocation_counter::measure(|| switch.run_burst(&mut burst)).count_total
        };
        assert_eq!((info(&mut switch), info(&mut switch)), (0, 0), "new connections, then known ones");
        cluster.policies.push(small::shut(0, Way::Ingress));
        switch.publish(&cluster);
        // The reader takes up the new generation once, outside of the measure.
        switch.run_burst(&mut []);
        assert_eq!(info(&mut switch), 0, "connections decided again, and cut");
        let counts = switch.counts();
        assert!(counts.connections_new >= 7 && counts.decided_again > 0 && counts.encapsulated > 0, "{counts:?}");
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100]))).count_total > 0);
}
