//! Pod addresses from the node's podCIDRs: one of each family a pod, none given twice.
//!
//! Of every podCIDR the network and broadcast addresses (IPv4), the subnet-router anycast address (IPv6, RFC 4291
//! section 2.6.1) and the first usable address, which is the node's own, are never given. A released address cools off
//! for [`COOLING`], because a peer may still hold connections, policies or names of the pod that had it. Addresses that were
//! never given go first, then the one released longest ago; one that still cools only when there is no other, and that is
//! counted ([`Ipam::early`]).
//!
//! Time is an argument and nothing is enumerated, so a /64 costs what its used addresses cost. After a restart the
//! agent tells it what is in use ([`Ipam::restore`]) and what was cooling ([`Ipam::cool`]).

mod range;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use self::range::Range;

/// How long a released address is not given again while there is another. The last to learn of a pod's end are nodes whose watch
/// hangs: they find out after 90 s without a bookmark, and list anew within 30 s. Until then their Services and policies have the
/// address as that of the old pod.
pub const COOLING: Duration = Duration::from_secs(120);

/// Released addresses remembered in a family. More than a /16 has, so only in ranges that are practically endless are
/// the oldest forgotten, and there nothing leads back to them soon.
const COOLING_LIMIT: usize = 1 << 16;

/// Released addresses that go into the state file, the latest ones.
const STORED_LIMIT: usize = 1024;

/// Why no address was given or taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// The node has no podCIDR yet.
    #[error("the node has no podCIDR; set spec.podCIDRs of its Node object")]
    NoNetworks,
    /// A podCIDR with no address for a pod.
    #[error("podCIDR {0} has no address for a pod beside the node's own; use at least a /30 (IPv4) or a /126 (IPv6)")]
    TooSmall(IpNet),
    /// Two podCIDRs share addresses.
    #[error("podCIDRs {0} and {1} overlap; make them disjoint")]
    Overlap(IpNet, IpNet),
    /// All addresses of a family are in use.
    #[error("no address is free in {}: all {in_use} are in use; delete pods or give the node another podCIDR",
        list(.networks))]
    Full {
        /// The family's podCIDRs.
        networks: Vec<IpNet>,
        /// Addresses in use in them.
        in_use: u128,
    },
    /// An address of no podCIDR.
    #[error("{address} is in none of the node's podCIDRs ({}); ask for one of theirs", list(.networks))]
    Outside {
        /// The address.
        address: IpAddr,
        /// All podCIDRs.
        networks: Vec<IpNet>,
    },
    /// The network's, the broadcast or the node's own address.
    #[error("{address} is the network, broadcast or node's own address of {network}; ask for another")]
    Reserved {
        /// The address.
        address: IpAddr,
        /// Its podCIDR.
        network: IpNet,
    },
    /// A pod has it.
    #[error("{0} is in use; ask for another or for none")]
    InUse(IpAddr),
    /// More than one address of a family was asked for.
    #[error("{0} and {1} are of one family; a pod has one address of each")]
    TwoOfFamily(IpAddr, IpAddr),
}

fn list(networks: &[IpNet]) -> String {
    networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ")
}

/// How full a podCIDR is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The podCIDR.
    pub network: IpNet,
    /// Addresses that pods have.
    pub in_use: u128,
    /// Addresses that are free and were released less than [`COOLING`] ago.
    pub cooling: u128,
    /// Addresses that pods could have in all.
    pub capacity: u128,
}

/// The node's pod addresses.
#[derive(Clone, Debug)]
pub struct Ipam {
    ranges: Vec<Range>,
    /// Released addresses of each family in the order of release, and when that was; each is in its range's `released` too.
    queues: [BTreeMap<u64, (IpAddr, Instant)>; 2],
    /// Number of the next release.
    releases: u64,
    /// Addresses given before they had cooled off.
    early: u64,
}

/// The two families, IPv4 first: an index into `queues`.
const FAMILIES: [usize; 2] = [0, 1];

fn family(address: &IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

fn is_cooling(released: Instant, now: Instant) -> bool {
    now.saturating_duration_since(released) < COOLING
}

impl Ipam {
    /// Nothing in use in these podCIDRs. Bits behind a prefix are ignored.
    ///
    /// # Errors
    /// A podCIDR without room, or two that overlap.
    pub fn new(networks: &[IpNet]) -> Result<Ipam, IpamError> {
        let mut ranges: Vec<Range> = Vec::new();
        for network in networks {
            let network = network.trunc();
            let shares = |range: &&Range| range.network().contains(&network) || network.contains(&range.network());
            if let Some(other) = ranges.iter().find(shares) {
                return Err(IpamError::Overlap(other.network(), network));
            }
            ranges.push(Range::new(network).ok_or(IpamError::TooSmall(network))?);
        }
        Ok(Ipam { ranges, queues: [BTreeMap::new(), BTreeMap::new()], releases: 0, early: 0 })
    }

    /// Gives one address of each family that the node has podCIDRs of, IPv4 first. An address in `requested` is given
    /// in place of a chosen one, also when it cools. Either all are given or none. `now` is not before any time given earlier.
    ///
    /// # Errors
    /// Says why there is none, or why a requested one cannot be had.
    pub fn allocate(&mut self, requested: &[IpAddr], now: Instant) -> Result<Vec<IpAddr>, IpamError> {
        if self.ranges.is_empty() {
            return Err(IpamError::NoNetworks);
        }
        let mut given: [Option<IpAddr>; 2] = [None, None];
        for &address in requested {
            self.find_free(address)?;
            if let Some(first) = given[family(&address)].replace(address) {
                return Err(IpamError::TwoOfFamily(first, address));
            }
        }
        for family in FAMILIES {
            if given[family].is_none() && self.ranges.iter().any(|range| range.family() == family) {
                given[family] = Some(self.choose(family)?);
            }
        }
        let addresses: Vec<IpAddr> = given.into_iter().flatten().collect();
        for &address in &addresses {
            let cools = self.released_at(address).is_some_and(|at| is_cooling(at, now));
            self.early += u64::from(cools && !requested.contains(&address));
            self.take(address, false);
        }
        Ok(addresses)
    }

    /// Takes an address that is known to be in use, as after a restart.
    ///
    /// # Errors
    /// Two pods cannot have one address, and one outside the podCIDRs is not this node's to keep.
    pub fn restore(&mut self, address: IpAddr) -> Result<(), IpamError> {
        self.find_free(address)?;
        self.take(address, true);
        Ok(())
    }

    /// Notes that a free address was released at `since`, as after a restart; call it in the order of [`Ipam::released`].
    /// `false` for an address that is not free or not of these podCIDRs, which is passed over.
    pub fn cool(&mut self, address: IpAddr, since: Instant) -> bool {
        let Ok(index) = self.find_free(address) else { return false };
        self.forget_cooling(address);
        self.ranges[index].move_cursor_behind(address);
        self.start_cooling(index, address, since);
        true
    }

    /// Takes an address back. `false` when it was not in use, which changes nothing.
    pub fn release(&mut self, address: IpAddr, now: Instant) -> bool {
        let Some(index) = self.ranges.iter_mut().position(|range| range.release(address)) else { return false };
        self.start_cooling(index, address, now);
        true
    }

    /// The addresses released latest, oldest first, for the state file: at most 1024.
    pub fn cooling(&self) -> Vec<IpAddr> {
        let all = self.released();
        let surplus = all.len().saturating_sub(STORED_LIMIT);
        all.into_iter().skip(surplus).map(|(address, _)| address).collect()
    }

    /// All free addresses that were released, oldest first, and when.
    pub fn released(&self) -> Vec<(IpAddr, Instant)> {
        let mut all: Vec<(&u64, &(IpAddr, Instant))> = self.queues.iter().flatten().collect();
        all.sort_unstable();
        all.into_iter().map(|(_, released)| *released).collect()
    }

    /// Addresses given before they had cooled off, for want of others.
    pub fn early(&self) -> u64 {
        self.early
    }

    /// As many more were given early by one in whose place this one is.
    pub fn count_early(&mut self, before: u64) {
        self.early += before;
    }

    /// Whether an address is in one of the podCIDRs.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.network().contains(&address))
    }

    /// How full each podCIDR is, in the order given.
    pub fn usage(&self, now: Instant) -> Vec<Usage> {
        let cooling: Vec<IpAddr> = self
            .queues
            .iter()
            .flat_map(BTreeMap::values)
            .filter(|(_, at)| is_cooling(*at, now))
            .map(|(a, _)| *a)
            .collect();
        let usage = |range: &Range| {
            let cooling = cooling.iter().filter(|address| range.network().contains(*address)).count();
            Usage {
                network: range.network(),
                in_use: range.in_use(),
                cooling: cooling as u128,
                capacity: range.capacity(),
            }
        };
        self.ranges.iter().map(usage).collect()
    }

    /// What each family without a free address would be refused with; empty as long as every pod gets its addresses.
    pub fn exhausted(&self) -> Vec<IpamError> {
        let there = |family: &usize| self.ranges.iter().any(|range| range.family() == *family);
        FAMILIES.into_iter().filter(there).filter_map(|family| self.choose(family).err()).collect()
    }

    /// The podCIDRs, in the order given.
    pub fn networks(&self) -> Vec<IpNet> {
        self.ranges.iter().map(Range::network).collect()
    }

    /// The range of an address that a pod could have now.
    fn find_free(&self, address: IpAddr) -> Result<usize, IpamError> {
        let Some(index) = self.ranges.iter().position(|range| range.network().contains(&address)) else {
            return Err(IpamError::Outside { address, networks: self.networks() });
        };
        let range = &self.ranges[index];
        if !range.is_for_pods(address) {
            return Err(IpamError::Reserved { address, network: range.network() });
        }
        if range.is_used(address) {
            return Err(IpamError::InUse(address));
        }
        Ok(index)
    }

    fn choose(&self, family: usize) -> Result<IpAddr, IpamError> {
        let of_family = || self.ranges.iter().filter(|range| range.family() == family);
        let fresh = of_family().find_map(Range::fresh);
        fresh.or_else(|| self.queues[family].values().next().map(|(address, _)| *address)).ok_or_else(|| {
            IpamError::Full {
                networks: of_family().map(Range::network).collect(),
                in_use: of_family().map(|range| range.in_use()).sum(),
            }
        })
    }

    /// Marks a free address as used.
    fn take(&mut self, address: IpAddr, restored: bool) {
        self.forget_cooling(address);
        if let Some(range) = self.ranges.iter_mut().find(|range| range.network().contains(&address)) {
            let was_next = range.fresh() == Some(address);
            range.take(address);
            if was_next || restored {
                range.move_cursor_behind(address);
            }
        }
    }

    /// When a free address was released, as far as that is remembered.
    fn released_at(&self, address: IpAddr) -> Option<Instant> {
        let release = self.ranges.iter().find_map(|range| range.release_of(address))?;
        self.queues[family(&address)].get(&release).map(|(_, at)| *at)
    }

    fn start_cooling(&mut self, index: usize, address: IpAddr, now: Instant) {
        let queue = &mut self.queues[family(&address)];
        queue.insert(self.releases, (address, now));
        self.ranges[index].start_cooling(address, self.releases);
        self.releases += 1;
        if queue.len() > COOLING_LIMIT
            && let Some((_, (oldest, _))) = queue.pop_first()
        {
            self.forget_cooling(oldest);
        }
    }

    fn forget_cooling(&mut self, address: IpAddr) {
        for range in &mut self.ranges {
            if let Some(release) = range.forget_cooling(address) {
                self.queues[family(&address)].remove(&release);
            }
        }
    }
}

#[cfg(test)]
mod tests;
