//! Networks of which no two share an address, and whose each is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// Disjoint networks by their first address.
#[derive(Clone, Debug)]
pub(crate) struct Disjoint<T> {
    networks: BTreeMap<IpAddr, (IpNet, T)>,
}

impl<T> Disjoint<T> {
    pub(crate) fn new() -> Disjoint<T> {
        Disjoint { networks: BTreeMap::new() }
    }

    /// Takes a network, unless it shares addresses with one that is there.
    pub(crate) fn insert(&mut self, network: IpNet, owner: T) -> Result<(), (IpNet, &T)> {
        let network = network.trunc();
        if let Some(first) = self.overlapping(&network).map(|(other, _)| other.network()) {
            // Looked up anew, because the borrow of the first answer would outlive the insert below.
            return self.networks.get(&first).map_or(Ok(()), |(other, owner)| Err((*other, owner)));
        }
        self.networks.insert(network.network(), (network, owner));
        Ok(())
    }

    /// The network that shares addresses with this one. Of several, the first.
    pub(crate) fn overlapping(&self, network: &IpNet) -> Option<(IpNet, &T)> {
        let before = self.networks.range(..=network.network()).next_back();
        let holder = before.filter(|(_, (other, _))| other.contains(network));
        let after =
            || self.networks.range(network.network()..).next().filter(|(_, (other, _))| network.contains(other));
        holder.or_else(after).map(|(_, (other, owner))| (*other, owner))
    }

    /// The network that an address lies in.
    pub(crate) fn holder(&self, address: IpAddr) -> Option<(IpNet, &T)> {
        self.overlapping(&IpNet::from(address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn a_network_is_taken_if_and_only_if_it_overlaps_none(
            networks in proptest::collection::vec((0u8..16, 26u8..=32, any::<bool>()), 0..20)
        ) {
            let mut disjoint = Disjoint::new();
            let mut oracle: Vec<IpNet> = Vec::new();
            for (position, (byte, prefix, six)) in networks.into_iter().enumerate() {
                let address: IpAddr = if six {
                    std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, byte.into()).into()
                } else {
                    [10, 0, 0, byte].into()
                };
                let network = IpNet::new(address, prefix + if six { 96 } else { 0 }).expect("is short enough").trunc();
                let free = !oracle.iter().any(|other| other.contains(&network) || network.contains(other));
                prop_assert_eq!(disjoint.insert(network, position).is_ok(), free);
                if free {
                    oracle.push(network);
                }
                let holder = oracle.iter().find(|other| other.contains(&address)).copied();
                prop_assert_eq!(disjoint.holder(address).map(|(network, _)| network), holder);
            }
        }
    }
}
