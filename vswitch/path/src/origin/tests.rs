use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_packets::{ChecksumMode, Ethernet, Ip, arp as arps, corrupt, ndp as nds};
use sluice_tables::Tables;
use sluice_wire::icmpv6::kind;
use sluice_wire::{MacAddr, arp, ndp, protocol};

use super::{link_local, run};
use crate::exit::Exit;
use crate::fixture::*;
use crate::{DropReason, parse};

/// What origin makes of a frame: `Ok` when it goes on or is answered.
fn judged(tables: &Tables, from: End, frame: &[u8]) -> Result<&'static str, DropReason> {
    let mut room = Vec::new();
    let mut packet = packet(&mut room, frame, from);
    let parsed = parse::run(&mut packet).expect("parses");
    match run(tables, &mut packet, parsed) {
        Ok(arrival) => {
            assert_eq!(arrival.port.id, from.port);
            Ok("goes on")
        }
        Err(Exit::ReplyArp { .. }) => Ok("arp reply"),
        Err(Exit::ReplyNeighbour { .. }) => Ok("advertisement"),
        Err(Exit::Drop(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

fn from_a(frame: &[u8]) -> Result<&'static str, DropReason> {
    judged(&tables(), A, frame)
}

fn from_host(frame: &[u8]) -> Result<&'static str, DropReason> {
    judged(&tables(), HOST, frame)
}

const TO_GATEWAY: Ethernet = Ethernet::new(A.mac, GATEWAY.mac);

#[test]
fn link_local_address_follows_from_the_mac() {
    assert_eq!(link_local(MacAddr([0x02, 0x53, 0x4c, 1, 2, 3])).to_string(), "fe80::53:4cff:fe01:203");
}

#[test]
fn an_honest_pod_goes_on() {
    assert_eq!(from_a(&a_to_b().udp(1, 2, b"x")), Ok("goes on"));
    assert_eq!(from_a(&a_to_b_v6().udp(1, 2, b"x")), Ok("goes on"));
}

#[test]
fn a_port_that_is_gone_is_named() {
    assert_eq!(judged(&tables(), ABSENT, &a_to_b().udp(1, 2, b"x")), Err(DropReason::UnknownPort));
    assert_eq!(judged(&tables_without_host(), HOST, &a_to_b().udp(1, 2, b"x")), Err(DropReason::UnknownPort));
}

#[test]
fn a_pod_speaks_from_its_own_mac_and_addresses() {
    let other_mac = Ip::v4(Ethernet::new(B.mac, GATEWAY.mac), A.v4, B.v4).udp(1, 2, b"x");
    assert_eq!(from_a(&other_mac), Err(DropReason::SpoofedMac));
    for source in [B.v4, HOST.v4, ABSENT.v4, OUTSIDE_V4, GATEWAY.v4, Ipv4Addr::UNSPECIFIED] {
        assert_eq!(from_a(&Ip::v4(TO_GATEWAY, source, B.v4).udp(1, 2, b"x")), Err(DropReason::SpoofedAddress));
    }
    for source in [B.v6, OUTSIDE_V6, GATEWAY.v6, link_local(B.mac), Ipv6Addr::UNSPECIFIED] {
        assert_eq!(from_a(&Ip::v6(TO_GATEWAY, source, B.v6).udp(1, 2, b"x")), Err(DropReason::SpoofedAddress));
    }
}

#[test]
fn a_pods_link_local_address_reaches_the_gateway_only() {
    let own = link_local(A.mac);
    assert_eq!(from_a(&Ip::v6(TO_GATEWAY, own, GATEWAY.v6).echo_request(1, 1, b"x")), Ok("goes on"));
    assert_eq!(from_a(&Ip::v6(TO_GATEWAY, own, GATEWAY.v6).udp(1, 2, b"x")), Err(DropReason::LinkLocalSource));
    assert_eq!(from_a(&Ip::v6(TO_GATEWAY, own, B.v6).echo_request(1, 1, b"x")), Err(DropReason::LinkLocalSource));
}

#[test]
fn frames_for_others_are_named() {
    let to = |mac| Ip::v4(Ethernet::new(A.mac, mac), A.v4, B.v4).udp(1, 2, b"x");
    assert_eq!(from_a(&to(MacAddr::BROADCAST)), Err(DropReason::Broadcast));
    assert_eq!(from_a(&to(MacAddr([1, 0, 0x5e, 0, 0, 1]))), Err(DropReason::Multicast));
    assert_eq!(from_a(&to(B.mac)), Err(DropReason::NotForGateway));
}

#[test]
fn the_host_speaks_for_anyone_but_pods() {
    for source in [HOST.v4, OUTSIDE_V4, ABSENT.v4] {
        assert_eq!(from_host(&host_to(source, A.v4).udp(1, 2, b"x")), Ok("goes on"));
    }
    for source in [A.v4, B.v4, GATEWAY.v4] {
        assert_eq!(from_host(&host_to(source, A.v4).udp(1, 2, b"x")), Err(DropReason::SpoofedAddress));
    }
    assert_eq!(from_host(&host_to_v6(B.v6, A.v6).udp(1, 2, b"x")), Err(DropReason::SpoofedAddress));
    let nobody = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)];
    for source in nobody {
        assert_eq!(from_host(&host_to(source, A.v4).udp(1, 2, b"x")), Err(DropReason::MartianSource));
    }
    assert_eq!(from_host(&host_to_v6(Ipv6Addr::LOCALHOST, A.v6).udp(1, 2, b"x")), Err(DropReason::MartianSource));
}

#[test]
fn arp_is_answered_for_the_gateway_alone() {
    assert_eq!(from_a(&arps::request(A.mac, A.v4, GATEWAY.v4)), Ok("arp reply"));
    assert_eq!(from_host(&arps::request(HOST.mac, HOST.v4, GATEWAY.v4)), Ok("arp reply"));
    let unicast = |mac| arps::message(Ethernet::new(A.mac, mac), arp::REQUEST, (A.mac, A.v4), (mac, GATEWAY.v4));
    assert_eq!(from_a(&unicast(GATEWAY.mac)), Ok("arp reply"));
    assert_eq!(from_a(&unicast(B.mac)), Err(DropReason::NotForGateway));
    for target in [B.v4, OUTSIDE_V4, Ipv4Addr::UNSPECIFIED] {
        assert_eq!(from_a(&arps::request(A.mac, A.v4, target)), Err(DropReason::ArpNotGateway));
    }
    assert_eq!(from_a(&arps::probe(A.mac, A.v4)), Err(DropReason::ArpProbe));
    assert_eq!(from_a(&arps::probe(A.mac, GATEWAY.v4)), Err(DropReason::ArpProbe));
    assert_eq!(from_a(&arps::request(A.mac, A.v4, A.v4)), Err(DropReason::ArpGratuitous));
    let reply = arps::reply((A.mac, A.v4), (GATEWAY.mac, GATEWAY.v4));
    assert_eq!(from_a(&reply), Err(DropReason::ArpNotRequest));
}

#[test]
fn arp_for_somebody_else_is_spoofed() {
    let broadcast = |source| Ethernet::new(source, MacAddr::BROADCAST);
    let target = (MacAddr::ZERO, GATEWAY.v4);
    let frame_mac = arps::message(broadcast(B.mac), arp::REQUEST, (A.mac, A.v4), target);
    assert_eq!(from_a(&frame_mac), Err(DropReason::SpoofedMac));
    let sender_mac = arps::message(broadcast(A.mac), arp::REQUEST, (B.mac, A.v4), target);
    assert_eq!(from_a(&sender_mac), Err(DropReason::SpoofedArp));
    for sender in [B.v4, GATEWAY.v4, OUTSIDE_V4] {
        assert_eq!(from_a(&arps::request(A.mac, sender, GATEWAY.v4)), Err(DropReason::SpoofedArp));
        assert_eq!(from_a(&arps::request(A.mac, sender, sender)), Err(DropReason::SpoofedArp));
    }
    assert_eq!(from_host(&arps::request(HOST.mac, B.v4, GATEWAY.v4)), Err(DropReason::SpoofedArp));
    assert_eq!(from_host(&arps::request(HOST.mac, OUTSIDE_V4, GATEWAY.v4)), Ok("arp reply"));
}

#[test]
fn solicitations_are_answered_for_the_gateway_alone() {
    let own = link_local(A.mac);
    for sender in [A.v6, own] {
        assert_eq!(from_a(&nds::solicit(A.mac, sender, GATEWAY.v6)), Ok("advertisement"));
        assert_eq!(from_a(&nds::solicit_unicast(TO_GATEWAY, sender, GATEWAY.v6)), Ok("advertisement"));
        assert_eq!(from_a(&nds::solicit(A.mac, sender, B.v6)), Err(DropReason::NeighbourNotGateway));
    }
    let from_node = nds::solicit(HOST.mac, link_local(HOST.mac), GATEWAY.v6);
    assert_eq!(from_host(&from_node), Ok("advertisement"));
    assert_eq!(from_host(&nds::solicit(HOST.mac, A.v6, GATEWAY.v6)), Err(DropReason::SpoofedAddress));
    assert_eq!(from_a(&nds::solicit(A.mac, B.v6, GATEWAY.v6)), Err(DropReason::SpoofedAddress));
    assert_eq!(from_a(&nds::solicit(B.mac, A.v6, GATEWAY.v6)), Err(DropReason::SpoofedMac));
    let to_b = nds::solicit_unicast(Ethernet::new(A.mac, B.mac), A.v6, GATEWAY.v6);
    assert_eq!(from_a(&to_b), Err(DropReason::NotForGateway));
    assert_eq!(from_a(&nds::duplicate_address_probe(A.mac, A.v6)), Err(DropReason::Dad));
    assert_eq!(from_a(&nds::duplicate_address_probe(A.mac, GATEWAY.v6)), Err(DropReason::Dad));
}

#[test]
fn a_solicitation_may_carry_no_link_address_but_not_anothers() {
    let ip = || Ip::v6(TO_GATEWAY, A.v6, GATEWAY.v6).ttl(ndp::HOP_LIMIT);
    let with = |mac| nds::message(ip(), kind::NEIGHBOUR_SOLICIT, 0, GATEWAY.v6, mac);
    assert_eq!(from_a(&with(None)), Ok("advertisement"));
    assert_eq!(from_a(&with(Some(B.mac))), Err(DropReason::SpoofedMac));
}

#[test]
fn solicitations_that_rfc_4861_tells_to_discard() {
    let invalid = |ip: Ip, target, mac| {
        let frame = nds::message(ip, kind::NEIGHBOUR_SOLICIT, 0, target, mac);
        assert_eq!(from_a(&frame), Err(DropReason::NeighbourInvalid));
    };
    let ip = |source, destination| Ip::v6(TO_GATEWAY, source, destination);
    let plain = |ip: Ip| from_a(&ip.icmp(kind::NEIGHBOUR_SOLICIT, 0, 0, &GATEWAY.v6.octets()));
    assert_eq!(plain(ip(A.v6, GATEWAY.v6).ttl(255)), Ok("advertisement"));
    assert_eq!(plain(ip(A.v6, GATEWAY.v6).ttl(254)), Err(DropReason::NeighbourInvalid));
    let wrong = ip(A.v6, GATEWAY.v6).ttl(255).checksum(ChecksumMode::Wrong);
    assert_eq!(plain(wrong), Err(DropReason::NeighbourInvalid));
    invalid(ip(A.v6, GATEWAY.v6).ttl(255), nds::solicited_node(GATEWAY.v6), None);
    // From the unspecified address: only to a solicited-node group, and without a link-layer address.
    invalid(ip(Ipv6Addr::UNSPECIFIED, GATEWAY.v6).ttl(255), GATEWAY.v6, None);
    invalid(ip(Ipv6Addr::UNSPECIFIED, nds::solicited_node(A.v6)).ttl(255), A.v6, Some(A.mac));
    let short = ip(A.v6, GATEWAY.v6).ttl(255).icmp(kind::NEIGHBOUR_SOLICIT, 0, 0, &[0; 15]);
    assert_eq!(from_a(&short), Err(DropReason::NeighbourInvalid));
    let mut data = GATEWAY.v6.octets().to_vec();
    let code = ip(A.v6, GATEWAY.v6).ttl(255).icmp(kind::NEIGHBOUR_SOLICIT, 1, 0, &data);
    assert_eq!(from_a(&code), Err(DropReason::NeighbourInvalid));
    data.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    let empty_option = ip(A.v6, GATEWAY.v6).ttl(255).icmp(kind::NEIGHBOUR_SOLICIT, 0, 0, &data);
    assert_eq!(from_a(&empty_option), Err(DropReason::NeighbourInvalid));
}

#[test]
fn other_words_between_neighbours_are_named() {
    let to = |group: [u16; 8]| {
        let group = Ipv6Addr::from(group);
        Ip::v6(Ethernet::new(A.mac, MacAddr::for_ipv6_multicast(group)), link_local(A.mac), group).ttl(255)
    };
    let routers = || to([0xff02, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(from_a(&routers().icmp(kind::ROUTER_SOLICIT, 0, 0, &[])), Err(DropReason::RouterSolicitation));
    for other in [kind::ROUTER_ADVERT, kind::NEIGHBOUR_ADVERT, kind::REDIRECT] {
        assert_eq!(from_a(&routers().icmp(other, 0, 0, &[0; 32])), Err(DropReason::NeighbourOther));
    }
    let report = || to([0xff02, 0, 0, 0, 0, 0, 0, 0x16]).ttl(1).extension(protocol::HOP_BY_HOP, &[5, 2, 0, 0]);
    for message in [130, 131, 132, kind::MLD2_REPORT] {
        assert_eq!(from_a(&report().icmp(message, 0, 0, &[0; 20])), Err(DropReason::MulticastListener));
    }
}

#[test]
fn no_cut_of_a_solicitation_is_answered() {
    let whole = nds::solicit(A.mac, A.v6, GATEWAY.v6);
    let tables = tables();
    for cut in corrupt::truncations(&whole) {
        let mut room = Vec::new();
        let mut packet = packet(&mut room, &cut, A);
        let Ok(parsed) = parse::run(&mut packet) else { continue };
        assert!(matches!(run(&tables, &mut packet, parsed), Err(Exit::Drop(_))));
    }
}
