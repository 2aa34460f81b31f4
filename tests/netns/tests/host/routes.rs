use std::net::IpAddr;

use ipnet::IpNet;
use sluice_host::{AddressSpec, ErrorKind, LinkChange, LinkIndex, Netlink, Route, RouteKind, Scope};
use sluice_netns::Namespace;

use crate::{NO_SUCH_DEVICE, output, plain_pair};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn device(netlink: &mut Netlink) -> LinkIndex {
    let pair = plain_pair(netlink, "eth0", "far");
    for index in [pair.near, pair.far] {
        netlink.set_link(index, &LinkChange::up()).unwrap();
    }
    netlink.add_address(pair.near, &AddressSpec::new(net("10.244.1.7/32"))).unwrap();
    netlink.add_address(pair.near, &AddressSpec::new(net("fd00:1::7/128"))).unwrap();
    pair.near
}

fn found(netlink: &mut Netlink, destination: IpNet) -> Vec<Route> {
    let routes = netlink.routes().unwrap();
    routes.into_iter().filter(|route| route.destination == destination && route.kind == RouteKind::Unicast).collect()
}

#[test]
fn the_routes_of_a_pod() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let eth0 = device(&mut netlink);
    let paths = [
        Route { link: Some(eth0), mtu: Some(1500), advmss: Some(1460), ..Route::to(net("169.254.1.1/32")) },
        Route { gateway: Some(ip("169.254.1.1")), mtu: Some(1500), advmss: Some(1460), ..Route::default_v4() },
        Route {
            gateway: Some(ip("fe80::1")),
            link: Some(eth0),
            mtu: Some(1500),
            advmss: Some(1440),
            ..Route::default_v6()
        },
    ];
    for route in &paths {
        netlink.add_route(route).unwrap();
        let [kernel] = &found(&mut netlink, route.destination)[..] else { panic!("{route}") };
        assert_eq!((kernel.gateway, kernel.link), (route.gateway, Some(eth0)), "{route}");
        assert_eq!((kernel.mtu, kernel.advmss, kernel.table), (route.mtu, route.advmss, 254), "{route}");
    }
    assert_eq!(found(&mut netlink, net("169.254.1.1/32"))[0].scope, Some(Scope::Link));
    assert_eq!(found(&mut netlink, net("0.0.0.0/0"))[0].scope, Some(Scope::Universe));
    let told = output(&a, "ip route get 10.9.9.9");
    assert!(told.contains("via 169.254.1.1 dev eth0 src 10.244.1.7"), "{told}");
    let told = output(&a, "ip -6 route get fd09::9");
    assert!(told.contains("via fe80::1 dev eth0") && told.contains("src fd00:1::7"), "{told}");
    let told = output(&a, "ip route show default");
    assert!(told.contains("mtu 1500 advmss 1460") && !told.contains("onlink"), "{told}");
}

#[test]
fn every_attribute_comes_back_as_it_was_set() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let eth0 = device(&mut netlink);
    for (destination, gateway, source) in
        [("10.50.0.0/16", "192.0.2.1", "10.244.1.7"), ("fd50::/48", "fd99::1", "fd00:1::7")]
    {
        let route = Route {
            gateway: Some(ip(gateway)),
            link: Some(eth0),
            onlink: true,
            mtu: Some(1400),
            advmss: Some(1300),
            hop_limit: Some(33),
            source: Some(ip(source)),
            scope: Some(Scope::Universe),
            metric: Some(77),
            table: 1000,
            protocol: 201,
            ..Route::to(net(destination))
        };
        netlink.add_route(&route).unwrap();
        assert_eq!(found(&mut netlink, route.destination), std::slice::from_ref(&route));
        netlink.delete_route(&route).unwrap();
        assert_eq!(found(&mut netlink, route.destination), []);
        let error = netlink.delete_route(&route).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
        assert!(error.object().contains(destination) && error.object().contains("table 1000"), "{error}");
    }
}

#[test]
fn host_bits_of_a_destination_are_cut_off() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let eth0 = device(&mut netlink);
    netlink.add_route(&Route { link: Some(eth0), ..Route::to(net("10.7.8.9/16")) }).unwrap();
    assert_eq!(found(&mut netlink, net("10.7.0.0/16")).len(), 1);
}

#[test]
fn a_second_route_to_one_destination_is_refused_or_replaces() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let eth0 = device(&mut netlink);
    for destination in ["10.50.0.0/16", "fd50::/48"] {
        let route = Route { link: Some(eth0), mtu: Some(1400), ..Route::to(net(destination)) };
        netlink.add_route(&route).unwrap();
        let error = netlink.add_route(&route).unwrap_err();
        assert!(error.is_taken() && error.object().contains(destination), "{error}");
        netlink.replace_route(&Route { mtu: Some(1300), ..route }).unwrap();
        let [kernel] = &found(&mut netlink, net(destination))[..] else { panic!("{destination}") };
        assert_eq!(kernel.mtu, Some(1300));
    }
}

#[test]
fn a_gateway_needs_a_way_to_it_or_onlink() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let eth0 = device(&mut netlink);
    let route = Route { gateway: Some(ip("192.0.2.1")), link: Some(eth0), ..Route::default_v4() };
    let error = netlink.add_route(&route).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unreachable, "{error}");
    netlink.add_route(&Route { onlink: true, ..route }).unwrap();
    assert!(found(&mut netlink, net("0.0.0.0/0"))[0].onlink);

    let error = netlink.add_route(&Route { link: Some(NO_SUCH_DEVICE), ..Route::to(net("10.1.0.0/16")) }).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NoDevice, "{error}");
    let error = netlink.add_route(&Route { gateway: Some(ip("10.1.1.1")), ..Route::default_v6() }).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
}

#[test]
fn packets_can_be_refused_or_kept() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    device(&mut netlink);
    for (kind, destination) in [(RouteKind::Blackhole, "10.60.0.0/16"), (RouteKind::Unreachable, "fd60::/48")] {
        let route = Route { kind, ..Route::to(net(destination)) };
        netlink.add_route(&route).unwrap();
        let routes = netlink.routes().unwrap();
        assert!(routes.iter().any(|kernel| kernel.destination == route.destination && kernel.kind == kind));
        netlink.delete_route(&route).unwrap();
    }
    let lo = netlink.link_by_name("lo").unwrap().index;
    let route = Route { kind: RouteKind::Local, link: Some(lo), ..Route::to(net("10.61.0.0/16")) };
    netlink.add_route(&route).unwrap();
    output(&a, "ping -c 1 -W 10 10.61.7.7");
}
