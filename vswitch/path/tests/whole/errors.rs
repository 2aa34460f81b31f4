//! ICMP errors of others: matched by what they quote, translated outside and inside, both ways.

use sluice_packets::Segment;
use sluice_packets::icmp_error::{IcmpError, quote};
use sluice_packets::{Ethernet, Ip};
use sluice_path::DropReason;
use sluice_wire::protocol::UDP;

use crate::rig::*;

const WHOLE: usize = 1000;

fn bed(to: End) -> Bed {
    Bed::new(Setup { services: vec![service(UDP, &[(to, 8080)])], ..Setup::default() })
}

#[test]
fn an_error_of_the_backend_about_a_request_to_a_service_reaches_the_client_as_the_services() {
    for v6 in [false, true] {
        let mut bed = bed(B);
        let request = up(v6, A, VIP).udp(1000, 80, b"question");
        let arrived = bed.send(A, &request).frame();
        // What the client sent, less the hop that the switch took.
        let sent = up(v6, A, VIP).ttl(63).udp(1000, 80, b"question");
        for length in [WHOLE, if v6 { 48 } else { 28 }] {
            let news = up(v6, B, A).icmp_error(IcmpError::PortUnreachable, quote(&arrived, length));
            let expected = down(v6, A, VIP, A).icmp_error(IcmpError::PortUnreachable, quote(&sent, length));
            bed.expect(B, &news, A, &expected);
        }
    }
}

#[test]
fn an_error_of_the_client_about_an_answer_reaches_the_backend() {
    for v6 in [false, true] {
        let mut bed = bed(B);
        bed.send(A, &up(v6, A, VIP).udp(1000, 80, b"q"));
        let answer = bed.send(B, &up(v6, B, A).udp(8080, 1000, b"answer")).frame();
        let news = up(v6, A, VIP).icmp_error(IcmpError::PortUnreachable, quote(&answer, WHOLE));
        let sent = up(v6, B, A).ttl(63).udp(8080, 1000, b"answer");
        let expected = down(v6, B, A, B).icmp_error(IcmpError::PortUnreachable, quote(&sent, WHOLE));
        bed.expect(A, &news, B, &expected);
    }
}

#[test]
fn a_router_outside_tells_a_masqueraded_pod_that_its_packet_is_too_big() {
    for v6 in [false, true] {
        let mut bed = Bed::new(Setup::default());
        let left = bed.send(A, &up(v6, A, OUTSIDE).tcp(&Segment::data(1000, 80), b"data")).frame();
        let hop = End { v4: [203, 0, 113, 99].into(), v6: "2001:db8:ffff::99".parse().expect("an address"), ..OUTSIDE };
        let too_big = IcmpError::TooBig { mtu: 1300 };
        let news = incoming(v6, hop, UPLINK).icmp_error(too_big, quote(&left, WHOLE));
        let sent = up(v6, A, OUTSIDE).ttl(63).tcp(&Segment::data(1000, 80), b"data");
        let expected = down(v6, A, hop, A).icmp_error(too_big, quote(&sent, WHOLE));
        bed.expect(UPLINK, &news, A, &expected);
    }
}

#[test]
fn a_client_of_a_node_port_is_told_in_its_own_terms() {
    for v6 in [false, true] {
        let mut bed = bed(B);
        let arrived = bed.send(UPLINK, &incoming(v6, OUTSIDE, UPLINK).udp(5, NODE_PORT, b"q")).frame();
        let news = up(v6, B, UPLINK).icmp_error(IcmpError::PortUnreachable, quote(&arrived, WHOLE));
        let sent = incoming(v6, OUTSIDE, UPLINK).ttl(63).udp(5, NODE_PORT, b"q");
        let expected = outgoing(v6, UPLINK, OUTSIDE).icmp_error(IcmpError::PortUnreachable, quote(&sent, WHOLE));
        bed.expect(B, &news, UPLINK, &expected);
    }
}

#[test]
fn a_packet_too_big_for_the_tunnel_is_answered_with_what_fits_inside() {
    for v6 in [false, true] {
        let mut bed = bed(FAR);
        let big = up(v6, A, VIP).udp(1000, 80, &[7; 1450]);
        let news = bed.expect_refusal(A, &big, DropReason::TooBig);
        let headers = sluice_wire::parse::parse(&news, news.len()).expect("a packet");
        let speaker: std::net::IpAddr =
            if v6 { sluice_tables::GATEWAY_IPV6.into() } else { sluice_tables::GATEWAY_IPV4.into() };
        assert_eq!(headers.addresses(&news).expect("IP").0, speaker);
        let l4 = usize::from(headers.l4_offset);
        assert_eq!(u16::from_be_bytes([news[l4 + 6], news[l4 + 7]]), INNER_MTU);
        assert_eq!(news[l4 + 8..], big[14..][..news.len() - l4 - 8], "in the client's terms");
    }
}

#[test]
fn a_router_of_the_underlay_speaks_about_a_tunnel_packet_and_the_pod_is_told_about_its_own() {
    for v6 in [false, true] {
        let mut bed = bed(FAR);
        let tunnelled = bed.send(A, &up(v6, A, VIP).udp(1000, 80, &[7; 1000])).frame();
        let outer = |error, length| incoming(false, ROUTER, UPLINK).icmp_error(error, quote(&tunnelled, length));
        let got = bed.send(UPLINK, &outer(IcmpError::TooBig { mtu: 1400 }, 500));
        assert_eq!(got.port(), A.port);
        let gateway = End { v4: sluice_tables::GATEWAY_IPV4, v6: sluice_tables::GATEWAY_IPV6, ..HOST };
        let sent = up(v6, A, VIP).ttl(63).udp(1000, 80, &[7; 1000]);
        let quoted = 500 - 50;
        let expected = ip(v6, (gateway_mac(), A.mac), gateway, A)
            .traffic_class(if v6 { 0 } else { 0xc0 })
            .icmp_error(IcmpError::TooBig { mtu: 1350 }, quote(&sent, quoted));
        assert_eq!(got.frame(), expected);
        // Too little is quoted to say whose it is: the host may know more.
        assert_eq!(bed.send(UPLINK, &outer(IcmpError::TooBig { mtu: 1400 }, 28)).port(), HOST.port);
    }
}

#[test]
fn a_node_that_refuses_the_tunnels_port_ends_no_connection_of_a_pod() {
    for v6 in [false, true] {
        let mut bed = bed(FAR);
        let tunnelled = bed.send(A, &up(v6, A, VIP).udp(1000, 80, &[7; 1000])).frame();
        let refusal = |error| incoming(false, ROUTER, UPLINK).icmp_error(error, quote(&tunnelled, 500));
        assert_eq!(bed.send(UPLINK, &refusal(IcmpError::PortUnreachable)).port(), HOST.port, "its switch is away");
        assert_eq!(bed.send(UPLINK, &refusal(IcmpError::HostUnreachable)).port(), A.port, "the node is");
    }
}

fn gateway_mac() -> sluice_wire::MacAddr {
    sluice_tables::GATEWAY_MAC
}

#[test]
fn errors_about_packets_that_never_were_are_dropped_and_from_outside_left_to_the_host() {
    let mut bed = Bed::new(Setup::default());
    let never = up(false, B, A).udp(1, 2, b"x");
    let news = up(false, A, B).icmp_error(IcmpError::PortUnreachable, quote(&never, WHOLE));
    bed.expect_drop(A, &news, DropReason::IcmpUnmatched);
    let cut = up(false, A, B).icmp_error(IcmpError::PortUnreachable, &never[14..30]);
    bed.expect_drop(A, &cut, DropReason::IcmpQuote);
    let own = Ip::v4(Ethernet::new(UPLINK.mac, ROUTER.mac), UPLINK.v4, OUTSIDE.v4).udp(1, 2, b"x");
    let news = incoming(false, OUTSIDE, UPLINK).icmp_error(IcmpError::PortUnreachable, quote(&own, WHOLE));
    assert_eq!(bed.send(UPLINK, &news).port(), HOST.port);
    assert_eq!(bed.counts.punted, 1);
}

#[test]
fn a_pod_cannot_speak_about_the_connections_of_others() {
    let mut bed = Bed::new(Setup::default());
    let sent = up(false, A, OUTSIDE).udp(1000, 53, b"q");
    let left = bed.send(A, &sent).frame();
    for quoted in [&sent, &left] {
        for to in [A, UPLINK] {
            let forged = up(false, B, to).icmp_error(IcmpError::TooBig { mtu: 600 }, quote(quoted, WHOLE));
            bed.expect_drop(B, &forged, DropReason::IcmpUnmatched);
        }
    }
}
