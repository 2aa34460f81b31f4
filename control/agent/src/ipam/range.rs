//! One podCIDR: which of its addresses are used and which were released.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// One podCIDR. Addresses are kept as numbers, so that both families are one piece of code.
#[derive(Clone, Debug)]
pub(super) struct Range {
    network: IpNet,
    /// First address for a pod: the one behind the node's own.
    first: u128,
    /// Last address for a pod.
    last: u128,
    used: BTreeSet<u128>,
    /// Released addresses and the number of their release. None is in `used`.
    released: BTreeMap<u128, u64>,
    /// Where the search for an address that neither is used nor was released begins.
    cursor: u128,
}

impl Range {
    /// `None` when the network has no address for a pod.
    pub(super) fn new(network: IpNet) -> Option<Range> {
        let own = number(sluice_model::first_usable(&network)?);
        let last = number(sluice_model::last_usable(&network)?);
        let first = own.checked_add(1).filter(|first| *first <= last)?;
        Some(Range { network, first, last, used: BTreeSet::new(), released: BTreeMap::new(), cursor: first })
    }

    pub(super) fn network(&self) -> IpNet {
        self.network
    }

    pub(super) fn family(&self) -> usize {
        super::family(&self.network.addr())
    }

    /// Whether it lies in this network and is neither the network's, the broadcast nor the node's own address.
    pub(super) fn is_for_pods(&self, address: IpAddr) -> bool {
        self.network.contains(&address) && (self.first..=self.last).contains(&number(address))
    }

    pub(super) fn is_used(&self, address: IpAddr) -> bool {
        self.network.contains(&address) && self.used.contains(&number(address))
    }

    /// An address that neither is used nor was released lately: the next one from the cursor on, around the end.
    pub(super) fn fresh(&self) -> Option<IpAddr> {
        if self.taken() == self.capacity() {
            return None;
        }
        let mut candidate = self.cursor;
        // Ends: at most `taken` candidates in a row can be taken, and there are more than those.
        while self.used.contains(&candidate) || self.released.contains_key(&candidate) {
            candidate = self.behind(candidate);
        }
        Some(self.address(candidate))
    }

    /// The address must be for pods and free.
    pub(super) fn take(&mut self, address: IpAddr) {
        self.used.insert(number(address));
    }

    /// The next search begins behind this address.
    pub(super) fn move_cursor_behind(&mut self, address: IpAddr) {
        self.cursor = self.behind(number(address));
    }

    /// Whether it was in use here.
    pub(super) fn release(&mut self, address: IpAddr) -> bool {
        self.network.contains(&address) && self.used.remove(&number(address))
    }

    pub(super) fn start_cooling(&mut self, address: IpAddr, release: u64) {
        self.released.insert(number(address), release);
    }

    /// The number of its release when it is free here and was released.
    pub(super) fn release_of(&self, address: IpAddr) -> Option<u64> {
        if self.network.contains(&address) { self.released.get(&number(address)).copied() } else { None }
    }

    /// The number of its release when it was released here.
    pub(super) fn forget_cooling(&mut self, address: IpAddr) -> Option<u64> {
        if self.network.contains(&address) { self.released.remove(&number(address)) } else { None }
    }

    /// Addresses that pods have.
    pub(super) fn in_use(&self) -> u128 {
        self.used.len() as u128
    }

    fn taken(&self) -> u128 {
        self.used.len() as u128 + self.released.len() as u128
    }

    /// Addresses that pods could have. No overflow: `first` is at least 2, so there are fewer than 2^128.
    pub(super) fn capacity(&self) -> u128 {
        self.last - self.first + 1
    }

    fn behind(&self, number: u128) -> u128 {
        if number >= self.last { self.first } else { number + 1 }
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.network {
            // An IPv4 range holds 32-bit numbers only.
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
