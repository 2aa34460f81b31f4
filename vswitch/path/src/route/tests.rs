use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_packets::Ip;
use sluice_tables::{PortId, Tables};

use super::run;
use crate::DropReason;
use crate::egress::Egress;
use crate::ends::{Client, Target};
use crate::exit::{Failure, Refusal};
use crate::fixture::*;
use crate::origin::{Arrival, Origin};

/// Where a packet leaves, and its replies.
fn routed(tables: &Tables, from: End, frame: &[u8]) -> Result<(Egress, Egress), Refusal> {
    let mut room = Vec::new();
    let mut packet = packet(&mut room, frame, from);
    let arrival = arrival(tables, &mut packet);
    let client = client(&arrival);
    let target = Target { address: arrival.ip.destination, port: 2, service: false, masquerade: false };
    run(tables, &client, &target).map(|routes| (routes.there, routes.back))
}

fn client<'t>(arrival: &Arrival<'t>) -> Client<'t> {
    let pod = (arrival.origin == Origin::Pod).then_some(arrival.port);
    Client { address: arrival.ip.source, origin: arrival.origin, pod }
}

fn way(tables: &Tables, from: End, frame: &[u8]) -> Result<PortId, Refusal> {
    match routed(tables, from, frame)? {
        (Egress::Port(there), Egress::Port(back)) => {
            assert_eq!(back, from.port);
            Ok(there)
        }
        other => panic!("{other:?}"),
    }
}

fn from_a(ip: &Ip) -> Result<PortId, Refusal> {
    way(&tables(), A, &ip.udp(1, 2, b"x"))
}

fn from_host(ip: &Ip) -> Result<PortId, Refusal> {
    way(&tables(), HOST, &ip.udp(1, 2, b"x"))
}

const NO_POD: Result<PortId, Refusal> = Err(Refusal::Tell(DropReason::NoSuchPod, Failure::NoHost));
const NO_ROUTE: Result<PortId, Refusal> = Err(Refusal::Tell(DropReason::NoRoute, Failure::NoNetwork));

fn dropped(reason: DropReason) -> Result<PortId, Refusal> {
    Err(Refusal::Drop(reason))
}

#[test]
fn a_pod_reaches_pods_the_host_and_what_is_beyond_it() {
    assert_eq!(from_a(&a_to_b()), Ok(B.port));
    assert_eq!(from_a(&a_to_b_v6()), Ok(B.port));
    for destination in [HOST.v4, OUTSIDE_V4] {
        assert_eq!(from_a(&a_to(destination)), Ok(HOST.port));
    }
    assert_eq!(from_a(&a_to_v6(OUTSIDE_V6)), Ok(HOST.port));
    assert_eq!(from_a(&a_to(ABSENT.v4)), NO_POD);
    assert_eq!(from_a(&a_to_v6(ABSENT.v6)), NO_POD);
    assert_eq!(from_a(&a_to(A.v4)), dropped(DropReason::SamePort));
    let alone = way(&tables_without_host(), A, &a_to(OUTSIDE_V4).udp(1, 2, b"x"));
    assert_eq!(alone, NO_ROUTE);
}

#[test]
fn the_host_reaches_pods_only() {
    assert_eq!(from_host(&host_to(OUTSIDE_V4, A.v4)), Ok(A.port));
    assert_eq!(from_host(&host_to_v6(HOST.v6, A.v6)), Ok(A.port));
    assert_eq!(from_host(&host_to(HOST.v4, ABSENT.v4)), NO_POD);
    for destination in [OUTSIDE_V4, HOST.v4] {
        assert_eq!(from_host(&host_to(Ipv4Addr::new(198, 51, 100, 1), destination)), NO_ROUTE);
    }
    let link_local = host_to_v6("fe80::5".parse().expect("an address"), A.v6);
    assert_eq!(from_host(&link_local), dropped(DropReason::LinkLocalSource));
}

#[test]
fn nothing_is_forwarded_to_martians() {
    for text in ["0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"] {
        let destination: Ipv4Addr = text.parse().expect("an address");
        assert_eq!(from_a(&a_to(destination)), dropped(DropReason::Martian), "{text}");
    }
    for text in ["::", "::1", "fe80::2", "ff02::1", "ff0e::1"] {
        let destination: Ipv6Addr = text.parse().expect("an address");
        assert_eq!(from_a(&a_to_v6(destination)), dropped(DropReason::Martian), "{text}");
    }
}

#[test]
fn what_the_node_serves_at_link_local_addresses_is_reached_over_the_host_port() {
    for text in ["169.254.20.10", "169.254.169.254"] {
        let destination: Ipv4Addr = text.parse().expect("an address");
        assert_eq!(from_a(&a_to(destination)), Ok(HOST.port), "{text}");
    }
}
