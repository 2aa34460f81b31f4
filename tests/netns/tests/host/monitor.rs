use std::time::Duration;

use sluice_host::{AddressSpec, Changes, LinkChange, LinkIndex, Monitor, Route};
use sluice_netns::{Namespace, wait_for};
use sluice_wire::MacAddr;

use crate::plain_pair;

/// Collects what is told until `enough`.
fn told(monitor: &mut Monitor, what: &str, enough: impl Fn(&Changes) -> bool) -> Changes {
    let mut all = Changes::default();
    wait_for(what, || {
        let Changes { links, addresses, routes, other_routes, neighbours, lost } =
            monitor.wait(Duration::from_millis(50)).unwrap();
        all.links.extend(links);
        all.addresses.extend(addresses);
        all.routes.extend(routes);
        all.neighbours.extend(neighbours);
        all.other_routes |= other_routes;
        all.lost |= lost;
        enough(&all).then_some(())
    })
    .unwrap();
    all
}

fn quiet(monitor: &mut Monitor) {
    wait_for("no more changes", || monitor.wait(Duration::from_millis(200)).unwrap().is_empty().then_some(())).unwrap();
}

#[test]
fn changes_of_links_addresses_routes_and_neighbours_are_told_with_their_device() {
    let (a, other) = (Namespace::new("a"), Namespace::new("other"));
    let mut monitor = Monitor::open_in(&a).unwrap();
    let mut netlink = a.netlink();
    let pair = plain_pair(&mut netlink, "eth0", "far");
    let eth0 = pair.near;
    told(&mut monitor, "the new devices", |changes| changes.links.contains(&eth0) && changes.links.contains(&pair.far));
    for index in [pair.near, pair.far] {
        netlink.set_link(index, &LinkChange::up()).unwrap();
    }
    let address = AddressSpec::new("192.0.2.1/32".parse().unwrap());
    netlink.add_address(eth0, &address).unwrap();
    told(&mut monitor, "the address", |changes| changes.addresses.contains(&eth0));
    netlink.add_route(&Route { link: Some(eth0), ..Route::to("198.51.100.0/24".parse().unwrap()) }).unwrap();
    told(&mut monitor, "the route", |changes| changes.routes.contains(&eth0));
    netlink.add_route(&Route { link: Some(eth0), ..Route::to("2001:db8::/48".parse().unwrap()) }).unwrap();
    told(&mut monitor, "the IPv6 route", |changes| changes.routes.contains(&eth0));
    quiet(&mut monitor);
    netlink.add_neighbour(eth0, "192.0.2.9".parse().unwrap(), MacAddr([2, 0, 0, 0, 0, 9])).unwrap();
    let changes = told(&mut monitor, "the neighbour", |changes| changes.neighbours.contains(&eth0));
    assert!(changes.concern(eth0) && !changes.concern(LinkIndex(0x7fff_0000)), "{changes:?}");
    netlink.delete_address(eth0, address.net).unwrap();
    told(&mut monitor, "the address to be gone", |changes| changes.addresses.contains(&eth0));
    quiet(&mut monitor);
    // The kernel may have something to say at any time, of a link-local address for instance, but hardly each time.
    let mut elsewhere = other.netlink();
    wait_for("what happens in another namespace not to be told", || {
        quiet(&mut monitor);
        let pair = plain_pair(&mut elsewhere, "eth0", "far");
        let nothing = monitor.changes().unwrap().is_empty();
        elsewhere.delete_link(pair.near).unwrap();
        nothing.then_some(())
    })
    .unwrap();
    netlink.delete_link(eth0).unwrap();
    told(&mut monitor, "the device to be gone", |changes| changes.links.contains(&eth0));
}

#[test]
fn changes_that_were_lost_are_told_as_such_and_the_monitor_goes_on() {
    let a = Namespace::new("a");
    let mut monitor = Monitor::open_in(&a).unwrap();
    let mut netlink = a.netlink();
    let eth0 = plain_pair(&mut netlink, "eth0", "far").near;
    netlink.set_link(eth0, &LinkChange::up()).unwrap();
    // Far more than waits in a socket's buffer, which nobody empties meanwhile.
    let route = |number: u32| {
        let destination = format!("10.{}.{}.0/24", number >> 8 & 0xff, number & 0xff);
        Route { link: Some(eth0), ..Route::to(destination.parse().unwrap()) }
    };
    for number in 0..8000 {
        netlink.add_route(&route(number)).unwrap();
    }
    let changes = told(&mut monitor, "the overflow", |changes| changes.lost);
    assert!(changes.concern(LinkIndex(0x7fff_0000)), "everything is to be asked for anew");
    quiet(&mut monitor);
    netlink.delete_route(&route(7)).unwrap();
    let changes = told(&mut monitor, "the next change", |changes| changes.routes.contains(&eth0));
    assert!(!changes.lost);
}
