//! The node's routes that are not the host port's, as far as they concern its own.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_host::{LinkIndex, Route};

use super::ROUTE_PROTOCOL;

/// Routes of others.
#[derive(Debug)]
pub(super) struct Others<'r> {
    /// The first of those to one destination in one table.
    by_destination: HashMap<(IpNet, u32), &'r Route>,
    /// By the router, where they go by one and not over the host port.
    by_router: Vec<(IpAddr, &'r Route)>,
}

impl<'r> Others<'r> {
    /// Tells those that are there apart: those of the host port, and the others.
    pub(super) fn among(there: &'r [Route], stack_end: LinkIndex) -> (Vec<&'r Route>, Others<'r>) {
        let is_ours = |route: &&Route| route.protocol == ROUTE_PROTOCOL && route.link == Some(stack_end);
        let (ours, others): (Vec<_>, Vec<_>) = there.iter().partition(is_ours);
        let mut by_destination = HashMap::with_capacity(others.len());
        for route in &others {
            by_destination.entry((route.destination, route.table)).or_insert(*route);
        }
        let elsewhere = others.into_iter().filter(|route| route.link != Some(stack_end));
        let mut by_router: Vec<_> = elsewhere.filter_map(|route| Some((route.gateway?, route))).collect();
        by_router.sort_by_key(|(router, _)| *router);
        (ours, Others { by_destination, by_router })
    }

    /// Another's route to the same destination.
    pub(super) fn to_the_same(&self, route: &Route) -> Option<&'r Route> {
        self.by_destination.get(&(route.destination, route.table)).copied()
    }

    /// A router inside a network, and a way by it: into the switch with the network, nothing would find that way any more.
    pub(super) fn router_in(&self, network: &IpNet) -> Option<(IpAddr, &'r Route)> {
        let first = self.by_router.partition_point(|(router, _)| *router < network.network());
        self.by_router.get(first).filter(|(router, _)| network.contains(router)).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by(to: &str, gateway: Option<&str>, link: u32) -> Route {
        Route {
            gateway: gateway.map(|gateway| gateway.parse().expect("is an address")),
            link: Some(LinkIndex(link)),
            ..Route::to(to.parse().expect("is a network"))
        }
    }

    #[test]
    fn no_network_with_a_router_of_the_node_in_it_is_led_into_the_switch() {
        let there = [
            by("192.168.0.0/24", None, 2),
            by("0.0.0.0/0", Some("192.168.0.254"), 2),
            by("10.244.2.0/24", Some("169.254.1.1"), 7),
        ];
        let (_, others) = Others::among(&there, LinkIndex(7));
        let held = |network: &str| others.router_in(&network.parse().expect("is a network"));
        assert_eq!(held("192.168.0.0/16").map(|(router, _)| router.to_string()).as_deref(), Some("192.168.0.254"));
        assert!(held("10.244.3.0/24").is_none() && held("192.168.1.0/24").is_none());
        assert!(held("169.254.0.0/16").is_none(), "our own ways are by the switch's gateway");
    }

    #[test]
    fn a_route_of_ours_is_no_others() {
        let ours = Route { protocol: ROUTE_PROTOCOL, ..by("10.244.2.0/24", Some("169.254.1.1"), 7) };
        let there = [
            ours.clone(),
            by("10.244.3.0/24", None, 7),
            Route { protocol: ROUTE_PROTOCOL, ..by("10.244.4.0/24", None, 2) },
        ];
        let (known, others) = Others::among(&there, LinkIndex(7));
        assert_eq!(known, [&ours]);
        let found = |to: &str| others.to_the_same(&by(to, None, 9)).map(|route| route.destination.to_string());
        assert_eq!(found("10.244.2.0/24"), None);
        assert_eq!(found("10.244.3.0/24").as_deref(), Some("10.244.3.0/24"), "the kernel's, on our device");
        assert_eq!(found("10.244.4.0/24").as_deref(), Some("10.244.4.0/24"), "on another device");
        let other_table = Route { table: 100, ..by("10.244.3.0/24", None, 7) };
        assert!(others.to_the_same(&other_table).is_none());
    }

    proptest! {
        /// Against loops over all of them.
        #[test]
        fn others_are_found_as_by_a_loop(
            there in proptest::collection::vec((0..16u8, 28..=32u8, proptest::option::of(0..16u8), 6..9u32, any::<bool>()), 0..20),
            wanted in (0..16u8, 26..=32u8)
        ) {
            let net = |last: u8, prefix: u8| IpNet::new([10, 0, 0, last].into(), prefix).expect("is short enough").trunc();
            let route = |(last, prefix, router, link, ours): (u8, u8, Option<u8>, u32, bool)| Route {
                gateway: router.map(|last| [10, 0, 0, last].into()),
                link: Some(LinkIndex(link)),
                protocol: if ours { ROUTE_PROTOCOL } else { 2 },
                ..Route::to(net(last, prefix))
            };
            let there: Vec<Route> = there.into_iter().map(route).collect();
            let (ours, others) = Others::among(&there, LinkIndex(7));
            let is_ours = |route: &Route| route.protocol == ROUTE_PROTOCOL && route.link == Some(LinkIndex(7));
            prop_assert_eq!(ours.len(), there.iter().filter(|route| is_ours(route)).count());
            let wanted = Route::to(net(wanted.0, wanted.1));
            let same = there.iter().find(|route| route.destination == wanted.destination && !is_ours(route));
            prop_assert_eq!(others.to_the_same(&wanted), same);
            let routers = there.iter().filter(|route| route.link != Some(LinkIndex(7))).filter_map(|route| route.gateway);
            let lowest = routers.filter(|router| wanted.destination.contains(router)).min();
            prop_assert_eq!(others.router_in(&wanted.destination).map(|(router, _)| router), lowest);
        }
    }
}
