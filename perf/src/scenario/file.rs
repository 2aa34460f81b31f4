//! A scenario as it is written down, in TOML.

use std::fmt::Display;

use anyhow::{Result, bail};
use serde::Deserialize;
use toml::Spanned;

use super::topology::{Encapsulation, Place, Topology};
use super::{Case, Comparison, Plan, Scenario, Target};
use crate::nearest::nearest;
use crate::peers::Family;
use crate::run::{self, Load};

/// Frames of this many bytes, Ethernet header and check sequence included, are the smallest and the largest that UDP is
/// measured with: a packet that fits the tunnels' MTU in either family.
const SIZES: std::ops::RangeInclusive<u32> = 84..=1450;

/// The smallest frame there is, which only IPv4 fits.
const SMALLEST: u32 = 64;

/// Pods that one node has room for.
const MOST_PODS: u32 = 250;

/// Services and policies that a scenario may ask for.
const MOST_OBJECTS: u32 = 60_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    title: String,
    why: String,
    topology: Place,
    #[serde(default)]
    encapsulation: Option<Vec<Encapsulation>>,
    #[serde(default)]
    family: Option<Vec<Family>>,
    #[serde(default)]
    services: Option<Spanned<Vec<u32>>>,
    #[serde(default)]
    policies: Option<Spanned<Vec<u32>>>,
    #[serde(default)]
    pods: Option<Spanned<Vec<u32>>>,
    peers: Vec<Spanned<String>>,
    measure: Vec<Measure>,
    #[serde(default)]
    target: Vec<Aim>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measure {
    kind: Spanned<String>,
    #[serde(default)]
    rates: Option<Spanned<Vec<u64>>>,
    #[serde(default)]
    sizes: Option<Spanned<Vec<u32>>>,
    #[serde(default)]
    flows: Option<Spanned<Vec<u32>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aim {
    measure: Spanned<String>,
    figure: Spanned<String>,
    peer: Spanned<String>,
    #[serde(default)]
    against: Option<Spanned<String>>,
    #[serde(default)]
    comparison: Comparison,
    #[serde(default)]
    must: Option<f64>,
    #[serde(default)]
    aim: Option<f64>,
}

/// The text of a file, to say where in it something is wrong.
struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl Source<'_> {
    /// The number of the line that a byte is on, and the line.
    fn line(&self, at: usize) -> (usize, &str) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let number = before.matches('\n').count();
        (number + 1, self.text.lines().nth(number).unwrap_or_default().trim())
    }

    /// Refuses what is written at `value`.
    fn refuse<T, U>(&self, value: &Spanned<U>, problem: impl Display) -> Result<T> {
        let (number, line) = self.line(value.span().start);
        bail!("{}: line {number}, `{line}`: {problem}", self.file)
    }

    /// `name` must be one of `known`.
    fn known(&self, what: &str, name: &Spanned<String>, known: &[&str]) -> Result<()> {
        if known.contains(&name.get_ref().as_str()) {
            return Ok(());
        }
        let hint = nearest(name.get_ref(), known.iter().copied());
        self.refuse(name, format!("there is no {what} {}{hint}; there are {}", name.get_ref(), known.join(", ")))
    }

    /// A list of numbers, each within the bounds and none twice.
    fn numbers<N>(&self, list: Option<&Spanned<Vec<N>>>, default: &[N], bounds: &[(N, N)]) -> Result<Vec<N>>
    where
        N: Copy + PartialOrd + Display,
    {
        let Some(list) = list else { return Ok(default.to_vec()) };
        let numbers = list.get_ref();
        if numbers.is_empty() {
            return self.refuse(list, "the list is empty");
        }
        for (i, number) in numbers.iter().enumerate() {
            if !bounds.iter().any(|(low, high)| number >= low && number <= high) {
                let allowed: Vec<String> = bounds
                    .iter()
                    .map(|(low, high)| if low == high { low.to_string() } else { format!("{low} to {high}") })
                    .collect();
                return self.refuse(list, format!("{number} is not allowed, only {}", allowed.join(" or ")));
            }
            if numbers[..i].contains(number) {
                return self.refuse(list, format!("{number} is there twice"));
            }
        }
        Ok(numbers.clone())
    }
}

/// Reads a scenario; `file` is named in what is wrong with it.
pub(super) fn parse(file: &str, text: &str) -> Result<Scenario> {
    let source = Source { file, text };
    let read: File = match toml::from_str(text) {
        Ok(read) => read,
        Err(error) => {
            let (number, line) = source.line(error.span().map_or(0, |span| span.start));
            bail!("{file}: line {number}, `{line}`: {}", error.message().replace('\n', " "));
        }
    };
    check_name(&source, &read.name)?;
    let peers = peers(&source, &read.peers)?;
    let cases = cases(&source, &read, &peers)?;
    let targets = read.target.iter().map(|aim| target(&source, &read, aim)).collect::<Result<Vec<_>>>()?;
    let File { name, title, why, .. } = read;
    Ok(Scenario { name: name.into_inner(), title, why, peers, cases, targets })
}

fn check_name(source: &Source<'_>, name: &Spanned<String>) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.get_ref().is_empty() || !name.get_ref().bytes().all(valid) {
        return source.refuse(name, "a scenario's name consists of a-z, 0-9 and '-'");
    }
    Ok(())
}

fn peers(source: &Source<'_>, names: &[Spanned<String>]) -> Result<Vec<String>> {
    let known: Vec<&str> = run::peers().iter().map(|peer| peer.name()).collect();
    let mut peers: Vec<String> = Vec::new();
    for name in names {
        source.known("peer", name, &known)?;
        if peers.contains(name.get_ref()) {
            return source.refuse(name, format!("{} is there twice", name.get_ref()));
        }
        peers.push(name.get_ref().clone());
    }
    Ok(peers)
}

/// Every topology with everything that is measured on it.
fn cases(source: &Source<'_>, read: &File, peers: &[String]) -> Result<Vec<Case>> {
    let services = source.numbers(read.services.as_ref(), &[0], &[(0, MOST_OBJECTS)])?;
    let policies = source.numbers(read.policies.as_ref(), &[0], &[(0, MOST_OBJECTS)])?;
    let pods = source.numbers(read.pods.as_ref(), &[2], &[(2, MOST_PODS)])?;
    let encapsulations = read.encapsulation.clone().unwrap_or_else(|| vec![Encapsulation::default()]);
    let plans = plans(source, read)?;
    let mut cases = Vec::new();
    for encapsulation in encapsulations {
        for &services in &services {
            for &policies in &policies {
                for &pods in &pods {
                    let topology = Topology { place: read.topology, encapsulation, services, policies, pods };
                    cases.push(Case { topology, plans: plans.clone() });
                }
            }
        }
    }
    for case in &cases {
        for name in peers {
            if !run::peer(name).is_some_and(|peer| peer.carries(&case.topology)) {
                let at = read.peers.iter().find(|peer| peer.get_ref() == name).unwrap_or(&read.name);
                return source.refuse(at, format!("{name} cannot play {}", case.topology));
            }
        }
    }
    Ok(cases)
}

/// Every measure in every family, rate, size and number of flows.
fn plans(source: &Source<'_>, read: &File) -> Result<Vec<Plan>> {
    let known: Vec<&str> = run::measures().iter().map(|measure| measure.name()).collect();
    let families = read.family.clone().unwrap_or_else(|| vec![Family::V4]);
    if read.measure.is_empty() || families.is_empty() {
        return source.refuse(&read.name, "it measures nothing: it needs a [[measure]] and a family");
    }
    let mut plans = Vec::new();
    for measure in &read.measure {
        source.known("measure", &measure.kind, &known)?;
        let takes = run::measure(measure.kind.get_ref()).map(|measure| measure.takes()).unwrap_or_default();
        for (key, given, taken) in [
            ("rates", measure.rates.as_ref().map(Spanned::span), takes.rates),
            ("sizes", measure.sizes.as_ref().map(Spanned::span), takes.sizes),
            ("flows", measure.flows.as_ref().map(Spanned::span), takes.flows),
        ] {
            if let (Some(span), false) = (given, taken) {
                return source
                    .refuse(&Spanned::new(span, ()), format!("measure {} has no {key}", measure.kind.get_ref()));
            }
        }
        let rates = source.numbers(measure.rates.as_ref(), &[0], &[(0, 0), (100, 100_000_000)])?;
        let default = if takes.sizes { SMALLEST } else { 0 };
        let sizes = source.numbers(
            measure.sizes.as_ref(),
            &[default],
            &[(SMALLEST, SMALLEST), (*SIZES.start(), *SIZES.end())],
        )?;
        let flows = source.numbers(measure.flows.as_ref(), &[1], &[(1, 1_000_000)])?;
        for &family in &families {
            for &size in &sizes {
                if family == Family::V6 && size == SMALLEST && takes.sizes {
                    if families.contains(&Family::V4) {
                        continue;
                    }
                    return source.refuse(&measure.kind, "a frame of 64 bytes has no room for IPv6; give sizes");
                }
                for &flows in &flows {
                    for &rate in &rates {
                        let load = Load { family, rate, size, flows };
                        plans.push(Plan { measure: measure.kind.get_ref().clone(), load });
                    }
                }
            }
        }
    }
    Ok(plans)
}

fn target(source: &Source<'_>, read: &File, aim: &Aim) -> Result<Target> {
    let measured: Vec<&str> = read.measure.iter().map(|measure| measure.kind.get_ref().as_str()).collect();
    source.known("measure here", &aim.measure, &measured)?;
    let figures = run::measure(aim.measure.get_ref()).map(|measure| measure.figures()).unwrap_or_default();
    let names: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
    source.known("figure", &aim.figure, &names)?;
    let peers: Vec<&str> = read.peers.iter().map(|peer| peer.get_ref().as_str()).collect();
    for peer in [Some(&aim.peer), aim.against.as_ref()].into_iter().flatten() {
        source.known("peer here", peer, &peers)?;
    }
    if (aim.comparison == Comparison::Value) != aim.against.is_none() {
        return source.refuse(
            &aim.figure,
            "a ratio and a difference need `against`, and `comparison = \"value\"` is against nothing",
        );
    }
    if aim.must.is_none() && aim.aim.is_none() {
        return source.refuse(&aim.figure, "a target needs `must` or `aim`");
    }
    Ok(Target {
        measure: aim.measure.get_ref().clone(),
        figure: aim.figure.get_ref().clone(),
        peer: aim.peer.get_ref().clone(),
        against: aim.against.as_ref().map(|against| against.get_ref().clone()),
        comparison: aim.comparison,
        must: aim.must,
        aim: aim.aim,
    })
}
