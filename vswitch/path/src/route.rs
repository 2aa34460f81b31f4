//! Third stage: which port leads to the destination? What is addressed to the gateway itself ends here.

use std::net::IpAddr;

use sluice_tables::{Port, PortKind, Tables};
use sluice_wire::parse::Fragment;
use sluice_wire::protocol;

use crate::exit::{Exit, Failure};
use crate::origin::{Arrival, is_echo_request};
use crate::{DropReason, Packet};

/// Finds the port to send to, and sees that the packet has a hop left.
#[inline]
pub(crate) fn run<'t>(tables: &'t Tables, packet: &Packet<'_>, arrival: &Arrival<'t>) -> Result<&'t Port, Exit<'t>> {
    let destination = arrival.ip.destination;
    if tables.gateway().has_address(destination) {
        return Err(for_gateway(packet.head(), arrival));
    }
    // RFC 4291 section 2.5.6. A pod's has been stopped at its origin; this is the host's.
    if matches!(arrival.ip.source, IpAddr::V6(source) if source.is_unicast_link_local()) {
        return Err(DropReason::LinkLocalSource.into());
    }
    let egress = match tables.owner(destination) {
        Some(owner) if owner.id != arrival.port.id => owner,
        Some(_) if arrival.port.kind == PortKind::Pod => return Err(DropReason::SamePort.into()),
        Some(_) => return Err(refuse(DropReason::NoRoute, Failure::NoNetwork, arrival)),
        None => beyond_the_pods(tables, arrival)?,
    };
    if arrival.ip.headers.ttl <= 1 {
        return Err(refuse(DropReason::TtlExpired, Failure::TimeExceeded, arrival));
    }
    Ok(egress)
}

/// The way to an address that no port has. What the host sent is not for the host, so it has none.
fn beyond_the_pods<'t>(tables: &'t Tables, arrival: &Arrival<'t>) -> Result<&'t Port, Exit<'t>> {
    let destination = arrival.ip.destination;
    if is_martian(destination) {
        return Err(DropReason::Martian.into());
    }
    if tables.in_pod_cidr(destination) {
        return Err(refuse(DropReason::NoSuchPod, Failure::NoHost, arrival));
    }
    match (arrival.port.kind, tables.host_port()) {
        (PortKind::Pod, Some(host)) => Ok(host),
        _ => Err(refuse(DropReason::NoRoute, Failure::NoNetwork, arrival)),
    }
}

/// Destinations that are never forwarded to (RFC 1812 section 5.3.7, RFC 4291 section 2.5). No port has such an address:
/// the tables' builder sees to that. IPv4 link-local addresses are not among them, against RFC 3927 section 2.7: nodes
/// serve pods there (node-local DNS at 169.254.20.10, a cloud's metadata at 169.254.169.254).
fn is_martian(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(v4) => matches!(v4.octets(), [0 | 127 | 224..=255, ..]),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local(),
    }
}

#[cold]
fn for_gateway<'t>(head: &[u8], arrival: &Arrival<'t>) -> Exit<'t> {
    let headers = &arrival.ip.headers;
    if headers.fragment != Fragment::None {
        return DropReason::GatewayFragment.into();
    }
    match (arrival.ip.destination, headers.protocol) {
        _ if is_echo_request(head, &arrival.ip) => Exit::ReplyEcho(*arrival),
        (IpAddr::V4(_), protocol::ICMPV4) | (IpAddr::V6(_), protocol::ICMPV6) => DropReason::GatewayIcmp.into(),
        (_, protocol::TCP | protocol::UDP) => refuse(DropReason::GatewayPort, Failure::NoPort, arrival),
        _ => refuse(DropReason::GatewayProtocol, Failure::NoProtocol, arrival),
    }
}

#[cold]
fn refuse<'t>(reason: DropReason, failure: Failure, arrival: &Arrival<'t>) -> Exit<'t> {
    Exit::Refuse { reason, failure, arrival: *arrival }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use sluice_packets::{Ip, fragment};
    use sluice_tables::{PortId, Tables};
    use sluice_wire::{icmpv4, icmpv6, protocol};

    use super::run;
    use crate::DropReason;
    use crate::exit::{Exit, Failure};
    use crate::fixture::*;

    #[derive(Debug, PartialEq)]
    enum Way {
        To(PortId),
        Echo,
        Dropped(DropReason),
        Refused(DropReason, Failure),
    }

    fn way(tables: &Tables, from: End, frame: &[u8]) -> Way {
        let mut room = Vec::new();
        let mut packet = packet(&mut room, frame, from);
        let arrival = arrival(tables, &mut packet);
        match run(tables, &packet, &arrival) {
            Ok(port) => Way::To(port.id),
            Err(Exit::ReplyEcho(_)) => Way::Echo,
            Err(Exit::Drop(reason)) => Way::Dropped(reason),
            Err(Exit::Refuse { reason, failure, .. }) => Way::Refused(reason, failure),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn from_a(ip: &Ip) -> Way {
        way(&tables(), A, &ip.udp(1, 2, b"x"))
    }

    fn from_host(ip: &Ip) -> Way {
        way(&tables(), HOST, &ip.udp(1, 2, b"x"))
    }

    const NO_POD: Way = Way::Refused(DropReason::NoSuchPod, Failure::NoHost);
    const NO_ROUTE: Way = Way::Refused(DropReason::NoRoute, Failure::NoNetwork);

    #[test]
    fn a_pod_reaches_pods_the_host_and_what_is_beyond_it() {
        assert_eq!(from_a(&a_to_b()), Way::To(B.port));
        assert_eq!(from_a(&a_to_b_v6()), Way::To(B.port));
        for destination in [HOST.v4, OUTSIDE_V4] {
            assert_eq!(from_a(&a_to(destination)), Way::To(HOST.port));
        }
        assert_eq!(from_a(&a_to_v6(OUTSIDE_V6)), Way::To(HOST.port));
        assert_eq!(from_a(&a_to(ABSENT.v4)), NO_POD);
        assert_eq!(from_a(&a_to_v6(ABSENT.v6)), NO_POD);
        assert_eq!(from_a(&a_to(A.v4)), Way::Dropped(DropReason::SamePort));
        let alone = way(&tables_without_host(), A, &a_to(OUTSIDE_V4).udp(1, 2, b"x"));
        assert_eq!(alone, NO_ROUTE);
    }

    #[test]
    fn the_host_reaches_pods_only() {
        assert_eq!(from_host(&host_to(OUTSIDE_V4, A.v4)), Way::To(A.port));
        assert_eq!(from_host(&host_to_v6(HOST.v6, A.v6)), Way::To(A.port));
        assert_eq!(from_host(&host_to(HOST.v4, ABSENT.v4)), NO_POD);
        for destination in [OUTSIDE_V4, HOST.v4] {
            assert_eq!(from_host(&host_to(Ipv4Addr::new(198, 51, 100, 1), destination)), NO_ROUTE);
        }
        let link_local = host_to_v6("fe80::5".parse().expect("an address"), A.v6);
        assert_eq!(from_host(&link_local), Way::Dropped(DropReason::LinkLocalSource));
    }

    #[test]
    fn nothing_is_forwarded_to_martians() {
        for text in ["0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"] {
            let destination: Ipv4Addr = text.parse().expect("an address");
            assert_eq!(from_a(&a_to(destination)), Way::Dropped(DropReason::Martian), "{text}");
        }
        for text in ["::", "::1", "fe80::2", "ff02::1", "ff0e::1"] {
            let destination: Ipv6Addr = text.parse().expect("an address");
            assert_eq!(from_a(&a_to_v6(destination)), Way::Dropped(DropReason::Martian), "{text}");
        }
    }

    #[test]
    fn what_the_node_serves_at_link_local_addresses_is_reached_over_the_host_port() {
        for text in ["169.254.20.10", "169.254.169.254"] {
            let destination: Ipv4Addr = text.parse().expect("an address");
            assert_eq!(from_a(&a_to(destination)), Way::To(HOST.port), "{text}");
        }
    }

    #[test]
    fn hops_run_out_only_where_there_is_a_way() {
        let expired = Way::Refused(DropReason::TtlExpired, Failure::TimeExceeded);
        for ttl in [0, 1] {
            assert_eq!(from_a(&a_to_b().ttl(ttl)), expired);
            assert_eq!(from_a(&a_to_b_v6().ttl(ttl)), expired);
            assert_eq!(from_a(&a_to(ABSENT.v4).ttl(ttl)), NO_POD);
        }
        assert_eq!(from_a(&a_to_b().ttl(2)), Way::To(B.port));
        assert_eq!(way(&tables(), A, &a_to(GATEWAY.v4).ttl(1).echo_request(1, 1, b"")), Way::Echo);
    }

    #[test]
    fn the_gateway_answers_echo_and_refuses_the_rest() {
        let tables = tables();
        let no_port = Way::Refused(DropReason::GatewayPort, Failure::NoPort);
        let no_protocol = Way::Refused(DropReason::GatewayProtocol, Failure::NoProtocol);
        for ip in [a_to(GATEWAY.v4), a_to_v6(GATEWAY.v6)] {
            let to = |frame: Vec<u8>| way(&tables, A, &frame);
            assert_eq!(to(ip.echo_request(1, 2, b"data")), Way::Echo);
            assert_eq!(to(ip.echo_reply(1, 2, b"data")), Way::Dropped(DropReason::GatewayIcmp));
            assert_eq!(to(ip.udp(1, 2, b"x")), no_port);
            assert_eq!(to(ip.tcp(&sluice_packets::Segment::syn(1, 2), b"")), no_port);
            assert_eq!(to(ip.packet(protocol::SCTP, &[0; 16])), no_protocol);
            for piece in fragment::split(&ip.echo_request(1, 2, &[0; 3000]), 1500, 1) {
                assert_eq!(to(piece), Way::Dropped(DropReason::GatewayFragment));
            }
        }
        let crossed = a_to(GATEWAY.v4).packet(protocol::ICMPV6, &[icmpv6::kind::ECHO_REQUEST; 8]);
        assert_eq!(way(&tables, A, &crossed), no_protocol);
        let with_code = a_to(GATEWAY.v4).icmp(icmpv4::kind::ECHO_REQUEST, 1, 0, b"");
        assert_eq!(way(&tables, A, &with_code), Way::Dropped(DropReason::GatewayIcmp));
    }
}
