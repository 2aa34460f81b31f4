//! The network between the nodes as the kernel knows it: routes and neighbours of the uplink.

use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use sluice_wire::MacAddr;

use crate::hash::{Seeded, seeded};
use crate::prefixes::Prefixes;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// The destination is a neighbour on the uplink.
    OnLink,
    /// To this router on the uplink, of either family (RFC 8950).
    Via(IpAddr),
    /// Not over the uplink: to another device, or nowhere. It takes its part out of a shorter prefix.
    Elsewhere,
}

/// How to reach a destination over the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// By a frame to this MAC.
    Known(MacAddr),
    /// By this neighbour, whose MAC is not known: it has to be resolved.
    Missing(IpAddr),
    /// The uplink does not lead there.
    NoRoute,
}

/// Routes and neighbours of the uplink. Shared between generations by `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Underlay {
    routes: Prefixes<Hop>,
    neighbours: HashMap<IpAddr, MacAddr, Seeded>,
}

impl Underlay {
    /// How to reach `destination`, by the longest prefix.
    #[must_use]
    #[inline]
    pub fn next_hop(&self, destination: IpAddr) -> NextHop {
        let hop = match self.routes.get(destination) {
            None | Some(Hop::Elsewhere) => return NextHop::NoRoute,
            Some(Hop::OnLink) => destination,
            Some(Hop::Via(router)) => *router,
        };
        self.neighbours.get(&hop).map_or(NextHop::Missing(hop), |mac| NextHop::Known(*mac))
    }

    /// Whether `destination` is left to the kernel: it has a route there, and that is not over the uplink.
    #[must_use]
    pub fn leads_elsewhere(&self, destination: IpAddr) -> bool {
        matches!(self.routes.get(destination), Some(Hop::Elsewhere))
    }

    /// Whether packets are routed alike; the neighbours may be others.
    #[must_use]
    pub fn routes_as(&self, other: &Self) -> bool {
        self.routes == other.routes
    }

    /// The MAC of a neighbour.
    #[must_use]
    pub fn neighbour(&self, address: IpAddr) -> Option<MacAddr> {
        self.neighbours.get(&address).copied()
    }
}

impl Default for Underlay {
    fn default() -> Self {
        UnderlayBuilder::new(0).build()
    }
}

/// Collects an [`Underlay`] from what the kernel says.
#[derive(Clone, Debug)]
pub struct UnderlayBuilder {
    routes: Vec<(IpNet, Hop)>,
    neighbours: HashMap<IpAddr, MacAddr, Seeded>,
}

impl UnderlayBuilder {
    /// No route and no neighbour; the map hashes under `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { routes: Vec::new(), neighbours: HashMap::with_hasher(seeded(seed)) }
    }

    /// Adds a route. Of two for one prefix the first counts, so give them by rising metric.
    #[must_use]
    pub fn route(mut self, prefix: IpNet, hop: Hop) -> Self {
        self.routes.push((prefix, hop));
        self
    }

    /// Adds a neighbour. A MAC that no frame can be sent to (zero, as devices without addresses have it, or a group) is
    /// left out: the neighbour is then missing, which is what it is.
    #[must_use]
    pub fn neighbour(mut self, address: IpAddr, mac: MacAddr) -> Self {
        if mac.0 != [0; 6] && !mac.is_multicast() {
            self.neighbours.insert(address, mac);
        }
        self
    }

    /// Makes it an underlay.
    #[must_use]
    pub fn build(self) -> Underlay {
        Underlay { routes: Prefixes::longest(self.routes), neighbours: self.neighbours }
    }
}
