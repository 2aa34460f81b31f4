//! Which Service stands where, and what the builder refuses.

mod parts;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use parts::{ip, net, service};
use proptest::prelude::*;
use sluice_tables::*;
use sluice_wire::protocol::{ICMPV4, SCTP, TCP, UDP};

fn key(address: &str, port: u16, protocol: u8) -> FrontendKey {
    FrontendKey { address: ip(address), port, protocol }
}

fn backend(address: &str, port: u16) -> Backend {
    Backend { address: ip(address), port }
}

fn name(lookup: FrontendLookup<'_>) -> String {
    match lookup {
        FrontendLookup::Found(service, kind) => format!("{} {kind:?}", service.name()),
        other => format!("{other:?}"),
    }
}

#[test]
fn one_address_serves_many_services_and_one_port_three_protocols() {
    let mut builder = ServicesBuilder::new(0);
    for (number, protocol) in [(1, TCP), (2, UDP), (3, SCTP)] {
        let entry = service(number, &format!("a/{number}:dns"), Family::V4, protocol);
        let id = builder.service(entry).expect("a good Service");
        builder.frontend(key("10.96.0.10", 53, protocol), FrontendKind::ClusterIp, id).expect("a free frontend");
        builder.frontend(key("203.0.113.5", 53, protocol), FrontendKind::LoadBalancer, id).expect("a free frontend");
        builder.node_port(30_053, protocol, id).expect("a free node port");
    }
    builder.node_port_address(ip("192.0.2.1")).service_cidr(net("10.96.0.0/12"));
    let services = builder.build();
    let at = |address, port, protocol| name(services.frontend(ip(address), port, protocol));
    assert_eq!(at("10.96.0.10", 53, TCP), "a/1:dns ClusterIp");
    assert_eq!(at("10.96.0.10", 53, UDP), "a/2:dns ClusterIp");
    assert_eq!(at("203.0.113.5", 53, SCTP), "a/3:dns LoadBalancer");
    assert_eq!(at("192.0.2.1", 30_053, UDP), "a/2:dns NodePort");
    assert_eq!(at("192.0.2.2", 30_053, UDP), "None", "node ports are served at the given addresses alone");
    assert_eq!(at("10.96.0.10", 54, TCP), "UndefinedPort");
    assert_eq!(at("10.96.0.10", 0, ICMPV4), "UndefinedPort");
    assert_eq!(at("10.96.0.11", 53, TCP), "Unallocated");
    assert_eq!(at("203.0.113.5", 54, TCP), "None", "an undefined port of an external address is not ours");
    assert_eq!(at("fd00::1", 53, TCP), "None");
}

#[test]
fn an_external_address_of_the_node_goes_before_a_node_port() {
    let mut builder = ServicesBuilder::new(0);
    let one = builder.service(service(1, "a/one:x", Family::V4, TCP)).expect("a good Service");
    let two = builder.service(service(2, "a/two:x", Family::V4, TCP)).expect("a good Service");
    builder.node_port(30_000, TCP, one).expect("a free node port");
    builder.node_port_address(ip("192.0.2.1")).node_port_address(ip("192.0.2.2"));
    builder.frontend(key("192.0.2.1", 30_000, TCP), FrontendKind::ExternalIp, two).expect("a free frontend");
    let services = builder.build();
    assert_eq!(name(services.frontend(ip("192.0.2.1"), 30_000, TCP)), "a/two:x ExternalIp");
    assert_eq!(name(services.frontend(ip("192.0.2.2"), 30_000, TCP)), "a/one:x NodePort");
}

#[test]
fn a_node_port_number_serves_each_family_for_itself() {
    let mut builder = ServicesBuilder::new(0);
    for (number, family) in [(4, Family::V4), (6, Family::V6)] {
        let id = builder.service(service(number, &number.to_string(), family, TCP)).expect("a good Service");
        builder.node_port(30_000, TCP, id).expect("a free node port");
    }
    builder.node_port_address(ip("192.0.2.1")).node_port_address(ip("2001:db8::1"));
    let services = builder.build();
    assert_eq!(name(services.frontend(ip("192.0.2.1"), 30_000, TCP)), "4 NodePort");
    assert_eq!(name(services.frontend(ip("2001:db8::1"), 30_000, TCP)), "6 NodePort");
}

#[test]
fn the_second_claim_of_a_frontend_is_refused_and_names_both() {
    let mut builder = ServicesBuilder::new(0);
    let one = builder.service(service(1, "a/one:x", Family::V4, TCP)).expect("a good Service");
    let two = builder.service(service(2, "a/two:x", Family::V4, TCP)).expect("a good Service");
    let wanted = key("10.96.0.1", 80, TCP);
    builder.frontend(wanted, FrontendKind::ClusterIp, one).expect("a free frontend");
    let (first, second): (Arc<str>, Arc<str>) = ("a/one:x".into(), "a/two:x".into());
    let taken = ServicesError::FrontendTaken { key: wanted, first: first.clone(), second: second.clone() };
    assert_eq!(builder.frontend(wanted, FrontendKind::ExternalIp, two), Err(taken.clone()));
    assert!(taken.to_string().starts_with("frontend 10.96.0.1:80/TCP belongs to Service a/one:x"), "{taken}");
    builder.node_port(30_000, TCP, one).expect("a free node port");
    let taken = ServicesError::NodePortTaken { port: 30_000, protocol: TCP, first: first.clone(), second };
    assert_eq!(builder.node_port(30_000, TCP, two), Err(taken));
    let third = builder.service(service(1, "a/three:x", Family::V4, TCP));
    assert_eq!(third, Err(ServicesError::DuplicateKey { first, second: "a/three:x".into() }));
    assert_eq!(name(builder.build().frontend(ip("10.96.0.1"), 80, TCP)), "a/one:x ClusterIp", "who had it keeps it");
}

#[test]
fn frontends_that_cannot_be_reached_are_refused() {
    let mut builder = ServicesBuilder::new(0);
    let id = builder.service(service(1, "a/one:x", Family::V4, TCP)).expect("a good Service");
    for address in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "fd00::1"] {
        let refused = builder.frontend(key(address, 80, TCP), FrontendKind::ExternalIp, id);
        assert!(matches!(refused, Err(ServicesError::UnusableFrontend { .. })), "{address}");
    }
    let portless = builder.frontend(key("10.96.0.1", 0, TCP), FrontendKind::ClusterIp, id);
    assert!(matches!(portless, Err(ServicesError::UnusableFrontend { .. })));
    let other = builder.frontend(key("10.96.0.1", 80, UDP), FrontendKind::ClusterIp, id);
    assert!(matches!(other, Err(ServicesError::Protocol { protocol: UDP, .. })));
    assert!(matches!(builder.node_port(30_000, UDP, id), Err(ServicesError::Protocol { .. })));
    let stranger = ServiceId(7);
    assert_eq!(builder.node_port(30_000, TCP, stranger), Err(ServicesError::UnknownService(stranger)));
}

#[test]
fn services_that_cannot_work_are_refused() {
    let good = || service(1, "a/one:x", Family::V4, TCP);
    let refused = |entry| Service::new(entry).expect_err("refused");
    assert!(matches!(refused(ServiceEntry { protocol: ICMPV4, ..good() }), ServicesError::Protocol { .. }));
    for seconds in [0, 86_401] {
        let entry = ServiceEntry { affinity: Some(seconds), ..good() };
        assert_eq!(refused(entry), ServicesError::Affinity { service: "a/one:x".into(), seconds });
    }
    let entry = ServiceEntry { local: vec![backend("fd00::1", 80)], ..good() };
    assert!(matches!(refused(entry), ServicesError::BackendFamily { .. }));
    for (address, port) in [("10.1.0.7", 0), ("224.0.0.1", 80), ("127.0.0.1", 80)] {
        let known = vec![KnownBackend { address: ip(address), port, serving: false }];
        assert!(matches!(refused(ServiceEntry { known, ..good() }), ServicesError::UnusableBackend { .. }));
    }
}

#[test]
fn a_backend_in_two_slices_counts_once_and_serves_if_one_says_so() {
    let known = |serving| KnownBackend { address: ip("10.1.0.9"), port: 80, serving };
    let entry = ServiceEntry {
        cluster: vec![backend("10.1.0.8", 80), backend("10.1.0.7", 80), backend("10.1.0.8", 80)],
        known: vec![known(false), known(true), KnownBackend { address: ip("10.1.0.6"), port: 80, serving: false }],
        ..service(1, "a/one:x", Family::V4, TCP)
    };
    let service = Service::new(entry).expect("a good Service");
    assert_eq!(service.cluster().all(), [backend("10.1.0.7", 80), backend("10.1.0.8", 80)]);
    assert!(service.local().is_empty());
    assert_eq!(service.known(ip("10.1.0.7"), 80), Some(true), "usable is known and serving");
    assert_eq!(service.known(ip("10.1.0.9"), 80), Some(true));
    assert_eq!(service.known(ip("10.1.0.6"), 80), Some(false));
    assert_eq!(service.known(ip("10.1.0.6"), 81), None);
}

#[test]
fn source_ranges_let_in_whom_they_name() {
    let ranges: Arc<[_]> = [net("198.51.100.0/25"), net("203.0.113.7/32")].into();
    let entry = ServiceEntry { source_ranges: Some(ranges), ..service(1, "a/one:x", Family::V4, TCP) };
    let service = Service::new(entry).expect("a good Service");
    assert!(service.allows_source(ip("198.51.100.127")));
    assert!(service.allows_source(ip("203.0.113.7")));
    assert!(!service.allows_source(ip("198.51.100.128")));
}

#[test]
fn a_service_is_shared_between_generations() {
    let entry = ServiceEntry { cluster: vec![backend("10.1.0.7", 80)], ..service(1, "a/one:x", Family::V4, TCP) };
    let checked = Service::new(entry).expect("a good Service");
    let generations: Vec<Services> = (0..2)
        .map(|_| {
            let mut builder = ServicesBuilder::new(0);
            builder.shared(Arc::clone(&checked)).expect("a new key");
            builder.build()
        })
        .collect();
    let [first, second] = generations.as_slice() else { panic!("two generations") };
    assert!(Arc::ptr_eq(
        first.service(ServiceId(0)).expect("the Service"),
        second.service(ServiceId(0)).expect("the Service")
    ));
}

#[test]
fn changed_backends_are_given_at_the_front_too() {
    let entry = |backends: &[&str]| ServiceEntry {
        cluster: backends.iter().map(|address| backend(address, 80)).collect(),
        ..service(1, "a/one:x", Family::V4, TCP)
    };
    let mut builder = ServicesBuilder::new(0);
    let one = builder.service(entry(&["10.1.0.7"])).expect("a new key");
    let other = ServiceEntry { cluster: vec![backend("10.1.0.7", 80)], ..service(2, "a/two:x", Family::V4, TCP) };
    let two = builder.service(other).expect("a new key");
    for (address, id) in [("10.96.0.1", one), ("10.96.0.2", two)] {
        builder.frontend(key(address, 80, TCP), FrontendKind::ClusterIp, id).expect("a free frontend");
    }
    let before = builder.build();
    let given = |services: &Services, address: [u8; 4]| match services.front(u32::from_be_bytes(address), 80, TCP) {
        Front::Plain(words) => words.iter().map(|word| (word >> 32) as u8).collect(),
        Front::Special | Front::None => Vec::new(),
    };
    for now in [&["10.1.0.8", "10.1.0.9"][..], &["10.1.0.9"], &[]] {
        let changed = Service::new(entry(now)).expect("a good Service");
        let after = before.with_changed([(one, changed)]).expect("the same Service");
        let ends: Vec<u8> = now
            .iter()
            .map(|address| ip(address))
            .map(|address| match address {
                IpAddr::V4(v4) => v4.octets()[3],
                IpAddr::V6(_) => panic!("IPv4"),
            })
            .collect();
        assert_eq!(given(&after, [10, 96, 0, 1]), ends);
        assert_eq!(given(&after, [10, 96, 0, 2]), [7], "others stay");
        assert_eq!(given(&before, [10, 96, 0, 1]), [7], "the generation before stays as it was");
    }
}

/// What a list says of an address, in the order of the documented precedence.
fn by_list(
    frontends: &[(FrontendKey, FrontendKind)],
    node_ports: &[(u16, u8)],
    node_addresses: &[IpAddr],
    wanted: FrontendKey,
) -> String {
    if let Some((key, kind)) = frontends.iter().find(|(key, _)| *key == wanted) {
        return format!("{key} {kind:?}");
    }
    let is_cluster_ip =
        |(key, kind): &(FrontendKey, FrontendKind)| key.address == wanted.address && *kind == FrontendKind::ClusterIp;
    match () {
        () if frontends.iter().any(is_cluster_ip) => "UndefinedPort".into(),
        () if net("10.96.0.0/29").contains(&wanted.address) || net("fd00::/125").contains(&wanted.address) => {
            "Unallocated".into()
        }
        () if wanted.address.is_ipv4()
            && node_ports.contains(&(wanted.port, wanted.protocol))
            && node_addresses.contains(&wanted.address) =>
        {
            format!("node {}/{} NodePort", wanted.port, wanted.protocol)
        }
        () => "None".into(),
    }
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u32..12).prop_map(|low| IpAddr::V4(Ipv4Addr::from(0x0a60_0000 + low))),
        (1_u128..12).prop_map(|low| IpAddr::V6((0xfd00_u128 << 112 | low).into())),
    ]
}

fn keys() -> impl Strategy<Value = FrontendKey> {
    (addresses(), 1_u16..4, prop_oneof![Just(TCP), Just(UDP)]).prop_map(|(address, port, protocol)| FrontendKey {
        address,
        port,
        protocol,
    })
}

fn kinds() -> impl Strategy<Value = FrontendKind> {
    prop_oneof![Just(FrontendKind::ClusterIp), Just(FrontendKind::LoadBalancer), Just(FrontendKind::ExternalIp)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_look_up_answers_as_a_list_does(
        claimed in proptest::collection::vec((keys(), kinds()), 0..24),
        node_ports in proptest::collection::btree_set((1_u16..4, prop_oneof![Just(TCP), Just(UDP)]), 0..4),
        node_addresses in proptest::collection::vec(addresses(), 0..4),
        seed: u64,
    ) {
        let mut builder = ServicesBuilder::new(seed);
        let mut frontends: Vec<(FrontendKey, FrontendKind)> = Vec::new();
        for (number, (key, kind)) in claimed.into_iter().enumerate() {
            let entry = service(number as u64, &key.to_string(), Family::of(key.address), key.protocol);
            let id = builder.service(entry).expect("a good Service");
            let taken = frontends.iter().any(|(earlier, _)| *earlier == key);
            prop_assert_eq!(builder.frontend(key, kind, id).is_err(), taken);
            if !taken {
                frontends.push((key, kind));
            }
        }
        let node_ports: Vec<_> = node_ports.into_iter().collect();
        for &(port, protocol) in &node_ports {
            let name = format!("node {port}/{protocol}");
            let number = 1000 + u64::from(port) * 256 + u64::from(protocol);
            let id = builder.service(service(number, &name, Family::V4, protocol)).expect("a good Service");
            builder.node_port(port, protocol, id).expect("a free node port");
        }
        for &address in &node_addresses {
            builder.node_port_address(address);
        }
        builder.service_cidr(net("10.96.0.0/29")).service_cidr(net("fd00::/125"));
        let services = builder.build();
        prop_assert_eq!(services.frontends().count(), frontends.len());
        for low in 0..14_u128 {
            for (port, protocol) in [(1, TCP), (2, TCP), (3, UDP), (4, UDP), (1, SCTP)] {
                let v4 = IpAddr::V4(Ipv4Addr::from(0x0a60_0000 + low as u32));
                for address in [v4, IpAddr::V6((0xfd00_u128 << 112 | low).into())] {
                    let wanted = FrontendKey { address, port, protocol };
                    let expected = by_list(&frontends, &node_ports, &node_addresses, wanted);
                    prop_assert_eq!(name(services.frontend(address, port, protocol)), expected, "{}", wanted);
                }
            }
        }
    }
}

/// Random choice alone has a front of its own, and what is there is what would be chosen from.
#[test]
fn a_front_says_what_the_frontend_says_or_leaves_it_to_it() {
    let mut builder = ServicesBuilder::new(3);
    let mut plain = 0;
    for (number, (affinity, choice, internal_local, v6)) in [
        (None, Choice::Random, false, false),
        (None, Choice::Random, true, false),
        (Some(10), Choice::Random, false, false),
        (None, Choice::Maglev, false, false),
        (None, Choice::Random, false, true),
    ]
    .into_iter()
    .cycle()
    .take(200)
    .enumerate()
    {
        let address = |low: usize| -> IpAddr {
            if v6 {
                format!("fd00::{low:x}").parse().expect("an address")
            } else {
                std::net::Ipv4Addr::from_bits(0x0a60_0001 + low as u32).into()
            }
        };
        let all = (0..number % 4).map(|end| Backend { address: address(1000 + end), port: 8080 });
        let id = builder
            .service(ServiceEntry {
                key: number as u64,
                name: format!("a/{number}").into(),
                family: if v6 { Family::V6 } else { Family::V4 },
                protocol: 6,
                cluster: all.clone().collect(),
                local: all.take(1).collect(),
                known: Vec::new(),
                internal_local,
                external_local: false,
                affinity,
                source_ranges: None,
                choice,
            })
            .expect("a good Service");
        let kind = if number % 7 == 0 { FrontendKind::LoadBalancer } else { FrontendKind::ClusterIp };
        let key = FrontendKey { address: address(number), port: 80, protocol: 6 };
        builder.frontend(key, kind, id).expect("a free frontend");
    }
    let services = builder.build();
    for (key, kind, service) in services.frontends() {
        let IpAddr::V4(address) = key.address else { continue };
        let address = address.to_bits();
        assert_eq!(services.front(address, 81, 6), Front::None);
        assert_eq!(services.front(address, 80, 17), Front::None);
        let backends = if service.internal_local() { service.local() } else { service.cluster() };
        match services.front(address, 80, 6) {
            Front::None => panic!("{key} is there"),
            Front::Special => assert!(
                kind != FrontendKind::ClusterIp
                    || backends.is_empty()
                    || backends.is_maglev()
                    || service.affinity().is_some()
            ),
            Front::Plain(words) => {
                plain += 1;
                assert!(kind == FrontendKind::ClusterIp && service.affinity().is_none() && !backends.is_maglev());
                let word = |it: &Backend| match it.address {
                    IpAddr::V4(v4) => u64::from(v4.to_bits()) << 32 | u64::from(it.port),
                    IpAddr::V6(_) => panic!("IPv4"),
                };
                assert_eq!(words, backends.all().iter().map(word).collect::<Vec<_>>());
            }
        }
    }
    assert!(plain > 30, "{plain}");
}
