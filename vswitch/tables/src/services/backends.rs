//! A set of backends and the choice among them.

use std::net::IpAddr;

use super::maglev::Maglev;

/// Where a Service's packets go: a pod's address, or any other that an EndpointSlice names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Destination address after translation.
    pub address: IpAddr,
    /// Destination port after translation.
    pub port: u16,
}

/// How a backend is chosen for a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Choice {
    /// Every backend alike, as the hash falls. A change of the set moves most hashes.
    #[default]
    Random,
    /// By a Maglev table: a change of the set moves few hashes, and every node chooses alike for the same hash.
    Maglev,
}

/// Backends that are usable now. Ordered and without duplicates, so the order in which they were given is of no matter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Backends {
    all: Box<[Backend]>,
    maglev: Option<Maglev>,
}

impl Backends {
    /// Takes backends in any order; one given twice counts once.
    #[must_use]
    pub fn new(mut all: Vec<Backend>, choice: Choice) -> Self {
        all.sort_unstable();
        all.dedup();
        let maglev = (choice == Choice::Maglev && all.len() > 1).then(|| Maglev::new(&all));
        Self { all: all.into(), maglev }
    }

    /// The backend for a connection of this hash, which must be spread over all of its 64 bits; `None` if there is no
    /// backend at all.
    #[must_use]
    #[inline]
    pub fn choose(&self, hash: u64) -> Option<Backend> {
        let position = match &self.maglev {
            None => scaled(hash, self.all.len()),
            Some(maglev) => maglev.position(hash),
        };
        self.all.get(position).copied()
    }

    /// Every backend, ordered.
    #[must_use]
    #[inline]
    pub fn all(&self) -> &[Backend] {
        &self.all
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether the choice follows a Maglev table, so that the hash is to be the client's.
    #[must_use]
    #[inline]
    pub fn is_maglev(&self) -> bool {
        self.maglev.is_some()
    }

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether `address` and `port` are among them.
    #[must_use]
    pub fn contains(&self, address: IpAddr, port: u16) -> bool {
        self.all.binary_search(&Backend { address, port }).is_ok()
    }
}

/// Maps a hash onto `0..len` by its high bits, without a division. 0 for an empty range.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the result is below len")]
pub(super) fn scaled(hash: u64, len: usize) -> usize {
    ((u128::from(hash) * len as u128) >> 64) as usize
}
