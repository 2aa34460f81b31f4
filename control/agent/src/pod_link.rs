//! A pod's device: a veth whose one end is in the pod's namespace and whose other end the switch binds to.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_host::{
    AddressSpec, Error, ErrorKind, LinkChange, LinkIndex, Netlink, Netns, Route, Scope, VethEnd, sysctl,
};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC};
use sluice_wire::MacAddr;

use crate::shape::Shape;

/// Packets that may wait at the switch's end while the pod is slow. Its presence matters, not its length: it turns
/// silent drops of a full veth into back-pressure.
const QUEUE_LIMIT: u32 = 1000;

/// How a pod's device is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PodLink<'a> {
    /// Name of the node's end.
    pub(crate) host_link: &'a str,
    /// Text shown with the node's end, for people.
    pub(crate) alias: &'a str,
    /// The pod's namespace.
    pub(crate) netns: &'a Netns,
    /// Name of the pod's end.
    pub(crate) ifname: &'a str,
    /// Hardware address of the pod's end.
    pub(crate) mac: MacAddr,
    /// The pod's addresses.
    pub(crate) addresses: &'a [IpAddr],
    /// Whether everything is reached by it.
    pub(crate) default_route: bool,
    /// Networks that are reached by it in any case.
    pub(crate) networks: &'a [IpNet],
    /// Sizes.
    pub(crate) shape: Shape,
}

impl PodLink<'_> {
    /// Makes both ends, down, and returns the node's. Nothing is left of a failure.
    pub(crate) fn create(&self, node: &mut Netlink) -> Result<LinkIndex, Error> {
        let near = self.shape.sized(VethEnd::named(self.host_link));
        let far = VethEnd { mac: Some(self.mac), netns: Some(self.netns), ..VethEnd::named(self.ifname) };
        Ok(node.create_veth(&near, &self.shape.sized(far))?.near)
    }

    /// Gives both ends all that the pod needs to talk, and sets them up. Doing it again changes nothing. Returns the
    /// routes by this device.
    pub(crate) fn configure(&self, node: &mut Netlink, host: LinkIndex) -> Result<Vec<Route>, Error> {
        let routes = self.configure_inside()?;
        silence(self.host_link)?;
        self.shape.resize(node, host)?;
        node.set_pfifo(host, QUEUE_LIMIT)?;
        node.set_link(host, &LinkChange { alias: Some(self.alias.to_owned()), ..LinkChange::up() })?;
        Ok(routes)
    }

    fn configure_inside(&self) -> Result<Vec<Route>, Error> {
        let mut inside = Netlink::open_in(self.netns)?;
        let link = inside.link_by_name(self.ifname)?.index;
        let loopback = inside.link_by_name("lo")?.index;
        self.shape.resize(&mut inside, link)?;
        self.shape.set_offloads(&mut inside, link)?;
        if self.addresses.iter().any(IpAddr::is_ipv6) {
            sysctl::set_in(self.netns, &stack_settings(self.ifname).each())?;
        }
        inside.set_link(loopback, &LinkChange::up())?;
        inside.set_link(link, &LinkChange::up())?;
        for address in self.addresses {
            match inside.add_address(link, &AddressSpec::new(IpNet::from(*address))) {
                Err(error) if error.is_taken() => {}
                result => result?,
            }
        }
        // Where another interface of the pod has the way already, the first one wins, as with other plugins.
        let present = inside.routes()?;
        let elsewhere = |route: &Route| {
            present.iter().any(|p| p.destination == route.destination && p.table == route.table && p.link != Some(link))
        };
        let mut routes = self.routes(link);
        routes.retain(|route| !elsewhere(route));
        routes.iter().try_for_each(|route| inside.replace_route(route))?;
        // The pod never has to ask for the gateway, whose MAC is one everywhere: no packet waits for the answer, and none is given up
        // while there is no switch to give it, so that what a pod begins meanwhile goes on afterwards.
        self.gateways().try_for_each(|gateway| inside.add_neighbour(link, gateway, GATEWAY_MAC))?;
        Ok(routes)
    }

    /// The gateway's addresses, of the families that the pod has an address of.
    fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        let has = |gateway: &IpAddr| self.addresses.iter().any(|address| address.is_ipv4() == gateway.is_ipv4());
        [IpAddr::from(GATEWAY_IPV4), IpAddr::from(GATEWAY_IPV6)].into_iter().filter(has)
    }

    /// The routes by the device `link`, of the families that the pod has an address of.
    fn routes(&self, link: LinkIndex) -> Vec<Route> {
        let by_it = |route: Route, gateway: IpAddr| Route {
            link: Some(link),
            mtu: Some(u32::from(self.shape.path_mtu)),
            advmss: Some(self.shape.advmss(gateway)),
            ..route
        };
        let through = |route: Route, gateway: IpAddr| by_it(Route { gateway: Some(gateway), ..route }, gateway);
        let mut routes = Vec::new();
        for gateway in self.gateways() {
            let everything = if gateway.is_ipv4() { Route::default_v4() } else { Route::default_v6() };
            if gateway.is_ipv4() {
                routes.push(by_it(Route { scope: Some(Scope::Link), ..Route::to(IpNet::from(gateway)) }, gateway));
            }
            if self.default_route {
                routes.push(through(everything, gateway));
            }
            let of_family = self.networks.iter().filter(|net| net.addr().is_ipv4() == gateway.is_ipv4());
            // The way to the gateway itself may be another interface's of the pod.
            routes.extend(of_family.map(|net| through(Route { onlink: true, ..Route::to(*net) }, gateway)));
        }
        routes
    }
}

/// The IPv6 settings of a device that a stack uses.
struct StackSettings([(String, &'static str); 3]);

impl StackSettings {
    fn each(&self) -> [(&str, &str); 3] {
        self.0.each_ref().map(|(key, value)| (key.as_str(), *value))
    }
}

/// IPv6 on, whatever the default is; no duplicate address detection, for addresses are given out by us alone and the
/// pod must be able to talk at once; no router advertisements, for the routes are ours.
fn stack_settings(device: &str) -> StackSettings {
    let key = |name: &str| format!("net/ipv6/conf/{device}/{name}");
    StackSettings([(key("disable_ipv6"), "0"), (key("accept_dad"), "0"), (key("accept_ra"), "0")])
}

/// The IPv6 settings of the end that a stack uses, in the calling thread's namespace, where there is IPv6.
pub(crate) fn prepare_stack_end(device: &str) -> Result<(), Error> {
    stack_settings(device).each().iter().try_for_each(|(key, value)| without_ipv6_too(sysctl::set(key, value)))
}

/// Keeps the node's own stack from sending neighbour and multicast messages out of an end that is the switch's.
pub(crate) fn silence(device: &str) -> Result<(), Error> {
    without_ipv6_too(sysctl::set(&format!("net/ipv6/conf/{device}/disable_ipv6"), "1"))
}

fn without_ipv6_too(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes_of(addresses: &[&str], default_route: bool, networks: &[&str]) -> Vec<Route> {
        let netns = Netns::current().expect("/proc is mounted");
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().expect("an address")).collect();
        let networks: Vec<IpNet> = networks.iter().map(|it| it.parse().expect("a network")).collect();
        let shape = Shape { path_mtu: 1400, super_frames: true, wire_mtu: 0 };
        let (host_link, alias, ifname, mac) = ("slu0", "", "eth0", MacAddr([2, 0, 0, 0, 0, 1]));
        let (addresses, networks, netns) = (&addresses[..], &networks[..], &netns);
        PodLink { host_link, alias, netns, ifname, mac, addresses, default_route, networks, shape }.routes(LinkIndex(2))
    }

    #[test]
    fn a_pod_has_routes_only_for_its_families() {
        let v4 = routes_of(&["10.0.0.2"], true, &[]);
        assert_eq!(v4.len(), 2);
        assert!(v4.iter().all(|r| r.mtu == Some(1400) && r.advmss == Some(1360) && r.destination.addr().is_ipv4()));
        let v6 = routes_of(&["fd00::2"], true, &[]);
        assert_eq!(v6.len(), 1);
        assert_eq!((v6[0].gateway, v6[0].advmss), (Some(GATEWAY_IPV6.into()), Some(1340)));
        assert_eq!(routes_of(&[], true, &["10.0.0.0/8"]).len(), 0);
    }

    #[test]
    fn a_second_interface_leads_to_the_networks_asked_for_and_to_nothing_else() {
        let routes = routes_of(&["10.0.0.2", "fd00::2"], false, &["10.0.0.0/8", "fd00::/48"]);
        let to: Vec<String> = routes.iter().map(|route| route.destination.to_string()).collect();
        assert_eq!(to, ["169.254.1.1/32", "10.0.0.0/8", "fd00::/48"]);
        assert!(routes[1..].iter().all(|route| route.onlink && route.mtu == Some(1400)));
    }
}
