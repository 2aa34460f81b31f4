use ipnet::IpNet;
use sluice_host::{AddressSpec, ErrorKind, LinkChange};
use sluice_netns::{Namespace, wait_for};

use crate::{NO_SUCH_DEVICE, output, plain_pair};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn a_pods_addresses_are_usable_at_once_and_bring_no_route() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let pair = plain_pair(&mut netlink, "eth0", "far");
    for index in [pair.near, pair.far] {
        netlink.set_link(index, &LinkChange::up()).unwrap();
    }
    let nets = [net("10.244.1.7/24"), net("10.244.1.9/32"), net("fd00:1::7/64"), net("fd00:1::9/128")];
    for net in nets {
        netlink.add_address(pair.near, &AddressSpec::new(net)).unwrap();
        // No waiting: without duplicate detection it must not be tentative for a moment.
        let found = netlink.addresses_of(pair.near).unwrap().into_iter().find(|address| address.net == net).unwrap();
        assert!(!found.tentative && found.permanent && !found.prefix_route, "{found:?}");
        output(&a, &format!("ping -c 1 -W 10 {}", net.addr()));
    }
    let main: Vec<_> = netlink.routes().unwrap().into_iter().filter(|route| route.table == 254).collect();
    assert!(main.iter().all(|route| !nets.iter().any(|net| route.destination == net.trunc())), "{main:?}");
    assert!(netlink.addresses_of(pair.far).unwrap().iter().all(|address| !nets.contains(&address.net)));
    let told = output(&a, "ip -o addr show dev eth0");
    assert!(told.contains("fd00:1::7/64 scope global nodad noprefixroute"), "{told}");
    assert!(told.contains("10.244.1.7/24 scope global noprefixroute"), "{told}");
}

#[test]
fn a_prefix_route_and_duplicate_detection_are_there_when_asked_for() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let pair = plain_pair(&mut netlink, "eth0", "far");
    for index in [pair.near, pair.far] {
        netlink.set_link(index, &LinkChange::up()).unwrap();
    }
    netlink.add_address(pair.near, &AddressSpec::with_prefix_route(net("10.1.0.1/24"))).unwrap();
    let spec = AddressSpec { duplicate_detection: true, ..AddressSpec::with_prefix_route(net("fd00:2::1/64")) };
    netlink.add_address(pair.near, &spec).unwrap();
    for prefix in [net("10.1.0.0/24"), net("fd00:2::/64")] {
        let routes = netlink.routes().unwrap();
        assert!(routes.iter().any(|route| route.destination == prefix && route.link == Some(pair.near)), "{routes:?}");
    }
    wait_for("the end of duplicate detection", || {
        let addresses = netlink.addresses_of(pair.near).unwrap();
        addresses.iter().find(|address| address.net == spec.net).filter(|address| !address.tentative).copied()
    })
    .unwrap();
}

#[test]
fn wrong_additions_and_removals_have_their_kinds() {
    let a = Namespace::new("a");
    let mut netlink = a.netlink();
    let index = plain_pair(&mut netlink, "eth0", "far").near;
    for net in [net("10.1.0.1/24"), net("fd00:1::1/64")] {
        let spec = AddressSpec::new(net);
        netlink.add_address(index, &spec).unwrap();
        let error = netlink.add_address(index, &spec).unwrap_err();
        assert!(error.is_taken() && error.object().contains(&net.to_string()), "{error}");
        netlink.delete_address(index, net).unwrap();
        let error = netlink.delete_address(index, net).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
        let error = netlink.add_address(NO_SUCH_DEVICE, &spec).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NoDevice, "{error}");
    }
}
