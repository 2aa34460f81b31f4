//! Rules against plain loops over what they were made of.

mod parts;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use parts::{ip, net};
use proptest::prelude::*;
use sluice_tables::{BadPortRange, Identities, Identity, PortRange, Ports, Rules, RulesBuilder};
use sluice_wire::protocol::{ICMPV4, SCTP, TCP, UDP};

fn range(protocol: u8, first: u16, last: u16) -> PortRange {
    PortRange::new(protocol, first, last).expect("a good range")
}

fn ports(protocol: u8, first: u16, last: u16) -> Ports {
    Ports::of([range(protocol, first, last)])
}

#[test]
fn only_everything_matches_protocols_without_ports() {
    assert!(Ports::everything().allow(ICMPV4, 0));
    let all = [TCP, UDP, SCTP].map(|protocol| PortRange::all(protocol).expect("has ports"));
    assert!(!Ports::of(all).allow(ICMPV4, 0));
    assert!(Ports::of(all).allow(SCTP, 65_535));
    assert!(!Ports::none().allow(TCP, 80));
}

#[test]
fn an_impossible_port_range_is_refused() {
    assert_eq!(PortRange::new(TCP, 90, 80), Err(BadPortRange::Inverted { first: 90, last: 80 }));
    assert_eq!(PortRange::new(ICMPV4, 1, 2), Err(BadPortRange::Protocol(ICMPV4)));
}

#[test]
fn ports_are_equal_if_they_allow_the_same() {
    let pieces = Ports::of([range(TCP, 81, 90), range(UDP, 1, 2), range(TCP, 80, 80), range(TCP, 85, 100)]);
    assert_eq!(pieces, Ports::of([range(UDP, 1, 2), range(TCP, 80, 100)]));
    assert_eq!(pieces.union(&Ports::everything()), Ports::everything());
    assert_eq!(pieces.union(&Ports::none()), pieces);
}

#[test]
fn rules_without_a_peer_shut_the_pod() {
    let shut = RulesBuilder::new(0).build();
    assert!(shut.is_shut());
    assert!(!shut.allows(ip("10.1.0.7"), Some(Identity(1)), TCP, 80));
    let nothing = RulesBuilder::new(0).identity(Identity(1), &Ports::none()).any(&Ports::none()).build();
    assert_eq!(nothing, shut);
}

#[test]
fn each_way_to_name_a_peer_allows_its_ports_alone() {
    let rules = RulesBuilder::new(0)
        .any(&ports(TCP, 1, 1))
        .identity(Identity(7), &ports(TCP, 2, 2))
        .identity(Identity(7), &ports(UDP, 2, 2))
        .address(ip("10.1.0.7"), &ports(TCP, 3, 3))
        .block(net("10.1.0.0/16"), &[net("10.1.1.0/24")], &ports(TCP, 4, 4))
        .build();
    let allows = |peer, identity: Option<u32>, port| rules.allows(ip(peer), identity.map(Identity), TCP, port);
    assert!(allows("192.0.2.1", None, 1));
    assert!(allows("192.0.2.1", Some(7), 2) && !allows("192.0.2.1", Some(8), 2) && !allows("10.1.0.7", None, 2));
    assert!(rules.allows(ip("192.0.2.1"), Some(Identity(7)), UDP, 2));
    assert!(allows("10.1.0.7", Some(9), 3) && !allows("10.1.0.8", Some(9), 3));
    assert!(allows("10.1.0.7", Some(9), 4), "a block matches whoever owns the address");
    assert!(!allows("10.1.1.7", Some(9), 4), "the exception");
}

#[test]
fn an_exception_of_one_block_takes_nothing_from_another() {
    let rules = RulesBuilder::new(0)
        .block(net("0.0.0.0/0"), &[net("10.0.0.0/8")], &Ports::everything())
        .block(net("10.1.0.0/16"), &[net("10.1.2.0/23")], &ports(TCP, 80, 80))
        .block(net("10.1.2.3/32"), &[], &ports(TCP, 81, 81))
        .block(net("::/0"), &[], &ports(UDP, 53, 53))
        .build();
    let allows = |peer, port| rules.allows(ip(peer), None, TCP, port);
    assert!(allows("192.0.2.1", 9));
    assert!(!allows("10.9.0.1", 80));
    assert!(allows("10.1.0.1", 80) && !allows("10.1.0.1", 81));
    assert!(!allows("10.1.2.3", 80) && allows("10.1.2.3", 81));
    assert!(!allows("10.1.3.255", 80) && allows("10.1.4.0", 80));
    assert!(allows("255.255.255.255", 1));
    assert!(rules.allows(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), None, UDP, 53));
}

#[test]
fn one_address_between_two_exceptions_is_allowed() {
    let except = [net("10.1.0.2/31"), net("10.1.0.0/32")];
    let rules = RulesBuilder::new(0).block(net("10.1.0.0/30"), &except, &Ports::everything()).build();
    let allowed: Vec<u8> = (0..5).filter(|low| rules.allows(IpAddr::from([10, 1, 0, *low]), None, TCP, 80)).collect();
    assert_eq!(allowed, [1]);
}

#[test]
fn a_reused_address_has_the_new_pods_identity() {
    let mut identities = Identities::new(0);
    assert_eq!(identities.insert(ip("10.1.0.7"), Identity(1)), None);
    let published = identities.clone();
    assert_eq!(identities.remove(ip("10.1.0.7")), Some(Identity(1)));
    assert_eq!(identities.get(ip("10.1.0.7")), None);
    assert_eq!(identities.insert(ip("10.1.0.7"), Identity(2)), None);
    identities.insert(ip("fd00:1::7"), Identity(2));
    assert_eq!(identities.get(ip("fd00:1::7")), Some(Identity(2)));
    assert_eq!(identities.len(), 2);
    assert_eq!(published.get(ip("10.1.0.7")), Some(Identity(1)), "a published map does not change");
}

#[derive(Clone, Debug)]
enum Given {
    Everything,
    Ranges(Vec<(u8, u16, u16)>),
}

impl Given {
    fn ports(&self) -> Ports {
        match self {
            Given::Everything => Ports::everything(),
            Given::Ranges(all) => Ports::of(all.iter().map(|&(protocol, first, last)| range(protocol, first, last))),
        }
    }

    fn allows(&self, protocol: u8, port: u16) -> bool {
        match self {
            Given::Everything => true,
            Given::Ranges(all) => all.iter().any(|&(p, first, last)| p == protocol && first <= port && port <= last),
        }
    }
}

fn given() -> impl Strategy<Value = Given> {
    let one = (prop_oneof![Just(TCP), Just(UDP), Just(SCTP)], 0_u16..12, 0_u16..4)
        .prop_map(|(protocol, first, more)| (protocol, first, first + more));
    prop_oneof![1 => Just(Given::Everything), 6 => proptest::collection::vec(one, 0..4).prop_map(Given::Ranges)]
}

/// Prefixes that meet often: all of a family, or inside 10.0.0.0/24 and its IPv6 likeness, or at the last addresses.
fn nets() -> impl Strategy<Value = IpNet> {
    let v4 = |base: u32| {
        (24_u8..=32, 0_u32..256).prop_map(move |(len, low)| {
            IpNet::V4(Ipv4Net::new(Ipv4Addr::from(base | low), len).expect("a length")).trunc()
        })
    };
    let v6 = (120_u8..=128, 0_u128..256).prop_map(|(len, low)| {
        IpNet::V6(Ipv6Net::new(Ipv6Addr::from(0xfd00_u128 << 112 | low), len).expect("a length")).trunc()
    });
    prop_oneof![6 => v4(0x0a00_0000), 2 => v4(0xffff_ff00), 4 => v6, 1 => Just(net("0.0.0.0/0")), 1 => Just(net("::/0"))]
}

type GivenBlock = (IpNet, Vec<IpNet>, Given);

fn built(blocks: &[GivenBlock]) -> Rules {
    let add = |rules: RulesBuilder, (cidr, except, given): &GivenBlock| rules.block(*cidr, except, &given.ports());
    blocks.iter().fold(RulesBuilder::new(0), add).build()
}

fn by_loops(blocks: &[GivenBlock], peer: IpAddr, protocol: u8, port: u16) -> bool {
    blocks.iter().any(|(cidr, except, given)| {
        cidr.contains(&peer) && !except.iter().any(|except| except.contains(&peer)) && given.allows(protocol, port)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn ports_allow_what_their_ranges_do(one in given(), two in given()) {
        let both = one.ports().union(&two.ports());
        for protocol in [TCP, UDP, SCTP, ICMPV4] {
            for port in 0..18 {
                prop_assert_eq!(one.ports().allow(protocol, port), one.allows(protocol, port));
                let expected = one.allows(protocol, port) || two.allows(protocol, port);
                prop_assert_eq!(both.allow(protocol, port), expected);
            }
        }
    }

    #[test]
    fn blocks_allow_what_loops_over_them_do(
        blocks in proptest::collection::vec((nets(), proptest::collection::vec(nets(), 0..4), given()), 0..8),
    ) {
        let rules = built(&blocks);
        let mut peers: Vec<IpAddr> = ["9.255.255.255", "10.0.1.0", "0.0.0.0", "fcff::", "fd00::100"].map(ip).to_vec();
        for low in 0..256_u32 {
            peers.push(Ipv4Addr::from(0x0a00_0000 | low).into());
            peers.push(Ipv4Addr::from(0xffff_ff00 | low).into());
            peers.push(Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(low)).into());
        }
        for peer in peers {
            for (protocol, port) in [(TCP, 3), (UDP, 7), (SCTP, 11), (ICMPV4, 0)] {
                let expected = by_loops(&blocks, peer, protocol, port);
                prop_assert_eq!(rules.allows(peer, None, protocol, port), expected, "{} {} {}", peer, protocol, port);
            }
        }
    }
}
