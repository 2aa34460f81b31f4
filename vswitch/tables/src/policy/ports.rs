//! Sets of protocols and ports.

use std::sync::Arc;

use sluice_wire::protocol::{SCTP, TCP, UDP};
use thiserror::Error;

/// So many ranges lie in the set itself, and are looked at one by one: most sets have no more, and what decides about a packet is
/// found without another place in memory.
const FEW: usize = 2;

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
    /// As [`point`] has it.
    first: u32,
    last: u32,
}

/// The protocol's number above the port's.
const fn point(protocol: u8, port: u16) -> u32 {
    (protocol as u32) << 16 | port as u32
}

impl PortRange {
    /// Ports `first..=last` of TCP, UDP or SCTP.
    ///
    /// # Errors
    /// [`BadPortRange`] if there is no such port.
    pub fn new(protocol: u8, first: u16, last: u16) -> Result<Self, BadPortRange> {
        match protocol {
            TCP | UDP | SCTP if first > last => Err(BadPortRange::Inverted { first, last }),
            TCP | UDP | SCTP => Ok(Self { first: point(protocol, first), last: point(protocol, last) }),
            other => Err(BadPortRange::Protocol(other)),
        }
    }

    #[inline(always)]
    const fn has(self, point: u32) -> bool {
        (self.first <= point) & (point <= self.last)
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

/// Ranges are ordered, disjoint and not adjacent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Set {
    /// As many as there are; the rest are [`NOTHING`].
    Few([PortRange; FEW]),
    /// More than [`FEW`].
    Many(Arc<[PortRange]>),
    Everything,
}

/// What no packet is in.
const NOTHING: PortRange = PortRange { first: 1, last: 0 };

impl Ports {
    /// Every protocol and port: a rule without `ports`.
    #[must_use]
    pub fn everything() -> Self {
        Self(Set::Everything)
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(Set::Few([NOTHING; FEW]))
    }

    /// The ports of `ranges`, which may overlap and come in any order.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let mut ranges: Vec<PortRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut disjoint: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match disjoint.last_mut() {
                // Of no two protocols with ports do the numbers follow each other.
                Some(last) if range.first <= last.last + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => disjoint.push(range),
            }
        }
        if disjoint.len() > FEW {
            return Self(Set::Many(disjoint.into()));
        }
        let mut few = [NOTHING; FEW];
        for (place, range) in few.iter_mut().zip(disjoint) {
            *place = range;
        }
        Self(Set::Few(few))
    }

    /// The ranges; none where everything is allowed.
    fn ranges(&self) -> &[PortRange] {
        match &self.0 {
            Set::Few(few) => few.split(|range| *range == NOTHING).next().unwrap_or_default(),
            Set::Many(many) => many,
            Set::Everything => &[],
        }
    }

    /// Whether `port` of `protocol` is among them. For protocols without ports, `port` is of no matter.
    #[must_use]
    #[inline]
    pub fn allow(&self, protocol: u8, port: u16) -> bool {
        let point = point(protocol, port);
        let ranges = match &self.0 {
            Set::Few([one, other]) => return one.has(point) | other.has(point),
            Set::Many(many) => many,
            Set::Everything => return true,
        };
        let after = ranges.partition_point(|range| range.first <= point);
        let below = after.checked_sub(1).and_then(|position| ranges.get(position));
        below.is_some_and(|range| range.has(point))
    }

    /// What either allows.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (Set::Everything, _) | (_, Set::Everything) => Self::everything(),
            (one, two) if one == two || other.is_none() => self.clone(),
            _ if self.is_none() => other.clone(),
            _ => Self::of(self.ranges().iter().chain(other.ranges()).copied()),
        }
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(&self.0, Set::Few([NOTHING, ..]))
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::none()
    }
}
