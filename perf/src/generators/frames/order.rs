//! Which packet is of which flow, and how long: drawn beforehand, the same each time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use sluice_ebpf::traffic::{Flow, MAX_FRAME, Slot, smallest_frame};

/// The frame check sequence: part of a frame's length as people state it, and nothing that software sees.
const CHECK_SEQUENCE: u32 = 4;

/// The first source port of flows, and how many follow.
const FIRST_PORT: u16 = 1024;
const PORTS: u32 = 64_000;

/// At least and at most so many packets before the order begins anew.
const SHORTEST: usize = 1 << 12;
const LONGEST: usize = 1 << 21;

/// How packets are spread over flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Distribution {
    /// Evenly: each flow once in a round, in an order that is no pattern.
    #[default]
    Uniform,
    /// By Zipf's law with exponent 1: the n-th flow has 1/n of the packets of the first.
    Zipf,
}

/// How long frames are, in bytes with Ethernet header and check sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// All the same.
    Fixed(u32),
    /// 7 of 64, 4 of 594 and 1 of 1518 bytes, the simple mix that switches are usually tested with, as far as IP version and MTU
    /// allow.
    Imix,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "imix" {
            return Ok(Self::Imix);
        }
        let bytes = text.parse().map_err(|_| format!("{text:?} is neither a number of bytes nor imix"))?;
        Ok(Self::Fixed(bytes))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => bytes.fmt(f),
            Self::Imix => f.write_str("imix"),
        }
    }
}

impl Sizes {
    /// Lengths of successive frames as software sees them, over and over.
    fn lengths(self, ipv6: bool, mtu: u32) -> Result<Vec<u32>> {
        let (smallest, largest) = (smallest_frame(ipv6), (mtu + 14).min(MAX_FRAME));
        match self {
            Self::Fixed(bytes) => {
                let length = bytes.saturating_sub(CHECK_SEQUENCE);
                ensure!(
                    (smallest..=largest).contains(&length),
                    "a frame of {bytes} bytes does not go: from {} to {} do, by IP version and MTU",
                    smallest + CHECK_SEQUENCE,
                    largest + CHECK_SEQUENCE
                );
                Ok(vec![length])
            }
            Self::Imix => {
                let mix = [64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64];
                Ok(mix.map(|bytes| (bytes - CHECK_SEQUENCE).clamp(smallest, largest)).to_vec())
            }
        }
    }
}

/// Flows from one address to `targets` addresses that follow each other, by ports where that is not enough. All of a flow's
/// packets have the target's port if `one_port`, as a Service wants it; else the ports after it are used too.
pub(crate) fn flows(source: IpAddr, to: SocketAddr, targets: u32, count: u32, one_port: bool) -> Result<Vec<Flow>> {
    let targets = targets.max(1);
    let most = if one_port { u64::from(targets) * u64::from(PORTS) } else { u64::from(u32::MAX) };
    if count == 0 || u64::from(count) > most {
        bail!("{count} flows to {targets} addresses do not go: 1 to {most} do");
    }
    let flow = |number: u32| {
        let (target, rest) = (number % targets, number / targets);
        let port = to.port().saturating_add(u16::try_from(rest / PORTS).unwrap_or(u16::MAX));
        Flow {
            source: SocketAddr::new(source, FIRST_PORT + (rest % PORTS) as u16),
            destination: SocketAddr::new(nth_after(to.ip(), target), port),
        }
    };
    Ok((0..count).map(flow).collect())
}

fn nth_after(first: IpAddr, number: u32) -> IpAddr {
    match first {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).wrapping_add(number)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).wrapping_add(number.into())).into(),
    }
}

/// The order in which packets go: a power of two of them.
pub(crate) fn order(
    flows: u32,
    distribution: Distribution,
    sizes: Sizes,
    ipv6: bool,
    mtu: u32,
    seed: u64,
) -> Result<Vec<Slot>> {
    let lengths = sizes.lengths(ipv6, mtu)?;
    let length = (flows as usize).saturating_mul(2).next_power_of_two().clamp(SHORTEST, LONGEST);
    let mut random = Random(seed);
    let drawn = match distribution {
        Distribution::Uniform => uniform(flows, length, &mut random),
        Distribution::Zipf => zipf(flows, length, &mut random),
    };
    let slots = drawn.into_iter().enumerate();
    Ok(slots.map(|(place, flow)| Slot { flow, length: lengths[place % lengths.len()] }).collect())
}

fn uniform(flows: u32, length: usize, random: &mut Random) -> Vec<u32> {
    let mut drawn: Vec<u32> = (0..flows).cycle().take(length).collect();
    // Within rounds, so that each flow keeps its share of every round (Fisher and Yates).
    for round in drawn.chunks_mut(flows.max(1) as usize) {
        for place in (1..round.len()).rev() {
            round.swap(place, random.below(place as u64 + 1) as usize);
        }
    }
    drawn
}

fn zipf(flows: u32, length: usize, random: &mut Random) -> Vec<u32> {
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=flows)
        .map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        })
        .collect();
    let mut draw = || {
        let at = random.fraction() * sum;
        cumulated.partition_point(|one| *one < at).min(cumulated.len().saturating_sub(1)) as u32
    };
    (0..length).map(|_| draw()).collect()
}

/// Numbers without a pattern (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 to less than 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(flows: u32, distribution: Distribution) -> Vec<usize> {
        let order = order(flows, distribution, Sizes::Fixed(64), false, 1500, 1).expect("it goes");
        let mut shares = vec![0; flows as usize];
        order.iter().for_each(|slot| shares[slot.flow as usize] += 1);
        shares
    }

    #[test]
    fn flows_are_spread_evenly_or_by_zipf_s_law() {
        let even = shares(100, Distribution::Uniform);
        assert!(even.iter().all(|share| (40..=41).contains(share)), "{even:?}");
        let skewed = shares(100, Distribution::Zipf);
        assert!(skewed[0] > 5 * skewed[9] && skewed[9] > 2 * skewed[99], "{skewed:?}");
        assert_eq!(shares(1, Distribution::Zipf), [SHORTEST]);
    }

    #[test]
    fn the_order_is_the_same_each_time_and_no_plain_round() {
        let draw = |seed| order(50, Distribution::Uniform, Sizes::Fixed(64), false, 1500, seed).expect("it goes");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().zip(0..50).any(|(slot, flow)| slot.flow != flow));
        assert!(draw(1).len().is_power_of_two());
    }

    #[test]
    fn a_size_that_does_not_go_is_refused_with_those_that_do() {
        let refusal = |bytes, ipv6| {
            let refused = order(1, Distribution::Uniform, Sizes::Fixed(bytes), ipv6, 1450, 1);
            refused.map_or_else(|error| error.to_string(), |_| String::new())
        };
        assert_eq!((refusal(64, false), refusal(84, true), refusal(1468, false)), Default::default());
        assert!(refusal(64, true).contains("84 to 1468"), "{}", refusal(64, true));
        assert!(refusal(1469, false).contains("64 to 1468"), "{}", refusal(1469, false));
        assert!(refusal(0, false).contains("64 to 1468"));
    }

    #[test]
    fn the_mix_has_its_shares_and_keeps_to_the_mtu() {
        let order = order(1, Distribution::Uniform, Sizes::Imix, true, 1450, 1).expect("it goes");
        let count = |length| order[..12].iter().filter(|slot| slot.length == length).count();
        assert_eq!((count(80), count(590), count(1464)), (7, 4, 1));
        assert_eq!("imix".parse(), Ok(Sizes::Imix));
        assert_eq!("1450".parse(), Ok(Sizes::Fixed(1450)));
        assert!("big".parse::<Sizes>().is_err());
    }

    #[test]
    fn flows_differ_by_target_then_by_source_port_then_by_port() {
        let (source, to) = (IpAddr::from([192, 0, 2, 1]), SocketAddr::from(([10, 96, 0, 255], 80)));
        let services = flows(source, to, 2, 5, true).expect("they go");
        let text: Vec<String> = services.iter().map(|flow| format!("{} {}", flow.source, flow.destination)).collect();
        assert_eq!(text[0], "192.0.2.1:1024 10.96.0.255:80");
        assert_eq!(text[1], "192.0.2.1:1024 10.96.1.0:80");
        assert_eq!(text[2], "192.0.2.1:1025 10.96.0.255:80");
        assert!(flows(source, to, 1, PORTS + 1, true).is_err(), "no port is left");
        let all = flows(source, to, 1, 1_000_000, false).expect("they go");
        let different: std::collections::HashSet<String> = all.iter().map(|flow| format!("{flow:?}")).collect();
        assert_eq!(different.len(), 1_000_000);
        assert!(flows(source, to, 1, 0, false).is_err());
    }
}
