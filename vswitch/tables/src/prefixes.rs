//! Values by longest prefix, read-only.
//!
//! The prefixes are cut into disjoint ranges of addresses when they are built, each with the value of the longest prefix
//! over it, so that a look-up is one binary search over the ranges' first addresses. A trie finds as fast but takes a
//! node a prefix and a pointer a step; nothing here is ever inserted into, which is what a trie is good at.
//!
//! ```text
//! 10.0.0.0/8 -> A, 10.1.0.0/16 -> B        starts  10.0.0.0  10.1.0.0  10.2.0.0  11.0.0.0
//!                                          slots   A         B         A         none
//!
//! Start and slot lie side by side, so that a look-up among few ranges meets one cache line.
//! ```

use std::net::IpAddr;

use ipnet::IpNet;

/// Slot of a range that no prefix covers.
const NONE: u32 = u32::MAX;

/// A range of addresses of one family as numbers, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Span {
    pub(crate) fn of(net: &IpNet) -> Self {
        match net {
            IpNet::V4(net) => Self { first: u32::from(net.network()).into(), last: u32::from(net.broadcast()).into() },
            IpNet::V6(net) => Self { first: net.network().into(), last: net.broadcast().into() },
        }
    }
}

/// Disjoint ranges of one family: each begins where it says and ends where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ranges<A>(Box<[(A, u32)]>);

impl<A> Default for Ranges<A> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<A: Copy + Ord> Ranges<A> {
    #[inline]
    fn slot(&self, address: A) -> Option<u32> {
        let after = self.0.partition_point(|&(start, _)| start <= address);
        let (_, slot) = *self.0.get(after.checked_sub(1)?)?;
        (slot != NONE).then_some(slot)
    }
}

/// Values of IPv4 and IPv6 prefixes. What most look-ups read comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Prefixes<T> {
    v4: Ranges<u32>,
    values: Vec<T>,
    v6: Ranges<u128>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { v4: Ranges::default(), v6: Ranges::default(), values: Vec::new() }
    }
}

impl<T> Prefixes<T> {
    /// Takes prefixes in any order. Of two equal ones the one given first counts.
    pub(crate) fn longest(prefixes: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let (mut v4, mut v6, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (net, value) in prefixes {
            let slot = slot(values.len());
            values.push(value);
            match net {
                IpNet::V4(_) => v4.push((Span::of(&net), slot)),
                IpNet::V6(_) => v6.push((Span::of(&net), slot)),
            }
        }
        Self { v4: narrowed(flatten(v4)), v6: ranges(flatten(v6)), values }
    }

    /// Takes disjoint ranges, ordered: the first address of each and its value, which ends where the next begins.
    pub(crate) fn disjoint(v4: Vec<(u128, Option<T>)>, v6: Vec<(u128, Option<T>)>) -> Self {
        let mut values = Vec::new();
        let mut keep = |entries: Vec<(u128, Option<T>)>| -> Vec<(u128, u32)> {
            let entry = |(start, value): (u128, Option<T>)| {
                let Some(value) = value else { return (start, NONE) };
                values.push(value);
                (start, slot(values.len() - 1))
            };
            entries.into_iter().map(entry).collect()
        };
        let (v4, v6) = (keep(v4), keep(v6));
        Self { v4: narrowed(v4), v6: ranges(v6), values }
    }

    /// The value of the longest prefix over `address`.
    #[inline]
    pub(crate) fn get(&self, address: IpAddr) -> Option<&T> {
        let slot = match address {
            IpAddr::V4(v4) => self.v4.slot(u32::from(v4)),
            IpAddr::V6(v6) => self.v6.slot(u128::from(v6)),
        }?;
        self.values.get(slot as usize)
    }

    /// Loads what a look-up of an IPv4 address reads first; what is returned means nothing.
    #[inline]
    pub(crate) fn touch_v4(&self) -> u64 {
        self.v4.0.first().map_or(0, |(start, _)| u64::from(*start))
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Fewer than 2^32 - 1 prefixes fit in memory at their size; the last slot means none.
fn slot(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NONE)
}

fn ranges(entries: Vec<(u128, u32)>) -> Ranges<u128> {
    Ranges(entries.into())
}

/// Starts beyond IPv4 (the range after 255.255.255.255) are left out.
fn narrowed(entries: Vec<(u128, u32)>) -> Ranges<u32> {
    let narrow = |(start, slot): (u128, u32)| Some((u32::try_from(start).ok()?, slot));
    Ranges(entries.into_iter().filter_map(narrow).collect())
}

/// Cuts nested spans into disjoint ranges by one walk from the lowest address, with the spans around it on a stack.
/// Two prefixes are nested or disjoint, never crossed.
fn flatten(mut spans: Vec<(Span, u32)>) -> Vec<(u128, u32)> {
    // Outer before inner; of equal ones the first given, which has the lowest slot, last, so that it is on top.
    spans.sort_by_key(|(span, slot)| (span.first, u128::MAX - span.last, u32::MAX - slot));
    let mut around: Vec<(Span, u32)> = Vec::new();
    let mut out: Vec<(u128, u32)> = Vec::with_capacity(spans.len() * 2);
    for (span, slot) in spans {
        while let Some((inner, _)) = around.pop_if(|(open, _)| open.last < span.first) {
            leave(&mut out, inner, &around);
        }
        put(&mut out, span.first, slot);
        around.push((span, slot));
    }
    while let Some((inner, _)) = around.pop() {
        leave(&mut out, inner, &around);
    }
    out
}

/// After `inner` the span around it goes on, if there is one.
fn leave(out: &mut Vec<(u128, u32)>, inner: Span, around: &[(Span, u32)]) {
    if let Some(after) = inner.last.checked_add(1) {
        put(out, after, around.last().map_or(NONE, |(_, slot)| *slot));
    }
}

/// Of two ranges that begin together the later one counts, and one that changes nothing is left out.
fn put(out: &mut Vec<(u128, u32)>, start: u128, slot: u32) {
    if out.last().is_some_and(|(last, _)| *last == start) {
        out.pop();
    }
    if out.last().map_or(NONE, |(_, before)| *before) != slot {
        out.push((start, slot));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use ipnet::{IpNet, Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::Prefixes;

    fn nets() -> impl Strategy<Value = IpNet> {
        let v4 = (22_u8..=32, 0_u32..1024).prop_map(|(len, low)| (len, 0x0a00_0000 | low));
        let edge = (22_u8..=32, 0_u32..1024).prop_map(|(len, low)| (len, 0xffff_fc00 | low));
        let v4 = prop_oneof![6 => v4, 2 => edge, 1 => Just((0, 0)), 1 => Just((1, 0x8000_0000))];
        let v6 = (118_u8..=128, 0_u128..1024).prop_map(|(len, low)| (len, u128::MAX << 10 | low));
        let v6 = prop_oneof![6 => v6, 1 => Just((0, 0))];
        prop_oneof![
            2 => v4.prop_map(|(len, base)| IpNet::V4(Ipv4Net::new(Ipv4Addr::from(base), len).expect("a length"))),
            1 => v6.prop_map(|(len, base)| IpNet::V6(Ipv6Net::new(Ipv6Addr::from(base), len).expect("a length"))),
        ]
    }

    /// Of the prefixes over the address the longest, of equal ones the first.
    fn by_loop(prefixes: &[(IpNet, usize)], address: IpAddr) -> Option<usize> {
        let mut best: Option<(u8, usize)> = None;
        for (net, value) in prefixes.iter().filter(|(net, _)| net.contains(&address)) {
            if best.is_none_or(|(len, _)| net.prefix_len() > len) {
                best = Some((net.prefix_len(), *value));
            }
        }
        best.map(|(_, value)| value)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn the_longest_prefix_is_found_as_by_a_loop(nets in proptest::collection::vec(nets(), 0..24)) {
            let prefixes: Vec<(IpNet, usize)> = nets.into_iter().zip(0..).collect();
            let built = Prefixes::longest(prefixes.clone());
            prop_assert_eq!(built.is_empty(), prefixes.is_empty());
            for low in (0..1024_u32).step_by(3).chain([1023]) {
                let v4 = [0x0a00_0000 | low, 0xffff_fc00 | low, 0x7fff_ffff, low].map(|base| Ipv4Addr::from(base).into());
                let v6: IpAddr = Ipv6Addr::from(u128::MAX << 10 | u128::from(low)).into();
                for address in v4.into_iter().chain([v6, Ipv6Addr::UNSPECIFIED.into()]) {
                    prop_assert_eq!(built.get(address).copied(), by_loop(&prefixes, address), "{}", address);
                }
            }
        }
    }
}
