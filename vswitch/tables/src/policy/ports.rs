//! Sets of protocols and ports.

use std::sync::Arc;

use sluice_wire::protocol::{SCTP, TCP, UDP};
use thiserror::Error;

/// So many ranges are looked at one by one: it takes less than to choose among them.
const FEW: usize = 4;

/// Ports that no policy can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadPortRange {
    /// The last port is below the first.
    #[error("ports {first} to {last} are none: the last must not be below the first")]
    Inverted {
        /// First port given.
        first: u16,
        /// Last port given.
        last: u16,
    },
    /// A protocol without ports.
    #[error("IP protocol {0} cannot be named by a policy: use TCP, UDP or SCTP")]
    Protocol(u8),
}

/// Consecutive ports of one protocol, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    protocol: u8,
    first: u16,
    last: u16,
}

impl PortRange {
    /// Ports `first..=last` of TCP, UDP or SCTP.
    ///
    /// # Errors
    /// [`BadPortRange`] if there is no such port.
    pub fn new(protocol: u8, first: u16, last: u16) -> Result<Self, BadPortRange> {
        match protocol {
            TCP | UDP | SCTP if first > last => Err(BadPortRange::Inverted { first, last }),
            TCP | UDP | SCTP => Ok(Self { protocol, first, last }),
            other => Err(BadPortRange::Protocol(other)),
        }
    }

    /// Every port of TCP, UDP or SCTP.
    ///
    /// # Errors
    /// [`BadPortRange::Protocol`].
    pub fn all(protocol: u8) -> Result<Self, BadPortRange> {
        Self::new(protocol, 0, u16::MAX)
    }
}

/// What a rule's `ports` allow: everything, ICMP and any other protocol included, or ports of TCP, UDP and SCTP only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports(Set);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Set {
    /// Ordered, disjoint and not adjacent.
    Ranges(Arc<[PortRange]>),
    Everything,
}

impl Ports {
    /// Every protocol and port: a rule without `ports`.
    #[must_use]
    pub fn everything() -> Self {
        Self(Set::Everything)
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(Set::Ranges(Arc::default()))
    }

    /// The ports of `ranges`, which may overlap and come in any order.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let mut ranges: Vec<PortRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut disjoint: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match disjoint.last_mut() {
                Some(last) if last.protocol == range.protocol && range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => disjoint.push(range),
            }
        }
        Self(Set::Ranges(disjoint.into()))
    }

    /// Whether `port` of `protocol` is among them. For protocols without ports, `port` is of no matter.
    #[must_use]
    #[inline]
    pub fn allow(&self, protocol: u8, port: u16) -> bool {
        let Set::Ranges(ranges) = &self.0 else { return true };
        if ranges.len() <= FEW {
            return ranges.iter().any(|it| it.protocol == protocol && it.first <= port && port <= it.last);
        }
        let after = ranges.partition_point(|range| (range.protocol, range.first) <= (protocol, port));
        let below = after.checked_sub(1).and_then(|position| ranges.get(position));
        below.is_some_and(|range| range.protocol == protocol && port <= range.last)
    }

    /// What either allows.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (Set::Ranges(one), Set::Ranges(_)) if one.is_empty() => other.clone(),
            (Set::Ranges(_), Set::Ranges(two)) if two.is_empty() => self.clone(),
            (Set::Ranges(one), Set::Ranges(two)) if one == two => self.clone(),
            (Set::Ranges(one), Set::Ranges(two)) => Self::of(one.iter().chain(two.iter()).copied()),
            _ => Self::everything(),
        }
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(&self.0, Set::Ranges(ranges) if ranges.is_empty())
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::none()
    }
}
