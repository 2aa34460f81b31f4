//! What the kernel knows of the way out by one device.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use sluice_wire::MacAddr;

use super::Netlink;
use super::link::LinkIndex;
use super::route::{MAIN_TABLE, ip_of, net_of};
use crate::error::Error;

/// The table behind the main one (`RT_TABLE_DEFAULT`).
const DEFAULT_TABLE: u32 = 253;

/// Destination, gateway (none: on the link) and preferred source.
pub type UnderlayRoute = (IpNet, Option<IpAddr>, Option<IpAddr>);

/// Routes, neighbours and addresses of one device, sorted, so that two states can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnderlayFacts {
    /// Destination, gateway (none: on the link) and preferred source. One route a destination: that of the lowest metric.
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
    /// What is known of the way out by `link`: of the routes those of the main and the default table, and of `tables`, that lead
    /// to it, also as one of several next hops. A table earlier in `tables` goes before those after it, and all of them before
    /// the main one, as rules for them would have it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`] when the device is gone.
    pub fn underlay(&mut self, link: LinkIndex, tables: &[u32]) -> Result<UnderlayFacts, Error> {
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
            routes: self.ways_out(link, tables)?,
            neighbours,
            addresses,
            mac: device.mac.unwrap_or_default(),
            mtu: device.mtu,
        })
    }

    fn ways_out(&mut self, link: LinkIndex, tables: &[u32]) -> Result<Vec<UnderlayRoute>, Error> {
        let order: Vec<u32> = tables.iter().copied().chain([MAIN_TABLE, DEFAULT_TABLE]).collect();
        // The best way to each destination: first by table, then by metric.
        let mut best: BTreeMap<IpNet, ((usize, u32), Way)> = BTreeMap::new();
        for message in self.dump_routes()? {
            let RouteNetlinkMessage::NewRoute(message) = message else { continue };
            let Some(way) = way_out(&message, link) else { continue };
            let Some(place) = order.iter().position(|table| *table == way.table) else { continue };
            let rank = (place, way.metric);
            match best.get(&way.destination) {
                Some((other, _)) if *other <= rank => {}
                _ => drop(best.insert(way.destination, (rank, way))),
            }
        }
        Ok(best.into_iter().map(|(destination, (_, way))| (destination, way.gateway, way.source)).collect())
    }
}

/// A route as far as it matters here.
#[derive(Debug)]
struct Way {
    destination: IpNet,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    table: u32,
    metric: u32,
}

/// A unicast route by `link`; of several next hops, the first by it that is alive.
fn way_out(message: &RouteMessage, link: LinkIndex) -> Option<Way> {
    let header = &message.header;
    if header.kind != RouteType::Unicast || header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown) {
        return None;
    }
    let v4 = header.address_family == AddressFamily::Inet;
    let mut way = Way {
        destination: net_of(v4, None, header.destination_prefix_length)?,
        gateway: None,
        source: None,
        table: header.table.into(),
        metric: 0,
    };
    let mut by = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                way.destination = net_of(v4, ip_of(address), header.destination_prefix_length)?;
            }
            RouteAttribute::Gateway(address) => way.gateway = ip_of(address),
            RouteAttribute::PrefSource(address) => way.source = ip_of(address),
            RouteAttribute::Oif(index) => by = Some(LinkIndex(*index)),
            RouteAttribute::Table(table) => way.table = *table,
            RouteAttribute::Priority(metric) => way.metric = *metric,
            // A gateway of the other family cannot be resolved by our tables.
            RouteAttribute::Via(_) => return None,
            RouteAttribute::MultiPath(hops) => {
                let alive =
                    |flags: RouteNextHopFlags| !flags.intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown);
                let hop = hops.iter().find(|hop| hop.interface_index == link.0 && alive(hop.flags))?;
                by = Some(link);
                way.gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(address) => ip_of(address),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (by == Some(link)).then_some(way)
}
