//! A burst costs no allocation, whatever becomes of its packets.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_packets::{Ethernet, Ip, Segment, arp, ndp};
use sluice_path::Packet;
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use sluice_world::{Node, Pod, Switch};

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

#[test]
fn the_counter_counts() {
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100]))).count_total > 0);
}
