//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::LinkIndex;
use super::socket::Mode;
use super::{Netlink, family_of};
use crate::error::Error;

/// The table used when none is asked for (`RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;

/// `RTPROT_STATIC`: set by an administrator, as far as the kernel cares.
const STATIC: u8 = 4;

/// What happens to packets that take a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// They go to the gateway or device.
    Unicast,
    /// They are this host's.
    Local,
    /// They are dropped silently.
    Blackhole,
    /// They are refused with ICMP unreachable.
    Unreachable,
    /// Any other `RTN_` value.
    Other(u8),
}

/// How far a destination is (IPv4; IPv6 routes always report [`Scope::Universe`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Behind a gateway.
    Universe,
    /// On the device's own link.
    Link,
    /// In this host.
    Host,
    /// Any other `RT_SCOPE_` value.
    Other(u8),
}

/// A route. Build one with `Route { link: Some(index), ..Route::to(destination) }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where packets are going; host bits are cut off.
    pub destination: IpNet,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The device packets leave by.
    pub link: Option<LinkIndex>,
    /// Take the gateway as reachable through the device, whatever the other routes say.
    pub onlink: bool,
    /// The path MTU in bytes (RTAX_MTU).
    pub mtu: Option<u32>,
    /// The segment size offered to TCP peers in bytes (RTAX_ADVMSS).
    pub advmss: Option<u32>,
    /// The hop limit or TTL of packets that start here, 1 to 255 (RTAX_HOPLIMIT).
    pub hop_limit: Option<u32>,
    /// The source address of packets that start here (RTA_PREFSRC).
    pub source: Option<IpAddr>,
    /// None to let it follow from the kind and the gateway, as `ip route` does.
    pub scope: Option<Scope>,
    /// Lower goes first among routes to one destination (RTA_PRIORITY). IPv6 makes 1024 of none.
    pub metric: Option<u32>,
    /// The routing table.
    pub table: u32,
    /// What happens to the packets.
    pub kind: RouteKind,
    /// Who set it (`RTPROT_`): 2 the kernel, 4 an administrator (default), 192 and up are free.
    pub protocol: u8,
}

impl Route {
    /// A unicast route to `destination` in the main table, still without a way to go.
    pub fn to(destination: IpNet) -> Self {
        Self {
            destination: destination.trunc(),
            gateway: None,
            link: None,
            onlink: false,
            mtu: None,
            advmss: None,
            hop_limit: None,
            source: None,
            scope: None,
            metric: None,
            table: MAIN_TABLE,
            kind: RouteKind::Unicast,
            protocol: STATIC,
        }
    }

    /// The IPv4 default route, still without a way to go.
    pub fn default_v4() -> Self {
        Self::to(whole(true))
    }

    /// The IPv6 default route, still without a way to go.
    pub fn default_v6() -> Self {
        Self::to(whole(false))
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.destination)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(link) = self.link {
            write!(f, " by {link}")?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " in table {}", self.table)?;
        }
        Ok(())
    }
}

impl Netlink {
    /// Adds a route.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Exists`] for a route to that destination with that metric,
    /// [`crate::ErrorKind::Unreachable`] for a gateway no route leads to, [`crate::ErrorKind::NoDevice`].
    pub fn add_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(message_for(route));
        self.change("add route", || route.to_string(), message, Mode::Create)
    }

    /// Adds a route, in the place of one to that destination with that metric if there is one.
    ///
    /// # Errors
    /// As [`Netlink::add_route`], without `Exists`.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(message_for(route));
        self.change("replace route", || route.to_string(), message, Mode::Replace)
    }

    /// Removes the first route that agrees with all that `route` gives.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut message = message_for(route);
        if route.scope.is_none() {
            // RT_SCOPE_NOWHERE in a deletion means any scope (fib_table_delete, fib_trie.c).
            message.header.scope = RouteScope::NoWhere;
        }
        self.change("delete route", || route.to_string(), RouteNetlinkMessage::DelRoute(message), Mode::Existing)
    }

    /// All routes of all tables, IPv4 and IPv6, without multipath and multicast ones.
    ///
    /// # Errors
    /// When the kernel's answer cannot be had.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        Ok(self.dump_routes()?.into_iter().filter_map(route_from).collect())
    }

    pub(super) fn dump_routes(&mut self) -> Result<Vec<RouteNetlinkMessage>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            routes.extend(self.dump("list routes", RouteNetlinkMessage::GetRoute(message))?);
        }
        Ok(routes)
    }
}

fn whole(v4: bool) -> IpNet {
    match v4 {
        true => IpNet::V4(ipnet::Ipv4Net::default()),
        false => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

fn message_for(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = header_for(route);
    let attributes = &mut message.attributes;
    if route.destination.prefix_len() != 0 {
        attributes.push(RouteAttribute::Destination(route.destination.network().into()));
    }
    attributes.push(RouteAttribute::Table(route.table));
    attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.extend(route.link.map(|link| RouteAttribute::Oif(link.0)));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.extend(route.metric.map(RouteAttribute::Priority));
    let metrics: Vec<_> = [
        route.mtu.map(RouteMetric::Mtu),
        route.advmss.map(RouteMetric::Advmss),
        route.hop_limit.map(RouteMetric::Hoplimit),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

fn header_for(route: &Route) -> RouteHeader {
    RouteHeader {
        address_family: family_of(route.destination.addr()),
        destination_prefix_length: route.destination.prefix_len(),
        // Tables above 255 are told by RTA_TABLE alone.
        table: u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
        protocol: RouteProtocol::from(route.protocol),
        scope: match route.scope.unwrap_or_else(|| usual_scope(route)) {
            Scope::Universe => RouteScope::Universe,
            Scope::Link => RouteScope::Link,
            Scope::Host => RouteScope::Host,
            Scope::Other(value) => RouteScope::from(value),
        },
        kind: match route.kind {
            RouteKind::Unicast => RouteType::Unicast,
            RouteKind::Local => RouteType::Local,
            RouteKind::Blackhole => RouteType::BlackHole,
            RouteKind::Unreachable => RouteType::Unreachable,
            RouteKind::Other(value) => RouteType::from(value),
        },
        flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
        ..RouteHeader::default()
    }
}

/// The rule of `ip route`: a local route is in the host, a unicast one without a gateway on the link.
fn usual_scope(route: &Route) -> Scope {
    match route.kind {
        RouteKind::Local => Scope::Host,
        RouteKind::Unicast if route.gateway.is_none() && route.destination.addr().is_ipv4() => Scope::Link,
        _ => Scope::Universe,
    }
}

fn route_from(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = &message.header;
    let v4 = header.address_family == AddressFamily::Inet;
    let any = if v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let mut route = Route {
        destination: IpNet::new(any, header.destination_prefix_length).ok()?,
        onlink: header.flags.contains(RouteFlags::Onlink),
        scope: Some(match header.scope {
            RouteScope::Universe => Scope::Universe,
            RouteScope::Link => Scope::Link,
            RouteScope::Host => Scope::Host,
            other => Scope::Other(other.into()),
        }),
        table: u32::from(header.table),
        kind: match header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::Local => RouteKind::Local,
            RouteType::BlackHole => RouteKind::Blackhole,
            RouteType::Unreachable => RouteKind::Unreachable,
            RouteType::Multicast => return None,
            other => RouteKind::Other(other.into()),
        },
        protocol: header.protocol.into(),
        ..Route::to(IpNet::new(any, 0).ok()?)
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                route.destination = IpNet::new(ip_of(&address)?, route.destination.prefix_len()).ok()?;
            }
            RouteAttribute::Gateway(address) => route.gateway = ip_of(&address),
            RouteAttribute::PrefSource(address) => route.source = ip_of(&address),
            RouteAttribute::Oif(index) => route.link = Some(LinkIndex(index)),
            RouteAttribute::Priority(metric) => route.metric = Some(metric),
            RouteAttribute::Table(table) => route.table = table,
            RouteAttribute::Metrics(metrics) => read_metrics(&mut route, &metrics),
            RouteAttribute::MultiPath(_) => return None,
            _ => {}
        }
    }
    Some(route)
}

/// A prefix of a route; without an address the whole of the family.
pub(super) fn net_of(v4: bool, address: Option<IpAddr>, prefix_len: u8) -> Option<IpNet> {
    let any = if v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    IpNet::new(address.unwrap_or(any), prefix_len).ok()
}

fn read_metrics(route: &mut Route, metrics: &[RouteMetric]) {
    for metric in metrics {
        match metric {
            RouteMetric::Mtu(value) => route.mtu = Some(*value),
            RouteMetric::Advmss(value) => route.advmss = Some(*value),
            RouteMetric::Hoplimit(value) => route.hop_limit = Some(*value),
            _ => {}
        }
    }
}

pub(super) fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}
