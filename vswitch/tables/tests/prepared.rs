//! What is worked out while the tables are built says what the rest of them says.

mod parts;

use std::sync::Arc;

use parts::{builder, ip, net, peer, port, tunnel};
use sluice_tables::*;
use sluice_wire::{MacAddr, ethernet, ipv4, udp, vxlan};

const ROUTER: MacAddr = MacAddr([2, 9, 9, 9, 9, 9]);

/// An uplink and three peers: one whose next hop is known, one whose is not, one that no route leads to.
fn tables() -> Tables {
    let underlay = UnderlayBuilder::new(0)
        .route(net("192.0.2.0/24"), Hop::OnLink)
        .route(net("198.51.100.0/24"), Hop::Via(ip("192.0.2.254")))
        .neighbour(ip("192.0.2.254"), ROUTER);
    builder()
        .port(port(3, PortKind::Uplink, &[]))
        .peer(peer("far", "198.51.100.9", &["10.1.1.0/24"]))
        .peer(peer("silent", "192.0.2.7", &["10.1.2.0/24"]))
        .peer(peer("nowhere", "203.0.113.1", &["10.1.3.0/24"]))
        .tunnel(tunnel())
        .underlay(Arc::new(underlay.build()))
        .build()
        .expect("good tables")
}

#[test]
fn the_next_hop_to_a_peer_is_the_underlays() {
    let tables = tables();
    for (id, peer) in tables.peers() {
        assert_eq!(tables.next_hop_to(id), tables.underlay().next_hop(peer.tunnel), "{}", peer.name);
    }
    assert_eq!(tables.next_hop_to(PeerId(0)), NextHop::Known(ROUTER));
    assert_eq!(tables.next_hop_to(PeerId(3)), NextHop::NoRoute);
}

#[test]
fn a_wrapping_is_the_outer_headers_of_a_packet_to_the_peer() {
    let tables = tables();
    let wrapping = tables.wrapping(PeerId(0)).expect("its next hop is known");
    // As if the inner frame were all there is.
    let mut whole = wrapping.headers;
    assert_eq!((&whole[16..18], &whole[24..26], &whole[38..42]), (&[0; 2][..], &[0; 2][..], &[0; 4][..]));
    whole[17] = 50;
    whole[39] = 30;
    let frame = ethernet::Frame::new_checked(&whole).expect("a frame");
    assert_eq!((frame.destination(), frame.source()), (ROUTER, MacAddr([2, 0, 0, 0, 0, 3])));
    let ip_header = ipv4::Packet::new_header(&whole[ethernet::HEADER_LEN..]).expect("IPv4");
    assert_eq!((ip_header.source(), ip_header.destination()), ([192, 0, 2, 1].into(), [198, 51, 100, 9].into()));
    assert_eq!((ip_header.ttl(), ip_header.dont_fragment(), ip_header.traffic_class()), (64, true, 0));
    assert_eq!(wrapping.remote, ip_header.destination().to_bits());
    let datagram = udp::Packet::new_header(&whole[Wrapping::UDP..]).expect("UDP");
    assert_eq!((datagram.source_port(), datagram.destination_port(), datagram.checksum()), (0, tunnel().port, 0));
    let header = vxlan::Packet::new_checked(&whole[Wrapping::UDP + udp::HEADER_LEN..]).expect("VXLAN");
    assert_eq!(header.vni(), tunnel().vni);
    let inner = ethernet::Frame::new_checked(&whole[Wrapping::INNER..]).expect("the inner frame");
    assert_eq!((inner.destination(), inner.source()), (tunnel_mac(ip("198.51.100.9")), tunnel().mac));
    assert_eq!((frame.ethertype(), inner.ethertype()), (0x0800, 0x0800));
    let words = wrapping.headers[14..34].chunks(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    assert_eq!(u32::from(wrapping.sum), sum % 0xffff);
}

#[test]
fn nothing_is_ready_for_a_peer_whose_next_hop_is_not_known_or_without_a_tunnel() {
    let tables = tables();
    assert_eq!(
        (tables.wrapping(PeerId(1)), tables.wrapping(PeerId(2)), tables.wrapping(PeerId(3))),
        (None, None, None)
    );
    let direct = builder().port(port(3, PortKind::Uplink, &[])).peer(peer("b", "192.0.2.7", &["10.1.1.0/24"]));
    assert_eq!(direct.build().expect("good tables").wrapping(PeerId(0)), None);
}

#[test]
fn every_port_has_its_face_and_no_other_id_has_one() {
    let tables = tables();
    for port in tables.ports() {
        let face = tables.face(port.id).expect("each has one");
        assert_eq!((face.kind, face.path_mtu, face.max_l3_len), (port.kind, 1500, 65_000));
    }
    assert_eq!((tables.face(PortId(0)), tables.face(PortId(4))), (None, None));
}

#[test]
fn districts_say_what_destinations_say() {
    let tables = builder()
        .port(port(3, PortKind::Uplink, &[]))
        .peer(peer("far", "198.51.100.9", &["10.1.1.0/24", "10.2.0.0/30"]))
        .tunnel(tunnel())
        .build()
        .expect("good tables");
    let mut told = [0; 3];
    for address in (0x0a00_ff00..0x0a02_0100).chain(0xc000_0200..0xc000_0210).map(std::net::Ipv4Addr::from_bits) {
        let expected = match tables.destination(address.into()) {
            Destination::Port(port) if port.kind == PortKind::Pod => District::Pod(port.id),
            Destination::PeerPod(id, _) => District::PeerPod(id),
            _ => District::Other,
        };
        assert_eq!(tables.district(address), expected, "{address}");
        told[match expected {
            District::Pod(_) => 0,
            District::PeerPod(_) => 1,
            District::Other => 2,
        }] += 1;
    }
    assert!(told[0] > 0 && told[1] == 260 && told[2] > 0, "{told:?}");
}
