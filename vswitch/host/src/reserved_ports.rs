//! Ports that the host leaves to the switch: it gives them to no connection of its own.
//!
//! The kernel passes over `net.ipv4.ip_local_reserved_ports` when it chooses a port, for IPv4 and IPv6, TCP, UDP and SCTP
//! (`Documentation/networking/ip-sysctl.rst`). A program may still ask for such a port by number.

use crate::error::{Error, ErrorKind, Failure};
use crate::netns::{HERE, Netns};
use crate::sysctl;

const RESERVED: &str = "net/ipv4/ip_local_reserved_ports";
const RANGE: &str = "net/ipv4/ip_local_port_range";

/// The host keeps at least so many ports for its own connections.
const LEAST: u32 = 1024;

/// What [`reserve`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The host's own range, first and last inclusive (`ip_local_port_range`).
    pub host_range: (u16, u16),
    /// Whether the two ranges overlap: connections of the host that were made before may still have ports of the switch, and get
    /// no answers from now on. Worth a warning, which goes away with the next restart of the node.
    pub overlaps: bool,
    /// Whether the setting had to be changed.
    pub changed: bool,
}

/// Reserves the ports from `first` to `last`, both included, in the calling thread's namespace, besides those that are reserved
/// already. Doing so again changes nothing.
///
/// # Errors
/// [`ErrorKind::NoPortsLeft`] when the host would be left with too few ports of its own, [`ErrorKind::Invalid`] for a range that
/// is empty or begins with 0, and as [`sysctl::set`].
pub fn reserve(first: u16, last: u16) -> Result<Reserved, Error> {
    reserve_here(first, last, HERE)
}

/// As [`reserve`], in `netns`.
///
/// # Errors
/// As [`reserve`] and [`Netns::run`].
pub fn reserve_in(netns: &Netns, first: u16, last: u16) -> Result<Reserved, Error> {
    netns.run(|| reserve_here(first, last, netns.label()))?
}

fn reserve_here(first: u16, last: u16, namespace: &str) -> Result<Reserved, Error> {
    let fail = |failure: Failure| Error::new("reserve", format!("ports {first}-{last}"), namespace, failure);
    if first == 0 || first > last {
        return Err(fail(ErrorKind::Invalid.into()));
    }
    let misread = |text: &str| fail(Failure::undecodable(format!("{text:?}")));
    let text = sysctl::get(RANGE)?;
    let host_range = range_of(&text).ok_or_else(|| misread(&text))?;
    let text = sysctl::get(RESERVED)?;
    let before = list_of(&text).ok_or_else(|| misread(&text))?;
    let after = with(&before, (first, last));
    let left = left_of(host_range, &after);
    if left < LEAST && left < left_of(host_range, &before) {
        let (range_first, range_last) = host_range;
        return Err(fail(ErrorKind::NoPortsLeft { first, last, range_first, range_last, left }.into()));
    }
    let changed = after != before;
    if changed {
        sysctl::set(RESERVED, &text_of(&after))?;
    }
    Ok(Reserved { host_range, overlaps: first <= host_range.1 && host_range.0 <= last, changed })
}

/// Two numbers with white space between.
fn range_of(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last)), None) => Some((first, last)),
        _ => None,
    }
}

/// Numbers and ranges with commas between, such as `80,8080-8090`; may be empty.
fn list_of(text: &str) -> Option<Vec<(u16, u16)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('-') {
            Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
            None => part.parse().ok().map(|port| (port, port)),
        })
        .collect()
}

/// The list with one more range: sorted, disjoint, not adjacent.
fn with(list: &[(u16, u16)], range: (u16, u16)) -> Vec<(u16, u16)> {
    let mut all: Vec<(u16, u16)> = list.iter().copied().chain([range]).collect();
    all.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in all {
        match merged.last_mut() {
            Some((_, end)) if u32::from(first) <= u32::from(*end) + 1 => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// How many ports of `range` are in none of the disjoint ranges of `list`.
fn left_of(range: (u16, u16), list: &[(u16, u16)]) -> u32 {
    let size = |first: u16, last: u16| (u32::from(last) + 1).saturating_sub(u32::from(first));
    let taken: u32 = list.iter().map(|(first, last)| size((*first).max(range.0), (*last).min(range.1))).sum();
    size(range.0, range.1).saturating_sub(taken)
}

fn text_of(list: &[(u16, u16)]) -> String {
    let parts: Vec<String> =
        list.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_and_those_of_others_stay() {
        for (before, after) in [
            ("", "61000-65535"),
            ("8080", "8080,61000-65535"),
            ("60999", "60999-65535"),
            ("60000-62000,9", "9,60000-65535"),
            ("61000-65535", "61000-65535"),
            ("1-65535", "1-65535"),
        ] {
            let list = list_of(before).expect("a list");
            assert_eq!(text_of(&with(&list, (61_000, 65_535))), after, "{before}");
        }
        assert_eq!(list_of("5,x"), None);
        assert_eq!(range_of("32768\t60999"), Some((32_768, 60_999)));
        assert!(["", "1", "1 2 3", "1 70000"].into_iter().all(|text| range_of(text).is_none()));
    }

    #[test]
    fn the_hosts_own_ports_are_counted() {
        assert_eq!(left_of((32_768, 60_999), &[(61_000, 65_535)]), 28_232);
        assert_eq!(left_of((1, 65_535), &[(1, 9), (61_000, 65_535)]), 65_535 - 9 - 4536);
        assert_eq!(left_of((61_000, 65_535), &[(60_000, 65_535)]), 0);
    }
}
