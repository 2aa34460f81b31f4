use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use sluice_host::UnderlayHop::{Elsewhere, OnLink, Via};
use sluice_host::{
    AddressSpec, LinkChange, LinkIndex, NeighbourState, Netlink, Route, UnderlayFacts, UnderlayHop, VethEnd,
};
use sluice_netns::{Namespace, wait_for};
use sluice_wire::MacAddr;

use crate::{output, plain_pair};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x11]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Two nodes on one wire: 192.0.2.1 and 192.0.2.2, 2001:db8::1 and 2001:db8::2.
fn wire(a: &Namespace, b: &Namespace) -> (LinkIndex, LinkIndex) {
    let (mut near, mut far) = (a.netlink(), b.netlink());
    let end = VethEnd { mac: Some(MAC), ..VethEnd::named("eth0") };
    let index = near.create_veth(&end, &VethEnd { netns: Some(b), ..VethEnd::named("eth0") }).unwrap().near;
    let other = far.link_by_name("eth0").unwrap().index;
    for (netlink, index, last) in [(&mut near, index, 1), (&mut far, other, 2)] {
        netlink.set_link(index, &LinkChange::up()).unwrap();
        for address in [format!("192.0.2.{last}/24"), format!("2001:db8::{last}/64")] {
            netlink.add_address(index, &AddressSpec::with_prefix_route(net(&address))).unwrap();
        }
    }
    (index, other)
}

fn route(facts: &UnderlayFacts, destination: &str) -> Option<(UnderlayHop, Option<IpAddr>)> {
    let found = facts.routes.iter().find(|route| route.destination == net(destination));
    found.map(|route| (route.hop, route.source))
}

fn via(router: &str) -> Option<(UnderlayHop, Option<IpAddr>)> {
    Some((Via(ip(router)), None))
}

#[test]
fn the_facts_of_a_device_are_its_own_and_of_several_routes_the_best() {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    let (eth0, _) = wire(&a, &b);
    let mut netlink = a.netlink();
    let elsewhere = plain_pair(&mut netlink, "slu1", "far").near;
    netlink.set_link(elsewhere, &LinkChange::up()).unwrap();
    netlink.add_neighbour(elsewhere, ip("192.0.2.77"), MacAddr([2, 0, 0, 0, 0, 7])).unwrap();
    let by = |gateway: &str, to: &str| Route {
        link: Some(eth0),
        gateway: Some(ip(gateway)),
        onlink: true,
        ..Route::to(net(to))
    };
    for route in [
        Route { metric: Some(200), ..by("192.0.2.8", "0.0.0.0/0") },
        Route { metric: Some(100), source: Some(ip("192.0.2.1")), ..by("192.0.2.9", "0.0.0.0/0") },
        Route { metric: Some(300), ..by("192.0.2.7", "0.0.0.0/0") },
        by("192.0.2.9", "10.1.0.0/16"),
        Route { table: 1000, ..by("192.0.2.3", "10.1.0.0/16") },
        Route { table: 1001, ..by("192.0.2.3", "10.2.0.0/16") },
        by("2001:db8::9", "::/0"),
        Route { link: Some(elsewhere), ..Route::to(net("10.3.0.0/16")) },
    ] {
        netlink.add_route(&route).unwrap();
    }
    output(&a, "ip route add 10.4.0.0/16 nexthop dev slu1 nexthop via 192.0.2.6 dev eth0 onlink");
    output(
        &a,
        "ip -6 route add 2001:db8:4::/48 nexthop via 2001:db8::6 dev eth0 onlink nexthop via 2001:db8::7 dev eth0",
    );
    output(&a, "ip route add 10.5.0.0/16 via inet6 2001:db8::6 dev eth0");
    output(&a, "ip route add unreachable 10.6.0.0/16");
    let facts = netlink.underlay(eth0, &[]).unwrap();
    assert_eq!((facts.mac, facts.mtu), (MAC, 1500));
    assert_eq!(route(&facts, "0.0.0.0/0"), Some((Via(ip("192.0.2.9")), Some(ip("192.0.2.1")))));
    assert_eq!(route(&facts, "192.0.2.0/24"), Some((OnLink, Some(ip("192.0.2.1")))));
    assert_eq!(route(&facts, "10.1.0.0/16"), via("192.0.2.9"));
    assert_eq!(route(&facts, "10.2.0.0/16"), None, "in a table that was not asked for");
    assert_eq!(route(&facts, "10.3.0.0/16"), Some((Elsewhere, None)));
    assert_eq!(route(&facts, "10.4.0.0/16"), via("192.0.2.6"));
    assert_eq!(route(&facts, "10.5.0.0/16"), via("2001:db8::6"), "a router of the other family");
    assert_eq!(route(&facts, "10.6.0.0/16"), Some((Elsewhere, None)));
    assert_eq!(route(&facts, "2001:db8:4::/48"), via("2001:db8::6"));
    assert_eq!(route(&facts, "::/0"), via("2001:db8::9"));
    assert_eq!(route(&facts, "2001:db8::/64"), Some((OnLink, None)));
    assert!(facts.addresses.contains(&net("192.0.2.1/24")) && facts.addresses.contains(&net("2001:db8::1/64")));
    assert!(facts.neighbours.iter().all(|(address, _)| *address != ip("192.0.2.77")), "another device's");
    let facts = netlink.underlay(eth0, &[1000]).unwrap();
    assert_eq!(route(&facts, "10.1.0.0/16"), via("192.0.2.3"), "a table of its own goes first");
}

fn state(netlink: &mut Netlink, link: LinkIndex, address: IpAddr) -> Option<NeighbourState> {
    let all = netlink.neighbours().unwrap();
    all.iter().find(|one| one.link == link && one.address == address).map(|one| one.state)
}

#[test]
fn a_neighbour_is_resolved_on_demand_and_seen_by_the_monitor() {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    let (eth0, other) = wire(&a, &b);
    let mut netlink = a.netlink();
    let mac = b.netlink().link_by_index(other).unwrap().mac.unwrap();
    let mut monitor = sluice_host::Monitor::open_in(&a).unwrap();
    for address in ["192.0.2.2", "2001:db8::2"].map(ip) {
        wait_for("the neighbour's answer", || {
            // Asked anew, as the switch does with each packet: the first question may be lost while the wire comes up.
            netlink.resolve_neighbour(eth0, address).unwrap();
            netlink.underlay(eth0, &[]).unwrap().neighbours.contains(&(address, mac)).then_some(())
        })
        .unwrap();
        wait_for("its change to be told", || {
            monitor.wait(Duration::from_millis(20)).unwrap().neighbours.contains(&eth0).then_some(())
        })
        .unwrap();
    }
    netlink.resolve_neighbour(eth0, ip("192.0.2.200")).unwrap();
    // Or given up already, some seconds later.
    let unresolved = state(&mut netlink, eth0, ip("192.0.2.200"));
    assert!(matches!(unresolved, Some(NeighbourState::Incomplete | NeighbourState::Failed)), "{unresolved:?}");
    assert!(netlink.underlay(eth0, &[]).unwrap().neighbours.iter().all(|(address, _)| *address != ip("192.0.2.200")));
}

#[test]
fn a_kept_neighbour_is_asked_again_without_traffic() {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    let (eth0, _) = wire(&a, &b);
    let mut netlink = a.netlink();
    for (family, address) in [("ipv4", ip("192.0.2.2")), ("ipv6", ip("2001:db8::2"))] {
        // The kernel asks again at this interval.
        sluice_host::sysctl::set_in(&a, &[(&format!("net/{family}/neigh/eth0/interval_probe_time_ms"), "100")])
            .unwrap();
        assert!(netlink.keep_neighbour(eth0, address).unwrap(), "this kernel is newer than 5.16");
        let managed = |netlink: &mut Netlink| {
            let all = netlink.neighbours().unwrap();
            all.into_iter().find(|one| one.address == address && one.link == eth0)
        };
        wait_for("the answer", || managed(&mut netlink).filter(|one| one.managed && one.mac.is_some())).unwrap();
        // Its own entry grows old; nobody sends anything, and yet it is confirmed.
        output(&a, &format!("ip neigh change {address} dev eth0 nud stale managed"));
        let confirmed = || managed(&mut netlink).filter(|one| one.state == NeighbourState::Reachable);
        wait_for("the kernel to ask again", confirmed).unwrap();
        netlink.delete_neighbour(eth0, address).unwrap();
    }
}

#[test]
fn ports_are_reserved_beside_those_of_others() {
    let a = Namespace::new("a");
    let mine = || output(&a, "cat /proc/sys/net/ipv4/ip_local_reserved_ports").trim().to_owned();
    sluice_host::sysctl::set_in(&a, &[("net/ipv4/ip_local_reserved_ports", "8080,30000-32767")]).unwrap();
    let done = sluice_host::reserved_ports::reserve_in(&a, 61_000, 65_535).unwrap();
    assert_eq!((done.host_range, done.overlaps, done.changed), ((32_768, 60_999), false, true));
    assert_eq!(mine(), "8080,30000-32767,61000-65535");
    assert!(!sluice_host::reserved_ports::reserve_in(&a, 61_000, 65_535).unwrap().changed);
    sluice_host::sysctl::set_in(&a, &[("net/ipv4/ip_local_port_range", "1024 65535")]).unwrap();
    assert!(sluice_host::reserved_ports::reserve_in(&a, 60_000, 65_535).unwrap().overlaps);
    let settings = [("net/ipv4/ip_local_port_range", "60500 65535"), ("net/ipv4/ip_local_reserved_ports", "8080")];
    sluice_host::sysctl::set_in(&a, &settings).unwrap();
    let refused = sluice_host::reserved_ports::reserve_in(&a, 61_000, 65_535).unwrap_err().to_string();
    assert!(
        refused.contains("leaves the host 500 of its ports") && refused.contains("ip_local_port_range"),
        "{refused}"
    );
    assert_eq!(mine(), "8080", "nothing was changed");
}

#[test]
fn a_long_list_of_reserved_ports_is_kept_whole() {
    let a = Namespace::new("a");
    let list = "80,443,8088,32070,32461,40001,40003,40005,40007";
    sluice_host::sysctl::set_in(&a, &[("net/ipv4/ip_local_reserved_ports", list)]).unwrap();
    assert!(sluice_host::reserved_ports::reserve_in(&a, 61_000, 65_535).unwrap().changed);
    let mine = output(&a, "cat /proc/sys/net/ipv4/ip_local_reserved_ports").trim().to_owned();
    assert_eq!(mine, format!("{list},61000-65535"));
    assert!(!sluice_host::reserved_ports::reserve_in(&a, 61_000, 65_535).unwrap().changed);
}
