use std::sync::Arc;

use sluice_packets::{Ethernet, Ip, arp as arps, corrupt, ndp as nds};
use sluice_wire::ethernet::{Frame, HEADER_LEN, ethertype};
use sluice_wire::{MacAddr, arp, icmpv4, icmpv6, ipv4, ipv6, ndp, protocol};

use crate::fixture::*;
use crate::{Checksum, Counts, DropReason, Packet, Path, PathConfig, Time, Verdict};

/// Runs the packet, which must become a reply to its own port; returns the reply.
fn answered(packet: &mut Packet<'_>) -> Vec<u8> {
    let mut counts = Counts::new();
    Path::new(PathConfig::default(), Arc::default()).run(Time(0), &tables(), &mut counts, std::slice::from_mut(packet));
    let expected = Verdict::Forward { port: packet.port(), checksum: Checksum::Complete };
    assert_eq!(packet.verdict(), expected);
    assert_eq!((counts.replies(), counts.forwarded), (1, 0));
    assert!(counts.is_balanced());
    packet.head().to_vec()
}

fn answer(from: End, frame: &[u8]) -> Vec<u8> {
    let mut room = Vec::new();
    let mut packet = packet(&mut room, frame, from);
    let reply = answered(&mut packet);
    assert_eq!(packet.total_len(), reply.len());
    reply
}

fn l3(reply: &[u8], to: MacAddr, ethertype: u16) -> &[u8] {
    let frame = Frame::new_checked(reply).expect("a frame");
    assert_eq!((frame.destination(), frame.source(), frame.ethertype()), (to, GATEWAY.mac, ethertype));
    &reply[HEADER_LEN..]
}

#[test]
fn arp_reply_names_the_gateways_mac() {
    let request = arps::request(A.mac, A.v4, GATEWAY.v4);
    for frame in [request.clone(), corrupt::padded(request)] {
        let expected = arps::reply((GATEWAY.mac, GATEWAY.v4), (A.mac, A.v4));
        assert_eq!(answer(A, &frame), expected);
    }
    let from_host = arps::request(HOST.mac, HOST.v4, GATEWAY.v4);
    let reply = answer(HOST, &from_host);
    let message = arp::Packet::new_checked(l3(&reply, HOST.mac, ethertype::ARP)).expect("ARP");
    assert_eq!((message.operation(), message.target_ip()), (arp::REPLY, HOST.v4));
}

#[test]
fn an_arp_reply_goes_to_the_ports_mac_whoever_asked() {
    let bridged = MacAddr([2, 9, 9, 9, 9, 9]);
    let reply = answer(HOST, &arps::request(bridged, OUTSIDE_V4, GATEWAY.v4));
    let message = arp::Packet::new_checked(l3(&reply, HOST.mac, ethertype::ARP)).expect("ARP");
    assert_eq!((message.target_mac(), message.target_ip()), (bridged, OUTSIDE_V4));
}

/// Every form of solicitation: to the group, to the gateway, without an option.
fn solicitations() -> [Vec<u8>; 3] {
    let link = Ethernet::new(A.mac, GATEWAY.mac);
    let bare = nds::message(Ip::v6(link, A.v6, GATEWAY.v6), icmpv6::kind::NEIGHBOUR_SOLICIT, 0, GATEWAY.v6, None);
    [nds::solicit(A.mac, A.v6, GATEWAY.v6), nds::solicit_unicast(link, A.v6, GATEWAY.v6), bare]
}

#[test]
fn advertisement_names_the_gateways_mac() {
    for frame in solicitations() {
        let reply = answer(A, &frame);
        let header = ipv6::Packet::new_checked(l3(&reply, A.mac, ethertype::IPV6)).expect("IPv6");
        assert_eq!((header.source(), header.destination(), header.hop_limit()), (GATEWAY.v6, A.v6, ndp::HOP_LIMIT));
        let message = ndp::Packet::new_checked(header.payload()).expect("an advertisement");
        assert_eq!(message.kind(), icmpv6::kind::NEIGHBOUR_ADVERT);
        assert_eq!(message.flags(), ndp::flag::ROUTER | ndp::flag::SOLICITED | ndp::flag::OVERRIDE);
        assert_eq!((message.target(), message.target_link()), (GATEWAY.v6, Some(GATEWAY.mac)));
        assert!(message.checksum_ok(header.pseudo_header(protocol::ICMPV6, ndp::LEN_WITH_MAC as u32)));
    }
}

#[test]
fn advertisement_finds_room_before_behind_or_not_at_all() {
    let [.., mut frame] = solicitations();
    let len = frame.len();
    let mut none = Packet::new(&mut frame, 0, len, len, A.port);
    let mut counts = Counts::new();
    Path::new(PathConfig::default(), Arc::default()).run(
        Time(0),
        &tables(),
        &mut counts,
        std::slice::from_mut(&mut none),
    );
    assert_eq!(none.verdict(), Verdict::Drop(DropReason::NoRoom));
    assert!(counts.is_balanced());
    let mut before = [vec![0; 8], frame.clone()].concat();
    assert_eq!(answered(&mut Packet::new(&mut before, 8, len, len, A.port)).len(), 86);
    let mut behind = [frame, vec![0; 8]].concat();
    assert_eq!(answered(&mut Packet::new(&mut behind, 0, len, len, A.port)).len(), 86);
}

#[test]
fn echo_reply_is_the_request_turned_round() {
    for data in [&b""[..], b"x", b"a longer payload, of even length!"] {
        let request = a_to(GATEWAY.v4).ttl(7).echo_request(5, 9, data);
        let back = Ethernet::new(GATEWAY.mac, A.mac);
        assert_eq!(answer(A, &request), Ip::v4(back, GATEWAY.v4, A.v4).echo_reply(5, 9, data));
        let request = a_to_v6(GATEWAY.v6).ttl(7).echo_request(5, 9, data);
        assert_eq!(answer(A, &request), Ip::v6(back, GATEWAY.v6, A.v6).echo_reply(5, 9, data));
    }
}

#[test]
fn an_echo_request_in_many_frames_is_answered_whole() {
    let request = a_to(GATEWAY.v4).echo_request(5, 9, &[0xa5; 9000]);
    let (head, tail) = request.split_at(4000);
    let mut head = head.to_vec();
    let mut packet = Packet::new(&mut head, 0, 4000, request.len(), A.port);
    let reply = answered(&mut packet);
    assert_eq!((packet.head_len(), packet.total_len()), (4000, request.len()));
    let whole = [&reply[..], tail].concat();
    let header = ipv4::Packet::new_checked(&whole[HEADER_LEN..]).expect("IPv4");
    assert!(header.checksum_ok());
    assert!(icmpv4::Packet::new_checked(header.payload()).expect("ICMP").checksum_ok());
}

#[test]
fn a_wrong_echo_checksum_stays_wrong() {
    let mut request = a_to(GATEWAY.v4).echo_request(5, 9, b"data");
    *request.last_mut().expect("bytes") ^= 1;
    let reply = answer(A, &request);
    assert!(!icmpv4::Packet::new_checked(&reply[34..]).expect("ICMP").checksum_ok());
}
