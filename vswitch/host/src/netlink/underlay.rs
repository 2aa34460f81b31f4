//! What the kernel knows of the way out by one device.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use sluice_wire::MacAddr;

use super::Netlink;
use super::link::LinkIndex;
use super::route::{MAIN_TABLE, ip_of, net_of};
use crate::error::Error;

/// The table behind the main one (`RT_TABLE_DEFAULT`).
const DEFAULT_TABLE: u32 = 253;

/// Where a route leads, as seen from one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderlayHop {
    /// The destination is a neighbour on the device's link.
    OnLink,
    /// To this router on the link, of either family (RFC 8950).
    Via(IpAddr),
    /// By another device, or nowhere.
    Elsewhere,
}

/// A route of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderlayRoute {
    /// Where packets are going.
    pub destination: IpNet,
    /// Where they are sent.
    pub hop: UnderlayHop,
    /// The source address that the route prefers (RTA_PREFSRC).
    pub source: Option<IpAddr>,
}

/// Routes, neighbours and addresses of one device, sorted, so that two states can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnderlayFacts {
    /// One route a destination, that of the lowest metric; by destination. Those that lead elsewhere are among them, as they
    /// take their part out of the others.
    pub routes: Vec<UnderlayRoute>,
    /// Neighbours whose hardware address is known and not found wrong.
    pub neighbours: Vec<(IpAddr, MacAddr)>,
    /// Its addresses that can be used, each with its prefix.
    pub addresses: Vec<IpNet>,
    /// Its hardware address; zeroes if it has none.
    pub mac: MacAddr,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
}

impl Netlink {
    /// What is known of the way out by `link`: the routes of the main and the default table, and of `tables`. One with several
    /// next hops leads to the first by `link` that is alive. A table earlier in `tables` goes before those after it, and all of
    /// them before the main one, as rules for them would have it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`] when the device is gone.
    pub fn underlay(&mut self, link: LinkIndex, tables: &[u32]) -> Result<UnderlayFacts, Error> {
        self.underlay_without(link, tables, None)
    }

    /// As [`Netlink::underlay`], as if there were no route by the device `except`: one by which the asker itself has routes set,
    /// for others than itself.
    ///
    /// # Errors
    /// As [`Netlink::underlay`].
    pub fn underlay_without(
        &mut self,
        link: LinkIndex,
        tables: &[u32],
        except: Option<LinkIndex>,
    ) -> Result<UnderlayFacts, Error> {
        let device = self.link_by_index(link)?;
        let mut addresses: Vec<IpNet> =
            self.addresses_of(link)?.into_iter().filter(|address| !address.tentative).map(|a| a.net).collect();
        addresses.sort_unstable();
        let mut neighbours: Vec<(IpAddr, MacAddr)> = self
            .neighbours()?
            .into_iter()
            .filter(|neighbour| neighbour.link == link && neighbour.state.is_usable())
            .filter_map(|neighbour| Some((neighbour.address, neighbour.mac?)))
            .collect();
        neighbours.sort_unstable();
        Ok(UnderlayFacts {
            routes: self.ways_out(link, tables, except)?,
            neighbours,
            addresses,
            mac: device.mac.unwrap_or_default(),
            mtu: device.mtu,
        })
    }

    fn ways_out(
        &mut self,
        link: LinkIndex,
        tables: &[u32],
        except: Option<LinkIndex>,
    ) -> Result<Vec<UnderlayRoute>, Error> {
        let order: Vec<u32> = tables.iter().copied().chain([MAIN_TABLE, DEFAULT_TABLE]).collect();
        // The best way to each destination: first by table, then by metric.
        let mut best: BTreeMap<IpNet, ((usize, u32), Way)> = BTreeMap::new();
        for message in self.dump_routes()? {
            let RouteNetlinkMessage::NewRoute(message) = message else { continue };
            let Some(way) = way_out(&message, link).filter(|way| except.is_none() || way.by != except) else {
                continue;
            };
            let Some(place) = order.iter().position(|table| *table == way.table) else { continue };
            let rank = (place, way.metric);
            match best.get(&way.route.destination) {
                Some((other, _)) if *other <= rank => {}
                _ => drop(best.insert(way.route.destination, (rank, way))),
            }
        }
        Ok(best.into_values().map(|(_, way)| way.route).collect())
    }
}

/// A route and what decides among several.
#[derive(Debug)]
struct Way {
    route: UnderlayRoute,
    table: u32,
    metric: u32,
    /// The device, where there is one.
    by: Option<LinkIndex>,
}

/// The route as seen from `link`; `None` for one that is dead (its device is down) or for no single receiver.
fn way_out(message: &RouteMessage, link: LinkIndex) -> Option<Way> {
    let header = &message.header;
    let nowhere = match header.kind {
        RouteType::Unicast => false,
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => true,
        _ => return None,
    };
    if header.flags.contains(RouteFlags::Dead) {
        return None;
    }
    let v4 = header.address_family == AddressFamily::Inet;
    let prefix_len = header.destination_prefix_length;
    let mut route =
        UnderlayRoute { destination: net_of(v4, None, prefix_len)?, hop: UnderlayHop::OnLink, source: None };
    let (mut table, mut metric) = (header.table.into(), 0);
    let mut by = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = net_of(v4, ip_of(address), prefix_len)?,
            RouteAttribute::PrefSource(address) => route.source = ip_of(address),
            RouteAttribute::Oif(index) => by = Some(LinkIndex(*index)),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::MultiPath(hops) => {
                let alive =
                    |hop: &&RouteNextHop| !hop.flags.intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown);
                if let Some(hop) = hops.iter().filter(alive).find(|hop| hop.interface_index == link.0) {
                    by = Some(link);
                    route.hop = router(&hop.attributes).map_or(UnderlayHop::OnLink, UnderlayHop::Via);
                }
            }
            _ => {}
        }
    }
    if let Some(router) = router(&message.attributes) {
        route.hop = UnderlayHop::Via(router);
    }
    if nowhere || by != Some(link) {
        route.hop = UnderlayHop::Elsewhere;
    }
    Some(Way { route, table, metric, by })
}

fn router(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip_of(address),
        RouteAttribute::Via(RouteVia::Inet(ip)) => Some(IpAddr::V4(*ip)),
        RouteAttribute::Via(RouteVia::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })
}
