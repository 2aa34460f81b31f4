//! Identities: what policies know a pod by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;

use crate::hash::{Seeded, seeded};
use crate::words::Words;

/// A namespace and a set of labels: pods that no selector can tell apart share one. The control side gives the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u32);

/// The identity behind each address of the cluster's pods. Pods of the host network are not in it: they are nodes.
/// Mutable for the control side, read-only once in an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Identities {
    /// Most of them, one line a look-up.
    v4: Words,
    v6: HashMap<Ipv6Addr, Identity, Seeded>,
}

impl Identities {
    /// No pod yet; the maps hash under `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { v4: Words::new(seed), v6: HashMap::with_hasher(seeded(seed)) }
    }

    /// Becomes the same as `other`; where it is as large, without asking for memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.v4.clone_from(&other.v4);
        self.v6.clone_from(&other.v6);
    }

    /// Gives `address` an identity, any but the number `u32::MAX`; returns the one it had.
    pub fn insert(&mut self, address: IpAddr, identity: Identity) -> Option<Identity> {
        match address {
            IpAddr::V4(v4) => self.v4.insert(v4.to_bits(), identity.0).map(Identity),
            IpAddr::V6(v6) => self.v6.insert(v6, identity),
        }
    }

    /// Forgets `address`; returns the identity it had.
    pub fn remove(&mut self, address: IpAddr) -> Option<Identity> {
        match address {
            IpAddr::V4(v4) => self.v4.remove(v4.to_bits()).map(Identity),
            IpAddr::V6(v6) => self.v6.remove(&v6),
        }
    }

    /// The identity behind `address`.
    #[must_use]
    #[inline]
    pub fn get(&self, address: IpAddr) -> Option<Identity> {
        match address {
            IpAddr::V4(v4) => self.v4.get(v4.to_bits()).map(Identity),
            IpAddr::V6(v6) => self.v6.get(&v6).copied(),
        }
    }

    /// Loads where the look-up of an IPv4 address begins; what is returned means nothing.
    #[inline]
    pub(crate) fn touch(&self, address: Ipv4Addr) -> u64 {
        self.v4.touch(address.to_bits())
    }

    /// How many addresses are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Identities {
    fn default() -> Self {
        Self::new(0)
    }
}
